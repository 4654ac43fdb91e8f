/* SPDX-License-Identifier: MIT */
/*
 * Goals S7 and S8: what it costs to get from a weak reference to its object.
 *
 *	S7  to borrow it: a handle in a read section
 *	S8  to own a part of it: an upgrade and a put
 *
 * There are 1,000,000 objects of 32 bytes, the references are in an array, and
 * the first word of each object is added up:
 *
 *	random       all of them, in random order, by one thread
 *	hot          256 of them, chosen at random, over and over
 *	popular      256 references to one, by one thread
 *	popular_all  the same by a thread on each CPU: ns of each
 *
 * The sum says that every reference led to its object.  At the end one object
 * dies, and its reference has to add nothing: that the way asks at all.  Each
 * way is measured in a child process of its own, which has a second thread, so
 * that nothing takes it for one that needs no atomic instructions.
 *
 * A thread works in slices and goes on until all have done theirs; what it
 * reports is the median of its slices, in CPU time, but in wall time where it
 * gave up its CPU to wait.
 */
#define _GNU_SOURCE
#include "context.h"
#include "gb.h"
#include "isolate.h"
#include "rivals/weak_rival.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum {
	N_OBJECTS = 1000000,
	N_HOT = 256,
	N_HOT_TURNS = 1000, /* in a slice: 0.1 to 10 ms */
	N_THREADS_MAX = 256,
	N_SLICES_MAX = 25,
	SHUFFLE_SEED = 1
};

static const struct pattern {
	const char *name;
	size_t n_refs;
	size_t n_turns;
	int is_popular;
	int is_by_all;
	size_t n_slices;
} patterns[] = {
	{ "random", N_OBJECTS, 1, 0, 0, 3 },
	{ "hot", N_HOT, N_HOT_TURNS, 0, 0, N_SLICES_MAX },
	{ "popular", N_HOT, N_HOT_TURNS, 1, 0, N_SLICES_MAX },
	{ "popular_all", N_HOT, N_HOT_TURNS, 1, 1, N_SLICES_MAX },
};

enum { N_PATTERNS = sizeof(patterns) / sizeof(patterns[0]) };

struct result {
	double ns[N_PATTERNS];
	uint64_t n_followed;
	uint64_t n_cpus;
};

static uint32_t order[N_OBJECTS];
static uint32_t one_object[N_HOT];

/* -------------------------------- the threads ----------------------------- */

struct crew {
	const struct weak_way *way;
	const struct pattern *pattern;
	void *pool;
	const void *refs;
	uint64_t sum; /* of a slice that missed nothing */
	pthread_barrier_t barrier;
	size_t n_threads;
	size_t n_running; /* threads that have not done their slices */
};

struct worker {
	struct crew *crew;
	pthread_t thread;
	size_t index;
	uint64_t n_slices;
	double ns;
	int err;
};

static double
now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

/* This thread to the index-th of the CPUs that the process may use. */
static void
pin(size_t index)
{
	cpu_set_t allowed, one;

	if (sched_getaffinity(0, sizeof(allowed), &allowed))
		return;
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (!CPU_ISSET(cpu, &allowed) || index-- > 0)
			continue;
		CPU_ZERO(&one);
		CPU_SET(cpu, &one);
		pthread_setaffinity_np(pthread_self(), sizeof(one), &one);
		return;
	}
}

/* How often this thread waited. */
static long
n_waits(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nvcsw;
}

static void
follow(struct worker *worker)
{
	const struct crew *crew = worker->crew;

	if (crew->way->follow(crew->pool, crew->refs, crew->pattern->n_refs,
			      crew->pattern->n_turns) != crew->sum)
		worker->err = -EILSEQ;
	worker->n_slices++;
}

static double
time_slice(struct worker *worker)
{
	long n_waits_before = n_waits();
	double cpu_begin_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
	double begin_ns = now_ns(CLOCK_MONOTONIC);
	double wall_ns, cpu_ns;

	follow(worker);
	wall_ns = now_ns(CLOCK_MONOTONIC) - begin_ns;
	cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_begin_ns;
	return n_waits() == n_waits_before ? cpu_ns : wall_ns;
}

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void *
work(void *arg)
{
	struct worker *worker = arg;
	struct crew *crew = worker->crew;
	const struct pattern *pattern = crew->pattern;
	double ns[N_SLICES_MAX];

	if (crew->n_threads > 1)
		pin(worker->index);
	if (crew->way->enter)
		crew->way->enter();
	follow(worker);
	pthread_barrier_wait(&crew->barrier);
	for (size_t i = 0; i < pattern->n_slices; i++)
		ns[i] = time_slice(worker);
	__atomic_sub_fetch(&crew->n_running, 1, __ATOMIC_RELAXED);
	while (__atomic_load_n(&crew->n_running, __ATOMIC_RELAXED) > 0)
		follow(worker);
	if (crew->way->leave)
		crew->way->leave();
	qsort(ns, pattern->n_slices, sizeof(ns[0]), by_value);
	worker->ns = ns[pattern->n_slices / 2] /
		     (double)(pattern->n_refs * pattern->n_turns);
	return NULL;
}

/* The mean of the threads' medians. */
static int
run_crew(struct crew *crew, double *ret_ns, uint64_t *n_followed)
{
	static struct worker workers[N_THREADS_MAX];
	double ns = 0;
	int err = 0;

	pthread_barrier_init(&crew->barrier, NULL, (unsigned)crew->n_threads);
	crew->n_running = crew->n_threads;
	for (size_t i = 0; i < crew->n_threads; i++) {
		int error;

		workers[i] = (struct worker){ .crew = crew, .index = i };
		error = pthread_create(&workers[i].thread, NULL, work,
				       &workers[i]);
		if (error) /* the others wait for it: the process ends */
			return -error;
	}
	for (size_t i = 0; i < crew->n_threads; i++) {
		pthread_join(workers[i].thread, NULL);
		ns += workers[i].ns / (double)crew->n_threads;
		*n_followed += workers[i].n_slices * crew->pattern->n_refs *
			       crew->pattern->n_turns;
		if (workers[i].err)
			err = workers[i].err;
	}
	pthread_barrier_destroy(&crew->barrier);
	*ret_ns = ns;
	return err;
}

/* ------------------------------- measuring -------------------------------- */

static size_t
n_cpus(void)
{
	cpu_set_t allowed;
	size_t n = 1;

	if (!sched_getaffinity(0, sizeof(allowed), &allowed))
		n = (size_t)CPU_COUNT(&allowed);
	return n < N_THREADS_MAX ? n : N_THREADS_MAX;
}

static uint32_t
next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 32);
}

static void
choose_targets(void)
{
	uint64_t random = SHUFFLE_SEED;

	for (size_t i = 0; i < N_OBJECTS; i++)
		order[i] = (uint32_t)i;
	for (size_t i = N_OBJECTS; i > 1; i--) {
		size_t other = next_random(&random) % i;
		uint32_t swapped = order[i - 1];

		order[i - 1] = order[other];
		order[other] = swapped;
	}
	for (size_t i = 0; i < N_HOT; i++)
		one_object[i] = order[0];
}

static int
measure_pattern(const struct weak_way *way, void *pool,
		const struct pattern *pattern, double *ret_ns,
		uint64_t *n_followed)
{
	const uint32_t *targets = pattern->is_popular ? one_object : order;
	struct crew crew = { .way = way, .pattern = pattern, .pool = pool };

	crew.n_threads = pattern->is_by_all ? n_cpus() : 1;
	crew.refs = way->refer(pool, pattern->n_refs, targets);
	if (!crew.refs)
		return -ENOMEM;
	for (size_t i = 0; i < pattern->n_refs; i++)
		crew.sum += (targets[i] + 1) * (uint64_t)pattern->n_turns;
	return run_crew(&crew, ret_ns, n_followed);
}

/* Does a reference notice the death of its object, and others not? */
static int
check_death(const struct weak_way *way, void *pool)
{
	const void *refs = way->refer(pool, 2, order);
	uint64_t before, after;

	if (!refs)
		return -ENOMEM;
	if (!way->end)
		return 0;
	if (way->enter)
		way->enter();
	before = way->follow(pool, refs, 2, 1);
	if (way->leave)
		way->leave();
	way->end(pool, order[0]);
	if (way->enter)
		way->enter();
	after = way->follow(pool, refs, 2, 1);
	if (way->leave)
		way->leave();
	return before == (uint64_t)order[0] + order[1] + 2 &&
			       after == (uint64_t)order[1] + 1 ?
		       0 :
		       -EBADMSG;
}

static void *
idle(void *arg)
{
	(void)arg;
	for (;;)
		pause();
	return NULL;
}

static int
measure(void *ret_result, const void *arg)
{
	const struct weak_way *way = arg;
	struct result *result = ret_result;
	pthread_t second;
	void *pool;
	int err = -pthread_create(&second, NULL, idle, NULL);

	if (err)
		return err;
	pool = way->create(N_OBJECTS);
	if (!pool)
		return -ENOMEM;
	choose_targets();
	for (size_t i = 0; i < N_PATTERNS && !err; i++)
		err = measure_pattern(way, pool, &patterns[i], &result->ns[i],
				      &result->n_followed);
	result->n_cpus = n_cpus();
	return err ? err : check_death(way, pool);
}

static void
bench_way(struct gb_state *state, void *arg)
{
	struct result result = { 0 };
	int err = isolate_run(measure, arg, &result, sizeof(result));

	if (err)
		gb_skip_with_error(state, strerror(-err));
	for (size_t n = gb_start(state); n > 0; n--)
		gb_iteration_time(state, 1e-9 * N_OBJECTS * result.ns[0]);
	gb_stop(state);
	if (err)
		return;
	gb_counter(state, "n_objects", N_OBJECTS, GB_PLAIN);
	gb_counter(state, "n_followed", (double)result.n_followed, GB_PLAIN);
	gb_counter(state, "n_missed", 0, GB_PLAIN);
	gb_counter(state, "n_cpus", (double)result.n_cpus, GB_PLAIN);
	for (size_t i = 0; i < N_PATTERNS; i++) {
		char name[32];

		snprintf(name, sizeof(name), "ns_%s", patterns[i].name);
		gb_counter(state, name, result.ns[i], GB_PLAIN);
	}
}

static void
add(const char *goal, const struct weak_way *way)
{
	struct gb_bench *registered;
	char name[64];

	snprintf(name, sizeof(name), "%s/%s/follow", goal, way->name);
	registered = gb_register(name, bench_way, (void *)way);
	gb_manual_time(registered);
	gb_iterations(registered, 1);
	gb_unit(registered, GB_MILLISECOND);
}

int
main(int argc, char **argv)
{
	static const struct weak_way *const borrows[] = {
		&weak_pointer,       &weak_cubby,      &weak_cubby_pair,
		&weak_cubby_counted, &weak_cubby_copy, &weak_lfht,
		&weak_lfht_pair,     &weak_ptr,        &weak_gref,
	};
	static const struct weak_way *const upgrades[] = {
		&weak_cubby_strong, &weak_cubby_both, &weak_ptr, &weak_gref
	};

	for (size_t i = 0; i < sizeof(borrows) / sizeof(borrows[0]); i++)
		add("S7", borrows[i]);
	for (size_t i = 0; i < sizeof(upgrades) / sizeof(upgrades[0]); i++)
		add("S8", upgrades[i]);
	return bench_main(argc, argv);
}

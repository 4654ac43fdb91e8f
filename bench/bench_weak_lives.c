/* SPDX-License-Identifier: MIT */
/*
 * Goals S9 and M6: what a life costs with an object that was referred to, and
 * how many dead ones wait for a grace period.
 *
 *	S9  one thread allocates, writes, refers to and frees objects of 32
 *	    bytes one after the other, 2,000,000 times after as many that are
 *	    not timed.  Reported are the time of a life, as the median of
 *	    slices, in CPU time, but in wall time where the thread gave up its
 *	    CPU to wait; the wall time of all until the last has ended; and the
 *	    CPU time of all threads
 *	M6  the same for half a second, flat out, with a limit of 8 MiB for what
 *	    waits, where it can be told, beside a thread that reads: in sections
 *	    of 10 us, ten thousand a second at most (reader), and in one that
 *	    lasts 200 ms besides (stall)
 *
 * When all has settled, as many lives must have ended as were lived.  Each
 * measurement is a child process of its own.
 */
#define _GNU_SOURCE
#include "context.h"
#include "gb.h"
#include "isolate.h"
#include "mem.h"
#include "rivals/weak_rival.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

enum {
	N_SLICES = 40,
	N_SLICE_LIVES = 50 * WEAK_LIVES_PER_TURN, /* 1 to 10 ms */
	N_WARM_LIVES = N_SLICES * N_SLICE_LIVES,

	LIMIT_BYTES = 8 << 20,
	FLOOD_MS = 500,
	READ_US = 10,
	REST_US = 90,
	STALL_BEGIN_MS = 100,
	STALL_MS = 200,
	REFUSED_US = 100, /* before one that got no memory tries again */
	KIB = 1024
};

struct bench {
	const struct weak_lives *lives;
	int is_stalled;
};

static double
now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static void
sleep_us(double us)
{
	struct timespec time = { (time_t)(us / 1e6), 0 };

	time.tv_nsec = (long)(1e3 * us - 1e9 * (double)time.tv_sec);
	nanosleep(&time, NULL);
}

/* ----------------------------------- S9 ----------------------------------- */

struct result {
	double ns; /* the median of the slices */
	double settled_ns;
	double cpu_ns;
	struct weak_lives_count count;
};

static int
by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* How often this thread waited. */
static long
n_waits(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nvcsw;
}

static int
time_slice(const struct weak_lives *lives, void *pool, double *ret_ns)
{
	long n_waits_before = n_waits();
	double cpu_begin_ns = now_ns(CLOCK_THREAD_CPUTIME_ID);
	double begin_ns = now_ns(CLOCK_MONOTONIC);
	double wall_ns, cpu_ns;

	if (lives->live(pool, N_SLICE_LIVES) != N_SLICE_LIVES)
		return -ENOMEM;
	wall_ns = now_ns(CLOCK_MONOTONIC) - begin_ns;
	cpu_ns = now_ns(CLOCK_THREAD_CPUTIME_ID) - cpu_begin_ns;
	*ret_ns = n_waits() == n_waits_before ? cpu_ns : wall_ns;
	return 0;
}

static int
time_lives(const struct weak_lives *lives, void *pool, struct result *result)
{
	double cpu_begin_ns = now_ns(CLOCK_PROCESS_CPUTIME_ID);
	double begin_ns = now_ns(CLOCK_MONOTONIC);
	double n_lives = (double)N_SLICES * N_SLICE_LIVES;
	double ns[N_SLICES];

	for (size_t i = 0; i < N_SLICES; i++)
		if (time_slice(lives, pool, &ns[i]))
			return -ENOMEM;
	lives->settle(pool);
	result->settled_ns = (now_ns(CLOCK_MONOTONIC) - begin_ns) / n_lives;
	result->cpu_ns = (now_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu_begin_ns) /
			 n_lives;
	qsort(ns, N_SLICES, sizeof(ns[0]), by_value);
	result->ns = ns[N_SLICES / 2] / N_SLICE_LIVES;
	return 0;
}

static void *
idle(void *arg)
{
	pthread_barrier_wait(arg);
	return NULL;
}

static int
measure(void *ret_result, const void *arg)
{
	const struct weak_lives *lives = ((const struct bench *)arg)->lives;
	struct result *result = ret_result;
	pthread_barrier_t barrier;
	pthread_t second;
	void *pool;
	int err;

	/* Nothing should take us for a program of one thread. */
	pthread_barrier_init(&barrier, NULL, 2);
	err = -pthread_create(&second, NULL, idle, &barrier);
	if (err)
		return err;
	pool = lives->create(lives->setting, 0);
	if (!pool)
		return -ENOMEM;
	lives->enter(pool);
	if (lives->live(pool, N_WARM_LIVES) != N_WARM_LIVES)
		return -ENOMEM;
	lives->settle(pool);
	err = time_lives(lives, pool, result);
	lives->leave(pool);
	pthread_barrier_wait(&barrier);
	pthread_join(second, NULL);
	if (err)
		return err;
	return lives->count(pool,
			    N_WARM_LIVES + (uint64_t)N_SLICES * N_SLICE_LIVES,
			    &result->count);
}

static void
report_count(struct gb_state *state, const struct weak_lives_count *count)
{
	gb_counter(state, "n_ended", (double)count->n_ended, GB_PLAIN);
	gb_counter(state, "n_waiting_peak", (double)count->n_waiting_peak,
		   GB_PLAIN);
	gb_counter(state, "waiting_peak_bytes",
		   (double)(count->n_waiting_peak * count->bytes_each),
		   GB_PLAIN);
	gb_counter(state, "n_overruns", (double)count->n_overruns, GB_PLAIN);
	gb_counter(state, "n_grace_periods", (double)count->n_grace_periods,
		   GB_PLAIN);
	bench_proof(state, &count->proof);
}

static void
bench_lives(struct gb_state *state, void *arg)
{
	struct result result = { 0 };
	int err = isolate_run(measure, arg, &result, sizeof(result));

	if (err)
		gb_skip_with_error(state, strerror(-err));
	for (size_t n = gb_start(state); n > 0; n--)
		gb_iteration_time(state, 1e-9 * N_SLICE_LIVES * result.ns);
	gb_stop(state);
	if (err)
		return;
	gb_counter(state, "ns_per_life", result.ns, GB_PLAIN);
	gb_counter(state, "ns_per_life_settled", result.settled_ns, GB_PLAIN);
	gb_counter(state, "cpu_ns_per_life", result.cpu_ns, GB_PLAIN);
	report_count(state, &result.count);
}

/* ----------------------------------- M6 ----------------------------------- */

struct flood {
	const struct bench *bench;
	void *pool;
	int is_over;
	uint64_t n_sections;
};

struct flood_result {
	uint64_t n_lives;
	uint64_t n_refused; /* no object to be had */
	uint64_t n_sections;
	double longest_turn_ns;
	double above_bytes; /* RSS: its peak above the start */
	double settle_ns;
	struct weak_lives_count count;
};

static void
spin_until(double end_ns)
{
	while (now_ns(CLOCK_MONOTONIC) < end_ns)
		;
}

static void *
run_reader(void *arg)
{
	struct flood *flood = arg;
	const struct weak_lives *lives = flood->bench->lives;
	double begin_ns = now_ns(CLOCK_MONOTONIC);
	int stalls_left = flood->bench->is_stalled;

	lives->enter(flood->pool);
	while (!__atomic_load_n(&flood->is_over, __ATOMIC_RELAXED)) {
		double now = now_ns(CLOCK_MONOTONIC);

		lives->lock(flood->pool);
		if (stalls_left > 0 && now - begin_ns > 1e6 * STALL_BEGIN_MS) {
			sleep_us(1e3 * STALL_MS);
			stalls_left--;
		} else {
			spin_until(now + 1e3 * READ_US);
		}
		lives->unlock(flood->pool);
		flood->n_sections++;
		sleep_us(REST_US);
	}
	lives->leave(flood->pool);
	return stalls_left > 0 ? flood : NULL;
}

static void
run_flood(struct flood *flood, struct flood_result *result)
{
	const struct weak_lives *lives = flood->bench->lives;
	double now = now_ns(CLOCK_MONOTONIC);
	double end = now + 1e6 * FLOOD_MS;

	while (now < end) {
		size_t n = lives->live(flood->pool, WEAK_LIVES_PER_TURN);
		double turn_ns;

		result->n_lives += n;
		if (n < WEAK_LIVES_PER_TURN) {
			result->n_refused++;
			sleep_us(REFUSED_US);
		}
		turn_ns = now_ns(CLOCK_MONOTONIC) - now;
		now += turn_ns;
		if (result->longest_turn_ns < turn_ns)
			result->longest_turn_ns = turn_ns;
	}
}

/* Since the fork, which begins with what is resident then. */
static double
peak_rss_bytes(void)
{
	struct rusage usage;

	return getrusage(RUSAGE_SELF, &usage) ? 0 :
						(double)usage.ru_maxrss * KIB;
}

static int
measure_flood(void *ret_result, const void *arg)
{
	struct flood flood = { .bench = arg };
	const struct weak_lives *lives = flood.bench->lives;
	struct flood_result *result = ret_result;
	struct mem_sample before;
	pthread_t reader;
	void *is_unread;
	double begin_ns;
	int err;

	flood.pool = lives->create(lives->setting, LIMIT_BYTES);
	if (!flood.pool)
		return -ENOMEM;
	lives->enter(flood.pool);
	err = mem_sample(&before);
	if (!err)
		err = -pthread_create(&reader, NULL, run_reader, &flood);
	if (err)
		return err;
	run_flood(&flood, result);
	__atomic_store_n(&flood.is_over, 1, __ATOMIC_RELAXED);
	result->above_bytes = peak_rss_bytes() - (double)before.rss_bytes;
	begin_ns = now_ns(CLOCK_MONOTONIC);
	lives->settle(flood.pool);
	result->settle_ns = now_ns(CLOCK_MONOTONIC) - begin_ns;
	lives->leave(flood.pool);
	pthread_join(reader, &is_unread);
	result->n_sections = flood.n_sections;
	if (is_unread)
		return -EBADMSG;
	return lives->count(flood.pool, result->n_lives, &result->count);
}

static void
bench_flood(struct gb_state *state, void *arg)
{
	struct flood_result result = { 0 };
	int err = 0;

	for (size_t n = gb_start(state); n > 0 && !err; n--)
		err = isolate_run(measure_flood, arg, &result, sizeof(result));
	if (err)
		gb_skip_with_error(state, strerror(-err));
	gb_stop(state);
	if (err)
		return;
	gb_counter(state, "limit_bytes", LIMIT_BYTES, GB_PLAIN);
	gb_counter(state, "n_lives", (double)result.n_lives, GB_PLAIN);
	gb_counter(state, "n_refused", (double)result.n_refused, GB_PLAIN);
	gb_counter(state, "n_sections", (double)result.n_sections, GB_PLAIN);
	gb_counter(state, "longest_turn_ms", 1e-6 * result.longest_turn_ns,
		   GB_PLAIN);
	gb_counter(state, "rss_above_bytes", result.above_bytes, GB_PLAIN);
	gb_counter(state, "settle_ms", 1e-6 * result.settle_ns, GB_PLAIN);
	report_count(state, &result.count);
}

/* ------------------------------ registration ------------------------------ */

static void
add(const char *goal, const char *variant, const struct weak_lives *lives,
    int is_stalled)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	int is_flood = !strcmp(goal, "M6");
	struct gb_bench *registered;
	char name[64];

	if (!bench)
		abort();
	*bench = (struct bench){ lives, is_stalled };
	snprintf(name, sizeof(name), "%s/%s/%s", goal, lives->name, variant);
	registered = gb_register(name, is_flood ? bench_flood : bench_lives,
				 bench);
	if (is_flood)
		gb_real_time(registered);
	else
		gb_manual_time(registered);
	gb_iterations(registered, 1);
	gb_unit(registered, GB_MILLISECOND);
}

static void
add_all(const struct weak_lives *lives)
{
	static const char *const floods[] = { "cubby-memb-thread",
					      "cubby-memb-poll",
					      "cubby-bp-thread", "call-rcu" };

	add("S9", "life", lives, 0);
	for (size_t i = 0; i < sizeof(floods) / sizeof(floods[0]); i++)
		if (!strcmp(lives->name, floods[i])) {
			add("M6", "reader", lives, 0);
			add("M6", "stall", lives, 1);
		}
}

int
main(int argc, char **argv)
{
	for (const struct weak_lives *lives = weak_lives_cubby; lives->name;
	     lives++)
		add_all(lives);
	add_all(&weak_lives_call_rcu);
	add_all(&weak_lives_lfht);
	add_all(&weak_lives_ptr);
	return bench_main(argc, argv);
}

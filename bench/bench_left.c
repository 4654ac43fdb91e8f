/* SPDX-License-Identifier: MIT */
/*
 * Goals S6 and M5: what stays resident of memory that was freed, a second
 * later, nothing having been called meanwhile.
 *
 *	S6  64 threads allocate 20,000 objects of 64 bytes each, then free them;
 *	    each when it gets to it (the goal), or none before all have allocated
 *	    (at-once)
 *	M5  1,000,000 objects of 32 bytes, of which 90 % and then the rest are
 *	    freed in random order, by one thread, by four, or by as many as there
 *	    are CPUs, each its share of the objects, whoever allocated them
 *
 * The threads live until all is measured.  Their stacks and the array of
 * pointers are populated before the first sample, so the differences are the
 * allocator's: RSS above that of a process whose threads wait for their first
 * allocation.  Objects are looked at before they are freed: as many distinct ones
 * as were asked for.  Each measurement is a child process of its own.
 */
#define _GNU_SOURCE
#include "context.h"
#include "gb.h"
#include "isolate.h"
#include "mem.h"
#include "rivals/rival.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum {
	N_THREADS_MAX = 256,
	N_STEPS_MAX = 2, /* frees, each followed by a look */
	STACK_BYTES = 64 * 1024,
	N_WARM_OBJECTS = 16,
	FILL_BYTE = 0xa5,
	SHUFFLE_SEED = 1,
	WAIT_SECONDS = 1
};

struct plan {
	const char *name;
	const char *variant;
	size_t n_objects; /* of all threads */
	size_t object_bytes;
	size_t n_threads; /* 0: as many as CPUs */
	int is_at_once;   /* no free before the last alloc: there is a peak */
	int is_random;
	size_t n_steps;
	int percents[N_STEPS_MAX]; /* freed so far */
};

static const struct plan plans[] = {
	{ "S6", "64-threads", 64 * 20000, 64, 64, 0, 0, 1, { 100 } },
	{ "S6", "at-once", 64 * 20000, 64, 64, 1, 0, 1, { 100 } },
	{ "M5", "one-thread", 1000000, 32, 1, 1, 1, 2, { 90, 100 } },
	{ "M5", "4-threads", 1000000, 32, 4, 1, 1, 2, { 90, 100 } },
	{ "M5", "all-cpus", 1000000, 32, 0, 1, 1, 2, { 90, 100 } },
};

struct bench {
	const struct plan *plan;
	const struct rival *rival;
};

struct result {
	double peak_bytes; /* 0 where there is none */
	double left_bytes[N_STEPS_MAX];
	double page_table_bytes; /* at the peak */
	uint64_t n_threads;
	uint64_t n_freed;
	struct rival_proof proof;
};

struct crew {
	const struct bench *bench;
	void *pool;
	void **objects;
	size_t n_threads;
	pthread_barrier_t barrier; /* the threads and who looks at them */
};

struct worker {
	struct crew *crew;
	pthread_t thread;
	size_t index;
	size_t n_freed;
};

/* ------------------------------- the threads ------------------------------ */

/* The first of a worker's objects; those of the last end at n_objects. */
static size_t
share(const struct crew *crew, size_t index)
{
	return crew->bench->plan->n_objects * index / crew->n_threads;
}

static int
check_distinct(const struct crew *crew, size_t begin, size_t end)
{
	for (size_t i = begin; i < end; i++)
		if (memcmp(crew->objects[i], &i, sizeof(i)))
			return -EILSEQ;
	return 0;
}

static int
allocate(const struct worker *worker)
{
	const struct crew *crew = worker->crew;
	size_t object_bytes = crew->bench->plan->object_bytes;
	size_t begin = share(crew, worker->index);
	size_t end = share(crew, worker->index + 1);

	for (size_t i = begin; i < end; i++) {
		void *object = crew->bench->rival->alloc(crew->pool);

		if (!object)
			return -ENOMEM;
		memset(object, FILL_BYTE, object_bytes);
		memcpy(object, &i, sizeof(i));
		crew->objects[i] = object;
	}
	return check_distinct(crew, begin, end);
}

static void
release(struct worker *worker, int percent)
{
	const struct crew *crew = worker->crew;
	size_t begin = share(crew, worker->index);
	size_t end = share(crew, worker->index + 1);

	end = begin + (end - begin) * (size_t)percent / 100;
	for (size_t i = begin + worker->n_freed; i < end; i++)
		crew->bench->rival->free(crew->pool, crew->objects[i]);
	worker->n_freed = end - begin;
}

static void __attribute__((noinline)) populate_stack(void)
{
	volatile char stack[STACK_BYTES];

	for (size_t i = 0; i < sizeof(stack); i += 1024)
		stack[i] = 1;
}

static void *
work(void *arg)
{
	struct worker *worker = arg;
	struct crew *crew = worker->crew;
	const struct plan *plan = crew->bench->plan;
	int err;

	populate_stack();
	pthread_barrier_wait(&crew->barrier);
	pthread_barrier_wait(&crew->barrier);
	err = allocate(worker);
	if (err) /* the others wait for us: end them all */
		_exit(-err);
	if (plan->is_at_once)
		pthread_barrier_wait(&crew->barrier);
	for (size_t step = 0; step < plan->n_steps; step++) {
		if (plan->is_at_once)
			pthread_barrier_wait(&crew->barrier);
		release(worker, plan->percents[step]);
		pthread_barrier_wait(&crew->barrier);
	}
	pthread_barrier_wait(&crew->barrier);
	return NULL;
}

/* -------------------------------- the look -------------------------------- */

static uint32_t
next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 32);
}

static void
shuffle(void **objects, size_t n)
{
	uint64_t random = SHUFFLE_SEED;

	for (size_t i = n; i > 1; i--) {
		size_t other = next_random(&random) % i;
		void *swapped = objects[i - 1];

		objects[i - 1] = objects[other];
		objects[other] = swapped;
	}
}

/* Pages in what the measurement runs, and leaves a used pool behind. */
static int
warm_up(const struct bench *bench)
{
	void *objects[N_WARM_OBJECTS];
	struct mem_sample sample;
	void *pool = bench->rival->create(bench->plan->object_bytes,
					  N_WARM_OBJECTS);
	int err = pool ? bench->rival->alloc_many(pool, N_WARM_OBJECTS,
						  objects) :
			 -ENOMEM;

	if (err)
		return err;
	for (size_t i = 0; i < N_WARM_OBJECTS; i++)
		bench->rival->free(pool, objects[i]);
	return mem_sample(&sample);
}

/* All objects are live, and the threads wait. */
static int
look_at_peak(const struct crew *crew, const struct mem_sample *before,
	     struct result *result)
{
	const struct plan *plan = crew->bench->plan;
	struct mem_sample now;
	int err = mem_sample(&now);

	if (!err)
		err = check_distinct(crew, 0, plan->n_objects);
	if (err)
		return err;
	result->peak_bytes = (double)now.rss_bytes - (double)before->rss_bytes;
	result->page_table_bytes = (double)now.page_table_bytes -
				   (double)before->page_table_bytes;
	if (plan->is_random)
		shuffle(crew->objects, plan->n_objects);
	return 0;
}

/* Lead the threads through the plan, looking at the memory in between. */
static int
lead(struct crew *crew, struct result *result)
{
	const struct plan *plan = crew->bench->plan;
	struct mem_sample before, now;
	int err;

	pthread_barrier_wait(&crew->barrier);
	err = mem_sample(&before);
	crew->pool = crew->bench->rival->create(plan->object_bytes,
						plan->n_objects);
	if (!err && !crew->pool)
		err = -ENOMEM;
	if (err)
		return err;
	pthread_barrier_wait(&crew->barrier);
	if (plan->is_at_once) {
		pthread_barrier_wait(&crew->barrier);
		err = look_at_peak(crew, &before, result);
	}
	for (size_t step = 0; step < plan->n_steps && !err; step++) {
		if (plan->is_at_once)
			pthread_barrier_wait(&crew->barrier);
		pthread_barrier_wait(&crew->barrier);
		sleep(WAIT_SECONDS);
		err = mem_sample(&now);
		result->left_bytes[step] = (double)now.rss_bytes -
					   (double)before.rss_bytes;
	}
	pthread_barrier_wait(&crew->barrier);
	return err;
}

static size_t
n_threads_of(const struct plan *plan)
{
	long n_cpus = sysconf(_SC_NPROCESSORS_ONLN);

	if (plan->n_threads)
		return plan->n_threads;
	return n_cpus < N_THREADS_MAX ? (size_t)n_cpus : N_THREADS_MAX;
}

/* Returning an error ends the process, and with it the threads that wait. */
static int
measure(void *ret_result, const void *arg)
{
	static struct worker workers[N_THREADS_MAX];
	const struct bench *bench = arg;
	const struct plan *plan = bench->plan;
	struct result *result = ret_result;
	struct crew crew = { .bench = bench };
	int err;

	crew.n_threads = n_threads_of(plan);
	crew.objects = mmap(NULL, plan->n_objects * sizeof(void *),
			    PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	if (crew.objects == MAP_FAILED)
		return -errno;
	memset(workers, 0, sizeof(workers));
	pthread_barrier_init(&crew.barrier, NULL, crew.n_threads + 1);
	err = warm_up(bench);
	for (size_t i = 0; !err && i < crew.n_threads; i++) {
		workers[i].crew = &crew;
		workers[i].index = i;
		err = -pthread_create(&workers[i].thread, NULL, work,
				      &workers[i]);
	}
	if (!err)
		err = lead(&crew, result);
	if (err)
		return err;
	for (size_t i = 0; i < crew.n_threads; i++) {
		pthread_join(workers[i].thread, NULL);
		result->n_freed += workers[i].n_freed;
	}
	result->n_threads = crew.n_threads;
	if (result->n_freed != plan->n_objects)
		return -EBADMSG;
	return rival_check(bench->rival, 1, &crew.pool, 2 * result->n_freed,
			   &result->proof);
}

static void
bench_left(struct gb_state *state, void *arg)
{
	const struct bench *bench = arg;
	struct result result = { 0 };
	int err = 0;

	for (size_t n = gb_start(state); n > 0 && !err; n--)
		err = isolate_run(measure, bench, &result, sizeof(result));
	if (err)
		gb_skip_with_error(state, strerror(-err));
	gb_stop(state);
	if (err)
		return;
	gb_counter(state, "n_objects", (double)result.n_freed, GB_PLAIN);
	gb_counter(state, "n_threads", (double)result.n_threads, GB_PLAIN);
	gb_counter(state, "declared_bytes",
		   (double)(result.n_freed * bench->plan->object_bytes),
		   GB_PLAIN);
	gb_counter(state, "peak_bytes", result.peak_bytes, GB_PLAIN);
	gb_counter(state, "page_table_bytes", result.page_table_bytes,
		   GB_PLAIN);
	for (size_t step = 0; step < bench->plan->n_steps; step++) {
		char name[32];

		snprintf(name, sizeof(name), "left_%d_percent_freed",
			 bench->plan->percents[step]);
		gb_counter(state, name, result.left_bytes[step], GB_PLAIN);
	}
	bench_proof(state, &result.proof);
}

static void
add(const struct rival *rival, const struct plan *plan)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct gb_bench *registered;
	char name[64];

	if (!bench)
		abort();
	*bench = (struct bench){ plan, rival };
	snprintf(name, sizeof(name), "%s/%s/%s", plan->name, rival->name(),
		 plan->variant);
	registered = gb_register(name, bench_left, bench);
	gb_iterations(registered, 1);
	gb_real_time(registered);
	gb_unit(registered, GB_MILLISECOND);
}

int
main(int argc, char **argv)
{
	static const struct rival *const rivals[] = { &rival_cubby,
						      &rival_cubby_inline,
						      &rival_cubby_thread,
						      &rival_malloc };

	for (size_t r = 0; r < sizeof(rivals) / sizeof(rivals[0]); r++) {
		if (!rival_is_here(rivals[r]))
			continue;
		for (size_t p = 0; p < sizeof(plans) / sizeof(plans[0]); p++)
			add(rivals[r], &plans[p]);
	}
	return bench_main(argc, argv);
}

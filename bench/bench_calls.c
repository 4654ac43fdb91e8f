/* SPDX-License-Identifier: MIT */
/*
 * Goals S1 and S3: what alloc and free cost one thread, through the shared
 * library.
 *
 *	S1  an object allocated, written and freed, over and over
 *	S3  n objects allocated and written, then freed, in the order of their
 *	    allocation or in a random one; and random replacement: one of n live
 *	    objects freed, another allocated in its place
 *
 * Each measurement is a child process of its own, so that no heap is in the
 * state in which another measurement left it; the clock is that of the
 * thread's CPU time.  A pair is an alloc and a free.  What the first pairs took
 * is reported apart: it is there that an allocator adapts to the load.
 */
#define _GNU_SOURCE
#include "calls.h"
#include "context.h"
#include "gb.h"
#include "isolate.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum {
	N_OBJECTS_MAX = 100000,
	N_WARM_PAIRS = 3000000,
	N_PAIRS = 2000000, /* that are timed: 10 to 100 ms */
	SHUFFLE_SEED = 1
};

enum way { PAIR, IN_ORDER, RANDOM_ORDER, REPLACE, N_WAYS };

struct task {
	size_t object_bytes;
	size_t n_objects; /* that divide n_pairs, in bursts */
	size_t n_pairs;
};

/* Returns the pairs done: fewer than asked when out of memory. */
typedef size_t loop_fn(void *pool, const struct task *task);

static void *objects[N_OBJECTS_MAX];
static uint32_t random_order[N_OBJECTS_MAX];

static inline uint32_t
next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 32);
}

/* ------------------------------- the loops -------------------------------- */

CALLS_INLINE size_t
pairs(const struct calls *calls, void *pool, const struct task *task)
{
	const size_t object_bytes = task->object_bytes;
	const size_t n_pairs = task->n_pairs;

	for (size_t i = 0; i < n_pairs; i++) {
		void *object = calls->alloc(pool, object_bytes);

		if (!object)
			return i;
		calls_stamp(object, i);
		calls->free(pool, object);
	}
	return n_pairs;
}

CALLS_INLINE size_t
bursts(const struct calls *calls, void *pool, const struct task *task,
       int is_random)
{
	const size_t object_bytes = task->object_bytes;
	const size_t n = task->n_objects;
	size_t n_done = 0;

	for (; n_done < task->n_pairs; n_done += n) {
		for (size_t i = 0; i < n; i++) {
			void *object = calls->alloc(pool, object_bytes);

			if (!object)
				return n_done;
			calls_stamp(object, i);
			objects[i] = object;
		}
		for (size_t i = 0; i < n; i++)
			calls->free(pool,
				    objects[is_random ? random_order[i] : i]);
	}
	return n_done;
}

/* All of objects[] are live, before and after. */
CALLS_INLINE size_t
replaces(const struct calls *calls, void *pool, const struct task *task)
{
	const size_t object_bytes = task->object_bytes;
	const size_t n_pairs = task->n_pairs;
	const uint64_t n = task->n_objects;
	uint64_t random = SHUFFLE_SEED;

	for (size_t i = 0; i < n_pairs; i++) {
		size_t place = (size_t)(next_random(&random) * n >> 32);
		void *object;

		calls->free(pool, objects[place]);
		object = calls->alloc(pool, object_bytes);
		if (!object)
			return i;
		calls_stamp(object, i);
		objects[place] = object;
	}
	return n_pairs;
}

#define LOOPS(kind)                                                           \
	CALLS_INSTANCE size_t kind##_pairs(void *pool,                        \
					   const struct task *task)           \
	{                                                                     \
		return pairs(&calls_##kind, pool, task);                      \
	}                                                                     \
	CALLS_INSTANCE size_t kind##_in_order(void *pool,                     \
					      const struct task *task)        \
	{                                                                     \
		return bursts(&calls_##kind, pool, task, 0);                  \
	}                                                                     \
	CALLS_INSTANCE size_t kind##_random_order(void *pool,                 \
						  const struct task *task)    \
	{                                                                     \
		return bursts(&calls_##kind, pool, task, 1);                  \
	}                                                                     \
	CALLS_INSTANCE size_t kind##_replaces(void *pool,                     \
					      const struct task *task)        \
	{                                                                     \
		return replaces(&calls_##kind, pool, task);                   \
	}                                                                     \
	static loop_fn *const kind##_loops[N_WAYS] = { kind##_pairs,          \
						       kind##_in_order,       \
						       kind##_random_order,   \
						       kind##_replaces }

LOOPS(cubby);
LOOPS(malloc);
LOOPS(floor);

static const struct kind {
	const struct rival *rival;
	loop_fn *const *loops;
} kinds[] = {
	{ &rival_cubby, cubby_loops },
	{ &rival_malloc, malloc_loops },
	{ &rival_floor, floor_loops },
};

/* ------------------------------- measuring -------------------------------- */

struct bench {
	const struct kind *kind;
	enum way way;
	struct task task;
};

struct result {
	double warm_seconds; /* of the pairs before: reported beside it */
	double seconds;
};

static double
cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static void
shuffle(size_t n)
{
	uint64_t random = SHUFFLE_SEED;

	for (size_t i = 0; i < n; i++)
		random_order[i] = (uint32_t)i;
	for (size_t i = n; i > 1; i--) {
		size_t other = next_random(&random) % i;
		uint32_t swapped = random_order[i - 1];

		random_order[i - 1] = random_order[other];
		random_order[other] = swapped;
	}
}

/* A burst that is not timed: are they as many distinct objects as asked? */
static int
check_distinct(const struct bench *bench, void *pool)
{
	const struct rival *rival = bench->kind->rival;
	size_t n = bench->task.n_objects;
	int err = 0;

	if (rival == &rival_floor)
		return 0;
	for (size_t i = 0; i < n; i++) {
		objects[i] = rival->alloc(pool);
		if (!objects[i])
			return -ENOMEM;
		calls_stamp(objects[i], i);
	}
	for (size_t i = 0; i < n; i++) {
		uint64_t number;

		memcpy(&number, objects[i], sizeof(number));
		if (number != i)
			err = -EILSEQ;
	}
	for (size_t i = 0; i < n; i++)
		rival->free(pool, objects[i]);
	return err;
}

/* Call the loop: 0 or -ENOMEM. */
static int
time_loop(const struct bench *bench, void *pool, size_t n_pairs,
	  double *ret_seconds)
{
	struct task task = bench->task;
	double begin = cpu_seconds();
	size_t n_done;

	task.n_pairs = n_pairs;
	n_done = bench->kind->loops[bench->way](pool, &task);
	*ret_seconds = cpu_seconds() - begin;
	return n_done == n_pairs ? 0 : -ENOMEM;
}

static int
measure(void *ret_result, const void *arg)
{
	const struct bench *bench = arg;
	const struct rival *rival = bench->kind->rival;
	const struct task *task = &bench->task;
	struct result *result = ret_result;
	size_t n_live = bench->way == REPLACE ? task->n_objects : 0;
	void *pool = rival->create(task->object_bytes, N_OBJECTS_MAX);
	int err;

	if (!pool)
		return -ENOMEM;
	memset(objects, 0, sizeof(objects));
	shuffle(task->n_objects);
	err = check_distinct(bench, pool);
	if (!err && n_live)
		err = rival->alloc_many(pool, n_live, objects);
	if (!err)
		err = time_loop(bench, pool, N_WARM_PAIRS,
				&result->warm_seconds);
	if (!err)
		err = time_loop(bench, pool, N_PAIRS, &result->seconds);
	if (err)
		return err;
	for (size_t i = 0; i < n_live; i++)
		rival->free(pool, objects[i]);
	return rival->check_calls ?
		       rival->check_calls(pool, 2 * (N_WARM_PAIRS + N_PAIRS)) :
		       0;
}

static void
bench_loop(struct gb_state *state, void *arg)
{
	struct result result = { 0 };
	int err = isolate_run(measure, arg, &result, sizeof(result));

	if (err)
		gb_skip_with_error(state, strerror(-err));
	for (size_t n = gb_start(state); n > 0; n--)
		gb_iteration_time(state, result.seconds);
	gb_stop(state);
	if (err)
		return;
	gb_items_processed(state, N_PAIRS);
	gb_counter(state, "n_objects",
		   (double)((struct bench *)arg)->task.n_objects, GB_PLAIN);
	gb_counter(state, "ns_per_pair", 1e9 * result.seconds / N_PAIRS,
		   GB_PLAIN);
	gb_counter(state, "ns_per_pair_warming",
		   1e9 * result.warm_seconds / N_WARM_PAIRS, GB_PLAIN);
}

static void
add(const char *goal, const struct kind *kind, size_t object_bytes,
    size_t n_objects, enum way way)
{
	static const char *const words[N_WAYS] = { "pair", "in-order",
						   "random-order", "replace" };
	struct bench *bench = calloc(1, sizeof(*bench));
	struct gb_bench *registered;
	char name[64];

	if (!bench)
		abort();
	bench->kind = kind;
	bench->way = way;
	bench->task = (struct task){ object_bytes, n_objects, 0 };
	snprintf(name, sizeof(name), "%s/%s/%zuB-%zu-%s", goal,
		 kind->rival->name(), object_bytes, n_objects, words[way]);
	registered = gb_register(name, bench_loop, bench);
	gb_manual_time(registered);
	gb_iterations(registered, 1);
	gb_unit(registered, GB_MILLISECOND);
}

int
main(int argc, char **argv)
{
	static const size_t sizes_bytes[] = { 24, 64, 200 };

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		add("S1", &kinds[k], sizes_bytes[0], 1, PAIR);
		for (size_t i = 0; i < 3; i++) {
			size_t bytes = sizes_bytes[i];

			add("S3", &kinds[k], bytes, 1000, IN_ORDER);
			add("S3", &kinds[k], bytes, 1000, RANDOM_ORDER);
			add("S3", &kinds[k], bytes, 10000, IN_ORDER);
			add("S3", &kinds[k], bytes, 10000, RANDOM_ORDER);
			add("S3", &kinds[k], bytes, N_OBJECTS_MAX, REPLACE);
		}
	}
	return bench_main(argc, argv);
}

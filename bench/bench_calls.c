/* SPDX-License-Identifier: MIT */
/*
 * Goals S1, S2 and S3: what alloc and free cost one thread, through the shared
 * library and compiled into the program; the loops are those of loops.h.
 *
 *	S1  a pair, the pool being a parameter or a global variable
 *	S2  the same, for the inline calls; 32 pools in turn, of one size and of
 *	    32 sizes
 *	S3  bursts freed in order and in random order; random replacement
 *
 * Each measurement is a child process of its own, so that no heap is in the
 * state in which another measurement left it; the clock is that of the
 * thread's CPU time.  What the first pairs took is reported apart: it is there
 * that an allocator adapts to the load.
 */
#define _GNU_SOURCE
#include "loops.h"

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
	N_PAIRS = 2000000 /* that are timed: 10 to 100 ms */
};

void *loops_global_pool;

static void *objects[N_OBJECTS_MAX];
static uint32_t random_order[N_OBJECTS_MAX];

/* ------------------------------- measuring -------------------------------- */

struct bench {
	const struct loops_kind *kind;
	enum way way;
	struct task task;
};

struct result {
	double warm_seconds; /* of the pairs before: reported beside it */
	double seconds;
	struct rival_proof proof;
};

static double
cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
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
time_loop(const struct bench *bench, void *const *pools, size_t n_pairs,
	  double *ret_seconds)
{
	struct task task = bench->task;
	double begin = cpu_seconds();
	size_t n_done;

	task.n_pairs = n_pairs;
	n_done = bench->kind->loops[bench->way](pools, &task);
	*ret_seconds = cpu_seconds() - begin;
	return n_done == n_pairs ? 0 : -ENOMEM;
}

/* The pools that the way needs: how many, or 0. */
static size_t
create_pools(const struct bench *bench, void **ret_pools)
{
	size_t n = bench->way == CACHES_IN_TURN ||
				   bench->way == SIZES_IN_TURN ?
			   LOOPS_N_POOLS :
			   1;

	for (size_t i = 0; i < n; i++) {
		size_t object_bytes = bench->way == SIZES_IN_TURN ?
					      loops_size_bytes(i) :
					      bench->task.object_bytes;

		ret_pools[i] = bench->kind->rival->create(object_bytes,
							  N_OBJECTS_MAX);
		if (!ret_pools[i])
			return 0;
	}
	return n;
}

static int
measure(void *ret_result, const void *arg)
{
	const struct bench *bench = arg;
	const struct rival *rival = bench->kind->rival;
	const struct task *task = &bench->task;
	struct result *result = ret_result;
	size_t n_live = bench->way == REPLACE ? task->n_objects : 0;
	void *pools[LOOPS_N_POOLS];
	size_t n_pools = create_pools(bench, pools);
	int err;

	if (n_pools == 0)
		return -ENOMEM;
	loops_global_pool = pools[0];
	memset(objects, 0, sizeof(objects));
	loops_shuffle(task->n_objects, random_order);
	err = check_distinct(bench, pools[0]);
	if (!err && n_live)
		err = rival->alloc_many(pools[0], n_live, objects);
	if (!err)
		err = time_loop(bench, pools, N_WARM_PAIRS,
				&result->warm_seconds);
	if (!err)
		err = time_loop(bench, pools, N_PAIRS, &result->seconds);
	if (err)
		return err;
	for (size_t i = 0; i < n_live; i++)
		rival->free(pools[0], objects[i]);
	return rival_check(rival, n_pools, pools, 2 * (N_WARM_PAIRS + N_PAIRS),
			   &result->proof);
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
	bench_proof(state, &result.proof);
}

static void
add(const char *goal, const struct loops_kind *kind, size_t object_bytes,
    size_t n_objects, enum way way)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	struct gb_bench *registered;
	char name[64];

	if (!bench)
		abort();
	bench->kind = kind;
	bench->way = way;
	bench->task = (struct task){ object_bytes, n_objects, 0, objects,
				     random_order };
	snprintf(name, sizeof(name), "%s/%s/%zuB-%zu-%s", goal,
		 kind->rival->name(), object_bytes, n_objects, way_words[way]);
	registered = gb_register(name, bench_loop, bench);
	gb_manual_time(registered);
	gb_iterations(registered, 1);
	gb_unit(registered, GB_MILLISECOND);
}

int
main(int argc, char **argv)
{
	static const size_t sizes_bytes[] = { 24, 64, 200 };

	for (size_t k = 0; k < LOOPS_N_KINDS; k++) {
		const struct loops_kind *kind = &loops_kinds[k];

		if (!rival_is_here(kind->rival))
			continue;
		add("S1", kind, sizes_bytes[0], 1, PAIR);
		add("S1", kind, sizes_bytes[0], 1, PAIR_GLOBAL);
		add("S2", kind, sizes_bytes[0], 1, PAIR);
		add("S2", kind, sizes_bytes[0], 1, PAIR_GLOBAL);
		add("S2", kind, sizes_bytes[0], 1, CACHES_IN_TURN);
		add("S2", kind, sizes_bytes[0], 1, SIZES_IN_TURN);
		for (size_t i = 0; i < 3; i++) {
			size_t bytes = sizes_bytes[i];

			add("S3", kind, bytes, 1000, IN_ORDER);
			add("S3", kind, bytes, 1000, RANDOM_ORDER);
			add("S3", kind, bytes, 10000, IN_ORDER);
			add("S3", kind, bytes, 10000, RANDOM_ORDER);
			add("S3", kind, bytes, N_OBJECTS_MAX, REPLACE);
		}
	}
	return bench_main(argc, argv);
}

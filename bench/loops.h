/* SPDX-License-Identifier: MIT */
/*
 * loops.h - the loops of S1, S2, S3 and S5, one instance a rival.
 *
 *	PAIR            an object allocated, written and freed, over and over;
 *	                the pool is a parameter, and so in a register
 *	PAIR_GLOBAL     the same with the pool in a global variable
 *	CACHES_IN_TURN  the same with 32 pools of one size in turn.  A malloc
 *	                has no pools: to it this is PAIR, its best case
 *	SIZES_IN_TURN   the same with 32 sizes: 16, 32 .. 512 bytes
 *	IN_ORDER        n objects allocated and written, then freed in the
 *	                order of their allocation
 *	RANDOM_ORDER    or in a random one
 *	REPLACE         one of n live objects freed, and another allocated in
 *	                its place
 *
 * A pair is an alloc and a free.
 */
#ifndef BENCH_LOOPS_H
#define BENCH_LOOPS_H

#include "calls.h"

enum { LOOPS_N_POOLS = 32, LOOPS_SIZE_STEP_BYTES = 16, LOOPS_SEED = 1 };

enum way {
	PAIR,
	PAIR_GLOBAL,
	CACHES_IN_TURN,
	SIZES_IN_TURN,
	IN_ORDER,
	RANDOM_ORDER,
	REPLACE,
	N_WAYS
};

static const char *const way_words[N_WAYS] = {
	"pair",     "pair-global",  "caches-in-turn", "sizes-in-turn",
	"in-order", "random-order", "replace"
};

struct task {
	size_t object_bytes;
	size_t n_objects; /* that divide n_pairs, in bursts */
	size_t n_pairs;
	void **objects;
	const uint32_t *random_order; /* of n_objects */
};

/* Of LOOPS_N_POOLS pools only the first is used, if they are not in turn. */
typedef size_t loop_fn(void *const *pools, const struct task *task);

/* Where a program may have its cache.  Not static: anybody may change it. */
extern void *loops_global_pool;

static inline uint32_t
loops_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 32);
}

static inline void
loops_shuffle(size_t n, uint32_t *ret_order)
{
	uint64_t random = LOOPS_SEED;

	for (size_t i = 0; i < n; i++)
		ret_order[i] = (uint32_t)i;
	for (size_t i = n; i > 1; i--) {
		size_t other = loops_random(&random) % i;
		uint32_t swapped = ret_order[i - 1];

		ret_order[i - 1] = ret_order[other];
		ret_order[other] = swapped;
	}
}

static inline size_t
loops_size_bytes(size_t turn)
{
	return (turn + 1) * LOOPS_SIZE_STEP_BYTES;
}

/* Each returns the pairs done: fewer than asked when out of memory. */

CALLS_INLINE size_t
loops_pairs(const struct calls *calls, void *const *pools,
	    const struct task *task, int is_global)
{
	const size_t object_bytes = task->object_bytes;
	const size_t n_pairs = task->n_pairs;
	void *pool = pools[0];

	for (size_t i = 0; i < n_pairs; i++) {
		void *object = calls->alloc(
			is_global ? loops_global_pool : pool, object_bytes);

		if (!object)
			return i;
		calls_stamp(object, i);
		calls->free(is_global ? loops_global_pool : pool, object);
	}
	return n_pairs;
}

CALLS_INLINE size_t
loops_turns(const struct calls *calls, void *const *pools,
	    const struct task *task, int is_by_size)
{
	const size_t object_bytes = task->object_bytes;
	const size_t n_pairs = task->n_pairs;

	for (size_t i = 0; i < n_pairs; i++) {
		size_t turn = i % LOOPS_N_POOLS;
		void *pool = pools[turn];
		void *object = calls->alloc(
			pool,
			is_by_size ? loops_size_bytes(turn) : object_bytes);

		if (!object)
			return i;
		calls_stamp(object, i);
		calls->free(pool, object);
	}
	return n_pairs;
}

CALLS_INLINE size_t
loops_bursts(const struct calls *calls, void *const *pools,
	     const struct task *task, int is_random)
{
	const size_t object_bytes = task->object_bytes;
	const size_t n = task->n_objects;
	const size_t n_pairs = task->n_pairs;
	const uint32_t *order = task->random_order;
	void **objects = task->objects;
	void *pool = pools[0];
	size_t n_done = 0;

	for (; n_done < n_pairs; n_done += n) {
		for (size_t i = 0; i < n; i++) {
			void *object = calls->alloc(pool, object_bytes);

			if (!object)
				return n_done;
			calls_stamp(object, i);
			objects[i] = object;
		}
		for (size_t i = 0; i < n; i++)
			calls->free(pool, objects[is_random ? order[i] : i]);
	}
	return n_done;
}

/* All of objects[] are live, before and after. */
CALLS_INLINE size_t
loops_replaces(const struct calls *calls, void *const *pools,
	       const struct task *task)
{
	const size_t object_bytes = task->object_bytes;
	const size_t n_pairs = task->n_pairs;
	const uint64_t n = task->n_objects;
	void **objects = task->objects;
	void *pool = pools[0];
	uint64_t random = LOOPS_SEED;

	for (size_t i = 0; i < n_pairs; i++) {
		size_t place = (size_t)(loops_random(&random) * n >> 32);
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

#define LOOPS_ONE(kind, word, call)                                           \
	CALLS_INSTANCE size_t kind##_##word(void *const *pools,               \
					    const struct task *task)          \
	{                                                                     \
		return call;                                                  \
	}

/* The loops of the calls calls_<kind>, as the array <kind>_loops. */
#define LOOPS(kind)                                                           \
	LOOPS_ONE(kind, pair, loops_pairs(&calls_##kind, pools, task, 0))     \
	LOOPS_ONE(kind, global, loops_pairs(&calls_##kind, pools, task, 1))   \
	LOOPS_ONE(kind, caches, loops_turns(&calls_##kind, pools, task, 0))   \
	LOOPS_ONE(kind, sizes, loops_turns(&calls_##kind, pools, task, 1))    \
	LOOPS_ONE(kind, order, loops_bursts(&calls_##kind, pools, task, 0))   \
	LOOPS_ONE(kind, random, loops_bursts(&calls_##kind, pools, task, 1))  \
	LOOPS_ONE(kind, replace, loops_replaces(&calls_##kind, pools, task))  \
	static loop_fn *const kind##_loops[N_WAYS] = {                        \
		kind##_pair,  kind##_global, kind##_caches, kind##_sizes,     \
		kind##_order, kind##_random, kind##_replace                   \
	}

LOOPS(cubby);
LOOPS(inline);
LOOPS(malloc);
LOOPS(floor);

static const struct loops_kind {
	const struct rival *rival;
	loop_fn *const *loops;
} loops_kinds[] = {
	{ &rival_cubby, cubby_loops },
	{ &rival_cubby_inline, inline_loops },
	{ &rival_cubby_thread, cubby_loops },
	{ &rival_malloc, malloc_loops },
	{ &rival_floor, floor_loops },
};

enum { LOOPS_N_KINDS = sizeof(loops_kinds) / sizeof(loops_kinds[0]) };

#endif /* BENCH_LOOPS_H */

/* SPDX-License-Identifier: MIT */
/*
 * rival.h - one way to keep many objects of one size.
 *
 * A malloc is measured as the malloc of its own process: scripts/run-bench
 * starts the bench once per rival with the rival's library preloaded, and
 * rival_malloc finds out by itself whose malloc that is.
 */
#ifndef BENCH_RIVAL_H
#define BENCH_RIVAL_H

#include <stddef.h>
#include <stdint.h>

struct rival {
	const char *(*name)(void);

	/* A place for up to n objects; NULL if there can be none. */
	void *(*create)(size_t object_bytes, size_t n_objects);
	/* With the objects that it still holds, where it knows them. */
	void (*destroy)(void *pool);

	/* NULL when out of memory. */
	void *(*alloc)(void *pool);
	void (*free)(void *pool, void *object);

	/* n objects at once: 0, or a negative errno and none. */
	int (*alloc_many)(void *pool, size_t n, void **ret_objects);

	/*
	 * Bytes that the rival, by its own account, holds for objects and for
	 * its bookkeeping; of this pool, or of the process where there are no
	 * pools.  UINT64_MAX: it does not say.
	 */
	uint64_t (*held_bytes)(void *pool);

	/*
	 * After as many frees as allocs, n_calls of both: 0, or -EBADMSG and a
	 * line on stderr, if the pool counts otherwise or its fast path was not
	 * the way that nearly all of them took.  NULL: nothing to ask.
	 */
	int (*check_calls)(void *pool, uint64_t n_calls);
};

extern const struct rival rival_cubby;      /* an object a call */
extern const struct rival rival_cubby_bulk; /* alloc_many is one call */
extern const struct rival rival_malloc;     /* of this process */
extern const struct rival rival_array;      /* no lifetimes: floor of bytes */
extern const struct rival rival_floor;      /* does nothing: floor of time */

/* alloc() n times, for a rival without a bulk call. */
int rival_alloc_each(const struct rival *rival, void *pool, size_t n,
		     void **ret_objects);

#endif /* BENCH_RIVAL_H */

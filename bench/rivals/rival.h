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

/* How Cubby's calls were done: numbers, each under its own name. */
#define RIVAL_PROOF(NUMBER)                                                   \
	NUMBER(n_calls)     /* asked for and done; 0: not Cubby */            \
	NUMBER(front_end)   /* enum cubby_front_end */                        \
	NUMBER(front_index) /* enum cubby_front_index */                      \
	NUMBER(n_direct)    /* calls that took the lock */                    \
	NUMBER(n_exchanged) /* magazines put into the depot, or taken */      \
	NUMBER(n_refills)                                                     \
	NUMBER(n_flushes)                                                     \
	NUMBER(n_left)   /* calls that inline code left to the library */     \
	NUMBER(n_aborts) /* restartable sequences that began again */

struct rival_proof {
#define RIVAL_PROOF_FIELD(name) uint64_t name;
	RIVAL_PROOF(RIVAL_PROOF_FIELD)
#undef RIVAL_PROOF_FIELD
};

struct rival {
	const char *(*name)(void);

	/* Whether this machine and process have it; NULL: always.  May fork. */
	int (*is_here)(void);

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
	 * After as many frees as allocs, n_calls of both, on all pools of the
	 * process: 0, or -EBADMSG and a line on stderr, if a pool counts
	 * otherwise or its fast path was not the way that nearly all of them
	 * took.  NULL: nothing to ask.
	 */
	int (*check_calls)(size_t n_pools, void *const *pools,
			   uint64_t n_calls, struct rival_proof *ret_proof);
};

/* An object a call, through the library; by the best front end there is. */
extern const struct rival rival_cubby;
/* The same compiled in; there is none but per CPU. */
extern const struct rival rival_cubby_inline;
/*
 * Through the library, each thread with magazines of its own.  For processes
 * whose caches are all of this rival: creating one sets CUBBY_OPTIONS.
 */
extern const struct rival rival_cubby_thread;
extern const struct rival rival_cubby_bulk; /* alloc_many is one call */
extern const struct rival rival_malloc;     /* of this process */
extern const struct rival rival_array;      /* no lifetimes: floor of bytes */
extern const struct rival rival_floor;      /* does nothing: floor of time */

/* alloc() n times, for a rival without a bulk call. */
int rival_alloc_each(const struct rival *rival, void *pool, size_t n,
		     void **ret_objects);

/* check_calls(), or 0 and zeroes from a rival that has none. */
int rival_check(const struct rival *rival, size_t n_pools, void *const *pools,
		uint64_t n_calls, struct rival_proof *ret_proof);

/* is_here(), or true. */
int rival_is_here(const struct rival *rival);

/* The front end in words; "" of what is not Cubby's. */
const char *rival_front_text(const struct rival_proof *proof);

#endif /* BENCH_RIVAL_H */

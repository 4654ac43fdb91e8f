/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: debug - caches that watch their objects
 *
 * Theory
 *
 * A watched cache has a stage in front of all others of alloc and behind all of
 * free, so its gate stays closed and the fast path knows nothing of it.  Beside
 * its cells it has a byte each, and two records of 16 bytes if users are tracked:
 *
 *	NEW ---------> LIVE ---------> DYING ---------> FREE ---------> LIVE
 *	     acquire          claim           release         acquire
 *
 *	acquire   the cell has been taken: is it as it was left?  Then fill it
 *	claim     free by pointer: one thread wins, others are told; an object that
 *	          dies otherwise (by handle, by its last reference) skips it
 *	release   nobody looks at the object any more: dtor has run, the grace
 *	          period is over.  Are its red zones whole?  Then poison it
 *
 * A bit of the byte is a lock, held while bytes of the cell are filled or compared,
 * so that cubby_cache_validate() may look at any time; it passes by a cell that is
 * locked.
 *
 * After its release a cell may wait in a quarantine, first in, first out; from
 * there it goes to its slab.
 *
 * The same stages tell Valgrind and sanitizers of objects (annotate.h).  Where a
 * tool looks at each access the red zones are there, but nothing is filled: what
 * nobody may touch is for the tool to know.
 *
 * Invariants:
 *   B1  a cell that is free for alloc is NEW or FREE; an object is LIVE or DYING
 *   B2  what is FREE is as the guard fills it; a cell whose page went back is NEW
 *       again, for its byte went with it
 *   B3  a cell in the quarantine is FREE, and its slab bit is set
 *
 * Locks: the quarantine is under the slab lock.  The rest belongs to who has the
 * cell.
 */
#ifndef CUBBY__DEBUG_H
#define CUBBY__DEBUG_H

#include "cache.h"
#include "debug_rules.h"
#include "guard.h"

enum debug_state { DEBUG_NEW, DEBUG_LIVE, DEBUG_DYING, DEBUG_FREE };
#define DEBUG_LOCKED 0x80

struct debug_event {
	uint64_t at_ns;  /* 0: never */
	uint32_t stack;  /* stacks.h */
	uint32_t thread; /* its number of the kernel's */
};

struct debug_user {
	struct debug_event alloc, free;
};

struct debug_cache {
	/* Constant. */
	uint64_t flags; /* CUBBY_DEBUG_* */
	struct guard guard;
	struct cell_side *states; /* a byte a cell: enum debug_state */
	struct cell_side *users;  /* struct debug_user a cell, or NULL */
	bool may_fail;
	bool is_annotated; /* tools are told */
	uint64_t type;     /* annotate.h */
	bool ends_at_once; /* a free by pointer claims and releases in one */
	bool is_read_dead; /* and not that nobody may touch what is free */
	uint64_t fail_nth, fail_every, fail_ppm;
	uint64_t mapped_bytes;
	uint64_t n_most; /* cells in the quarantine */

	/* Atomic: events. */
	uint64_t n_tries; /* allocations */
	uint64_t n_failed;
	uint64_t n_damaged;

	/* Under the slab lock. */
	uint64_t first, n_waiting;
	void *waiting[]; /* objects, in a ring */
};

static inline uint8_t *
debug_state(const struct debug_cache *debug, uint64_t cell)
{
	return (uint8_t *)debug->states->side.base + cell;
}

static inline struct debug_user *
debug_user(const struct debug_cache *debug, uint64_t cell)
{
	return (struct debug_user *)debug->users->side.base + cell;
}

/* Lock a cell, if nobody has: false.  Its state is given when it is unlocked. */
static inline bool
debug_try_lock(const struct debug_cache *debug, uint64_t cell,
	       enum debug_state *ret_state)
{
	uint8_t seen = __atomic_load_n(debug_state(debug, cell),
				       __ATOMIC_RELAXED) &
		       (uint8_t)~DEBUG_LOCKED;

	*ret_state = (enum debug_state)seen;
	return __atomic_compare_exchange_n(debug_state(debug, cell), &seen,
					   seen | DEBUG_LOCKED, false,
					   __ATOMIC_ACQUIRE, __ATOMIC_RELAXED);
}

static inline void
debug_unlock(const struct debug_cache *debug, uint64_t cell,
	     enum debug_state state)
{
	__atomic_store_n(debug_state(debug, cell), (uint8_t)state,
			 __ATOMIC_RELEASE);
}

/* What attributes and environment ask for: 0, or -EINVAL with a detail. */
int cubby__debug_plan(const struct cubby_cache_attr *attr,
		      struct debug_rules *ret_rules);

/* Does the plan need room for red zones? */
size_t cubby__debug_zone_bytes(const struct debug_rules *rules);

/* Before the first slab: 0 or -ENOMEM.  Nothing if there are no rules. */
int cubby__debug_init(struct cubby_cache *cache,
		      const struct debug_rules *rules);
void cubby__debug_fini(struct cubby_cache *cache);

/* init or fini is going to touch a cell without an object. */
void cubby__debug_open(struct cubby_cache *cache, void *object);

/* Is one of the next n allocations to fail? */
bool cubby__debug_fails(struct cubby_cache *cache, uint64_t n);

/* The stages. */
size_t cubby__debug_stage_alloc(struct cubby_cache *cache, size_t n,
				void *const *objects);
void cubby__debug_stage_free(struct cubby_cache *cache, size_t n,
			     void *const *objects);

/* An alloc was refused after its stage: the cells hold no object. */
void cubby__debug_undo(struct cubby_cache *cache, size_t n,
		       void *const *objects);

/* Claim an object that is freed: false, and somebody else has. */
bool cubby__debug_claim(struct cubby_cache *cache, uint64_t cell);

/*
 * The same of any pointer; what is wrong with it is reported.  Where the cache
 * ends_at_once it is released, too.
 */
bool cubby__debug_claim_pointer(struct cubby_cache *cache, void *object);

void cubby__debug_release(struct cubby_cache *cache, void *object,
			  uint64_t cell);

/* Is it no object?  false also where nobody watches. */
bool cubby__debug_is_free(const struct cubby_cache *cache, uint64_t cell);

/*
 * In a fork child: what was being released in the parent, or filled, is known no
 * more.
 */
void cubby__debug_forget(struct cubby_cache *cache, uint64_t cell);
void cubby__debug_fork_child(struct cubby_cache *cache);

/*
 * A cell that was released goes into the quarantine: false if there is none.  If
 * it is full, the oldest goes back to its slab.
 */
bool cubby__debug_keep(struct cubby_cache *cache, void *object);
bool cubby__debug_keep_locked(struct cubby_cache *cache, void *object,
			      struct faults *faults);

/* All of the quarantine goes back to the slabs: was there anything? */
bool cubby__debug_drain_locked(struct cubby_cache *cache,
			       struct faults *faults);

uint64_t cubby__debug_count(const struct cubby_cache *cache);
void cubby__debug_for_each(const struct cubby_cache *cache,
			   void (*visit)(void *context, const void *object),
			   void *context);

#endif /* CUBBY__DEBUG_H */

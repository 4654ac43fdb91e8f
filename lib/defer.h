/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: defer - objects that wait for a grace period, until a round comes
 *
 * Theory
 *
 * Who frees puts the object into the sheaf of his CPU (or thread): the magazine
 * of the third cursor of the block, by one sequence.  A full sheaf is replaced
 * by an empty magazine and goes to the cache's stack `waiting`.  No lock is
 * taken, no function of liburcu called, nothing allocated; so everybody may
 * free: handlers, threads that liburcu does not know, QSBR threads offline.
 *
 * Where there is no sheaf to be had (no magazines in this cache, none left in
 * the process, a gate that is closed) a bit of the cell is set, under the slab
 * lock.  There are two arrays of bits: one is filled while what is in the other
 * waits or is reclaimed.
 *
 * A round (reclaim.h) collects what waits, lets a grace period pass, and gives
 * it back (collect.h).  Sheaves that are not full are taken out of the blocks when the
 * oldest is SWEEP_AGE_NS old, so that none waits for ever.
 *
 * Cells are counted when their sheaf is full.  Above the soft limit the round
 * comes at once; above the hard one who frees waits for it, if he may.
 */
#ifndef CUBBY__DEFER_H
#define CUBBY__DEFER_H

#include "compiler.h"

#include <cubby/cache.h>

#define SWEEP_AGE_NS ((uint64_t)100 * 1000 * 1000)

/* Have an object wait; _odd: and look at its cell before it is reused. */
void cubby__defer(struct cubby_cache *cache, void *object);
void cubby__defer_odd(struct cubby_cache *cache, void *object);

/* The same by a bit, under the slab lock: false if it waits so already. */
bool cubby__defer_bit_locked(struct cubby_cache *cache, uint64_t cell);

/* Does a cell wait by a bit?  Under the slab lock. */
bool cubby__defer_has_bit(const struct cubby_cache *cache, uint64_t cell);

/* Take the sheaf out of a block that belongs to the caller (T4). */
void cubby__defer_take_sheaf(struct cubby_cache *cache, uint64_t *word);

/* The time, if none is there yet. */
void cubby__defer_note_time(uint64_t *since_ns);

/* A sheaf that is nobody's waits with the others. */
void cubby__defer_queue(struct cubby_cache *cache, uint32_t number);

/* Does so much wait that nobody should allocate?  Waits a while for less. */
bool cubby__defer_refuses(struct cubby_cache *cache);

/*
 * An allocation has found the cache at its limit: is it any use to wait until
 * something is reclaimed?  Not without a thread that reclaims, or in a read
 * section.  Wait: false if nothing waits, or for too long.
 */
bool cubby__defer_may_await(const struct cubby_cache *cache);
bool cubby__defer_await(struct cubby_cache *cache);

/* Ask whether on_stall is to be called, and call it. */
void cubby__defer_check_stall(struct cubby_cache *cache);

/* How long the oldest has waited; 0: nothing waits. */
uint64_t cubby__defer_age_ns(const struct cubby_cache *cache);

/*
 * With the cache quiet: visit the objects that wait.  Their number: exact then,
 * else about.
 */
void cubby__defer_for_each(struct cubby_cache *cache,
			   void (*visit)(void *context, const void *object),
			   void *context);
uint64_t cubby__defer_count(const struct cubby_cache *cache);

/* The same for those whose dtor runs, or is put off for a walk. */
void cubby__defer_for_each_dying(struct cubby_cache *cache,
				 void (*visit)(void *context,
					       const void *object),
				 void *context);

#endif /* CUBBY__DEFER_H */

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: death - how the life of an object ends, in caches with handles or a
 * flavour of RCU
 *
 * One order, each step outside of all locks:
 *
 *	the word changes: the handle is dead     one winner (W3)
 *	expiry callbacks, newest first           watch.c
 *	counted: the last reference is put
 *	a grace period, if anybody may borrow    defer.c, reclaim.c
 *	dtor
 *	the cell is free, or retired
 *
 * Who has to wait for a grace period?  An object of a cache with a flavour,
 *
 *	- if its handle was taken, in CUBBY_WEAK_RCU;
 *	- if it was published by pointer: cubby_free_rcu();
 *	- if a walk is open: a walker in a read section reads what its snapshot
 *	  names.
 *
 * The last needs care, for the walk may be opened while a free is on its way.
 * Without dtor, one push by the gate for frees (F6) is both the question and
 * the answer.  With dtor, an object is claimed first, by its `dying` bit:
 *
 *	free                            walk
 *	set the bit                     n_walks++, close the gates, fence
 *	read n_walks                    snapshot, but for dying cells
 *	0: dtor; in one exchange,
 *	   clear the bit and push
 *	else: defer it whole
 *
 * Either the free sees the walk, or the walk sees the bit; and as an exchange
 * ends before the snapshot, or begins after it, the cell is either dying or
 * idle there.
 */
#ifndef CUBBY__DEATH_H
#define CUBBY__DEATH_H

#include "compiler.h"

#include <cubby/cache.h>

/*
 * The common case of what comes next: false if it is not that, and nothing has
 * happened.
 */
bool cubby__death_free_quickly(struct cubby_cache *cache, void *object);

/* Free an object; @waits: for a grace period, whatever else there is. */
void cubby__death_free(struct cubby_cache *cache, void *object, bool waits);

/*
 * The last steps, after the grace period or for who needs none: dtor, then the
 * cell is free or retired.
 */
void cubby__death_finish(struct cubby_cache *cache, void *object,
			 uint64_t cell);

/*
 * Make the word of a cell whose object is no more that of its next life: false
 * if the cell is retired.
 */
bool cubby__death_settle(struct cubby_cache *cache, void *object,
			 uint64_t cell);

#endif /* CUBBY__DEATH_H */

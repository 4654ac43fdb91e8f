/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: watch - calls when an object dies
 *
 * Theory
 *
 * A watch is an object of a cache of our own, "cubby-watches", which is made
 * with the first; its name is a weak handle of it.  Those of one object are a
 * list, the newest first; where it begins is an array beside the cells, made
 * when the first object of the cache is watched.
 *
 *	register (slab lock)        death
 *	link, n_watches++           change the object's word
 *	is the object still alive?  is n_watches 0?
 *	no: unlink, -ESTALE         no: take the list (slab lock), call
 *
 * Invariant W6: a watch that was registered is called once or cancelled once.
 * Either the registrar sees the changed word, or who kills sees n_watches (both
 * with full barriers between); and the list is changed under the lock.
 */
#ifndef CUBBY__WATCH_H
#define CUBBY__WATCH_H

#include "cache.h"
#include "compiler.h"

#include <cubby/weak.h>

/* Does anybody want to be called?  To be asked when the word has changed. */
static inline bool
cubby__watch_exists(const struct cubby_cache *cache)
{
	return __atomic_load_n(&cache->weak.n_watches, __ATOMIC_SEQ_CST) !=
		       0 ||
	       cache->weak.on_expire != NULL;
}

/* Call everybody; keeps errno.  The handle is dead, the object whole.  No lock is held. */
void cubby__watch_expire(struct cubby_cache *cache, void *object,
			 uint64_t cell, cubby_weak handle);

/* The cache goes with its objects: call finalizers, forget the others. */
void cubby__watch_teardown(struct cubby_cache *cache);

#endif /* CUBBY__WATCH_H */

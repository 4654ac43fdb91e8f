/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: collect - what a round does with one cache
 *
 * Before its grace period a round moves what waits to `grace`; after it, dtor is
 * run and the cells are given back (struct defer in cache.h, D1 to D3).
 *
 * Odd cells.  Mostly a sheaf becomes a magazine of the depot as it is.  In a
 * cache that is marked odd each cell is looked at: it may be retired; its object
 * may have been counted, and its word has to be made that of the next life; or
 * its dying bit is set.
 */
#ifndef CUBBY__COLLECT_H
#define CUBBY__COLLECT_H

#include "compiler.h"

#include <cubby/cache.h>

/*
 * Move what waits to `grace`, partial sheaves too if they are due or somebody
 * wants all.  How many cells, and when the next partial ones are due, 0 if there
 * are none.
 */
uint64_t cubby__collect_begin(struct cubby_cache *cache, uint64_t now_ns,
			      uint64_t *ret_due_ns);

/* After the grace period: give back what is in `grace`: how many objects. */
uint64_t cubby__collect_end(struct cubby_cache *cache);

/* In a fork child: what a round of another thread's had goes back to wait. */
void cubby__collect_fork_child(struct cubby_cache *cache, bool round_is_mine);

#endif /* CUBBY__COLLECT_H */

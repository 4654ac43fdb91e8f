/* SPDX-License-Identifier: MIT */
/*
 * cubby/walk.h - the live objects of a cache, at the speed of an array.
 *
 *	struct cubby_walk *walk;
 *	struct cubby_run run;
 *	struct truck *truck;
 *
 *	err = cubby_walk_create(&walk, trucks);
 *	while (cubby_walk_next(walk, &run))
 *		CUBBY_RUN_FOR_EACH(truck, &run)
 *			sum += truck->lat;
 *	cubby_walk_destroy(walk);
 *
 * Caveats first: the walk does not keep objects alive and does not lock them:
 * whoever reads what it visits sees to it that nobody frees it meanwhile.
 * Every object that was allocated before the call of cubby_walk_create() and is
 * not freed before cubby_walk_destroy() is visited exactly once; any other at
 * most once.  An object may be visited before its owner has filled it in.
 * One that is freed during the walk may still be visited: its memory stays
 * readable until the walk ends, and its content means nothing.
 *
 * Source: runs instead of a callback per object were chosen by measurement: a
 * call per object costs four times the scan of an array, a run 1.0 times.
 */
#ifndef CUBBY_WALK_H
#define CUBBY_WALK_H

#include <cubby/base.h>
#include <cubby/cache.h>

CUBBY_BEGIN_DECLS

struct cubby_walk; /* opaque */

/* n_objects objects, the first at `first`, each stride_bytes after the last. */
struct cubby_run {
	void *first;
	size_t n_objects;    /* at least 1 */
	size_t stride_bytes; /* the cache's cell_bytes */
};

/*
 * Take a snapshot of which cells are live and start walking it.
 *
 * @ret_walk: for one thread at a time; written only on success.
 *
 * Returns 0; -EINVAL for a NULL ret_walk; -ENOMEM; -EBUSY if a thread has been
 * stopped in the middle of an allocation or free (the detail names it).  While
 * walks are open the cache cannot be destroyed or shrunk (-EBUSY) and returns
 * no pages by itself; alloc and free go on.
 * Cost: the cache stands still while one bit a cell is copied (of a full slab,
 * one bit) and the idle cells' are cleared; alloc and free take a lock then.
 */
CUBBY_API CUBBY_MUST_USE int cubby_walk_create(struct cubby_walk **ret_walk,
					       struct cubby_cache *cache);

/*
 * The next run, in address order within a range: 1 and *ret_run written, or 0
 * at the end.  Cost: proportional to the cells passed over, 64 at a step.
 */
CUBBY_API CUBBY_MUST_USE int cubby_walk_next(struct cubby_walk *walk,
					     struct cubby_run *ret_run);

/*
 * End a walk, finished or not, once: its memory is unmapped.  NULL is a no-op.
 */
CUBBY_API void cubby_walk_destroy(struct cubby_walk *walk);

/*
 * for over the objects of a run.
 *
 * @pointer: a variable of pointer type, assigned each object in turn; breaking
 *	out of the loop leaves it at that object.
 * @run: a const struct cubby_run *; evaluated more than once.
 */
/* clang-format off */
#define CUBBY_RUN_FOR_EACH(pointer, run)                                      \
	for (size_t cubby__left =                                             \
		     (((pointer) = (__typeof__(pointer))(run)->first),        \
		      (run)->n_objects);                                      \
	     cubby__left != 0;                                                \
	     cubby__left--,                                                   \
		    (pointer) = (__typeof__(pointer))((char *)(pointer) +     \
						      (run)->stride_bytes))
/* clang-format on */

CUBBY_END_DECLS

#endif /* CUBBY_WALK_H */

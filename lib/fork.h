/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: fork - a child finds every structure whole
 *
 * Before fork the forking thread takes the registry's lock, then every slab
 * lock in the order of the table, then the granule lock; after it, parent and
 * child let them go in reverse.  So no structure is half changed in the child,
 * where only the forking thread lives.  Objects, pages and addresses of the
 * child are its own copies.
 *
 * A process that never had a second thread (glibc 2.32 knows) takes no lock: its
 * child goes on where it was, and copies only the pages that it needs.
 *
 * Handlers of the host that run between ours may use Cubby: the forking thread
 * holds every lock and passes through all of them.
 *
 * Callbacks (init, fini, ctor, dtor) run outside all locks: an object that
 * another thread was constructing or destructing when fork came is, in the
 * child, one that nobody has: a leak.  A slab whose cells another thread was
 * running fini on is returned as it is, with what those cells hold.  Walks that
 * were open, caches that for_each was looking at and caches that were being
 * destroyed by other threads stay so in the child, where nobody ends them: a
 * walked cache can be used there, but not shrunk or destroyed (-EBUSY).
 */
#ifndef CUBBY__FORK_H
#define CUBBY__FORK_H

/* Register the handlers, the first time. */
void cubby__fork_install(void);

#endif /* CUBBY__FORK_H */

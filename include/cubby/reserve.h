/* SPDX-License-Identifier: MIT */
/*
 * cubby/reserve.h - allocations that cannot fail.
 *
 *	struct cubby_reserve *reserve;
 *
 *	err = cubby_reserve_create(&reserve, nodes, 12);   (may fail: here)
 *	take_the_lock();
 *	node = cubby_reserve_alloc(reserve);               (cannot fail)
 *	...
 *	cubby_reserve_destroy(reserve);                    (gives the rest back)
 *
 * Caveats first: a reserve is for one thread at a time; the objects that come
 * out of it are like any other and are freed with cubby_free().  What is
 * reserved counts against max_objects and max_bytes.  A cache with open
 * reserves cannot be destroyed.
 *
 * Source: the prefilled sheaf of Linux 6.18, by V. Babka.
 */
#ifndef CUBBY_RESERVE_H
#define CUBBY_RESERVE_H

#include <cubby/base.h>
#include <cubby/cache.h>

CUBBY_BEGIN_DECLS

struct cubby_reserve; /* opaque */

/*
 * Set n_objects objects of a cache aside: initialised by init, their pages
 * populated, so that taking one is a load and two stores.
 *
 * @ret_reserve: written only on success.
 * @n_objects: at least 1; also the most that the reserve can hold.
 *
 * Returns 0; -EINVAL; -ENOMEM (no memory, a limit was reached, init refused)
 * with nothing set aside; -CUBBY_ENOCACHE, after a misuse report.
 * Cost: as cubby_alloc_bulk(), and a page fault for each page that was not
 * populated; one mapping.
 */
CUBBY_API CUBBY_MUST_USE int
cubby_reserve_create(struct cubby_reserve **ret_reserve,
		     struct cubby_cache *cache, size_t n_objects);

/*
 * Take an object out: uninitialised, or as init and ctor left it.
 *
 * Returns NULL only if the reserve is empty, or if ctor refused (the object is
 * still in the reserve then).  Never asks for memory, takes no lock and meets
 * no page fault.
 * Threads: the reserve's one thread; in a signal handler, if no other code of
 * that thread uses the reserve.
 */
CUBBY_API CUBBY_MUST_USE void *
cubby_reserve_alloc(struct cubby_reserve *reserve);

/* Objects that are still in it. */
CUBBY_API size_t cubby_reserve_count(const struct cubby_reserve *reserve);

/*
 * Fill it up to n_objects again: 0, -EINVAL (more than it was created for) or
 * -ENOMEM with what it holds unchanged.
 */
CUBBY_API CUBBY_MUST_USE int
cubby_reserve_refill(struct cubby_reserve *reserve, size_t n_objects);

/* Give back what is left in it.  NULL is a no-op. */
CUBBY_API void cubby_reserve_destroy(struct cubby_reserve *reserve);

CUBBY_END_DECLS

#endif /* CUBBY_RESERVE_H */

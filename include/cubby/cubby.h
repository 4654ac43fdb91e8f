/* SPDX-License-Identifier: MIT */
/*
 * cubby/cubby.h - all of Cubby: fixed-slot objects in exact-fit slab caches.
 *
 * The words, each with one meaning:
 *
 *   layout   a type's ordered slots
 *   slot     one named, typed field of a layout
 *   object   one live instance
 *   cell     the place of one object, live or free; numbered from 0
 *   slab     a run of consecutive cells with its bookkeeping
 *   cache    one layout and all its cells
 *   handle   64 bits that name an object weakly
 *
 * The shortest program:
 *
 *	#define POINT_SLOTS(SLOT) \
 *		SLOT(double, x, "metres east") \
 *		SLOT(double, y, "metres north")
 *	CUBBY_LAYOUT(point, POINT_SLOTS);
 *
 *	struct cubby_cache *points;
 *	if (point_cache_create(&points, NULL) != 0)
 *		errx(1, "%s", cubby_error_detail());
 *	struct point *p = point_alloc(points);
 *	...
 *	point_free(points, p);
 *
 * error.h    how Cubby says no
 * layout.h   a type's slots, declared once
 * cache.h    caches and objects
 * reserve.h  allocations that cannot fail
 * walk.h     the live objects of a cache
 * weak.h     handles that read as an object or as nothing
 * stats.h    what a cache holds
 * debug.h    caches that watch their objects
 *
 * and two that are included on their own:
 *
 * rcu.h          RCU for programs that know none (libcubby-rcu)
 * kmem_compat.h  the kernel's kmem_cache_create() and its family
 */
#ifndef CUBBY_CUBBY_H
#define CUBBY_CUBBY_H

#include <cubby/base.h>
#include <cubby/error.h>
#include <cubby/layout.h>
#include <cubby/cache.h>
#include <cubby/reserve.h>
#include <cubby/walk.h>
#include <cubby/weak.h>
#include <cubby/stats.h>
#include <cubby/debug.h>

#endif /* CUBBY_CUBBY_H */

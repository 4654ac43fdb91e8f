/* SPDX-License-Identifier: MIT */
/*
 * cubby/kmem_compat.h - the kernel's slab calls, for kernel code and kernel
 * habits in user space.  Not part of cubby.h: include it by itself.
 *
 * Caveats first:
 *
 *   - It defines the kernel's names, among them macros without our prefix;
 *     `kmem_cache` itself is one, so that struct kmem_cache is struct
 *     cubby_cache and every cubby_*() call takes it.
 *   - No allocation is atomic in the kernel's sense.  All of them may be made
 *     in signal handlers (with a ctor that may), but GFP_ATOMIC, like every
 *     other word, may wait for another thread's lock and for the kernel.  An
 *     allocation that must not is taken from a reserve (cubby/reserve.h).
 *   - Misuse aborts where the kernel warns and goes on: a double free, a free
 *     to the wrong cache, __GFP_ZERO on a cache with a ctor (it would destroy
 *     what the ctor set up).
 *   - Objects are aligned to 8 bytes at least, as the kernel's are and as code
 *     that keeps tags in low bits expects; so 12 bytes make cells of 16.  A
 *     cache of cubby_cache_create_sized() can be exact, and these calls take
 *     it.
 *   - Names keep to cubby/cache.h (63 characters, no spaces); align is at most
 *     4096, size at most 1 MiB.
 *   - A ctor belongs to the cells: it runs before a cell's first object and
 *     again after the cell's page went back, not at each allocation.
 *
 * What becomes of what:
 *
 *	kmem_cache_create          cubby_cache_create_sized, ctor as attr.init
 *	  _create_usercopy         the same: nothing copies across a boundary
 *	  _destroy                 cubby_cache_destroy; with live objects, or in
 *	                           use: says so on standard error, the cache
 *	                           stays as it is
 *	  _shrink                  cubby_cache_shrink; 0 if no page is left
 *	  _size                    cubby_cache_object_bytes
 *	  _alloc, _alloc_node      cubby_alloc; cubby_zalloc with __GFP_ZERO
 *	  _zalloc                  cubby_zalloc
 *	  _free                    cubby_free
 *	  _alloc_bulk              cubby_alloc_bulk; n, or 0 with none allocated
 *	  _free_bulk               cubby_free_bulk
 *
 *	SLAB_HWCACHE_ALIGN         kept
 *	SLAB_PANIC                 kept: a line on standard error and abort()
 *	SLAB_RED_ZONE, _POISON,    bits of attr.debug: see cubby/debug.h; no
 *	  _STORE_USER, _TRACE,     poison where there is a ctor, as in the
 *	  _CONSISTENCY_CHECKS      kernel
 *	__GFP_ZERO                 kept
 *	__GFP_NOFAIL               never NULL: where the kernel would try for
 *	                           ever, a line on standard error and abort()
 *	GFP_KERNEL and the rest    advice, not looked at; they differ as in the
 *	                           kernel, for code that looks itself
 *
 * kmem_cache_create() returns NULL on failure; cubby_error_detail() has the
 * words.  For threads, costs and ownership see the calls on the right.
 *
 * Source: the interface of include/linux/slab.h, Linux 6.12.
 */
#ifndef CUBBY_KMEM_COMPAT_H
#define CUBBY_KMEM_COMPAT_H

#include <cubby/base.h>
#include <cubby/cache.h>
#include <cubby/debug.h>
#include <cubby/error.h>
#include <cubby/stats.h>

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>

#define kmem_cache cubby_cache

typedef unsigned int gfp_t;
typedef unsigned int slab_flags_t;

/* ------------------------------- GFP words ------------------------------- */

#define __GFP_ZERO ((gfp_t)1 << 0)
#define __GFP_NOFAIL ((gfp_t)1 << 1)

/* Advice. */
#define __GFP_IO ((gfp_t)1 << 2)
#define __GFP_FS ((gfp_t)1 << 3)
#define __GFP_HIGH ((gfp_t)1 << 4)
#define __GFP_DIRECT_RECLAIM ((gfp_t)1 << 5)
#define __GFP_KSWAPD_RECLAIM ((gfp_t)1 << 6)
#define __GFP_HARDWALL ((gfp_t)1 << 7)
#define __GFP_ACCOUNT ((gfp_t)1 << 8)
#define __GFP_RECLAIMABLE ((gfp_t)1 << 9)
#define __GFP_NOWARN ((gfp_t)1 << 10)
#define __GFP_NORETRY ((gfp_t)1 << 11)
#define __GFP_RETRY_MAYFAIL ((gfp_t)1 << 12)
#define __GFP_NOMEMALLOC ((gfp_t)1 << 13)

#define __GFP_RECLAIM (__GFP_DIRECT_RECLAIM | __GFP_KSWAPD_RECLAIM)

#define GFP_ATOMIC (__GFP_HIGH | __GFP_KSWAPD_RECLAIM)
#define GFP_NOWAIT (__GFP_KSWAPD_RECLAIM | __GFP_NOWARN)
#define GFP_NOIO __GFP_RECLAIM
#define GFP_NOFS (GFP_NOIO | __GFP_IO)
#define GFP_KERNEL (GFP_NOFS | __GFP_FS)
#define GFP_KERNEL_ACCOUNT (GFP_KERNEL | __GFP_ACCOUNT)
#define GFP_USER (GFP_KERNEL | __GFP_HARDWALL)

/*
 * Not here, because they promise a place that we cannot give: __GFP_DMA,
 * __GFP_DMA32, __GFP_HIGHMEM, __GFP_THISNODE; and __GFP_MEMALLOC, the right to
 * memory that others do not get.
 */

#define NUMA_NO_NODE (-1)

static inline bool
gfpflags_allow_blocking(gfp_t gfp)
{
	return (gfp & __GFP_DIRECT_RECLAIM) != 0;
}

/* ------------------------------ SLAB_* flags ----------------------------- */

/* At a cache line, or so many objects to a line as fit by halving it. */
#define SLAB_HWCACHE_ALIGN ((slab_flags_t)1 << 0)

/* No failure of create is returned. */
#define SLAB_PANIC ((slab_flags_t)1 << 1)

/* Hints to mechanisms that are not here, and promises kept always. */
#define SLAB_ACCOUNT ((slab_flags_t)0)
#define SLAB_RECLAIM_ACCOUNT ((slab_flags_t)0)
#define SLAB_TEMPORARY ((slab_flags_t)0)
#define SLAB_MEM_SPREAD ((slab_flags_t)0)
#define SLAB_NO_MERGE ((slab_flags_t)0) /* caches are never merged */
#define SLAB_NO_USER_FLAGS ((slab_flags_t)0)
#define SLAB_NOLEAKTRACE ((slab_flags_t)0)
#define SLAB_DEBUG_OBJECTS ((slab_flags_t)0)
#define SLAB_FAILSLAB ((slab_flags_t)0)
#define SLAB_KASAN ((slab_flags_t)0)

/*
 * Promises that are not kept, so that their use does not compile.  Code that
 * can do without one says so itself: #undef, then #define it as 0.
 *
 * Readers may look at freed objects: pages go back without a grace period.
 */
#define SLAB_TYPESAFE_BY_RCU SLAB_TYPESAFE_BY_RCU_is_not_offered_by_Cubby
#define SLAB_DESTROY_BY_RCU SLAB_DESTROY_BY_RCU_is_not_offered_by_Cubby

/* Memory at addresses that a device can reach. */
#define SLAB_CACHE_DMA SLAB_CACHE_DMA_is_not_offered_by_Cubby
#define SLAB_CACHE_DMA32 SLAB_CACHE_DMA32_is_not_offered_by_Cubby

/* The cache watches its objects: cubby/debug.h. */
#define SLAB_CONSISTENCY_CHECKS ((slab_flags_t)1 << 2)
#define SLAB_RED_ZONE ((slab_flags_t)1 << 3)
#define SLAB_POISON ((slab_flags_t)1 << 4)
#define SLAB_STORE_USER ((slab_flags_t)1 << 5)
#define SLAB_TRACE ((slab_flags_t)1 << 6)

/* --------------------------- create and destroy -------------------------- */

/*
 * As in Linux 6.12 and later.  Only align and ctor are looked at: no copy is
 * checked, nothing is ever kept inside a free object, and magazines find their
 * own capacity.
 */
struct kmem_cache_args {
	unsigned int align;
	unsigned int useroffset;
	unsigned int usersize;
	unsigned int freeptr_offset;
	bool use_freeptr_offset;
	void (*ctor)(void *object);
	unsigned int sheaf_capacity;
};

#define CUBBY__KMEM_FLAGS                                                     \
	(SLAB_HWCACHE_ALIGN | SLAB_PANIC | SLAB_CONSISTENCY_CHECKS |          \
	 SLAB_RED_ZONE | SLAB_POISON | SLAB_STORE_USER | SLAB_TRACE)
#define CUBBY__KMEM_LINE_BYTES 64u
#define CUBBY__KMEM_ALIGN_BYTES_MIN 8u
#define CUBBY__KMEM_STDERR 2 /* STDERR_FILENO, without <unistd.h> */

/* The context is the kernel's ctor; ISO C has no cast between the two. */
static inline int
cubby__kmem_init(void *object, void *context)
{
	void (*ctor)(void *);

	__builtin_memcpy(&ctor, &context, sizeof(ctor));
	ctor(object);
	return 0;
}

static inline unsigned int
cubby__kmem_align(unsigned int size, unsigned int align, slab_flags_t flags)
{
	unsigned int line = CUBBY__KMEM_ALIGN_BYTES_MIN;

	if (flags & SLAB_HWCACHE_ALIGN)
		for (line = CUBBY__KMEM_LINE_BYTES;
		     line > CUBBY__KMEM_ALIGN_BYTES_MIN && size <= line / 2;)
			line /= 2;
	return align > line ? align : line;
}

static inline uint64_t
cubby__kmem_debug(slab_flags_t flags)
{
	return (flags & SLAB_CONSISTENCY_CHECKS ? CUBBY_DEBUG_CHECKS : 0) |
	       (flags & SLAB_RED_ZONE ? CUBBY_DEBUG_RED_ZONE : 0) |
	       (flags & SLAB_POISON ? CUBBY_DEBUG_POISON : 0) |
	       (flags & SLAB_STORE_USER ? CUBBY_DEBUG_USER : 0) |
	       (flags & SLAB_TRACE ? CUBBY_DEBUG_TRACE : 0);
}

static inline struct kmem_cache *
cubby__kmem_create(const char *name, unsigned int size, unsigned int align,
		   slab_flags_t flags, void (*ctor)(void *))
{
	struct cubby_cache_attr attr;
	struct cubby_cache *cache = NULL;

	cubby_cache_attr_init(&attr);
	/* Unknown bits are refused, as the kernel does; create has the words. */
	attr.debug = cubby__kmem_debug(flags);
	attr.flags = (uint64_t)(flags & ~CUBBY__KMEM_FLAGS) << 32;
	if (ctor) {
		attr.init = cubby__kmem_init;
		__builtin_memcpy(&attr.context, &ctor, sizeof(ctor));
	}
	if (cubby_cache_create_sized(&cache, name, size,
				     cubby__kmem_align(size, align, flags),
				     &attr) != 0 &&
	    (flags & SLAB_PANIC)) {
		fprintf(stderr, "kmem_cache_create(%s): SLAB_PANIC: %s\n",
			name ? name : "NULL", cubby_error_detail());
		__builtin_abort();
	}
	return cache;
}

/* `args` may be NULL. */
static inline struct kmem_cache *
cubby__kmem_create_args(const char *name, unsigned int size,
			const struct kmem_cache_args *args, slab_flags_t flags)
{
	return cubby__kmem_create(name, size, args ? args->align : 0, flags,
				  args ? args->ctor : NULL);
}

/*
 * Both of the kernel's forms:
 *
 *	kmem_cache_create(name, size, align, flags, ctor)
 *	kmem_cache_create(name, size, args, flags)
 */
#ifdef __cplusplus
static inline struct kmem_cache *
kmem_cache_create(const char *name, unsigned int size, unsigned int align,
		  slab_flags_t flags, void (*ctor)(void *))
{
	return cubby__kmem_create(name, size, align, flags, ctor);
}

static inline struct kmem_cache *
kmem_cache_create(const char *name, unsigned int size,
		  const struct kmem_cache_args *args, slab_flags_t flags)
{
	return cubby__kmem_create_args(name, size, args, flags);
}
#else
#define kmem_cache_create(name, size, align_or_args, ...)                     \
	_Generic((align_or_args),                                             \
		 struct kmem_cache_args *: cubby__kmem_create_args,           \
		 const struct kmem_cache_args *: cubby__kmem_create_args,     \
		 void *: cubby__kmem_create_args,                             \
		 default: cubby__kmem_create)(name, size, align_or_args,      \
					      __VA_ARGS__)
#endif

static inline struct kmem_cache *
kmem_cache_create_usercopy(const char *name, unsigned int size,
			   unsigned int align, slab_flags_t flags,
			   unsigned int useroffset, unsigned int usersize,
			   void (*ctor)(void *))
{
	(void)useroffset;
	(void)usersize;
	return cubby__kmem_create(name, size, align, flags, ctor);
}

/* A cache for struct `tag`, named and aligned like it. */
#define KMEM_CACHE(tag, flags)                                                \
	cubby__kmem_create(#tag, (unsigned int)sizeof(struct tag),            \
			   (unsigned int)CUBBY__ALIGNOF(struct tag), (flags), \
			   NULL)

#define KMEM_CACHE_USERCOPY(tag, flags, field) KMEM_CACHE(tag, flags)

/* NULL is a no-op. */
static inline void
kmem_cache_destroy(struct kmem_cache *cache)
{
	int err = cubby_cache_destroy(cache);

	if (err == 0)
		return;
	fprintf(stderr, "kmem_cache_destroy: %s\n", cubby_error_detail());
	if (err == -CUBBY_ELIVE)
		(void)cubby_cache_report_live(cache, CUBBY__KMEM_STDERR);
}

/* 0: no page is left; 1: some hold objects, or could not be looked at. */
static inline int
kmem_cache_shrink(struct kmem_cache *cache)
{
	struct cubby_cache_stats stats;

	stats.stats_bytes = sizeof(stats);
	return cubby_cache_shrink(cache, NULL) != 0 ||
	       cubby_cache_stats_snapshot(cache, &stats) != 0 ||
	       stats.populated_bytes != 0;
}

static inline unsigned int
kmem_cache_size(struct kmem_cache *cache)
{
	return (unsigned int)cubby_cache_object_bytes(cache);
}

/* --------------------------------- objects ------------------------------- */

__attribute__((cold, noreturn, unused)) static void
cubby__kmem_nofail(struct kmem_cache *cache)
{
	fprintf(stderr, "kmem_cache_alloc(%s): __GFP_NOFAIL: no memory\n",
		cubby_cache_name(cache));
	__builtin_abort();
}

static inline void *
kmem_cache_alloc(struct kmem_cache *cache, gfp_t gfp)
{
	void *object = gfp & __GFP_ZERO ? cubby_zalloc(cache) :
					  cubby_alloc(cache);

	if (!object && (gfp & __GFP_NOFAIL))
		cubby__kmem_nofail(cache);
	return object;
}

static inline void *
kmem_cache_zalloc(struct kmem_cache *cache, gfp_t gfp)
{
	return kmem_cache_alloc(cache, gfp | __GFP_ZERO);
}

/* Pages are where the thread that first touches them runs. */
static inline void *
kmem_cache_alloc_node(struct kmem_cache *cache, gfp_t gfp, int node)
{
	(void)node;
	return kmem_cache_alloc(cache, gfp);
}

static inline void
kmem_cache_free(struct kmem_cache *cache, void *object)
{
	cubby_free(cache, object);
}

static inline void
kmem_cache_free_bulk(struct kmem_cache *cache, size_t n, void **objects)
{
	cubby_free_bulk(cache, n, objects);
}

/* Through cubby_zalloc(): only that refuses a cache with a ctor. */
static inline int
cubby__kmem_zalloc_bulk(struct kmem_cache *cache, size_t n, void **ret_objects)
{
	for (size_t i = 0; i < n; i++) {
		ret_objects[i] = cubby_zalloc(cache);
		if (!ret_objects[i]) {
			cubby_free_bulk(cache, i, ret_objects);
			return -1;
		}
	}
	return 0;
}

/* As the kernel's: `ret_objects` is undefined after a 0. */
static inline int
kmem_cache_alloc_bulk(struct kmem_cache *cache, gfp_t gfp, size_t n,
		      void **ret_objects)
{
	int err = -1;

	if (n <= INT_MAX)
		err = gfp & __GFP_ZERO ?
			      cubby__kmem_zalloc_bulk(cache, n, ret_objects) :
			      cubby_alloc_bulk(cache, n, ret_objects);
	if (err && (gfp & __GFP_NOFAIL))
		cubby__kmem_nofail(cache);
	return err ? 0 : (int)n;
}

#endif /* CUBBY_KMEM_COMPAT_H */

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 8: malloc - malloc(), free() and their relatives
 *
 * Theory
 *
 *	malloc(n)   n <= 64 KiB: class of n -> its cache -> the fast way
 *	            above: pages (extent.h)
 *	free(p)     table of granules -> id -> cache -> the fast way
 *	            a shared granule: out of line, by one load more
 *	            an extent, nobody's: out of line
 *
 * A block has no header: its class follows from its address, by one shift and one
 * load (two in a class's nursery, and where the address space is small).  What the
 * core's caches do, magazines of CPUs or threads, fork, threads that end, memory
 * that goes back, is the same here; this file is the C library's interface to them.
 *
 * Before the first block there is nothing: no constructor has to have run, and
 * dlsym() is never called.
 */
#include "malloc.h"

#include "boot.h"
#include "class.h"
#include "extent.h"
#include "foreign.h"
#include "os.h"
#include "quick.h"
#include "registry.h"
#include "setting.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

/* Alignment that every block of at least so many bytes has. */
#define USUAL_ALIGN_BYTES 16

/* ---------------------------------- blocks -------------------------------- */

/* Of what the table says: false if it is no cache's number. */
static ALWAYS_INLINE bool
cache_of_id(uint32_t id, struct cubby_cache **ret_cache)
{
	if (unlikely(id - 1 >= CACHES_MAX))
		return false;
	*ret_cache = (struct cubby_cache *)(cubby__registry.table +
					    (uint64_t)(id - 1) * CACHE_BYTES);
	return true;
}

/* The same in a shared granule. */
static ALWAYS_INLINE bool
cache_of_unit(const void *block, uint32_t id, struct cubby_cache **ret_cache)
{
	return (id & GRANULE_SHARED) != 0 &&
	       cache_of_id(granule_unit_id(block, id), ret_cache);
}

/* The class's cache that an address is in; NULL: it is in none. */
static ALWAYS_INLINE struct cubby_cache *
cache_of(const void *block)
{
	uint32_t id = granule_id(block);
	struct cubby_cache *cache = NULL;

	if (!cache_of_id(id, &cache))
		cache_of_unit(block, id, &cache);
	return cache;
}

size_t
cubby__malloc_usable_bytes(const void *block)
{
	const struct cubby_cache *cache = cache_of(block);

	if (cache != NULL)
		return cache->region.geometry.object_bytes;
	if (granule_id(block) == EXTENT_ID)
		return cubby__extent_usable_bytes(block);
	return cubby__boot_usable_bytes(block);
}

/* ---------------------------------- malloc -------------------------------- */

static void *
fail(void)
{
	errno = ENOMEM;
	return NULL;
}

static void *
alloc_pages(size_t bytes, size_t align_bytes, bool *ret_is_zero)
{
	void *block = NULL;

	if (bytes <= PTRDIFF_MAX)
		block = cubby__extent_alloc(bytes, align_bytes, ret_is_zero);
	if (block == NULL && cubby__malloc_spare_memory(bytes))
		block = cubby__extent_alloc(bytes, align_bytes, ret_is_zero);
	return block != NULL ? block : fail();
}

static void *
alloc_cell(unsigned number)
{
	struct cubby_cache *cache = cubby__class_reach(number);
	void *block = cache != NULL ? cubby_alloc(cache) : NULL;

	if (block == NULL && cubby__malloc_spare_memory(class_bytes(number))) {
		cache = cubby__class_reach(number);
		block = cache != NULL ? cubby_alloc(cache) : NULL;
	}
	return block != NULL ? block : fail();
}

static COLD void *
alloc_at_boot(size_t bytes, size_t align_bytes)
{
	void *block = cubby__boot_alloc(bytes, align_bytes);

	return block != NULL ? block : fail();
}

static COLD void *
malloc_slow(size_t bytes)
{
	bool is_zero;

	if (cubby__boot_is_on())
		return alloc_at_boot(bytes, 0);
	if (bytes <= CLASS_BYTES_MAX)
		return alloc_cell(class_of(bytes));
	return alloc_pages(bytes, 0, &is_zero);
}

static ALWAYS_INLINE void *
allocate(size_t bytes)
{
	struct cubby_cache *cache;
	void *block;

	if (likely(bytes <= CLASS_BYTES_MAX)) {
		cache = class_cache_for(bytes);
		if (likely(cache != NULL) && likely(quick_pop(cache, &block)))
			return block;
	}
	return malloc_slow(bytes);
}

EXPORT void *
malloc(size_t bytes)
{
	return allocate(bytes);
}

EXPORT void *
calloc(size_t n, size_t each_bytes)
{
	bool is_zero = false;
	size_t bytes;
	void *block;

	if (unlikely(__builtin_mul_overflow(n, each_bytes, &bytes)))
		return fail();
	if (likely(bytes <= CLASS_BYTES_MAX))
		block = allocate(bytes);
	else if (cubby__boot_is_on())
		block = alloc_at_boot(bytes, 0);
	else
		block = alloc_pages(bytes, 0, &is_zero);
	if (likely(block != NULL) && !is_zero)
		memset(block, 0, bytes);
	return block;
}

/* ----------------------------------- free --------------------------------- */

static COLD void
free_slow(void *block)
{
	struct cubby_cache *cache;

	if (block == NULL)
		return;
	cache = cache_of(block);
	if (cache != NULL)
		cubby_free(cache, block);
	else if (granule_id(block) == EXTENT_ID)
		cubby__foreign_report_extent(cubby__extent_free(block), block);
	else if (cubby__boot_usable_bytes(block) == 0)
		cubby__foreign_found("free", block);
}

/* A block of a class with few of them: its granule is shared. */
static __attribute__((noinline)) void
release_shared(void *block, uint32_t id)
{
	struct cubby_cache *cache;

	if (!cache_of_unit(block, id, &cache) ||
	    unlikely(!quick_push(cache, block)))
		free_slow(block);
}

static ALWAYS_INLINE void
release(void *block)
{
	uint32_t id = granule_id(block);
	struct cubby_cache *cache;

	if (unlikely(!cache_of_id(id, &cache)))
		release_shared(block, id);
	else if (unlikely(!quick_push(cache, block)))
		free_slow(block);
}

EXPORT void
free(void *block)
{
	release(block);
}

void
cubby__malloc_free_sized(void *block, size_t bytes, size_t align_bytes)
{
	if (unlikely(cubby__setting_checked) && block != NULL &&
	    !cubby__foreign_check_size(block, bytes, align_bytes))
		return;
	release(block);
}

/* ---------------------------------- realloc ------------------------------- */

bool
cubby__malloc_stays(size_t usable_bytes, size_t bytes)
{
	return bytes <= usable_bytes &&
	       (bytes > usable_bytes / 2 || usable_bytes <= USUAL_ALIGN_BYTES);
}

static void *
move(void *block, size_t usable_bytes, size_t bytes)
{
	void *moved = allocate(bytes);

	if (moved == NULL) /* a smaller one is no reason to fail */
		return bytes <= usable_bytes ? block : NULL;
	memcpy(moved, block, bytes < usable_bytes ? bytes : usable_bytes);
	release(block);
	return moved;
}

static void *
resize_extent(void *block, size_t bytes)
{
	size_t usable_bytes = granule_id(block) == EXTENT_ID ?
				      cubby__extent_usable_bytes(block) :
				      0;
	int saved_errno = errno;
	void *moved;

	if (usable_bytes == 0) {
		if (granule_id(block) == EXTENT_ID)
			cubby__foreign_report_extent(cubby__extent_find(block),
						     block);
		else
			cubby__foreign_found("realloc", block);
		return fail();
	}
	if (bytes <= CLASS_BYTES_MAX)
		return move(block, usable_bytes, bytes);
	if (bytes > PTRDIFF_MAX)
		return fail();
	moved = cubby__extent_realloc(block, bytes);
	if (moved == NULL && cubby__malloc_spare_memory(bytes))
		moved = cubby__extent_realloc(block, bytes);
	if (moved == NULL)
		return bytes <= usable_bytes ? block : fail();
	errno = saved_errno;
	return moved;
}

EXPORT void *
realloc(void *block, size_t bytes)
{
	const struct cubby_cache *cache;
	size_t usable_bytes;

	if (block == NULL)
		return allocate(bytes);
	if (bytes == 0) {
		release(block);
		return NULL;
	}
	cache = cache_of(block);
	usable_bytes = cache != NULL ? cache->region.geometry.object_bytes :
				       cubby__boot_usable_bytes(block);
	if (usable_bytes == 0)
		return resize_extent(block, bytes);
	if (cubby__malloc_stays(usable_bytes, bytes))
		return block;
	return move(block, usable_bytes, bytes);
}

/* ---------------------------------- aligned ------------------------------- */

static bool
is_aligned(const void *block, size_t align_bytes)
{
	return (uintptr_t)block % align_bytes == 0;
}

/* A block of a class whose cells have this alignment; NULL: none has. */
static void *
alloc_aligned_cell(size_t bytes, size_t align_bytes)
{
	unsigned number = cubby__class_of_aligned(bytes, align_bytes);
	void *block = allocate(class_bytes(number));

	/* A cache that is watched has its objects where zones leave them. */
	if (block == NULL || likely(is_aligned(block, align_bytes)))
		return block;
	release(block);
	return NULL;
}

void *
cubby__malloc_aligned(size_t bytes, size_t align_bytes)
{
	size_t page_bytes = cubby__os_page_bytes();
	void *block = NULL;
	bool is_zero;

	if (cubby__boot_is_on())
		return alloc_at_boot(bytes, align_bytes);
	if (align_bytes <= USUAL_ALIGN_BYTES)
		return allocate(bytes <= 8 && align_bytes > 8 ? 9 : bytes);
	if (bytes <= CLASS_BYTES_MAX / 2 && align_bytes <= page_bytes)
		block = alloc_aligned_cell(bytes, align_bytes);
	if (block != NULL)
		return block;
	return alloc_pages(bytes, align_bytes, &is_zero);
}

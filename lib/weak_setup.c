/* SPDX-License-Identifier: MIT */
/* LAYER 5: weak_setup - what a cache with handles or a flavour has besides */
#include "weak_setup.h"

#include "bits.h"
#include "cache.h"
#include "defer.h"
#include "os.h"
#include "percpu.h"
#include "reclaim.h"
#include "watch.h"
#include "weak.h"

#include <errno.h>
#include <sys/random.h>

#define SOFT_BYTES_DEFAULT MIB
#define BRAKE_BYTES_DEFAULT (64 * MIB)
#define STALL_MS_DEFAULT 1000
#define STALL_MS_MAX ((uint64_t)1 << 40) /* 35 years */

/*
 * Words of cells that there may be some day are reserved at once: at most this
 * part of the address budget in one cache, or those of its range.
 */
#define WORDS_BUDGET_SHARE 64

#define COLOURS 32
#define COLOUR_BYTES 128

bool
cubby__weak_setup_has_prefix(const struct cubby_cache_attr *attr)
{
	return attr->weak == CUBBY_WEAK_STRONG ||
	       (attr->weak == CUBBY_WEAK_RCU && attr->is_strong);
}

/* Cells for bytes, rounded down; the lesser of two limits, 0 being none. */
static uint64_t
limit_cells(const struct cubby_cache *cache, uint64_t objects, uint64_t bytes)
{
	uint64_t by_bytes = max_u64(bytes / cache->region.geometry.cell_bytes,
				    bytes != 0);

	if (objects == 0 || by_bytes == 0)
		return objects + by_bytes;
	return min_u64(objects, by_bytes);
}

/* Random; its bit 32 is 0.  Debug builds keep handles readable. */
static uint64_t
random_key(void)
{
	uint64_t key = 0;

	if (getrandom(&key, sizeof(key), GRND_NONBLOCK) != sizeof(key))
		key = cubby__os_now_ns() * 0x9e3779b97f4a7c15ull;
	return key & ~TAKEN_IN_HANDLE;
}

void
cubby__weak_setup_plan(struct cubby_cache *cache,
		       const struct cubby_cache_attr *attr)
{
	struct weak_cache *weak = &cache->weak;
	int saved_errno = errno;

	weak->mode = (uint32_t)attr->weak;
	weak->is_strong = cubby__weak_setup_has_prefix(attr);
	weak->is_staged = attr->weak != CUBBY_WEAK_NONE || attr->rcu != NULL;
	weak->on_expire = attr->on_expire;
	if (weak->mode != CUBBY_WEAK_NONE) {
		weak->seal_key[0] = random_key() ^ random_key() << 32;
		weak->seal_key[1] = random_key() ^ random_key() << 32;
#ifndef CUBBY_DEBUG
		cache->weak_fast.key = random_key();
#endif
	}
	errno = saved_errno;
}

/*
 * Objects and words begin at multiples of 16 MiB, and lines that are so far apart
 * may evict each other from the first level of a processor's cache (31 against
 * 14 ns a life in cells 0 and 1, on one).  So words begin a page and some lines
 * further up, in each cache at another.
 */
static uint32_t
colour_bytes(const struct cubby_cache *cache)
{
	return (uint32_t)cubby__os_page_bytes() +
	       cache->id % COLOURS * COLOUR_BYTES;
}

static int
add_words(struct cubby_cache *cache)
{
	struct region *region = &cache->region;

	if (cache->weak.is_strong)
		return 0;
	region->max_cells = min_u64(region->max_cells,
				    max_u64(region->range_cells,
					    cubby__granule_budget_bytes() /
						    WORDS_BUDGET_SHARE /
						    sizeof(uint32_t)));
	return cubby__cache_add_side(cache, 32, colour_bytes(cache),
				     &cache->weak.words);
}

static int
add_deferral(struct cubby_cache *cache, const struct cubby_cache_attr *attr)
{
	struct defer *defer = &cache->defer;
	int err = cubby__cache_add_side(cache, 1, 0, &defer->bits[0]);

	if (!err)
		err = cubby__cache_add_side(cache, 1, 0, &defer->bits[1]);
	if (err)
		return err;
	defer->soft_cells = limit_cells(
		cache, attr->soft_deferred_objects,
		attr->soft_deferred_objects | attr->soft_deferred_bytes ?
			attr->soft_deferred_bytes :
			SOFT_BYTES_DEFAULT);
	defer->max_cells = limit_cells(cache, attr->max_deferred_objects,
				       attr->max_deferred_bytes);
	defer->brake_cells = defer->max_cells;
	if (defer->brake_cells == 0)
		defer->brake_cells = limit_cells(cache, 0,
						 BRAKE_BYTES_DEFAULT);
	defer->on_stall = attr->on_stall;
	defer->stall_ns = min_u64(attr->stall_ms ? attr->stall_ms :
						   STALL_MS_DEFAULT,
				  STALL_MS_MAX) *
			  (NS_PER_S / 1000);
	/* The word of a counted object has to be made ready. */
	defer->is_odd = cache->weak.is_strong;
	return cubby__reclaim_find_domain(
		attr->rcu, (enum cubby_reclaim)attr->reclaim, &defer->domain);
}

int
cubby__weak_setup_memory(struct cubby_cache *cache,
			 const struct cubby_cache_attr *attr)
{
	int err = 0;

	if (attr->weak != CUBBY_WEAK_NONE)
		err = add_words(cache);
	if (!err && attr->rcu != NULL)
		err = add_deferral(cache, attr);
	return err;
}

void
cubby__weak_setup_publish(struct cubby_cache *cache)
{
	struct cubby__weak *fast = &cache->weak_fast;
	struct words *words = &cache->slabs.words;
	const struct region *region = &cache->region;
	const struct geometry *geometry = &region->geometry;

	if (!cache->weak.is_staged)
		return;
	cache->slabs.stays_readable = true;
	cache->weak.is_quick = cubby__percpu_works && region->base != NULL &&
			       cache->front.block != 0 && cache->debug == NULL;
	if (cache->weak.mode == CUBBY_WEAK_NONE)
		return;
	words->region = region;
	words->array = cache->weak.words;
	words->max_slabs = div_up(region->max_cells,
				  geometry_slab_cells(geometry));
	if (region->base == NULL)
		return; /* all is looked up out of line */
	fast->objects = region->base + geometry->prefix_bytes;
	fast->cell_bytes = geometry->cell_bytes;
	if (cache->weak.is_strong) {
		fast->words = fast->objects - sizeof(uint32_t);
		fast->word_bytes = geometry->cell_bytes;
	} else {
		fast->words = (const char *)word_of(words, 0);
		fast->word_bytes = sizeof(uint32_t);
	}
	if (cache->weak.mode == CUBBY_WEAK_RCU)
		words->bounds[0] = &fast->get_cells;
	if (cache->weak.is_strong)
		words->bounds[1] = &fast->strong_cells;
}

void
cubby__weak_setup_close(struct cubby_cache *cache)
{
	cubby__words_unpublish(&cache->slabs.words);
}

static void
release(void *context, const void *object)
{
	struct cubby_cache *cache = context;
	uint64_t cell;

	cubby__region_find(&cache->region, object, &cell);
	cubby__slab_give(&cache->slabs, cell);
}

void
cubby__weak_setup_fini(struct cubby_cache *cache)
{
	sigset_t saved;

	if (cache->weak.mode == CUBBY_WEAK_NONE)
		return;
	cubby__lock_acquire(&cache->lock, &saved);
	cubby__weak_for_each_retired(cache, release, cache);
	cache->weak.n_retired = 0;
	cubby__lock_release(&cache->lock, &saved);
	cubby__watch_teardown(cache);
}

/* SPDX-License-Identifier: MIT */
/* LAYER 7: stats - a snapshot of a cache's numbers, and its columns */
#include "bits.h"
#include "cache.h"
#include "debug.h"
#include "defer.h"
#include "error.h"
#include "os.h"
#include "percpu.h"
#include "sample.h"

#include <cubby/stats.h>

#include <errno.h>
#include <string.h>

#define COLUMN(member, unit, doc)                                             \
	{                                                                     \
#member, unit, doc,                                           \
			offsetof(struct cubby_cache_stats, member), 0         \
	}

static const struct cubby_stats_column columns[] = {
	COLUMN(object_bytes, "bytes", "one object as it was asked for"),
	COLUMN(cell_bytes, "bytes", "distance between neighbouring objects"),
	COLUMN(align_bytes, "bytes", "alignment of objects"),
	COLUMN(cells_per_slab, "cells", "cells that are managed together"),
	COLUMN(max_cells, "cells", "limit by max_objects or max_bytes, or 0"),
	COLUMN(n_cells, "cells", "in slabs that were ever used"),
	COLUMN(n_live, "cells", "held by the program"),
	COLUMN(n_free, "cells", "free, in slabs with pages"),
	COLUMN(n_returned, "cells", "free, in slabs without pages"),
	COLUMN(n_live_peak, "cells",
	       "highest level seen, idle in blocks included"),
	COLUMN(n_slabs, "slabs", "ever used"),
	COLUMN(n_slabs_full, "slabs", "with no cell free in it"),
	COLUMN(n_slabs_partial, "slabs", "with some cells free in it"),
	COLUMN(n_slabs_empty, "slabs", "with pages, all cells free in it"),
	COLUMN(n_slabs_returned, "slabs", "whose pages were given back"),
	COLUMN(reserved_bytes, "bytes", "address space for cells"),
	COLUMN(committed_bytes, "bytes", "of it usable without a mapping"),
	COLUMN(uncommitted_bytes, "bytes", "of it without access"),
	COLUMN(populated_bytes, "bytes", "of it in slabs with pages"),
	COLUMN(n_slabs_opened, "events", "slabs populated, first or again"),
	COLUMN(n_slabs_closed, "events", "slabs whose pages were given back"),
	COLUMN(n_alloc_failures, "events", "allocations answered NULL"),
	COLUMN(n_limit_hits, "events", "of max_objects or max_bytes"),
	COLUMN(n_walks, "walks", "open now"),
	COLUMN(n_chunks, "chunks", "pieces beyond the first range"),
	COLUMN(bookkeeping_bytes, "bytes", "committed beside the cells"),
	COLUMN(n_idle_in_blocks, "cells",
	       "free, in magazines of CPUs or threads"),
	COLUMN(n_idle_in_depot, "cells", "free, in magazines of nobody"),
	COLUMN(n_reserved, "cells", "set aside in reserves"),
	COLUMN(n_retired, "cells", "never to be used again"),
	COLUMN(resident_bytes, "bytes", "of cells, as the kernel says"),
	COLUMN(is_exact, "flag", "0: a thread did not stand still"),
	COLUMN(front_end, "kind", "0: none, 1: per thread, 2: per CPU"),
	COLUMN(is_fast, "flag", "alloc is a few instructions mostly"),
	COLUMN(magazine_capacity, "cells", "of the next magazine"),
	COLUMN(depot_bound, "cells", "that the depot should not exceed"),
	COLUMN(n_depot_puts, "events", "magazines put into the depot"),
	COLUMN(n_depot_gets, "events", "magazines taken out of it"),
	COLUMN(n_refills, "events", "visits to the slabs for cells"),
	COLUMN(n_flushes, "events", "visits that brought cells back"),
	COLUMN(n_quiesces, "events", "the cache was made to stand still"),
	COLUMN(n_direct_allocs, "events",
	       "calls (not bulk) that took the lock"),
	COLUMN(n_direct_frees, "events",
	       "calls (not bulk) that took the lock"),
	COLUMN(n_thinned, "events", "slabs whose unused pages were dropped"),
	COLUMN(front_reason, "kind", "why: see cubby_front_reason_text()"),
	COLUMN(front_index, "kind", "0: none, 1: cpu_id, 2: mm_cid"),
	COLUMN(n_aborts, "events", "of the process: sequences begun again"),
	COLUMN(n_deferred, "cells", "freed, waiting for a grace period"),
	COLUMN(deferred_bytes, "bytes", "of them"),
	COLUMN(oldest_deferred_ms, "ms", "how long the oldest has waited"),
	COLUMN(n_deferred_peak, "cells", "most that ever waited"),
	COLUMN(n_reclaimed, "events", "objects that have waited"),
	COLUMN(n_grace_periods, "events", "that the cache has waited for"),
	COLUMN(n_overruns, "events", "above the hard limit"),
	COLUMN(n_stalls, "events", "grace periods longer than stall_ms"),
	COLUMN(weak_mode, "kind", "0: none, 1: RCU, 2: strong, 3: reuse"),
	COLUMN(n_watches, "watches", "registered now"),
	COLUMN(debug, "flags", "CUBBY_DEBUG_* of a cache that is watched"),
	COLUMN(n_quarantined, "cells", "kept from use: freed, or for guards"),
	COLUMN(n_damaged, "events", "objects found damaged"),
	COLUMN(n_failed, "events", "allocations that were made to fail"),
	COLUMN(n_sampled, "events", "objects that got pages of their own"),
};

static const char *const reasons[] = {
	[CUBBY_FRONT_REASON_BEST] = "the best that there is",
	[CUBBY_FRONT_REASON_OPTION] = "CUBBY_OPTIONS asks for it",
	[CUBBY_FRONT_REASON_NOT_BUILT] =
		"this build of the library has no restartable sequences",
	[CUBBY_FRONT_REASON_NOT_PROVEN] =
		"restartable sequences are not proven on this processor; "
		"CUBBY_OPTIONS=front=cpu uses them",
	[CUBBY_FRONT_REASON_C_LIBRARY] =
		"the C library knows no restartable sequences; glibc does "
		"from 2.35 on",
	[CUBBY_FRONT_REASON_NO_RSEQ] =
		"the C library has registered no restartable sequences: the "
		"kernel or an emulator has none, or glibc.pthread.rseq=0",
	[CUBBY_FRONT_REASON_NOT_REGISTERED] =
		"the thread that made the first cache has no registered "
		"restartable sequences",
	[CUBBY_FRONT_REASON_NO_MEMBARRIER] =
		"the kernel has no membarrier(2) that restarts sequences "
		"(Linux 5.10), or a seccomp filter refuses it",
	[CUBBY_FRONT_REASON_CPUS] =
		"there may be more CPUs than the address space has room for",
	[CUBBY_FRONT_REASON_NO_MEMORY] = "no memory for the CPUs' stripes",
	[CUBBY_FRONT_REASON_NO_MM_CID] =
		"the kernel has no mm_cid (Linux 6.3), which "
		"CUBBY_OPTIONS=front=mmcid asks for",
	[CUBBY_FRONT_REASON_TSAN] =
		"ThreadSanitizer does not see restartable sequences",
	[CUBBY_FRONT_REASON_FLAG] =
		"the cache was created with CUBBY_CACHE_NO_MAGAZINES",
	[CUBBY_FRONT_REASON_CELLS] = "cells above 64 KiB have no magazines",
	[CUBBY_FRONT_REASON_CACHES] = "too many caches have magazines already",
	[CUBBY_FRONT_REASON_MEMCHECK] =
		"memcheck is watching, and its search for lost objects would "
		"find old pointers in magazines",
	[CUBBY_FRONT_REASON_PASSTHROUGH] =
		"passthrough: each object is a block of malloc()",
};

const char *
cubby_front_reason_text(uint64_t front_reason)
{
	return front_reason < ARRAY_SIZE(reasons) ? reasons[front_reason] :
						    "unknown";
}

const struct cubby_stats_column *
cubby_stats_columns(size_t *ret_n_columns)
{
	*ret_n_columns = ARRAY_SIZE(columns);
	return columns;
}

static uint64_t
bookkeeping_bytes(const struct cubby_cache *cache)
{
	const struct slab_set *slabs = &cache->slabs;
	uint64_t bytes = CACHE_BYTES;

	if (slabs->records.reserved_bytes != 0) /* not inside CACHE_BYTES */
		bytes += slabs->records.committed_bytes;
	for (uint32_t i = 0; i < cache->n_cell_sides; i++)
		bytes += cache->cell_sides[i].side.committed_bytes;
	return bytes + slabs->tree_memory.committed_bytes +
	       cache->region.chunks.committed_bytes;
}

static void
snapshot_slabs(const struct slab_set *slabs, struct cubby_cache_stats *stats)
{
	stats->max_cells = slabs->max_is_limit ? slabs->max_cells : 0;
	stats->n_cells = slabs->n_cells;
	stats->n_returned = slabs->n_cells_returned;
	stats->n_free = stats->n_cells - slabs->n_live - stats->n_returned;
	stats->n_thinned = slabs->n_thinned;
	stats->n_slabs = slabs->n_slabs;
	stats->n_slabs_full = slabs->n_in_lane[LANE_FULL];
	for (unsigned i = LANE_PARTIAL_0; i <= LANE_PARTIAL_3; i++)
		stats->n_slabs_partial += slabs->n_in_lane[i];
	stats->n_slabs_empty = slabs->n_in_lane[LANE_EMPTY] +
			       slabs->n_in_lane[LANE_RECLAIMING];
	stats->n_slabs_returned = slabs->n_in_lane[LANE_RETURNED];
	stats->n_slabs_opened = slabs->n_opened;
	stats->n_slabs_closed = slabs->n_closed;
}

static void
snapshot_region(const struct region *region, struct cubby_cache_stats *stats)
{
	stats->object_bytes = region->geometry.object_bytes;
	stats->cell_bytes = region->geometry.cell_bytes;
	stats->align_bytes = region->geometry.align_bytes;
	stats->cells_per_slab = geometry_slab_cells(&region->geometry);
	stats->reserved_bytes = region->reserved_bytes;
	stats->committed_bytes = region->committed_bytes;
	stats->uncommitted_bytes = region->reserved_bytes -
				   region->committed_bytes;
	stats->populated_bytes = region->passes ?
					 region->committed_bytes :
					 (stats->n_cells - stats->n_returned) *
						 stats->cell_bytes;
	stats->n_chunks = region->n_chunks;
}

/* The cells that are in use but not live; n_live is what is left of them. */
static void
snapshot_idle(const struct cubby_cache *cache, struct cubby_cache_stats *stats)
{
	uint64_t left = cache->slabs.n_live;
	struct idle_counts idle;

	cubby__quiesce_count(cache, &idle);
	/* Where they could not be counted exactly, none may be too many. */
	stats->n_idle_in_depot = min_u64(idle.in_depot + idle.preparing, left);
	left -= stats->n_idle_in_depot;
	stats->n_reserved = min_u64(idle.reserved, left);
	left -= stats->n_reserved;
	stats->n_idle_in_blocks = min_u64(idle.in_blocks, left);
	left -= stats->n_idle_in_blocks;
	stats->n_deferred = min_u64(cubby__defer_count(cache), left);
	left -= stats->n_deferred;
	stats->n_retired = min_u64(idle.retired, left);
	left -= stats->n_retired;
	stats->n_quarantined = min_u64(idle.waiting, left);
	stats->n_live = left - stats->n_quarantined;
}

static uint64_t
event_count(const uint64_t *count)
{
	return __atomic_load_n(count, __ATOMIC_RELAXED);
}

static void
snapshot_weak(const struct cubby_cache *cache, struct cubby_cache_stats *stats)
{
	const struct defer *defer = &cache->defer;

	stats->deferred_bytes = stats->n_deferred * stats->cell_bytes;
	/* A round that ends counts them off first, and then forgets the time. */
	stats->oldest_deferred_ms = stats->n_deferred != 0 ?
					    cubby__defer_age_ns(cache) /
						    1000000 :
					    0;
	stats->n_deferred_peak = event_count(&defer->n_cells_peak);
	stats->n_reclaimed = event_count(&defer->n_reclaimed);
	stats->n_grace_periods = event_count(&defer->n_grace_periods);
	stats->n_overruns = event_count(&defer->n_overruns);
	stats->n_stalls = event_count(&defer->n_stalls);
	stats->weak_mode = cache->weak.mode;
	stats->n_watches = event_count(&cache->weak.n_watches);
}

static void
snapshot_front(struct cubby_cache *cache, struct cubby_cache_stats *stats)
{
	struct front *front = &cache->front;
	uint64_t n_young = cubby__quiesce_count_young(cache);
	uint64_t tag = 0;

	/* Tags count puts and gets; their difference is still there. */
	for (uint32_t i = 0; i < N_SHARDS; i++)
		tag += __atomic_load_n(&front->young[i].stack.word,
				       __ATOMIC_RELAXED) >>
		       MAGAZINE_NUMBER_BITS;
	stats->n_depot_puts = (tag + n_young) / 2;
	stats->n_depot_gets = (tag - min_u64(n_young, tag)) / 2;
	stats->front_end = front->block == 0   ? CUBBY_FRONT_NONE :
			   cubby__percpu_works ? CUBBY_FRONT_PER_CPU :
						 CUBBY_FRONT_PER_THREAD;
	stats->front_reason = front->why_no_block != 0 ?
				      front->why_no_block :
				      cubby__percpu_reason();
	if (front->block != 0)
		stats->front_index = cubby__percpu_index();
	stats->n_aborts = cubby__percpu_n_aborts();
	stats->is_fast = front->block != 0 && !front->is_staged;
	stats->magazine_capacity = front->capacity;
	stats->depot_bound = cubby__depot_bound(front);
	stats->n_refills = front->n_refills;
	stats->n_flushes = front->n_flushes;
	stats->n_quiesces = front->n_quiesces;
	stats->n_direct_allocs = __atomic_load_n(&front->n_direct_allocs,
						 __ATOMIC_RELAXED);
	stats->n_direct_frees = __atomic_load_n(&front->n_direct_frees,
						__ATOMIC_RELAXED);
	front->n_live_peak = max_u64(front->n_live_peak, stats->n_live);
	stats->n_live_peak = front->block != 0 ? front->n_live_peak :
						 cache->slabs.n_live_peak;
}

static void
snapshot_debug(const struct cubby_cache *cache,
	       struct cubby_cache_stats *stats)
{
	const struct debug_cache *debug = cache->debug;

	if (cache->sample != NULL)
		stats->n_sampled = event_count(&cache->sample->n_taken);
	if (debug == NULL)
		return;
	stats->debug = debug->flags;
	stats->n_damaged = event_count(&debug->n_damaged);
	stats->n_failed = event_count(&debug->n_failed);
}

static void
snapshot(struct cubby_cache *cache, struct cubby_cache_stats *stats)
{
	sigset_t saved;

	stats->is_exact = cubby__quiesce_begin(cache, &saved) == 0;
	if (!stats->is_exact)
		cubby__lock_acquire(&cache->lock, &saved);
	snapshot_slabs(&cache->slabs, stats);
	snapshot_idle(cache, stats);
	snapshot_front(cache, stats);
	snapshot_region(&cache->region, stats);
	snapshot_weak(cache, stats);
	snapshot_debug(cache, stats);
	stats->bookkeeping_bytes = bookkeeping_bytes(cache);
	stats->n_limit_hits = __atomic_load_n(&cache->n_limit_hits,
					      __ATOMIC_RELAXED);
	stats->n_walks = cache->n_walks;
	if (stats->is_exact)
		cubby__quiesce_end(cache, &saved);
	else
		cubby__lock_release(&cache->lock, &saved);
	stats->n_alloc_failures = __atomic_load_n(&cache->n_alloc_failures,
						  __ATOMIC_RELAXED);
}

/* Pieces of the region stay where they are: no lock is needed. */
static uint64_t
resident_bytes(struct cubby_cache *cache, uint64_t n_cells)
{
	const struct region *region = &cache->region;
	uint64_t bytes = 0;
	uint64_t end;

	for (uint64_t cell = 0; cell < n_cells; cell = end) {
		char *start = region_cell(region, cell);

		end = min_u64(region_piece_end(region, cell), n_cells);
		bytes += cubby__os_resident_bytes(
			start, (end - cell) * region->geometry.cell_bytes);
	}
	return bytes;
}

int
cubby_cache_stats_snapshot(struct cubby_cache *cache,
			   struct cubby_cache_stats *ret_stats)
{
	struct cubby_cache_stats stats = { 0 };
	int err;

	if (ret_stats == NULL)
		return cubby__error_set(-EINVAL, "ret_stats is NULL");
	if (ret_stats->stats_bytes < sizeof(stats.stats_bytes))
		return cubby__error_set(
			-EINVAL,
			"stats_bytes is %zu: set it to sizeof(struct "
			"cubby_cache_stats) before the call",
			(size_t)ret_stats->stats_bytes);
	err = cubby__usable_or_error(cache, "cubby_cache_stats_snapshot");
	if (err)
		return err;
	cubby__defer_check_stall(cache);
	snapshot(cache, &stats);
	stats.resident_bytes = resident_bytes(cache, stats.n_cells);
	stats.stats_bytes = min_u64(ret_stats->stats_bytes, sizeof(stats));
	memcpy(ret_stats, &stats, stats.stats_bytes);
	return 0;
}

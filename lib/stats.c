/* SPDX-License-Identifier: MIT */
/* LAYER 7: stats - a snapshot of a cache's numbers, and its columns */
#include "cache.h"
#include "error.h"

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
	COLUMN(n_live_peak, "cells", "most that were ever live at once"),
	COLUMN(n_slabs, "slabs", "ever used"),
	COLUMN(n_slabs_full, "slabs", "with every cell live"),
	COLUMN(n_slabs_partial, "slabs", "with some cells live"),
	COLUMN(n_slabs_empty, "slabs", "with pages and no live cell"),
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
};

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
	stats->n_live = slabs->n_live;
	stats->n_returned = slabs->n_cells_returned;
	stats->n_free = stats->n_cells - stats->n_live - stats->n_returned;
	stats->n_live_peak = slabs->n_live_peak;
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
	stats->populated_bytes = (stats->n_cells - stats->n_returned) *
				 stats->cell_bytes;
	stats->n_chunks = region->n_chunks;
}

int
cubby_cache_stats_snapshot(struct cubby_cache *cache,
			   struct cubby_cache_stats *ret_stats)
{
	struct cubby_cache_stats stats = { 0 };
	sigset_t saved;
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
	cubby__lock_acquire(&cache->lock, &saved);
	snapshot_slabs(&cache->slabs, &stats);
	snapshot_region(&cache->region, &stats);
	stats.bookkeeping_bytes = bookkeeping_bytes(cache);
	stats.n_limit_hits = __atomic_load_n(&cache->n_limit_hits,
					     __ATOMIC_RELAXED);
	stats.n_walks = cache->n_walks;
	cubby__lock_release(&cache->lock, &saved);
	stats.n_alloc_failures = __atomic_load_n(&cache->n_alloc_failures,
						 __ATOMIC_RELAXED);
	stats.stats_bytes = min_u64(ret_stats->stats_bytes, sizeof(stats));
	memcpy(ret_stats, &stats, stats.stats_bytes);
	return 0;
}

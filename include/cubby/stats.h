/* SPDX-License-Identifier: MIT */
/*
 * cubby/stats.h - what a cache holds, as numbers that add up.
 *
 * The parts of a snapshot are taken at one instant, and
 *
 *	n_cells        = n_live + n_free + n_returned
 *	reserved_bytes = committed_bytes + uncommitted_bytes
 *	populated_bytes <= committed_bytes
 *
 * hold in every one of them (the manual cites them as S1, S2, S3).
 */
#ifndef CUBBY_STATS_H
#define CUBBY_STATS_H

#include <cubby/base.h>
#include <cubby/cache.h>

CUBBY_BEGIN_DECLS

/*
 * A snapshot.  stats_bytes is set by the caller (the sizeof it was compiled
 * with); the struct grows at its end only, and the library writes the smaller
 * of the caller's and its own size and sets stats_bytes to what it wrote.
 */
struct cubby_cache_stats {
	uint64_t stats_bytes;

	/* constants of the cache */
	uint64_t object_bytes;
	uint64_t cell_bytes;
	uint64_t align_bytes;
	uint64_t cells_per_slab;
	uint64_t max_cells; /* what max_objects or max_bytes allow; 0: no limit */

	/* cells */
	uint64_t n_cells;    /* in slabs that were ever used */
	uint64_t n_live;     /* held by the program */
	uint64_t n_free;     /* free, in slabs with pages */
	uint64_t n_returned; /* in slabs whose pages went back to the kernel */
	uint64_t n_live_peak;

	/* slabs */
	uint64_t n_slabs;
	uint64_t n_slabs_full;
	uint64_t n_slabs_partial;
	uint64_t n_slabs_empty;    /* with pages, without live objects */
	uint64_t n_slabs_returned; /* without pages */

	/* bytes of cells */
	uint64_t reserved_bytes;    /* address space */
	uint64_t committed_bytes;   /* of it usable without another mapping */
	uint64_t uncommitted_bytes; /* of it still without access */
	uint64_t populated_bytes;   /* of it in slabs with pages; RSS is less
				       where cells were never touched, more by
				       pages shared with a returned slab */

	/* events since the cache was created */
	uint64_t n_slabs_opened;    /* slabs populated, again or first */
	uint64_t n_slabs_closed;    /* slabs whose pages were given back */
	uint64_t n_alloc_failures;  /* allocations that were answered NULL */
	uint64_t n_limit_hits;      /* of max_objects or max_bytes */
	uint64_t n_walks;           /* open now */
	uint64_t n_chunks;          /* pieces beyond the first range */
	uint64_t bookkeeping_bytes; /* committed for records and side arrays */
};

/*
 * Take a snapshot.
 *
 * @ret_stats: its stats_bytes must be set; at least 8.
 *
 * Returns 0, or -EINVAL (NULL, or a stats_bytes that is too small).
 * Cost: a lock visit; nothing per object.
 */
CUBBY_API CUBBY_MUST_USE int
cubby_cache_stats_snapshot(struct cubby_cache *cache,
			   struct cubby_cache_stats *ret_stats);

/*
 * The columns of a snapshot, for programs that print or export all of them
 * without naming each: a uint64_t at offset_bytes.
 */
struct cubby_stats_column {
	const char *name; /* as in the struct */
	const char *unit; /* "bytes", "cells", "slabs", "events", "walks", ... */
	const char *doc;
	uint32_t offset_bytes;
	uint32_t reserved;
};

/* The table, static, in the struct's order; *ret_n_columns its length. */
CUBBY_API const struct cubby_stats_column *
cubby_stats_columns(size_t *ret_n_columns);

CUBBY_END_DECLS

#endif /* CUBBY_STATS_H */

/* SPDX-License-Identifier: MIT */
/*
 * cubby/stats.h - what a cache holds, as numbers that add up.
 *
 * The parts of a snapshot are taken at one instant, and
 *
 *	n_cells        = n_live + n_idle_in_blocks + n_idle_in_depot
 *	                 + n_reserved + n_free + n_returned + n_retired
 *	                 + n_deferred + n_quarantined
 *	reserved_bytes = committed_bytes + uncommitted_bytes
 *	populated_bytes <= committed_bytes
 *	n_live        <= n_live_peak
 *
 * hold in every one of them (the manual cites them as S1 to S4).  A cache
 * whose threads could not be made to stand still (one is stopped in the middle
 * of an allocation) has is_exact = 0: then a few cells may be counted as live
 * that are idle, or the reverse, and the sums hold all the same.
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
	uint64_t n_live_peak; /* highest level seen at a refill, flush or
				 snapshot; what is idle in blocks counts */

	/* slabs; a cell that is idle or reserved is not free in its slab */
	uint64_t n_slabs;
	uint64_t n_slabs_full;
	uint64_t n_slabs_partial;
	uint64_t n_slabs_empty;    /* with pages, all cells free in it */
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

	/* cells that are free, but not in the slabs */
	uint64_t n_idle_in_blocks; /* in the magazines of CPUs or threads */
	uint64_t n_idle_in_depot;  /* in the magazines that none of them has */
	uint64_t n_reserved;       /* in reserves (cubby/reserve.h) */
	uint64_t n_retired;        /* never to be used again */

	uint64_t resident_bytes; /* of its cells' pages, as the kernel says */
	uint64_t is_exact;       /* 1, or 0: see above */

	/* how the front end works: what is faster than a lock */
	uint64_t front_end; /* enum cubby_front_end */
	uint64_t is_fast;   /* 1: alloc is a few instructions mostly; 0: it
				has stages, or the cache has no magazines */
	uint64_t magazine_capacity; /* cells of the next magazine */
	uint64_t depot_bound; /* cells that the depot should not exceed */

	/* events since the cache was created */
	uint64_t n_depot_puts;    /* magazines put into the depot */
	uint64_t n_depot_gets;    /* magazines taken out */
	uint64_t n_refills;       /* visits to the slabs for more cells */
	uint64_t n_flushes;       /* visits that brought cells back */
	uint64_t n_quiesces;      /* the cache was made to stand still */
	uint64_t n_direct_allocs; /* calls, but for bulk, that took the lock */
	uint64_t n_direct_frees;
	uint64_t n_thinned; /* slabs whose unused pages were dropped */

	/* why; the last is of the process */
	uint64_t front_reason; /* enum cubby_front_reason */
	uint64_t front_index;  /* enum cubby_front_index */
	uint64_t n_aborts;     /* restartable sequences that began again */

	/* objects that were freed and wait for a grace period */
	uint64_t n_deferred;         /* cells: neither live nor idle */
	uint64_t deferred_bytes;     /* of them */
	uint64_t oldest_deferred_ms; /* how long the oldest has waited */
	uint64_t n_deferred_peak;    /* most, where sheaves count when full */
	uint64_t n_reclaimed;        /* events: objects whose wait is over */
	uint64_t n_grace_periods; /* events: that the cache has waited for */
	uint64_t n_overruns;      /* events: above the hard limit, and the
					thread could not wait */
	uint64_t n_stalls;        /* events: longer than stall_ms */

	/* weak handles */
	uint64_t weak_mode; /* enum cubby_weak_mode */
	uint64_t n_watches; /* registered now */

	/* a cache that watches its objects (cubby/debug.h) */
	uint64_t debug;         /* CUBBY_DEBUG_* */
	uint64_t n_quarantined; /* cells: kept from use, freed or for guard pages */
	uint64_t n_damaged; /* events: objects found damaged */
	uint64_t n_failed;  /* events: allocations that were made to fail */
	uint64_t n_sampled; /* events: objects that got pages of their own */
};

/* Who holds magazines. */
enum cubby_front_end {
	CUBBY_FRONT_NONE,       /* nobody: every call takes a lock */
	CUBBY_FRONT_PER_THREAD, /* each thread */
	CUBBY_FRONT_PER_CPU     /* each CPU */
};

/* Why the cache has the front end that it has. */
enum cubby_front_reason {
	CUBBY_FRONT_REASON_BEST,       /* per CPU is the best there is */
	CUBBY_FRONT_REASON_OPTION,     /* CUBBY_OPTIONS=front= says so */
	CUBBY_FRONT_REASON_NOT_BUILT,  /* the library has no sequences */
	CUBBY_FRONT_REASON_NOT_PROVEN, /* but not on this processor */
	CUBBY_FRONT_REASON_C_LIBRARY,  /* which knows no rseq */
	CUBBY_FRONT_REASON_NO_RSEQ,    /* the C library has registered none */
	CUBBY_FRONT_REASON_NOT_REGISTERED, /* not the thread that asked first */
	CUBBY_FRONT_REASON_NO_MEMBARRIER, /* the kernel has none, or refuses */
	CUBBY_FRONT_REASON_CPUS,          /* too many for the address space */
	CUBBY_FRONT_REASON_NO_MEMORY,
	CUBBY_FRONT_REASON_NO_MM_CID, /* which the option asked for */
	CUBBY_FRONT_REASON_TSAN,      /* it does not see the sequences */

	/* of this cache: why it has no magazines */
	CUBBY_FRONT_REASON_FLAG,       /* CUBBY_CACHE_NO_MAGAZINES */
	CUBBY_FRONT_REASON_CELLS,      /* are larger than 64 KiB */
	CUBBY_FRONT_REASON_CACHES,     /* too many have magazines already */
	CUBBY_FRONT_REASON_MEMCHECK,   /* would find old pointers in them */
	CUBBY_FRONT_REASON_PASSTHROUGH /* each object is a block of malloc() */
};

/* The same as a sentence; static.  "unknown" for other numbers. */
CUBBY_API const char *cubby_front_reason_text(uint64_t front_reason);

/* How CPUs are told apart. */
enum cubby_front_index {
	CUBBY_FRONT_INDEX_NONE,  /* not */
	CUBBY_FRONT_INDEX_CPU,   /* by their number (cpu_id) */
	CUBBY_FRONT_INDEX_MM_CID /* by the kernel's number of what runs */
};

/*
 * Take a snapshot.
 *
 * @ret_stats: its stats_bytes must be set; at least 8.
 *
 * Returns 0, or -EINVAL (NULL, or a stats_bytes that is too small).
 * Cost: the cache stands still for a few microseconds, its other users taking
 * a lock meanwhile; a word per thread and per idle magazine; and mincore(2) of
 * the committed cells, about 1 us per MiB.
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

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 3: slab - which cells are live, and whose pages can go
 *
 * Theory
 *
 * The cells of a cache are numbered; 2^slab_shift consecutive ones, about
 * 64 KiB, are a slab.  A slab has a record, beside the cells and never in them:
 *
 *	0   2   4            5      6       8
 *	+---+---+------------+------+-------+---------------------------+
 *	|liv|cel| first_word | lane | flags | live[]: one bit a cell    |
 *	+---+---+------------+------+-------+---------------------------+
 *
 * A set bit is a live cell (or one on its way to or from being live).  Zeroed
 * memory is thus the record of an empty slab.
 *
 * Lanes.  Every slab that was ever opened is in exactly one lane:
 *
 *	lane          live cells       pages
 *	PARTIAL_0..3  some; quarters   yes
 *	FULL          all              yes
 *	EMPTY         none             yes
 *	RECLAIMING    none             going: its owner is running fini
 *	RETURNED      none             no
 *
 * Take serves from the lowest slab of PARTIAL_3, then _2, _1, _0, then EMPTY,
 * then RETURNED, then opens a new one; and within a slab from the lowest free
 * cell.  So live objects gather at low addresses and the top of the range
 * empties.  (Bonwick 1994 for slabs and their counts; fullest first as in
 * PostgreSQL's slab.c; the four classes and "lowest" are a bit tree, bits.h.)
 *
 * Returning pages.  The pages of an empty slab go back when more than a few
 * are empty, from the top.  A page that it shares with a neighbour goes only
 * if the neighbour is RETURNED too.  Where the kernel charges committed memory
 * (overcommit mode 2), dropping pages does not lower the charge; there a group
 * of 64 slabs that are all RETURNED is made inaccessible, and accessible again
 * before one of them is used.
 *
 * Thinning.  A few cells, idle in magazines or live for long, would pin whole
 * slabs.  When a slab has few live cells left (a half; an eighth; one a page; a
 * quarter of that; one), pages that hold none of them are dropped too.  Each
 * step is taken once, until the slab is three quarters full again; so there are
 * at most five in the time of so many allocations.
 *
 * Invariants:
 *   L1  n_live is the number of set bits, and <= n_cells
 *   L2  bits at and above n_cells are clear
 *   L3  every word below first_word is full
 *   L4  a slab is in the one lane that n_live and its history call for
 *   L5  the set's totals are the sums over its slabs
 *   L6  a DECOMMITTED slab is RETURNED, and so is its whole run in its group
 *
 * Locks: the cache's slab lock around every call.
 */
#ifndef CUBBY__SLAB_H
#define CUBBY__SLAB_H

#include "bits.h"
#include "compiler.h"
#include "region.h"
#include "side.h"
#include "text.h"
#include "words.h"

enum slab_lane {
	LANE_PARTIAL_0, /* up to a quarter live */
	LANE_PARTIAL_1,
	LANE_PARTIAL_2,
	LANE_PARTIAL_3, /* more than three quarters live */
	LANE_FULL,
	LANE_EMPTY,
	LANE_RECLAIMING,
	LANE_RETURNED,
	N_LANES
};

_Static_assert(N_LANES == BIT_TREE_LANES, "a lane of the tree per lane");

/* flags */
#define SLAB_DECOMMITTED 1u /* its pages are inaccessible */
#define SLAB_WORDS_STAY 2u  /* and its pages: the floor could not be kept */
#define SLAB_THIN_SHIFT 8   /* steps of thinning done, since it was filled */

#define SLAB_BITS_PER_WORD 64

struct slab {
	uint16_t n_live;
	uint16_t n_cells;
	uint8_t first_word;
	uint8_t lane;
	uint16_t flags;
	uint64_t live[];
};

_Static_assert(sizeof(struct slab) == 8, "the diagram above");

/* Slabs that are returned together where committed memory is charged. */
#define SLABS_PER_GROUP 64

struct slab_set {
	struct region *region;
	struct cell_side *cell_sides; /* kept in step with the cells */
	uint32_t n_cell_sides;
	uint32_t record_bytes;
	struct words words;    /* set up after init, if cells have words */
	bool stays_readable;   /* cells are looked at without a lock */
	uint64_t max_cells;    /* the limit: never more cells than these */
	bool max_is_limit;     /* asked for by the user, not by geometry */
	bool thins;            /* free cells hold nothing that must be kept */
	uint64_t n_kept_slabs; /* the first ones, whose pages were asked for */
	struct side records;
	struct side tree_memory;
	struct bit_tree tree;
	uint64_t tree_inline[BIT_TREE_LEVELS][BIT_TREE_LANES];

	uint64_t n_slabs; /* ever opened */
	uint64_t n_cells;
	uint64_t n_live;
	uint64_t n_live_peak;
	uint64_t n_in_lane[N_LANES];
	uint64_t n_cells_returned; /* in RETURNED slabs */
	uint64_t n_opened;         /* events */
	uint64_t n_closed;
	uint64_t thinned_next; /* slab, of _thin_others() */
	uint64_t n_thinned;
};

enum slab_refusal {
	SLAB_NO_MEMORY, /* the kernel or the address budget says no */
	SLAB_AT_LIMIT   /* max_objects or max_bytes says no */
};

/*
 * @inline_part: zeroed memory for the first records; @max_cells: the user's
 *	limit, or 0.
 */
void cubby__slab_init(struct slab_set *set, struct region *region,
		      void *inline_part, uint32_t inline_bytes,
		      uint64_t max_cells, struct cell_side *cell_sides,
		      uint32_t n_cell_sides);
void cubby__slab_fini(struct slab_set *set);

/* Bytes of the record of one slab. */
uint32_t cubby__slab_record_bytes(const struct geometry *geometry);

/*
 * Make up to n free cells live, lowest first: their numbers in cells[], and
 * how many there were; if fewer than n, *ret_refusal says why.
 */
size_t cubby__slab_take(struct slab_set *set, size_t n, uint64_t *cells,
			enum slab_refusal *ret_refusal);

/*
 * Make all cells of an empty slab live: 0 or -ENOMEM.  Whoever asks has them, as if
 * one by one.
 * @may_be_populated: their bytes need not be as of new ones.
 */
int cubby__slab_take_whole(struct slab_set *set, bool may_be_populated,
			   uint64_t *ret_slab);

/* Make a live cell free. */
void cubby__slab_give(struct slab_set *set, uint64_t cell);

/*
 * The same for cells of one slab: of n, from the first on, as many as lie in its
 * slab and are live: how many.
 */
size_t cubby__slab_give_run(struct slab_set *set, size_t n,
			    const uint64_t *cells);

/*
 * Open slabs until the first n_cells cells are in one, and populate their
 * pages: 0 or -ENOMEM, with the slabs opened so far EMPTY.
 */
int cubby__slab_prefault(struct slab_set *set, uint64_t n_cells);

/* Is it live?  false also for a cell that was never opened. */
bool cubby__slab_is_live(const struct slab_set *set, uint64_t cell);

/*
 * Give pages back, in three steps so that fini can run between them without
 * the lock: begin picks the highest EMPTY slab if there are more than `keep`
 * (false: there are not); end drops its pages and returns how many bytes went.
 */
bool cubby__slab_reclaim_begin(struct slab_set *set, uint64_t keep,
			       uint64_t *ret_slab);
uint64_t cubby__slab_reclaim_end(struct slab_set *set, uint64_t slab);

/* Is the slab of this cell due for a step of thinning?  Then take it. */
void cubby__slab_thin(struct slab_set *set, uint64_t cell);

/* The same for n more slabs in turn, which were not sparse enough at their time. */
void cubby__slab_thin_others(struct slab_set *set, uint64_t n);

/*
 * In a fork child: end what other threads had begun.  Cells that fini had not
 * come to are forgotten with what they hold.
 */
void cubby__slab_reclaim_abandon(struct slab_set *set);

/* The cells of a slab: first number, and how many. */
static inline uint64_t
slab_first_cell(const struct slab_set *set, uint64_t slab)
{
	return slab << set->region->geometry.slab_shift;
}

static inline struct slab *
slab_record(const struct slab_set *set, uint64_t slab)
{
	return (struct slab *)(set->records.base + slab * set->record_bytes);
}

static inline uintptr_t
slab_start(const struct slab_set *set, uint64_t slab)
{
	return (uintptr_t)region_cell(set->region, slab_first_cell(set, slab));
}

static inline uintptr_t
slab_end(const struct slab_set *set, uint64_t slab)
{
	return slab_start(set, slab) +
	       (uint64_t)slab_record(set, slab)->n_cells *
		       set->region->geometry.cell_bytes;
}

static inline uint64_t
slab_words(const struct slab_set *set)
{
	return (set->record_bytes - sizeof(struct slab)) / sizeof(uint64_t);
}

/* The lane that its count calls for. */
static inline enum slab_lane
slab_lane_by_count(const struct slab *slab)
{
	if (slab->n_live == 0)
		return LANE_EMPTY;
	if (slab->n_live == slab->n_cells)
		return LANE_FULL;
	return (enum slab_lane)(((uint32_t)slab->n_live * 4 - 1) /
				slab->n_cells);
}

/* Bits of word `word` that stand for no cell. */
static inline uint64_t
slab_beyond_mask(const struct slab *slab, uint64_t word)
{
	uint64_t first = word * SLAB_BITS_PER_WORD;

	if (slab->n_cells >= first + SLAB_BITS_PER_WORD)
		return 0;
	return slab->n_cells <= first ? UINT64_MAX :
					UINT64_MAX << (slab->n_cells - first);
}

/* slab_verify.c: contradictions to L1 to L6, counted; the first is described in `first`. */
size_t cubby__slab_verify(const struct slab_set *set, struct text *first);

#endif /* CUBBY__SLAB_H */

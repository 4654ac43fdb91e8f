/* SPDX-License-Identifier: MIT */
/*
 * LAYER 8: extent - blocks of whole pages
 *
 * Theory
 *
 * What is larger than the largest class is a run of pages.  Runs are carved
 * from granules (granule.h) that belong to nobody but us; a block of a granule
 * or more gets granules of its own.  So the table of granules says of every
 * address whether it is an extent's, and a second table leads from there to the
 * record of the granule:
 *
 *	         granule of 16 MiB: 4,096 pages
 *	+---------+-------------+----------+------------------+
 *	| USED    | DIRTY       | USED     | CLEAN            |
 *	+---------+-------------+----------+------------------+
 *	runs[] of the record: first page   n_pages, state, links of its list
 *	                      last page    n_back, the same number
 *
 * A run is USED, or free with pages that hold something (DIRTY), or free and
 * known to read as zeroes (CLEAN), so that calloc() need not clear it.  Free
 * neighbours of one state are one run.  CLEAN runs are in bins by length, of
 * which a bit map tells the ones with something in them; DIRTY runs are in one
 * list, the oldest first.
 *
 * USED but nobody's block are the few that are RECENT (recent.h): one of a length
 * that the next request may have.
 *
 * How much stays DIRTY follows use, and is decided in calls of the program
 * alone: no thread, no timer, and nothing to be called.
 *
 *	keep      at most so many bytes are DIRTY, or an eighth of what is USED;
 *	          the oldest is given back.  Begins at 128 KiB.
 *	missed    when as much as keep was purged and then taken again within
 *	          100 ms, keep is four times as much, up to 64 MiB
 *	only      when twice as much was freed without an allocation under the lock,
 *	frees     by more than one call, keep halves, down to 128 KiB
 *	recent    each group of CPUs keeps as much as keep of them, at most 1 MiB
 *
 * Growth in place takes the free run behind.  A block with granules of its own
 * moves its pages by mremap(2) and not its bytes.
 *
 * Where memory is charged when it is committed (vm.overcommit_memory=2), CLEAN
 * runs are not committed.
 *
 * Invariants:
 *   E1  every page of a granule is in one run
 *   E2  no two neighbours are both CLEAN or both DIRTY
 *   E3  n_dirty_pages is the sum over the list, and what is in it is DIRTY
 *
 * Locks: one, of rank LOCK_RANK_EXTENT.
 */
#ifndef CUBBY__EXTENT_H
#define CUBBY__EXTENT_H

#include "compiler.h"

/* Owner of our granules: no cache has this number. */
#define EXTENT_ID 0x20000000u

/*
 * A block of at least so many bytes, or NULL.
 * @align_bytes: any power of two.
 * @ret_is_zero: does it read as zeroes?
 */
void *cubby__extent_alloc(size_t bytes, size_t align_bytes, bool *ret_is_zero);

enum extent_answer {
	EXTENT_BLOCK,    /* the first byte of a block */
	EXTENT_FREE,     /* of what was one */
	EXTENT_INTERIOR, /* inside of one */
	EXTENT_NONE      /* not in our granules */
};

/* BLOCK: it is freed.  Otherwise nothing has happened. */
enum extent_answer cubby__extent_free(void *block);

/* Which of them is it? */
enum extent_answer cubby__extent_find(const void *address);

/* 0: it is no block. */
size_t cubby__extent_usable_bytes(const void *block);

/*
 * The block with another size, where it is or elsewhere; NULL, and unchanged, if
 * there is no memory.
 */
void *cubby__extent_realloc(void *block, size_t bytes);

/* Give the pages of all DIRTY runs back, and granules: how many bytes. */
uint64_t cubby__extent_trim(void);

struct extent_stats {
	uint64_t n_blocks;
	uint64_t live_bytes;  /* of whole pages */
	uint64_t dirty_bytes; /* free, with pages */
	uint64_t clean_bytes; /* free, without */
};

void cubby__extent_snapshot(struct extent_stats *ret_stats);

/* For fork: hold the lock across it. */
void cubby__extent_fork_prepare(void);
void cubby__extent_fork_done(void);

#endif /* CUBBY__EXTENT_H */

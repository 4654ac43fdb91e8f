/* SPDX-License-Identifier: MIT */
/*
 * LAYER 8: pages - runs of pages in granules
 *
 * The half of extent.[ch] that knows where things are: records of granules,
 * runs, their neighbours and lists.  extent.h has the picture and the
 * invariants; what is kept and what goes back is decided in extent.c.
 *
 * Locks: extent.c's around every call; but who has a block asks without it for its
 * record, its run and its address, which do not change meanwhile.
 */
#ifndef CUBBY__PAGES_H
#define CUBBY__PAGES_H

#include "bits.h"
#include "compiler.h"
#include "granule.h"

#define RUN_PAGE_SHIFT 12
#define RUN_PAGE_BYTES ((uint64_t)1 << RUN_PAGE_SHIFT)
#define RUN_PAGES_MAX (GRANULE_BYTES / RUN_PAGE_BYTES)

enum run_state {
	RUN_INSIDE, /* not the first page of one */
	RUN_USED,
	RUN_RECENT, /* by extent.c alone: the same to us */
	RUN_DIRTY,
	RUN_CLEAN
};

/* Of a page: all but n_back are of the run whose first page it is. */
struct run {
	uint32_t next, previous; /* numbers of runs; in one list */
	uint16_t n_pages;
	uint16_t n_back; /* of the run whose last page it is */
	uint32_t state;
};

/* Of a granule, or of a block that has some of its own (then without runs). */
struct record {
	char *base;     /* of the granules */
	uint64_t bytes; /* of them */
	char *block;    /* of one alone: where it begins; else NULL */
	uint64_t block_bytes;
	uint32_t number; /* of a granule with runs */
	uint32_t n_used_pages;
	struct run runs[];
};

struct pages_totals {
	uint64_t n_dirty, n_clean; /* pages */
	uint32_t n_records;        /* granules with runs */
	uint32_t n_empty;          /* of them, without a USED run */
};

extern struct pages_totals cubby__pages_totals
	__attribute__((visibility("hidden")));

/*
 * The record of the granule that an address is in, or NULL.  Without the lock, too:
 * it stays while the caller has a block there.
 */
struct record *cubby__pages_record(const void *address);

/* Have that table say so: 0 or -ENOMEM, which NULL never meets. */
int cubby__pages_set_record(const void *address, struct record *record);

/* The number of a run, and the run of a number. */
#define RUN_NONE UINT32_MAX

static inline uint32_t
run_number(const struct record *record, const void *address)
{
	return record->number * (uint32_t)RUN_PAGES_MAX +
	       (uint32_t)(((const char *)address - record->base) >>
			  RUN_PAGE_SHIFT);
}

struct run *cubby__pages_run(uint32_t number);
char *cubby__pages_address(uint32_t number);

/*
 * A USED run of n pages, the first aligned to `n_align` pages: its number, or
 * RUN_NONE; *ret_was, what it was before.
 */
uint32_t cubby__pages_take(uint32_t n_pages, uint32_t n_align,
			   enum run_state *ret_was);

/* Would it be of what is DIRTY? */
bool cubby__pages_fits_dirty(uint32_t n_pages, uint32_t n_align);

/* A USED run is DIRTY. */
void cubby__pages_give(uint32_t number);

/*
 * A USED run has so many pages from now on, what it loses being DIRTY.  false:
 * what is behind it is not free, or too little.
 */
bool cubby__pages_resize(uint32_t number, uint32_t n_pages);

/* The run that is DIRTY for longest is CLEAN: how many pages it had. */
uint32_t cubby__pages_purge(void);

/* Granules without a USED run go back, but for so many. */
void cubby__pages_release(uint32_t n_kept);

/* Contradictions to E1 to E3. */
size_t cubby__pages_verify(void);

#endif /* CUBBY__PAGES_H */

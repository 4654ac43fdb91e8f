/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: cache - what the files of this layer share
 *
 * A cache is a descriptor of CACHE_BYTES in a table that is never unmapped
 * (registry.c), so that a stale pointer to a cache can always be read and
 * recognised:
 *
 *	0       8       16                                            2048
 *	+-------+-------+----------------------------------+----------+
 *	| copy  | fast  | constants, slabs, region, lock   | records  |
 *	+-------+-------+----------------------------------+----------+
 *
 * The first two words are ABI: the copy of the library that made the cache,
 * and what the inline fast path will read.  The rest of the 2 KiB holds the
 * records of the first slabs, so that a small cache costs no other page.
 */
#ifndef CUBBY__CACHE_H
#define CUBBY__CACHE_H

#include "compiler.h"
#include "lock.h"
#include "magazine.h"
#include "region.h"
#include "slab.h"

#include <cubby/cache.h>
#include <cubby/walk.h>

#define CACHE_BYTES 2048

/*
 * Life of a descriptor.  Every change is made under the registry's lock.
 *
 *	UNUSED --create--> MAKING --> LIVE --destroy--> DYING --> DEAD
 *	                     |                                    |
 *	                     +-> DEAD                             |
 *	   after REUSE_AFTER later destructions: DEAD --create--> MAKING
 *
 * Only a LIVE cache is found, walked over and used.
 */
enum cache_state {
	CACHE_UNUSED,
	CACHE_MAKING,
	CACHE_LIVE,
	CACHE_DYING,
	CACHE_DEAD
};

/*
 * Stages: what an alloc or free does besides moving a cell, in this fixed
 * order.  A NULL place is skipped.  Alloc stages run after the cell is taken,
 * free stages before it is given back, all without a lock, on batches.
 *
 * An alloc stage returns how many of the n objects it has done; fewer than n
 * means that the next one was refused: earlier stages' work on it is undone by
 * giving its cell back.  New stages are new places in these enums.
 */
enum alloc_stage {
	ALLOC_INIT, /* cells that were never initialised, or were fini'd */
	ALLOC_ZERO,
	ALLOC_CTOR,
	N_ALLOC_STAGES
};

enum free_stage { FREE_DTOR, N_FREE_STAGES };

typedef size_t (*alloc_stage_fn)(struct cubby_cache *cache, size_t n,
				 const uint64_t *cells);
typedef void (*free_stage_fn)(struct cubby_cache *cache, size_t n,
			      const uint64_t *cells);

struct cubby_cache {
	/* ABI */
	const void *copy; /* of the library, cubby__registry_copy() */
	struct cubby_fast fast;

	/* Constant while LIVE. */
	uint32_t id;    /* place in the table, from 1 */
	uint32_t state; /* enum cache_state; registry lock, read atomically */
	const struct cubby_layout *layout;
	alloc_stage_fn alloc_stages[N_ALLOC_STAGES];
	free_stage_fn free_stages[N_FREE_STAGES];
	cubby_limit_fn on_limit;
	cubby_init_fn init;
	cubby_fini_fn fini;
	cubby_ctor_fn ctor;
	cubby_dtor_fn dtor;
	void *context;
	char name[CUBBY_NAME_BYTES_MAX];

	/* Under the slab lock. */
	struct lock lock;
	struct region region;
	struct slab_set slabs;
	struct cell_side *inited; /* init was run; NULL without init, fini */
	struct cell_side *dying;  /* a free stage runs; NULL without one */
	struct cell_side cell_sides[2];
	uint32_t n_cell_sides;
	uint64_t n_kept_empty; /* empty slabs that trim leaves alone */
	uint64_t n_walks;
	uint64_t n_alloc_failures;
	uint64_t n_limit_hits;

	/* Under the registry's lock. */
	uint64_t n_pins;     /* for_each is looking at it */
	uint64_t created_at; /* counts creations: order of age */
	uint64_t dead_at;    /* counts destructions */
	uint32_t next_dead;  /* id of the one that died next, or 0 */

	/* Zeroed before every use of the descriptor. */
	_Alignas(8) char records[];
};

/* Room for the records of the first slabs: at least one of any geometry. */
#define RECORDS_BYTES (CACHE_BYTES - sizeof(struct cubby_cache))

_Static_assert(offsetof(struct cubby_cache, fast) == 8, "ABI");
_Static_assert(RECORDS_BYTES >= sizeof(struct slab) + 8192 / 8,
	       "a slab of the smallest cells has 8192");

/* alloc.c: the stages of this version. */
size_t cubby__alloc_stage_init(struct cubby_cache *cache, size_t n,
			       const uint64_t *cells);
size_t cubby__alloc_stage_zero(struct cubby_cache *cache, size_t n,
			       const uint64_t *cells);
size_t cubby__alloc_stage_ctor(struct cubby_cache *cache, size_t n,
			       const uint64_t *cells);
void cubby__alloc_stage_dtor(struct cubby_cache *cache, size_t n,
			     const uint64_t *cells);

/* Empty slabs with pages that a cache keeps for the next burst. */
#define EMPTY_SLABS_KEPT 2

/*
 * alloc.c: give the pages of empty slabs back until only `keep` slabs are
 * empty; runs fini.  Nothing while walks are open.  Returns the bytes.
 */
uint64_t cubby__alloc_trim(struct cubby_cache *cache, uint64_t keep);

/* alloc.c: dtor (if any), then free, for every live object. */
void cubby__alloc_free_all(struct cubby_cache *cache);

/*
 * alloc.c: the numbers of the first live cells from `cell` on, at most n of
 * them: how many.  The caller holds the slab lock.
 */
size_t cubby__alloc_next_live(const struct cubby_cache *cache, uint64_t cell,
			      size_t n, uint64_t *cells);

/*
 * usable.c: is this a live cache of this copy of the library?  Otherwise the
 * misuse is reported, and false returned if the program goes on.
 * @call: the name of the public call, for the report.
 */
bool cubby__usable(const struct cubby_cache *cache, const char *call);

/* The same as a code: 0, or -CUBBY_ENOCACHE with a detail. */
int cubby__usable_or_error(const struct cubby_cache *cache, const char *call);

/*
 * usable.c: what was wrong with a pointer that was to be freed.  A NULL cache
 * is one that nobody named, and then the fault is FREE_FOREIGN.
 */
enum free_fault {
	FREE_OK,
	FREE_FOREIGN,  /* in no cell of this cache */
	FREE_INTERIOR, /* inside a cell, but not its object */
	FREE_UNOPENED, /* a cell that was never handed out */
	FREE_NOT_LIVE  /* a cell that is free */
};
void cubby__usable_report_free(const struct cubby_cache *cache,
			       const void *address, uint64_t cell,
			       enum free_fault fault);

#endif /* CUBBY__CACHE_H */

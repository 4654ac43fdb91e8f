/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: cache - what the files of this layer share
 *
 * A cache is a descriptor of CACHE_BYTES in a table that is never unmapped
 * (registry.c), so that a stale pointer to a cache can always be read and
 * recognised:
 *
 *	0       8       24      64                                   3712
 *	+-------+-------+-------+-------------------------+----------+
 *	| copy  | fast  | weak  | constants, front, slabs | records  |
 *	+-------+-------+-------+-------------------------+----------+
 *
 * The first three are ABI: the copy of the library that made the cache, and
 * what the fast path and the handles read.  The rest holds the records of the first
 * slabs, so that a small cache costs no other page.
 */
#ifndef CUBBY__CACHE_H
#define CUBBY__CACHE_H

#include "compiler.h"
#include "lock.h"
#include "magazine.h"
#include "region.h"
#include "slab.h"
#include "stripe.h"

#include <cubby/cache.h>
#include <cubby/inline/weak.h>
#include <cubby/reserve.h>
#include <cubby/walk.h>

#define CACHE_BYTES 3712

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
enum alloc_stage { ALLOC_DEBUG, ALLOC_ZERO, ALLOC_CTOR, N_ALLOC_STAGES };

enum free_stage { FREE_DTOR, FREE_DEBUG, N_FREE_STAGES };

typedef size_t (*alloc_stage_fn)(struct cubby_cache *cache, size_t n,
				 void *const *objects);
typedef void (*free_stage_fn)(struct cubby_cache *cache, size_t n,
			      void *const *objects);

/*
 * The front end: what a cache has in magazines.  front.c uses it, quiesce.c
 * makes it stand still.
 *
 * Cells leave the slabs by a refill and return by a flush; in between they are
 * live, or idle in a block, in the depot or in a reserve.  The depot is a
 * lock-free stack of magazines for each of a few groups of CPUs (`young`), where
 * exchanges put and get, and a queue of aged ones under the slab lock, where
 * flushes put what they keep.
 *
 * Invariants:
 *   F1  gate is open or closed; it is closed if and only if n_closed is not 0 or
 *       the cache has no block; it changes under the slab lock only
 *   F2  of the two published gates (fast.gate per CPU, fast.thread_gate per
 *       thread) the other front end's is closed, and ours if gate is, or if
 *       alloc has stages (is_staged)
 *   F3  a cell is in one magazine or reserve at most, and then its bit is set
 *   F4  young[].n and n_aged are the counts of the cells in each of `young`, and
 *       in the aged magazines, whenever the cache is quiet
 *   F6  free_gate, by which frees find the block, is the gate, but closed while
 *       a walk of a cache with a flavour is open
 *   F5  idle cells are in flight only in an exchange (hand.h), under the slab
 *       lock, or in the list `preparing`; what direct.c has taken is an object, which
 *       its owner has not initialised yet
 */
struct front {
	/* Constant while LIVE. */
	uint32_t block; /* offset in a stripe; 0: the cache has none */
	bool is_staged; /* alloc has a stage: the fast path stays closed */
	uint32_t why_no_block; /* enum cubby_front_reason; 0: the process has it */
	uint64_t opened;       /* the gate when it is open */
	uint32_t capacity_max;
	uint32_t batch_max; /* cells that a refill takes at most */

	/* Under the slab lock; read elsewhere too. */
	uint64_t gate; /* as in fast.gate; per thread, an offset */
	uint64_t free_gate;
	uint32_t n_closed;
	uint32_t capacity;    /* of the magazines that are taken next */
	uint32_t batch;       /* cells of the next refill */
	uint64_t bound_cells; /* most that the depot should hold */
	uint64_t bound_min, bound_start, bound_max; /* cells; constant */
	uint64_t bound_usual; /* the bound, but while the cache only frees */
	uint32_t aged_first, aged_last; /* magazines, linked by next */
	uint32_t preparing; /* in hand while the lock is let go: init, pages */
	uint32_t n_reserves;
	struct cubby_reserve *reserves;
	uint64_t flushed_at_ms; /* the last flush for want of room; 0: none */
	uint64_t swept_at_ms;   /* the last visit to the blocks of others */
	uintptr_t flushed_by;   /* cubby__stripe_self() of who did */
	uint64_t flushed_cells; /* since the last refill, or window */
	bool depot_is_unsure;   /* F4 may not hold: a handler forked */
	bool only_frees;        /* a window without a refill has passed */
	uint32_t swept;         /* stripes, in turn */
	uint32_t n_waves;       /* refills in turn that came soon after one */
	uint64_t counted_bytes; /* its part of the process's idle bytes */
	uint64_t n_live_peak;

	/* Events. */
	uint64_t n_refills, n_flushes;
	uint64_t n_quiesces;
	uint64_t n_direct_allocs, n_direct_frees; /* atomic: calls */

	/* Atomic; written by exchanges.  The tags count them; n is of cells. */
	struct magazine_shard young[N_SHARDS];
	int64_t n_aged; /* F4: cells */

	/* Atomic: exchanges that ended where no CPU's block could count it. */
	int64_t n_in_hand_rest;
};

/*
 * Objects that wait for a grace period (defer.h, collect.h).
 *
 *	sheaf in a block -> waiting -> grace -> reclaiming -> depot
 *	                       a round:  wait     dtor
 *
 * A cell for which there was no magazine waits as a bit, in two arrays in turn.
 *
 * Invariants:
 *   D1  a deferred cell is in one sheaf, or has one bit, or, while dtor runs on
 *       it, neither, and then its `dying` bit is set; its slab bit is set
 *   D2  what is in `grace` was there before the grace period began
 *   D3  `reclaiming` and `grace` change under the slab lock, by who has the
 *       domain's round; in between their magazines stay as they are
 */
struct defer {
	/* Constant while LIVE. */
	struct domain *domain; /* NULL: the cache has no flavour */
	uint64_t soft_cells, brake_cells;
	uint64_t max_cells; /* 0: nothing is refused */
	uint64_t stall_ns;
	cubby_stall_fn on_stall;
	struct cell_side *bits[2];

	/* Atomic. */
	struct magazine_stack waiting;
	uint64_t n_cells; /* in full sheaves and bits */
	uint64_t n_cells_peak;
	uint64_t opened_ns;  /* the oldest partial sheaf; 0: none */
	uint64_t waiting_ns; /* since when the oldest in `waiting` waits */
	uint64_t grace_ns;   /* in `grace` or `reclaiming` */
	uint32_t is_listed;  /* in the domain's list of caches with work */
	uint32_t is_odd;     /* cells in sheaves have to be looked at */
	uint32_t is_stalled; /* on_stall was called */
	uint32_t wants_all;  /* somebody waits: partial sheaves too */
	struct cubby_cache *next_listed;

	/* Of who has the domain's round. */
	bool is_in_round;
	bool is_stuck; /* partial sheaves could not be had */
	struct cubby_cache *next_in_round;
	uint64_t usual_round; /* cells that a round gives, at most, lately */

	/* Under the slab lock. */
	uint32_t grace, reclaiming; /* magazines, linked by next */
	uint32_t fill;              /* bits[fill] are set */
	uint64_t n_bits[2];
	uint64_t bits_low[2], bits_end[2]; /* they are between these cells */
	uint64_t bit_begun; /* cell, and 1, whose dtor a round runs, or 0 */

	/* Events. */
	uint64_t n_reclaimed, n_grace_periods, n_overruns, n_stalls;
};

/* Handles (weak.c, watch.c). */
struct weak_cache {
	/* Constant while LIVE. */
	uint32_t mode;  /* enum cubby_weak_mode */
	bool is_strong; /* objects have a word in front, with a count */
	bool is_staged; /* frees go by death.c: handles, or a flavour */
	bool is_quick;  /* and mostly by its first function alone */
	uint64_t seal_key[2];
	cubby_expire_fn on_expire;
	struct cell_side *words; /* NULL: in front of objects */

	uint64_t n_retired;      /* atomic */
	uint64_t n_watches;      /* atomic; raised under the slab lock */
	struct side watch_heads; /* uint32_t a cell; slab lock */
};

struct cubby_cache {
	/* ABI */
	const void *copy; /* of the library, cubby__registry_copy() */
	struct cubby__fast fast;
	struct cubby__weak weak_fast;

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

	struct front front;
	struct weak_cache weak;
	struct defer defer;
	struct debug_cache *debug; /* debug.h; NULL: nobody watches */
	struct sample *sample;     /* sample.h; NULL: none is sampled */

	/* Under the slab lock. */
	struct lock lock;
	struct region region;
	struct slab_set slabs;
	struct cell_side *inited; /* init was run; NULL without init, fini */
	struct cell_side *dying;  /* a free stage runs; NULL without one */
	struct cell_side cell_sides[7];
	uint32_t n_cell_sides;
	uint64_t n_kept_empty; /* empty slabs that trim leaves alone, at least */
	uint64_t n_walks;      /* read elsewhere too */
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

/* Its address is what identifies this copy of the library: registry.h. */
extern struct registry cubby__registry __attribute__((visibility("hidden")));

/*
 * Another side array, of zeroes, with bits of each cell's: 0 and *ret_side, or
 * -ENOMEM.  Before the first slab.
 */
int cubby__cache_add_side(struct cubby_cache *cache, uint32_t bits_per_cell,
			  uint32_t skipped_bytes, struct cell_side **ret_side);

/* Room for the records of the first slabs: at least one of any geometry. */
#define RECORDS_BYTES (CACHE_BYTES - sizeof(struct cubby_cache))

_Static_assert(offsetof(struct cubby_cache, fast) == 8, "ABI");
_Static_assert(offsetof(struct cubby_cache, weak_fast) == 24, "ABI");
_Static_assert(RECORDS_BYTES >= sizeof(struct slab) + 8192 / 8,
	       "a slab of the smallest cells has 8192");

/* alloc.c: the stages of this version. */
size_t cubby__alloc_stage_zero(struct cubby_cache *cache, size_t n,
			       void *const *objects);
size_t cubby__alloc_stage_ctor(struct cubby_cache *cache, size_t n,
			       void *const *objects);
void cubby__alloc_stage_dtor(struct cubby_cache *cache, size_t n,
			     void *const *objects);

/* All stages of free, on n objects. */
void cubby__alloc_free_stages(struct cubby_cache *cache, size_t n,
			      void *const *objects);

/*
 * Run the alloc stages on n cells: n, or how many were done when one was
 * refused; those are destructed again, and all n are cells without an object.
 */
size_t cubby__alloc_stages(struct cubby_cache *cache, size_t n,
			   void *const *objects, bool zero);

/*
 * What was wrong with a pointer that was to be freed.
 */
enum free_fault {
	FREE_OK,
	FREE_FOREIGN,  /* in no cell of this cache */
	FREE_INTERIOR, /* inside a cell, but not its object */
	FREE_UNOPENED, /* a cell that was never handed out */
	FREE_NOT_LIVE  /* a cell that is free */
};

/* Faults found under a lock, to be reported after it; more are dropped. */
#define FAULTS_MAX 8
struct faults {
	unsigned n;
	struct {
		const void *address;
		uint64_t cell;
		enum free_fault fault;
	} list[FAULTS_MAX];
};

/*
 * direct.c: the way without magazines, by the slab lock.  The plain forms
 * take it; _locked ones are called with it, and may let it go around fini.
 */

/*
 * Take n cells, or none: 0 or -ENOMEM.  Waits for a running fini, takes idle
 * cells back from magazines, asks on_limit.  Runs init.
 */
int cubby__direct_alloc(struct cubby_cache *cache, size_t n, void **objects);

/* Run init on those of n objects that need it: how many went well. */
size_t cubby__direct_init(struct cubby_cache *cache, size_t n,
			  void *const *objects);

/*
 * Free n objects, NULLs among them; reports what is no live object.  In a
 * cache without a block a free stage runs on each that is one, once; otherwise
 * it has run.
 */
void cubby__direct_free(struct cubby_cache *cache, size_t n,
			void *const *objects);

/* The same for a reserve, whose count is raised as they are taken. */
int cubby__direct_reserve(struct cubby_cache *cache, size_t n, void **objects,
			  uint64_t *reserved);

/*
 * Cells back that hold no object: no checks, no stages.  The count of a
 * reserve that they were in, or NULL, is lowered.
 */
void cubby__direct_unreserve(struct cubby_cache *cache, size_t n,
			     void *const *objects, uint64_t *reserved);

/* Is this the place of an object, and of which cell? */
enum free_fault cubby__direct_find(const struct cubby_cache *cache,
				   const void *object, uint64_t *ret_cell);

/* Is this a live object, and in which cell?  Under the lock. */
enum free_fault cubby__direct_check(const struct cubby_cache *cache,
				    const void *object, uint64_t *ret_cell);

/* The same, whether its dtor runs or not. */
enum free_fault cubby__direct_check_used(const struct cubby_cache *cache,
					 const void *object,
					 uint64_t *ret_cell);

/* A dead object's cell becomes free; its dtor has run.  _settled: if its word
 * does not say that it is retired (death.h).
 */
void cubby__direct_give(struct cubby_cache *cache, const void *object);
void cubby__direct_give_settled_locked(struct cubby_cache *cache,
				       uint64_t cell, struct faults *faults);

/* Make a cell free that was idle or live; note what is wrong with it. */
void cubby__direct_give_locked(struct cubby_cache *cache, const void *object,
			       struct faults *faults);

/* The two steps of that. */
bool cubby__direct_find_locked(const struct cubby_cache *cache,
			       const void *object, uint64_t *ret_cell,
			       struct faults *faults);
void cubby__direct_give_cell_locked(struct cubby_cache *cache, uint64_t cell,
				    struct faults *faults);
void cubby__direct_give_cells_locked(struct cubby_cache *cache, size_t n,
				     const uint64_t *cells,
				     struct faults *faults);
void cubby__direct_report(const struct cubby_cache *cache,
			  const struct faults *faults);

/* How many empty slabs trim leaves alone now. */
uint64_t cubby__direct_kept_empty(const struct cubby_cache *cache);

/*
 * Give the pages of empty slabs back until only `keep` slabs are empty; runs
 * fini.  Nothing while walks are open.  Returns the bytes.
 */
uint64_t cubby__direct_trim(struct cubby_cache *cache, uint64_t keep);
uint64_t cubby__direct_trim_locked(struct cubby_cache *cache, uint64_t keep,
				   sigset_t *saved);

/* dtor (if any), then free, for every live object of a drained cache. */
void cubby__direct_free_all(struct cubby_cache *cache);

/* A walk has ended: what could not go while it was open goes. */
void cubby__direct_end_walks(struct cubby_cache *cache);

/*
 * The numbers of the first live cells from `cell` on, at most n of them: how
 * many.  The caller holds the slab lock.
 */
size_t cubby__direct_next_live(const struct cubby_cache *cache, uint64_t cell,
			       size_t n, uint64_t *cells);

/* front.c: magazines. */

/*
 * _init: once, under the registry lock.  For each cache: a block, if there is
 * one for it; its gate opened when its memory is made; the block given back
 * when it was drained and closed.
 */
void cubby__front_init(void);
void cubby__front_make_block(struct cubby_cache *cache);
void cubby__front_open_cache(struct cubby_cache *cache);
void cubby__front_close_cache(struct cubby_cache *cache);

/*
 * An object, from magazines or by a refill: 0; -EAGAIN: go the direct way;
 * -ENOMEM: init refused.
 */
int cubby__front_alloc(struct cubby_cache *cache, void **ret_object);

/* false: go the direct way. */
bool cubby__front_free(struct cubby_cache *cache, void *object);

/* As many of n as magazines have, or take: how many. */
size_t cubby__front_alloc_bulk(struct cubby_cache *cache, size_t n,
			       void **objects);
size_t cubby__front_free_bulk(struct cubby_cache *cache, size_t n,
			      void *const *objects);

/*
 * All blocks of a cache, of threads or CPUs.  A number is valid for ever; those
 * that come later have nothing in them while the gate is closed.
 */
uint32_t cubby__front_n_blocks(void);
struct block *cubby__front_block(const struct cubby_cache *cache, uint32_t i);

/* A thread or stripe ends: the magazines of a block go to their depot. */
void cubby__front_empty_block(struct cubby_cache *cache, struct block *block);

/* The cache that uses this block, by a magazine in it; NULL if it is empty. */
struct cubby_cache *cubby__front_user_of(const struct block *block);

/* depot.c */

/*
 * Before the gate is opened, with capacity_max and, in bytes, bound_max as the
 * user set them, or 0; after it was closed for ever.
 */
void cubby__depot_init(struct cubby_cache *cache);
void cubby__depot_fini(struct cubby_cache *cache);

/* A magazine in flight: to the depot, or to the empties if it is empty. */
void cubby__depot_put(struct front *front, uint32_t number);

/* A magazine with cells from the depot, in flight, or 0. */
uint32_t cubby__depot_get(struct front *front);

/*
 * Under the lock, which is let go around init, and while the kernel is asked for
 * pages of a cache that grows: up to MAGAZINES_PER_VISIT magazines with cells, the
 * lowest first: 0; -EAGAIN: there are none, go the direct way; -ENOMEM: init refused.
 */
#define MAGAZINES_PER_VISIT 4
int cubby__depot_refill(struct cubby_cache *cache, uint32_t *numbers,
			unsigned *ret_n, sigset_t *saved);

/* Cells that the depot holds: exact when the cache is quiet. */
int64_t cubby__depot_n_cells(const struct front *front);

/* Does the depot hold more than it should?  Then bring some of it back. */
bool cubby__depot_overflows(const struct front *front);
void cubby__depot_flush(struct cubby_cache *cache);

/* Its part of what all depots hold: made right at each lock visit. */
void cubby__depot_count_process(struct cubby_cache *cache);

/* Cells that it should not exceed, as things stand in the process. */
uint64_t cubby__depot_bound(const struct front *front);

/* The level of live cells may be the highest so far.  Under the lock. */
void cubby__depot_note_peak(struct cubby_cache *cache);

/* The cells of a magazine go back to the slabs, it to the empties. */
void cubby__depot_flush_locked(struct cubby_cache *cache, uint32_t number,
			       struct faults *faults);

/*
 * adopt.c: in a fork child, for each cache, and then once: open what was
 * closed, and take over what other threads had in magazines.
 */
void cubby__adopt_cache(struct cubby_cache *cache);
void cubby__adopt_stripes(void);

/* Instead of both, where there were no other threads. */
void cubby__adopt_self(void);

/*
 * quiesce.c: make every block of the cache stand still, with the slab lock
 * held and its gate closed: 0, or -EBUSY with the lock not held and a detail
 * that names the thread that stays in its bracket.  Signals are blocked until
 * the end.
 */
int cubby__quiesce_begin(struct cubby_cache *cache, sigset_t *ret_saved);
void cubby__quiesce_end(struct cubby_cache *cache, const sigset_t *saved);

/*
 * Where a closed gate leads to: block 0, of CPU 0 or as an offset in a thread's
 * stripe.
 */
extern uint64_t cubby__front_closed __attribute__((visibility("hidden")));

static inline bool
front_is_open(const struct front *front)
{
	return __atomic_load_n(&front->gate, __ATOMIC_ACQUIRE) !=
	       cubby__front_closed;
}

/* Set the gate and what is published of it.  Under the lock. */
void cubby__front_set_gate(struct cubby_cache *cache, bool open);

/* Close the gate, and open it if nobody else keeps it closed.  Under the lock. */
void cubby__quiesce_close(struct cubby_cache *cache);
void cubby__quiesce_open(struct cubby_cache *cache);

/* In between: all idle cells, or how many; and give them all back. */
struct idle_counts {
	uint64_t in_blocks, in_depot, reserved, preparing, retired, waiting;
};
void cubby__quiesce_for_each(struct cubby_cache *cache,
			     void (*visit)(void *context, const void *object),
			     void *context);
void cubby__quiesce_count(const struct cubby_cache *cache,
			  struct idle_counts *ret_counts);
uint64_t cubby__quiesce_count_young(const struct cubby_cache *cache);

void cubby__quiesce_drain(struct cubby_cache *cache, struct faults *faults);
size_t cubby__quiesce_verify(struct cubby_cache *cache, struct text *first);

/*
 * With the lock held and the gate open: take back what the next n stripes hold,
 * in turn, but for those whose thread is inside a bracket: without waiting.
 */
void cubby__quiesce_sweep_locked(struct cubby_cache *cache, uint32_t n,
				 struct faults *faults);

/* All in one, and trim: 0 or -EBUSY. */
int cubby__quiesce_take_back(struct cubby_cache *cache, uint64_t keep,
			     uint64_t *ret_bytes);

/* reserve.c */
uint64_t cubby__reserve_count(const struct cubby_cache *cache);
void cubby__reserve_for_each(struct cubby_cache *cache,
			     void (*visit)(void *context, const void *object),
			     void *context);

/* What a live cache of ours says; quick, and enough for the common case. */
static inline bool
cache_is_live(const struct cubby_cache *cache)
{
	return likely(cache != NULL && cache->copy == &cubby__registry &&
		      __atomic_load_n(&cache->state, __ATOMIC_ACQUIRE) ==
			      CACHE_LIVE);
}

/*
 * usable.c: is this a live cache of this copy of the library?  Otherwise the
 * misuse is reported, and false returned if the program goes on.
 * @call: the name of the public call, for the report.
 */
bool cubby__usable(const struct cubby_cache *cache, const char *call);

/* The same as a code: 0, or -CUBBY_ENOCACHE with a detail. */
int cubby__usable_or_error(const struct cubby_cache *cache, const char *call);

/*
 * usable.c: report a pointer that was to be freed.  A NULL cache is one that
 * nobody named, and then the fault is FREE_FOREIGN.
 */
void cubby__usable_report_free(const struct cubby_cache *cache,
			       const void *address, uint64_t cell,
			       enum free_fault fault);

/* The same where it is found in the call that does it. */
void cubby__usable_report_now(const struct cubby_cache *cache,
			      const void *address, uint64_t cell,
			      enum free_fault fault);

#endif /* CUBBY__CACHE_H */

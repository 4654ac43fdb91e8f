/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: direct - the way by the slab lock, without magazines
 *
 * Theory
 *
 * This is the way of a cache without a block (CUBBY_OPTIONS=front=none, very
 * large cells) or with its gate closed for the moment; per CPU, of a thread that
 * has no sequences, is more than four exchanges deep, or whose CPU's stripe
 * cannot be made writable; per thread, of one without a stripe, and of a signal
 * handler that finds its own thread inside a bracket.  It works on batches: one
 * visit to the slab lock for all cells of a call.
 *
 *	alloc   take the cells (lock), then init for those that need it
 *	free    check the pointers (lock), then the stage DTOR, then give (lock)
 *
 * Callbacks run outside the lock.  Without a free stage the two lock visits of
 * free are one.  With one, the first visit marks the cells as dying, so that a
 * second free of the same object, by whichever thread, is recognised before
 * the stage could run on it twice.
 *
 * Invariant C1: a dying cell is live; so it is not served.
 *
 * In a cache without magazines every misuse of free is found for certain,
 * because the bit of a cell says whether it is live at the moment of the call.
 */
#include "bits.h"
#include "cache.h"
#include "debug.h"
#include "death.h"
#include "defer.h"
#include "error.h"
#include "host.h"
#include "os.h"
#include "reclaim.h"
#include "registry.h"
#include "report.h"
#include "sample.h"
#include "weak.h"

#include <errno.h>
#include <sched.h>
#include <string.h>

/* How long an allocation waits for a fini that holds the last free cells. */
#define FINI_WAIT_NS (NS_PER_S / 10)

/* Rounds of reclaiming that it waits for: others may take what comes back. */
#define GRACE_TRIES 8

/* Cells of a batch that live on the stack: 2 KiB. */
#define BATCH_CELLS 256

/* ---------------------------------- trim --------------------------------- */

/*
 * fini for the initialised cells of a slab that is RECLAIMING; their bits are
 * cleared when its side arrays are dropped.
 */
static void
fini_slab(struct cubby_cache *cache, uint64_t slab, uint32_t n_cells)
{
	uint64_t cell = slab_first_cell(&cache->slabs, slab);
	uint64_t end = cell + n_cells;

	for (; cell < end; cell++) {
		if (!cell_side_test(cache->inited, cell))
			continue;
		cubby__debug_open(cache, region_object(&cache->region, cell));
		cache->fini(region_object(&cache->region, cell),
			    cache->context);
	}
}

uint64_t
cubby__direct_kept_empty(const struct cubby_cache *cache)
{
	const struct slab_set *slabs = &cache->slabs;
	uint64_t n_in_use = slabs->n_slabs - slabs->n_in_lane[LANE_EMPTY] -
			    slabs->n_in_lane[LANE_RETURNED];

	if (cubby__host.empty_share == 0)
		return cache->n_kept_empty;
	return max_u64(cache->n_kept_empty,
		       n_in_use / cubby__host.empty_share);
}

uint64_t
cubby__direct_trim_locked(struct cubby_cache *cache, uint64_t keep,
			  sigset_t *saved)
{
	/* Not those that others empty meanwhile: free must come to an end. */
	uint64_t n_left = cache->slabs.n_in_lane[LANE_EMPTY];
	uint64_t bytes = 0;
	uint64_t slab;

	while (n_left-- > 0 && cache->n_walks == 0 &&
	       cubby__slab_reclaim_begin(&cache->slabs, keep, &slab)) {
		if (cache->fini != NULL) {
			/* The records may move as soon as the lock is gone. */
			uint32_t n_cells =
				slab_record(&cache->slabs, slab)->n_cells;

			cubby__lock_release(&cache->lock, saved);
			fini_slab(cache, slab, n_cells);
			cubby__lock_acquire(&cache->lock, saved);
		}
		bytes += cubby__slab_reclaim_end(&cache->slabs, slab);
	}
	return bytes;
}

uint64_t
cubby__direct_trim(struct cubby_cache *cache, uint64_t keep)
{
	sigset_t saved;
	uint64_t bytes;

	cubby__lock_acquire(&cache->lock, &saved);
	bytes = cubby__direct_trim_locked(cache, keep, &saved);
	cubby__lock_release(&cache->lock, &saved);
	return bytes;
}

/* In passthrough: what was freed while a walk was open is gone now. */
static void
end_cells(struct cubby_cache *cache)
{
	struct region *region = &cache->region;

	for (uint64_t cell = 0; cell < cache->slabs.n_cells; cell++)
		if (region_chunk(region, cell) != NULL &&
		    !cubby__slab_is_live(&cache->slabs, cell))
			cubby__region_end_cell(region, cell);
}

void
cubby__direct_end_walks(struct cubby_cache *cache)
{
	sigset_t saved;

	cubby__lock_acquire(&cache->lock, &saved);
	if (cache->n_walks == 0) {
		cubby__sample_end_walks_locked(cache);
		if (cache->region.passes && !cache->region.keeps)
			end_cells(cache);
	}
	cubby__lock_release(&cache->lock, &saved);
	/* What was not given back while the walk was open. */
	cubby__direct_trim(cache, cubby__direct_kept_empty(cache));
}

/* ---------------------------------- alloc -------------------------------- */

/* Why an allocation has to do without. */
struct refusal {
	enum slab_refusal why;
	bool is_passing; /* cells will be free when a running fini or init ends */
};

static void
give_cell(struct cubby_cache *cache, uint64_t cell)
{
	cubby__slab_give(&cache->slabs, cell);
	if (cache->n_walks == 0) { /* a walk may still look at it */
		cubby__region_end_cell(&cache->region, cell);
		cubby__slab_thin(&cache->slabs, cell);
	}
}

static void
give_locked(struct cubby_cache *cache, size_t n, void *const *objects)
{
	uint64_t cell;

	for (size_t i = 0; i < n; i++) {
		cubby__region_find(&cache->region, objects[i], &cell);
		give_cell(cache, cell);
	}
}

/* Those for which there is memory; the others go back. */
static size_t
begin_cells(struct cubby_cache *cache, size_t n, const uint64_t *cells)
{
	size_t n_begun = 0;

	while (n_begun < n &&
	       cubby__region_begin_cell(&cache->region, cells[n_begun]) == 0)
		n_begun++;
	for (size_t i = n_begun; i < n; i++)
		cubby__slab_give(&cache->slabs, cells[i]);
	return n_begun;
}

/* Take up to n cells in one go: how many there were. */
static size_t
take_locked(struct cubby_cache *cache, size_t n, void **objects,
	    enum slab_refusal *ret_why)
{
	uint64_t cells[BATCH_CELLS];
	size_t n_taken = 0;

	while (n_taken < n) {
		size_t n_wanted = min_u64(n - n_taken, BATCH_CELLS);
		size_t n_got = cubby__slab_take(&cache->slabs, n_wanted, cells,
						ret_why);
		size_t n_begun = begin_cells(cache, n_got, cells);

		if (unlikely(n_begun < n_got))
			*ret_why = SLAB_NO_MEMORY;
		for (size_t i = 0; i < n_begun; i++)
			objects[n_taken + i] = region_object(&cache->region,
							     cells[i]);
		n_taken += n_begun;
		if (n_begun < n_wanted)
			break;
	}
	return n_taken;
}

static void
reverse(size_t n, void **objects)
{
	for (size_t i = 0; i < n / 2; i++) {
		void *object = objects[i];

		objects[i] = objects[n - 1 - i];
		objects[n - 1 - i] = object;
	}
}

/*
 * What is wanted, all or none.  `reserved` is NULL, or raised by n in the lock
 * visit that takes the cells, so that nobody sees them as live; they then
 * stand in reverse, the lowest on top.
 */
struct request {
	size_t n;
	void **objects;
	uint64_t *reserved;
};

/* Under the lock: 0, or -ENOMEM and *ret_refusal. */
static int
take_all_locked(struct cubby_cache *cache, const struct request *request,
		struct refusal *ret_refusal)
{
	struct slab_set *slabs = &cache->slabs;
	uint64_t peak = slabs->n_live_peak;
	size_t n = request->n;
	size_t n_taken = 0;

	ret_refusal->why = slabs->max_is_limit ? SLAB_AT_LIMIT :
						 SLAB_NO_MEMORY;
	if (n <= slabs->max_cells - slabs->n_live)
		n_taken = take_locked(cache, n, request->objects,
				      &ret_refusal->why);
	if (n_taken == n) {
		if (request->reserved != NULL) {
			reverse(n, request->objects);
			__atomic_add_fetch(request->reserved, n,
					   __ATOMIC_SEQ_CST);
		}
		cubby__depot_note_peak(cache);
		return 0;
	}
	give_locked(cache, n_taken, request->objects);
	slabs->n_live_peak = peak; /* they never lived */
	ret_refusal->is_passing = slabs->n_in_lane[LANE_RECLAIMING] != 0 ||
				  cache->front.preparing != 0;
	return -ENOMEM;
}

/* Of the free cells, and of those of a quarantine only if it must be. */
static int
take(struct cubby_cache *cache, const struct request *request,
     struct refusal *ret_refusal)
{
	struct faults faults = { 0 };
	sigset_t saved;
	int err;

	cubby__lock_acquire(&cache->lock, &saved);
	err = take_all_locked(cache, request, ret_refusal);
	if (unlikely(err && cubby__debug_drain_locked(cache, &faults)))
		err = take_all_locked(cache, request, ret_refusal);
	if (err)
		cubby__direct_trim_locked(
			cache, cubby__direct_kept_empty(cache), &saved);
	cubby__lock_release(&cache->lock, &saved);
	cubby__direct_report(cache, &faults);
	return err;
}

/*
 * The same from what is idle in magazines: in one go, so that nobody else gets
 * it in between.
 */
static int
take_idle(struct cubby_cache *cache, const struct request *request,
	  struct refusal *ret_refusal)
{
	struct faults faults = { 0 };
	sigset_t saved;
	int err;

	if (cache->front.block == 0 ||
	    cubby__quiesce_begin(cache, &saved) != 0)
		return -ENOMEM;
	cubby__quiesce_drain(cache, &faults);
	err = take_all_locked(cache, request, ret_refusal);
	cubby__quiesce_end(cache, &saved);
	cubby__direct_report(cache, &faults);
	return err;
}

/*
 * The same, but wait a while for another thread's fini or init.  Not for ever:
 * this may be a signal handler on the thread that runs it.
 */
static int
take_waiting(struct cubby_cache *cache, const struct request *request,
	     struct refusal *ret_refusal)
{
	uint64_t deadline_ns = 0;

	while (take(cache, request, ret_refusal) != 0) {
		if (!ret_refusal->is_passing)
			return -ENOMEM;
		if (deadline_ns == 0)
			deadline_ns = cubby__os_now_ns() + FINI_WAIT_NS;
		else if (cubby__os_now_ns() >= deadline_ns)
			return -ENOMEM;
		sched_yield();
	}
	return 0;
}

static int
take_insisting(struct cubby_cache *cache, const struct request *request,
	       struct refusal *ret_refusal)
{
	if (take_waiting(cache, request, ret_refusal) == 0 ||
	    take_idle(cache, request, ret_refusal) == 0)
		return 0;
	/* What came back may have been what a fini waits for. */
	return take_waiting(cache, request, ret_refusal);
}

/* The same, but wait for a grace period of what was freed. */
static int
take_deferred(struct cubby_cache *cache, const struct request *request,
	      struct refusal *ret_refusal)
{
	for (unsigned i = 0; i < GRACE_TRIES && cubby__defer_may_await(cache);
	     i++) {
		if (take_insisting(cache, request, ret_refusal) == 0)
			return 0;
		if (!cubby__defer_await(cache))
			sched_yield(); /* others have it in hand */
	}
	/* What waits no more came back after we had tried. */
	return take_insisting(cache, request, ret_refusal);
}

static int
take_or_ask(struct cubby_cache *cache, const struct request *request)
{
	struct refusal refusal;

	if (unlikely(cubby__defer_refuses(cache)))
		return -ENOMEM;
	if (take_deferred(cache, request, &refusal) == 0)
		return 0;
	if (refusal.why != SLAB_AT_LIMIT)
		return -ENOMEM;
	__atomic_add_fetch(&cache->n_limit_hits, 1, __ATOMIC_RELAXED);
	if (cache->on_limit == NULL || !cache->on_limit(cache, cache->context))
		return -ENOMEM;
	return take_deferred(cache, request, &refusal);
}

size_t
cubby__direct_init(struct cubby_cache *cache, size_t n, void *const *objects)
{
	uint64_t cell;

	for (size_t i = 0; i < n; i++) {
		cubby__region_find(&cache->region, objects[i], &cell);
		if (cell_side_test(cache->inited, cell))
			continue;
		cubby__debug_open(cache, objects[i]);
		if (cache->init != NULL &&
		    cache->init(objects[i], cache->context) != 0)
			return i;
		cell_side_set(cache->inited, cell);
	}
	return n;
}

static int
alloc(struct cubby_cache *cache, const struct request *request)
{
	int err = take_or_ask(cache, request);

	if (!err && cache->inited != NULL &&
	    cubby__direct_init(cache, request->n, request->objects) <
		    request->n) {
		cubby__direct_unreserve(cache, request->n, request->objects,
					request->reserved);
		err = -ENOMEM;
	}
	return err;
}

int
cubby__direct_alloc(struct cubby_cache *cache, size_t n, void **objects)
{
	return alloc(cache, &(struct request){ n, objects, NULL });
}

int
cubby__direct_reserve(struct cubby_cache *cache, size_t n, void **objects,
		      uint64_t *reserved)
{
	return alloc(cache, &(struct request){ n, objects, reserved });
}

/* ---------------------------------- free --------------------------------- */

/* Nothing is wrong with freeing NULL, or that many faults at once. */
static void
note_fault(struct faults *faults, const void *object, uint64_t cell,
	   enum free_fault fault)
{
	if (faults->n == FAULTS_MAX)
		return;
	faults->list[faults->n].address = object;
	faults->list[faults->n].cell = cell;
	faults->list[faults->n++].fault = fault;
}

void
cubby__direct_report(const struct cubby_cache *cache,
		     const struct faults *faults)
{
	for (unsigned i = 0; i < faults->n; i++)
		cubby__usable_report_free(cache, faults->list[i].address,
					  faults->list[i].cell,
					  faults->list[i].fault);
}

/* Which cell's object is it, if any was ever there?  Also without the lock. */
enum free_fault
cubby__direct_find(const struct cubby_cache *cache, const void *object,
		   uint64_t *ret_cell)
{
	uint64_t n_cells = __atomic_load_n(&cache->slabs.n_cells,
					   __ATOMIC_RELAXED);
	enum region_answer answer;

	*ret_cell = 0;
	answer = cubby__region_find(&cache->region, object, ret_cell);
	if (likely(answer == REGION_OBJECT && *ret_cell < n_cells))
		return FREE_OK;
	if (answer == REGION_OUTSIDE)
		return FREE_FOREIGN;
	return *ret_cell >= n_cells ? FREE_UNOPENED : FREE_INTERIOR;
}

bool
cubby__direct_find_locked(const struct cubby_cache *cache, const void *object,
			  uint64_t *ret_cell, struct faults *faults)
{
	enum free_fault fault = cubby__direct_find(cache, object, ret_cell);

	if (unlikely(fault != FREE_OK))
		note_fault(faults, object, *ret_cell, fault);
	return fault == FREE_OK;
}

void
cubby__direct_give_cell_locked(struct cubby_cache *cache, uint64_t cell,
			       struct faults *faults)
{
	enum sample_catch caught = SAMPLE_NOT_OURS;

	if (unlikely(sample_owns(cache, cell)))
		caught = cubby__sample_catch_locked(cache, cell);
	if (caught == SAMPLE_CAUGHT)
		return;
	if (likely(caught == SAMPLE_NOT_OURS &&
		   cubby__slab_is_live(&cache->slabs, cell)))
		give_cell(cache, cell);
	else
		note_fault(faults, region_object(&cache->region, cell), cell,
			   FREE_NOT_LIVE);
}

/* Neighbours in the list are often of one slab. */
void
cubby__direct_give_cells_locked(struct cubby_cache *cache, size_t n,
				const uint64_t *cells, struct faults *faults)
{
	bool by_runs = cache->sample == NULL && !cache->region.passes;
	size_t n_given;

	for (size_t i = 0; i < n; i += n_given) {
		n_given = by_runs ? cubby__slab_give_run(&cache->slabs, n - i,
							 cells + i) :
				    0;
		if (n_given == 0) {
			cubby__direct_give_cell_locked(cache, cells[i],
						       faults);
			n_given = 1;
		} else if (cache->n_walks == 0) {
			cubby__slab_thin(&cache->slabs, cells[i]);
		}
	}
}

void
cubby__direct_give_locked(struct cubby_cache *cache, const void *object,
			  struct faults *faults)
{
	uint64_t cell;

	if (cubby__direct_find_locked(cache, object, &cell, faults))
		cubby__direct_give_cell_locked(cache, cell, faults);
}

enum free_fault
cubby__direct_check_used(const struct cubby_cache *cache, const void *object,
			 uint64_t *ret_cell)
{
	enum free_fault fault = cubby__direct_find(cache, object, ret_cell);

	if (fault == FREE_OK && !cubby__slab_is_live(&cache->slabs, *ret_cell))
		fault = FREE_NOT_LIVE;
	return fault;
}

enum free_fault
cubby__direct_check(const struct cubby_cache *cache, const void *object,
		    uint64_t *ret_cell)
{
	enum free_fault fault = cubby__direct_check_used(cache, object,
							 ret_cell);

	if (fault == FREE_OK && ((cache->dying != NULL &&
				  cell_side_test(cache->dying, *ret_cell)) ||
				 cubby__defer_has_bit(cache, *ret_cell) ||
				 cubby__weak_is_retired(cache, *ret_cell)))
		fault = FREE_NOT_LIVE;
	return fault;
}

void
cubby__direct_give(struct cubby_cache *cache, const void *object)
{
	struct faults faults = { 0 };
	sigset_t saved;
	uint64_t cell;

	cubby__lock_acquire(&cache->lock, &saved);
	if (cubby__direct_find_locked(cache, object, &cell, &faults)) {
		if (cache->dying != NULL)
			cell_side_clear(cache->dying, cell);
		if (unlikely(cubby__defer_has_bit(cache, cell)))
			note_fault(&faults, object, cell, FREE_NOT_LIVE);
		else
			cubby__direct_give_cell_locked(cache, cell, &faults);
	}
	cubby__direct_trim_locked(cache, cubby__direct_kept_empty(cache),
				  &saved);
	cubby__lock_release(&cache->lock, &saved);
	cubby__direct_report(cache, &faults);
}

void
cubby__direct_give_settled_locked(struct cubby_cache *cache, uint64_t cell,
				  struct faults *faults)
{
	void *object = region_object(&cache->region, cell);

	if (cubby__death_settle(cache, object, cell) &&
	    !cubby__debug_keep_locked(cache, object, faults))
		give_cell(cache, cell);
}

/*
 * Claim objects until there are FAULTS_MAX faults: the objects, whose number
 * is returned, and in *ret_n_passed how many pointers were passed.  Without a
 * free stage the cells are free at once; with one they are dying: nobody else
 * can claim them.
 */
static size_t
claim(struct cubby_cache *cache, size_t n, void *const *objects,
      void **claimed, size_t *ret_n_passed, struct faults *faults)
{
	bool dying = cache->dying != NULL && cache->front.block == 0;
	size_t n_claimed = 0;
	sigset_t saved;
	bool waits;
	size_t i;

	cubby__lock_acquire(&cache->lock, &saved);
	/* A walk is opened with the lock held, and before its snapshot. */
	waits = cache->defer.domain != NULL && cache->n_walks != 0;
	for (i = 0; i < n && faults->n < FAULTS_MAX; i++) {
		enum free_fault fault;
		uint64_t cell = 0;

		if (objects[i] == NULL)
			continue;
		if (!dying && !waits) {
			cubby__direct_give_locked(cache, objects[i], faults);
			continue;
		}
		fault = cubby__direct_check(cache, objects[i], &cell);
		if (fault == FREE_OK && waits &&
		    !cubby__defer_bit_locked(cache, cell))
			fault = FREE_NOT_LIVE;
		if (fault == FREE_OK && !waits) {
			cell_side_set(cache->dying, cell);
			claimed[n_claimed++] = objects[i];
		} else if (fault != FREE_OK) {
			note_fault(faults, objects[i], cell, fault);
		}
	}
	if (!dying)
		cubby__direct_trim_locked(
			cache, cubby__direct_kept_empty(cache), &saved);
	cubby__lock_release(&cache->lock, &saved);
	if (waits)
		cubby__reclaim_notify(cache, false);
	*ret_n_passed = i;
	return n_claimed;
}

static void
end_lives(struct cubby_cache *cache, size_t n, void *const *objects,
	  struct faults *faults)
{
	uint64_t cell;
	sigset_t saved;

	cubby__alloc_free_stages(cache, n, objects);
	cubby__lock_acquire(&cache->lock, &saved);
	for (size_t i = 0; i < n; i++) {
		cubby__region_find(&cache->region, objects[i], &cell);
		cell_side_clear(cache->dying, cell);
		if (!cubby__debug_keep_locked(cache, objects[i], faults))
			give_locked(cache, 1, &objects[i]);
	}
	cubby__direct_trim_locked(cache, cubby__direct_kept_empty(cache),
				  &saved);
	cubby__lock_release(&cache->lock, &saved);
}

/* Free up to a batch of objects: how many pointers were passed. */
static size_t
free_batch(struct cubby_cache *cache, size_t n, void *const *objects)
{
	void *claimed[BATCH_CELLS];
	struct faults faults = { 0 };
	size_t n_passed, n_claimed;

	n = min_u64(n, BATCH_CELLS);
	n_claimed = claim(cache, n, objects, claimed, &n_passed, &faults);
	if (n_claimed != 0)
		end_lives(cache, n_claimed, claimed, &faults);
	if (unlikely(faults.n != 0))
		cubby__direct_report(cache, &faults);
	return n_passed;
}

void
cubby__direct_free(struct cubby_cache *cache, size_t n, void *const *objects)
{
	for (size_t i = 0; i < n;)
		i += free_batch(cache, n - i, objects + i);
}

void
cubby__direct_unreserve(struct cubby_cache *cache, size_t n,
			void *const *objects, uint64_t *reserved)
{
	sigset_t saved;

	if (n == 0)
		return;
	cubby__lock_acquire(&cache->lock, &saved);
	if (reserved != NULL)
		__atomic_sub_fetch(reserved, n, __ATOMIC_SEQ_CST);
	give_locked(cache, n, objects);
	cubby__direct_trim_locked(cache, cubby__direct_kept_empty(cache),
				  &saved);
	cubby__lock_release(&cache->lock, &saved);
}

/* ----------------------------- all live objects -------------------------- */

/* The live cells of one word of a slab's record, from `cell` on. */
static size_t
live_in_word(const struct cubby_cache *cache, uint64_t bits, uint64_t first,
	     uint64_t cell, size_t n, uint64_t *cells)
{
	size_t n_found = 0;

	for (; bits != 0 && n_found < n; bits &= bits - 1) {
		uint64_t live = first + bit_lowest(bits);

		if (live >= cell && !cubby__weak_is_retired(cache, live))
			cells[n_found++] = live;
	}
	return n_found;
}

size_t
cubby__direct_next_live(const struct cubby_cache *cache, uint64_t cell,
			size_t n, uint64_t *cells)
{
	const struct slab_set *slabs = &cache->slabs;
	uint64_t number = cell >> cache->region.geometry.slab_shift;
	size_t n_found = 0;

	for (; number < slabs->n_slabs && n_found < n; number++) {
		const struct slab *slab = slab_record(slabs, number);
		uint64_t first = slab_first_cell(slabs, number);

		for (uint64_t i = 0;
		     slab->n_live != 0 && i < slab_words(slabs); i++)
			n_found += live_in_word(cache, slab->live[i],
						first + i * 64, cell,
						n - n_found, cells + n_found);
	}
	return n_found;
}

void
cubby__direct_free_all(struct cubby_cache *cache)
{
	uint64_t cells[BATCH_CELLS];
	void *objects[BATCH_CELLS];
	uint64_t next = 0;
	sigset_t saved;
	size_t n;

	for (;;) {
		cubby__lock_acquire(&cache->lock, &saved);
		n = cubby__direct_next_live(cache, next, BATCH_CELLS, cells);
		cubby__lock_release(&cache->lock, &saved);
		if (n == 0)
			return;
		for (size_t i = 0; i < n; i++)
			objects[i] = region_object(&cache->region, cells[i]);
		cubby__alloc_free_stages(cache, n, objects);
		cubby__lock_acquire(&cache->lock, &saved);
		/* No trim: the last dtor comes before the first fini. */
		give_locked(cache, n, objects);
		cubby__lock_release(&cache->lock, &saved);
		next = cells[n - 1] + 1;
	}
}

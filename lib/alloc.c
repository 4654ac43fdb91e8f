/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: alloc - the one slow alloc and the one slow free
 *
 * Theory
 *
 * This is the path of every call whose cache's gate is closed, and the path
 * behind every magazine that runs empty or full.  It works on batches: one
 * visit to the slab lock for all cells of a call.
 *
 *	alloc   take the cells (lock), then the stages INIT, ZERO, CTOR
 *	free    check the pointers (lock), then the stage DTOR, then give (lock)
 *
 * Stages run outside the lock; see cache.h for their contract.  Without a
 * free stage the two lock visits of free are one.  With one, the first visit
 * marks the cells as dying, so that a second free of the same object, by
 * whichever thread, is recognised before the stage could run on it twice.
 *
 * Invariant C1: a dying cell is live; so it is not served.
 *
 * All or nothing: cells that were taken and then refused by a stage go back,
 * and objects that were already constructed are destructed.
 *
 * With the gate closed every misuse is found for certain, because the bit of a
 * cell says whether it is live at the moment of the call.
 */
#include "bits.h"
#include "cache.h"
#include "error.h"
#include "os.h"
#include "registry.h"
#include "report.h"

#include <errno.h>
#include <sched.h>
#include <string.h>
#include <time.h>

#define NS_PER_S ((uint64_t)1000000000)

/* How long an allocation waits for a fini that holds the last free cells. */
#define FINI_WAIT_NS (NS_PER_S / 10)

/* Cells of a batch that live on the stack: 2 KiB. */
#define BATCH_CELLS 256

MISUSE_ROW(CUBBY_MISUSE_ZERO_INIT, "zero-init",
	   "use cubby_alloc(): clearing would destroy what init set up");

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
		if (cell_side_test(cache->inited, cell))
			cache->fini(region_object(&cache->region, cell),
				    cache->context);
	}
}

/* Called and returns with the lock held; lets it go around fini. */
static uint64_t
trim_locked(struct cubby_cache *cache, uint64_t keep, sigset_t *saved)
{
	uint64_t bytes = 0;
	uint64_t slab;

	while (cache->n_walks == 0 &&
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
cubby__alloc_trim(struct cubby_cache *cache, uint64_t keep)
{
	sigset_t saved;
	uint64_t bytes;

	cubby__lock_acquire(&cache->lock, &saved);
	bytes = trim_locked(cache, keep, &saved);
	cubby__lock_release(&cache->lock, &saved);
	return bytes;
}

/* -------------------------------- slow alloc ----------------------------- */

static void
give_cells(struct cubby_cache *cache, size_t n, const uint64_t *cells)
{
	sigset_t saved;

	cubby__lock_acquire(&cache->lock, &saved);
	for (size_t i = 0; i < n; i++)
		cubby__slab_give(&cache->slabs, cells[i]);
	cubby__lock_release(&cache->lock, &saved);
}

/* Why an allocation has to do without. */
struct refusal {
	enum slab_refusal why;
	bool is_passing; /* cells will be free when a running fini ends */
};

/* Take all n cells or none: 0, or -ENOMEM and *ret_refusal. */
static int
take_cells(struct cubby_cache *cache, size_t n, uint64_t *cells,
	   struct refusal *ret_refusal)
{
	struct slab_set *slabs = &cache->slabs;
	size_t n_taken = 0;
	sigset_t saved;
	uint64_t peak;

	cubby__lock_acquire(&cache->lock, &saved);
	peak = slabs->n_live_peak;
	ret_refusal->why = slabs->max_is_limit ? SLAB_AT_LIMIT :
						 SLAB_NO_MEMORY;
	if (n <= slabs->max_cells - slabs->n_live)
		n_taken = cubby__slab_take(slabs, n, cells, &ret_refusal->why);
	if (n_taken < n) {
		for (size_t i = 0; i < n_taken; i++)
			cubby__slab_give(slabs, cells[i]);
		slabs->n_live_peak = peak; /* they never lived */
		ret_refusal->is_passing = slabs->n_in_lane[LANE_RECLAIMING] !=
					  0;
		trim_locked(cache, cache->n_kept_empty, &saved);
	}
	cubby__lock_release(&cache->lock, &saved);
	return n_taken < n ? -ENOMEM : 0;
}

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/*
 * The same, but wait a while for another thread's fini.  Not for ever: this
 * may be a signal handler on the thread that runs it.
 */
static int
take_cells_waiting(struct cubby_cache *cache, size_t n, uint64_t *cells,
		   struct refusal *ret_refusal)
{
	uint64_t deadline_ns = 0;

	while (take_cells(cache, n, cells, ret_refusal) != 0) {
		if (!ret_refusal->is_passing)
			return -ENOMEM;
		if (deadline_ns == 0)
			deadline_ns = now_ns() + FINI_WAIT_NS;
		else if (now_ns() >= deadline_ns)
			return -ENOMEM;
		sched_yield();
	}
	return 0;
}

static int
take_cells_or_ask(struct cubby_cache *cache, size_t n, uint64_t *cells)
{
	struct refusal refusal;

	if (take_cells_waiting(cache, n, cells, &refusal) == 0)
		return 0;
	if (refusal.why != SLAB_AT_LIMIT)
		return -ENOMEM;
	__atomic_add_fetch(&cache->n_limit_hits, 1, __ATOMIC_RELAXED);
	if (cache->on_limit == NULL || !cache->on_limit(cache, cache->context))
		return -ENOMEM;
	return take_cells_waiting(cache, n, cells, &refusal);
}

size_t
cubby__alloc_stage_init(struct cubby_cache *cache, size_t n,
			const uint64_t *cells)
{
	for (size_t i = 0; i < n; i++) {
		if (cell_side_test(cache->inited, cells[i]))
			continue;
		if (cache->init != NULL &&
		    cache->init(region_object(&cache->region, cells[i]),
				cache->context) != 0)
			return i;
		cell_side_set(cache->inited, cells[i]);
	}
	return n;
}

size_t
cubby__alloc_stage_zero(struct cubby_cache *cache, size_t n,
			const uint64_t *cells)
{
	for (size_t i = 0; i < n; i++)
		memset(region_object(&cache->region, cells[i]), 0,
		       cache->region.geometry.object_bytes);
	return n;
}

size_t
cubby__alloc_stage_ctor(struct cubby_cache *cache, size_t n,
			const uint64_t *cells)
{
	for (size_t i = 0; i < n; i++)
		if (cache->ctor(region_object(&cache->region, cells[i]),
				cache->context) != 0)
			return i;
	return n;
}

void
cubby__alloc_stage_dtor(struct cubby_cache *cache, size_t n,
			const uint64_t *cells)
{
	for (size_t i = 0; i < n; i++)
		cache->dtor(region_object(&cache->region, cells[i]),
			    cache->context);
}

/* Run the stages on all n cells: 0, or -ENOMEM with none of them live. */
static int
run_alloc_stages(struct cubby_cache *cache, size_t n, const uint64_t *cells,
		 bool zero)
{
	for (size_t i = 0; i < N_ALLOC_STAGES; i++) {
		alloc_stage_fn stage = cache->alloc_stages[i];
		size_t n_done;

		if (i == ALLOC_ZERO && zero)
			stage = cubby__alloc_stage_zero;
		if (stage == NULL)
			continue;
		n_done = stage(cache, n, cells);
		if (n_done == n)
			continue;
		if (i == ALLOC_CTOR && cache->dtor != NULL)
			cubby__alloc_stage_dtor(cache, n_done, cells);
		give_cells(cache, n, cells);
		cubby__alloc_trim(cache, cache->n_kept_empty);
		return -ENOMEM;
	}
	return 0;
}

static int
alloc_cells(struct cubby_cache *cache, size_t n, uint64_t *cells, bool zero)
{
	int err = take_cells_or_ask(cache, n, cells);

	if (!err)
		err = run_alloc_stages(cache, n, cells, zero);
	if (err)
		__atomic_add_fetch(&cache->n_alloc_failures, 1,
				   __ATOMIC_RELAXED);
	return err;
}

static void *
alloc_slow(struct cubby_cache *cache, bool zero)
{
	int saved_errno = errno;
	uint64_t cell;

	if (alloc_cells(cache, 1, &cell, zero) != 0) {
		errno = ENOMEM;
		return NULL;
	}
	errno = saved_errno;
	return region_object(&cache->region, cell);
}

void *
cubby_alloc(struct cubby_cache *cache)
{
	if (unlikely(!cubby__usable(cache, "cubby_alloc"))) {
		errno = ENOMEM;
		return NULL;
	}
	return alloc_slow(cache, false);
}

void *
cubby_zalloc(struct cubby_cache *cache)
{
	if (unlikely(!cubby__usable(cache, "cubby_zalloc"))) {
		errno = ENOMEM;
		return NULL;
	}
	if (unlikely(cache->init != NULL)) {
		cubby__report_misuse(CUBBY_MISUSE_ZERO_INIT, cache->name, NULL,
				     "cubby_zalloc() on a cache with init");
		errno = ENOMEM;
		return NULL;
	}
	return alloc_slow(cache, true);
}

static int
alloc_bulk_into(struct cubby_cache *cache, size_t n, uint64_t *cells,
		void **ret_objects)
{
	int err = alloc_cells(cache, n, cells, false);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		ret_objects[i] = region_object(&cache->region, cells[i]);
	return 0;
}

int
cubby_alloc_bulk(struct cubby_cache *cache, size_t n, void **ret_objects)
{
	int saved_errno = errno;
	uint64_t few[BATCH_CELLS];
	void *many;
	int err;

	if (unlikely(!cubby__usable(cache, "cubby_alloc_bulk")))
		return cubby__error_set(-ENOMEM, "cubby_alloc_bulk() on what "
						 "is not a live cache of this "
						 "copy of Cubby");
	if (n <= BATCH_CELLS) {
		err = alloc_bulk_into(cache, n, few, ret_objects);
	} else if (n > CELLS_MAX ||
		   cubby__os_map(n * sizeof(uint64_t), &many) != 0) {
		__atomic_add_fetch(&cache->n_alloc_failures, 1,
				   __ATOMIC_RELAXED);
		err = -ENOMEM;
	} else {
		err = alloc_bulk_into(cache, n, many, ret_objects);
		cubby__os_unmap(many, n * sizeof(uint64_t));
	}
	if (unlikely(err))
		cubby__error_set(err,
				 "cache '%s': no %zu objects at once: no "
				 "memory, a limit was reached, or init or "
				 "ctor refused",
				 cache->name, n);
	errno = saved_errno;
	return err;
}

/* --------------------------------- slow free ----------------------------- */

/* Under the lock: is this a live object, and in which cell? */
static enum free_fault
check_object(const struct cubby_cache *cache, const void *object,
	     uint64_t *ret_cell)
{
	enum region_answer answer = cubby__region_find(&cache->region, object,
						       ret_cell);

	if (answer == REGION_OUTSIDE)
		return FREE_FOREIGN;
	if (*ret_cell >= cache->slabs.n_cells)
		return FREE_UNOPENED;
	if (answer == REGION_INTERIOR)
		return FREE_INTERIOR;
	if (!cubby__slab_is_live(&cache->slabs, *ret_cell) ||
	    (cache->dying != NULL && cell_side_test(cache->dying, *ret_cell)))
		return FREE_NOT_LIVE;
	return FREE_OK;
}

/*
 * Claim objects until one is not a live one: their cells, whose number is
 * returned, and in *ret_n_passed how many pointers were passed.  Without a
 * free stage the cells are free at once; with one they are dying: nobody else
 * can claim them.
 */
static size_t
claim(struct cubby_cache *cache, size_t n, void *const *objects,
      uint64_t *cells, size_t *ret_n_passed, enum free_fault *ret_fault)
{
	size_t n_cells = 0;
	sigset_t saved;
	size_t i;

	cubby__lock_acquire(&cache->lock, &saved);
	for (i = 0; i < n && *ret_fault == FREE_OK; i++) {
		if (objects[i] == NULL)
			continue;
		*ret_fault = check_object(cache, objects[i], &cells[n_cells]);
		if (*ret_fault != FREE_OK)
			continue;
		if (cache->dying != NULL)
			cell_side_set(cache->dying, cells[n_cells]);
		else
			cubby__slab_give(&cache->slabs, cells[n_cells]);
		n_cells++;
	}
	if (cache->dying == NULL)
		trim_locked(cache, cache->n_kept_empty, &saved);
	cubby__lock_release(&cache->lock, &saved);
	*ret_n_passed = i;
	return n_cells;
}

static void
run_free_stages(struct cubby_cache *cache, size_t n, const uint64_t *cells)
{
	sigset_t saved;

	for (size_t i = 0; i < N_FREE_STAGES; i++)
		if (cache->free_stages[i] != NULL)
			cache->free_stages[i](cache, n, cells);
	cubby__lock_acquire(&cache->lock, &saved);
	for (size_t i = 0; i < n; i++) {
		cell_side_clear(cache->dying, cells[i]);
		cubby__slab_give(&cache->slabs, cells[i]);
	}
	trim_locked(cache, cache->n_kept_empty, &saved);
	cubby__lock_release(&cache->lock, &saved);
}

/* Free up to a batch of objects: how many pointers were passed. */
static size_t
free_batch(struct cubby_cache *cache, size_t n, void *const *objects)
{
	uint64_t cells[BATCH_CELLS + 1]; /* and that of a faulty pointer */
	enum free_fault fault = FREE_OK;
	size_t n_passed, n_cells;

	n = min_u64(n, BATCH_CELLS);
	n_cells = claim(cache, n, objects, cells, &n_passed, &fault);
	if (cache->dying != NULL && n_cells != 0)
		run_free_stages(cache, n_cells, cells);
	if (fault != FREE_OK)
		cubby__usable_report_free(cache, objects[n_passed - 1],
					  cells[n_cells], fault);
	return n_passed;
}

static void
free_slow(struct cubby_cache *cache, size_t n, void *const *objects)
{
	int saved_errno = errno;

	for (size_t i = 0; i < n;)
		i += free_batch(cache, n - i, objects + i);
	errno = saved_errno;
}

void
cubby_free(struct cubby_cache *cache, void *object)
{
	if (object == NULL || unlikely(!cubby__usable(cache, "cubby_free")))
		return;
	free_slow(cache, 1, &object);
}

void
cubby_free_any(void *object)
{
	struct cubby_cache *cache = NULL;
	struct granule_owner owner;

	if (object == NULL)
		return;
	if (cubby__granule_find(object, &owner))
		cache = cubby__registry_by_id(owner.id);
	if (unlikely(cache == NULL ||
		     __atomic_load_n(&cache->state, __ATOMIC_ACQUIRE) !=
			     CACHE_LIVE)) {
		cubby__usable_report_free(NULL, object, 0, FREE_FOREIGN);
		return;
	}
	free_slow(cache, 1, &object);
}

void
cubby_free_bulk(struct cubby_cache *cache, size_t n, void *const *objects)
{
	if (likely(cubby__usable(cache, "cubby_free_bulk")))
		free_slow(cache, n, objects);
}

/* ----------------------------- all live objects -------------------------- */

/* The live cells of one word of a slab's record, from `cell` on. */
static size_t
live_in_word(uint64_t bits, uint64_t first, uint64_t cell, size_t n,
	     uint64_t *cells)
{
	size_t n_found = 0;

	for (; bits != 0 && n_found < n; bits &= bits - 1) {
		uint64_t live = first + bit_lowest(bits);

		if (live >= cell)
			cells[n_found++] = live;
	}
	return n_found;
}

size_t
cubby__alloc_next_live(const struct cubby_cache *cache, uint64_t cell,
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
			n_found += live_in_word(slab->live[i], first + i * 64,
						cell, n - n_found,
						cells + n_found);
	}
	return n_found;
}

void
cubby__alloc_free_all(struct cubby_cache *cache)
{
	uint64_t cells[BATCH_CELLS];
	uint64_t next = 0;
	sigset_t saved;
	size_t n;

	for (;;) {
		cubby__lock_acquire(&cache->lock, &saved);
		n = cubby__alloc_next_live(cache, next, BATCH_CELLS, cells);
		cubby__lock_release(&cache->lock, &saved);
		if (n == 0)
			return;
		for (size_t i = 0; i < N_FREE_STAGES; i++)
			if (cache->free_stages[i] != NULL)
				cache->free_stages[i](cache, n, cells);
		/* No trim: the last dtor comes before the first fini. */
		give_cells(cache, n, cells);
		next = cells[n - 1] + 1;
	}
}

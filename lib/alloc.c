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
 * free stage the two lock visits of free are one.  With one, objects are freed
 * one after the other: only so is the second of two equal pointers recognised
 * before the stage has run on it twice.
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
#include <string.h>

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
		if (cell_side_test(&cache->inited, cell))
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

/* Take all n cells or none: 0, or -ENOMEM and *ret_refusal. */
static int
take_cells(struct cubby_cache *cache, size_t n, uint64_t *cells,
	   enum slab_refusal *ret_refusal)
{
	sigset_t saved;
	uint64_t peak;
	size_t n_taken;

	cubby__lock_acquire(&cache->lock, &saved);
	peak = cache->slabs.n_live_peak;
	n_taken = cubby__slab_take(&cache->slabs, n, cells, ret_refusal);
	if (n_taken < n) {
		for (size_t i = 0; i < n_taken; i++)
			cubby__slab_give(&cache->slabs, cells[i]);
		cache->slabs.n_live_peak = peak; /* they never lived */
		if (*ret_refusal == SLAB_AT_LIMIT)
			cache->n_limit_hits++;
	}
	cubby__lock_release(&cache->lock, &saved);
	return n_taken < n ? -ENOMEM : 0;
}

static int
take_cells_or_ask(struct cubby_cache *cache, size_t n, uint64_t *cells)
{
	enum slab_refusal refusal;

	if (take_cells(cache, n, cells, &refusal) == 0)
		return 0;
	if (refusal != SLAB_AT_LIMIT || cache->on_limit == NULL ||
	    !cache->on_limit(cache, cache->context))
		return -ENOMEM;
	return take_cells(cache, n, cells, &refusal);
}

size_t
cubby__alloc_stage_init(struct cubby_cache *cache, size_t n,
			const uint64_t *cells)
{
	for (size_t i = 0; i < n; i++) {
		if (cell_side_test(&cache->inited, cells[i]))
			continue;
		if (cache->init != NULL &&
		    cache->init(region_object(&cache->region, cells[i]),
				cache->context) != 0)
			return i;
		cell_side_set(&cache->inited, cells[i]);
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
	switch (cubby__region_find(&cache->region, object, ret_cell)) {
	case REGION_OUTSIDE:
		return FREE_FOREIGN;
	case REGION_INTERIOR:
		return FREE_INTERIOR;
	default:
		break;
	}
	if (*ret_cell >= cache->slabs.n_cells)
		return FREE_UNOPENED;
	return cubby__slab_is_live(&cache->slabs, *ret_cell) ? FREE_OK :
							       FREE_NOT_LIVE;
}

static void
free_with_stages(struct cubby_cache *cache, void *object)
{
	enum free_fault fault;
	sigset_t saved;
	uint64_t cell;

	cubby__lock_acquire(&cache->lock, &saved);
	fault = check_object(cache, object, &cell);
	cubby__lock_release(&cache->lock, &saved);
	if (fault == FREE_OK) {
		for (size_t i = 0; i < N_FREE_STAGES; i++)
			if (cache->free_stages[i] != NULL)
				cache->free_stages[i](cache, 1, &cell);
		/* Another thread may have freed it while the stages ran. */
		cubby__lock_acquire(&cache->lock, &saved);
		fault = check_object(cache, object, &cell);
		if (fault == FREE_OK)
			cubby__slab_give(&cache->slabs, cell);
		trim_locked(cache, cache->n_kept_empty, &saved);
		cubby__lock_release(&cache->lock, &saved);
	}
	if (fault != FREE_OK)
		cubby__usable_report_free(cache, object, cell, fault);
}

/*
 * Free objects until one is not one; returns how many were passed, and
 * reports that one.
 */
static size_t
free_until_fault(struct cubby_cache *cache, size_t n, void *const *objects)
{
	enum free_fault fault = FREE_OK;
	sigset_t saved;
	uint64_t cell = 0;
	size_t i;

	cubby__lock_acquire(&cache->lock, &saved);
	for (i = 0; i < n && fault == FREE_OK; i++) {
		if (objects[i] == NULL)
			continue;
		fault = check_object(cache, objects[i], &cell);
		if (fault == FREE_OK)
			cubby__slab_give(&cache->slabs, cell);
	}
	trim_locked(cache, cache->n_kept_empty, &saved);
	cubby__lock_release(&cache->lock, &saved);
	if (fault != FREE_OK)
		cubby__usable_report_free(cache, objects[i - 1], cell, fault);
	return i;
}

static bool
has_free_stage(const struct cubby_cache *cache)
{
	for (size_t i = 0; i < N_FREE_STAGES; i++)
		if (cache->free_stages[i] != NULL)
			return true;
	return false;
}

static void
free_slow(struct cubby_cache *cache, size_t n, void *const *objects)
{
	int saved_errno = errno;
	size_t i = 0;

	if (has_free_stage(cache)) {
		for (; i < n; i++)
			if (objects[i] != NULL)
				free_with_stages(cache, objects[i]);
	} else {
		while (i < n)
			i += free_until_fault(cache, n - i, objects + i);
	}
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

size_t
cubby__alloc_next_live(const struct cubby_cache *cache, uint64_t cell,
		       size_t n, uint64_t *cells)
{
	size_t n_found = 0;

	for (; cell < cache->slabs.n_cells && n_found < n; cell++)
		if (cubby__slab_is_live(&cache->slabs, cell))
			cells[n_found++] = cell;
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

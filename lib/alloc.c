/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: alloc - the calls that allocate and free
 *
 * Theory
 *
 *	fast     pop or push of the loaded magazine, as one sequence (per CPU)
 *	         or inside a bracket (per thread); nothing is checked but that
 *	         the object is not NULL
 *	slow     is the cache one?  Then, in this order,
 *	         alloc: a cell (sample.c, seldom; front.c; else direct.c), DEBUG,
 *	                ZERO, CTOR
 *	         free:  DTOR, DEBUG, then the cell (to where it came from)
 *
 * Which of the two a call takes needs no test of flags: a thread without a
 * stripe, a cache with a closed gate, and one whose alloc has stages meet NULL
 * or block 0 and fall out of the fast way; one whose free has stages meets
 * "full".  Which front end it is, is one predicted test of a byte that never
 * changes: to try the sequence first and fail costs 1.4 to 1.7 times as much.
 *
 * Stages run outside the lock; see cache.h for their contract.  In a cache
 * without a block the stage of free belongs to direct.c, which claims the
 * object first.
 *
 * All or nothing: cells that were taken and then refused by a stage go back,
 * and objects that were already constructed are destructed.
 */
#include "bits.h"
#include "cache.h"
#include "death.h"
#include "debug.h"
#include "error.h"
#include "hand.h"
#include "quick.h"
#include "registry.h"
#include "report.h"
#include "sample.h"

#include <errno.h>
#include <string.h>

MISUSE_ROW(CUBBY_MISUSE_ZERO_INIT, "zero-init",
	   "use cubby_alloc(): clearing would destroy what init set up");

/* ---------------------------------- stages -------------------------------- */

size_t
cubby__alloc_stage_zero(struct cubby_cache *cache, size_t n,
			void *const *objects)
{
	for (size_t i = 0; i < n; i++)
		memset(objects[i], 0, cache->region.geometry.object_bytes);
	return n;
}

size_t
cubby__alloc_stage_ctor(struct cubby_cache *cache, size_t n,
			void *const *objects)
{
	for (size_t i = 0; i < n; i++)
		if (cache->ctor(objects[i], cache->context) != 0)
			return i;
	return n;
}

void
cubby__alloc_stage_dtor(struct cubby_cache *cache, size_t n,
			void *const *objects)
{
	for (size_t i = 0; i < n; i++)
		cache->dtor(objects[i], cache->context);
}

size_t
cubby__alloc_stages(struct cubby_cache *cache, size_t n, void *const *objects,
		    bool zero)
{
	for (size_t i = 0; i < N_ALLOC_STAGES; i++) {
		alloc_stage_fn stage = cache->alloc_stages[i];
		size_t n_done;

		if (i == ALLOC_ZERO && zero)
			stage = cubby__alloc_stage_zero;
		if (stage == NULL)
			continue;
		n_done = stage(cache, n, objects);
		if (n_done == n)
			continue;
		if (i == ALLOC_CTOR && cache->dtor != NULL)
			cubby__alloc_stage_dtor(cache, n_done, objects);
		if (i != ALLOC_DEBUG && cache->debug != NULL)
			cubby__debug_undo(cache, n, objects);
		return n_done;
	}
	return n;
}

void
cubby__alloc_free_stages(struct cubby_cache *cache, size_t n,
			 void *const *objects)
{
	for (size_t i = 0; i < N_FREE_STAGES; i++)
		if (cache->free_stages[i] != NULL)
			cache->free_stages[i](cache, n, objects);
}

static bool
has_free_stage(const struct cubby_cache *cache)
{
	for (size_t i = 0; i < N_FREE_STAGES; i++)
		if (cache->free_stages[i] != NULL)
			return true;
	return false;
}

/* ---------------------------------- alloc --------------------------------- */

static void
count_failure(struct cubby_cache *cache)
{
	__atomic_add_fetch(&cache->n_alloc_failures, 1, __ATOMIC_RELAXED);
}

/* Cells back that hold no object. */
static void
free_cells(struct cubby_cache *cache, size_t n, void *const *objects)
{
	size_t n_done;

	if (unlikely(n == 1 && cache->sample != NULL) &&
	    cubby__sample_free(cache, objects[0]))
		return;
	n_done = cubby__front_free_bulk(cache, n, objects);
	if (n_done < n)
		cubby__direct_unreserve(cache, n - n_done, objects + n_done,
					NULL);
}

static COLD void *
alloc_slow(struct cubby_cache *cache, const char *call, bool zero)
{
	int saved_errno = errno;
	void *object;
	int err = -ENOMEM;

	if (unlikely(!cubby__usable(cache, call)))
		goto fail;
	if (unlikely(cache->sample != NULL) &&
	    (object = cubby__sample_alloc(cache)) != NULL)
		err = 0;
	else if (!cubby__debug_fails(cache, 1))
		err = cubby__front_alloc(cache, &object);
	if (unlikely(err == -EAGAIN)) {
		__atomic_add_fetch(&cache->front.n_direct_allocs, 1,
				   __ATOMIC_RELAXED);
		err = cubby__direct_alloc(cache, 1, &object);
	}
	if (!err && cubby__alloc_stages(cache, 1, &object, zero) != 1) {
		free_cells(cache, 1, &object);
		err = -ENOMEM;
	}
	if (likely(!err)) {
		errno = saved_errno;
		return object;
	}
	count_failure(cache);
fail:
	errno = ENOMEM;
	return NULL;
}

void *
cubby_alloc(struct cubby_cache *cache)
{
	void *object;

	if (likely(quick_pop(cache, &object)))
		return object;
	return alloc_slow(cache, "cubby_alloc", false);
}

static COLD void *
zalloc_slow(struct cubby_cache *cache)
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
	return alloc_slow(cache, "cubby_zalloc", true);
}

void *
cubby_zalloc(struct cubby_cache *cache)
{
	void *object;

	if (unlikely(!quick_pop(cache, &object)))
		return zalloc_slow(cache);
	if (unlikely(cache->init != NULL)) {
		cubby_free(cache, object);
		return zalloc_slow(cache);
	}
	return memset(object, 0, cache->region.geometry.object_bytes);
}

static int
alloc_bulk(struct cubby_cache *cache, size_t n, void **objects)
{
	size_t n_done = cubby__front_alloc_bulk(cache, n, objects);
	int err = 0;

	if (n_done < n)
		err = cubby__direct_alloc(cache, n - n_done, objects + n_done);
	if (err) {
		free_cells(cache, n_done, objects);
		return err;
	}
	if (cubby__alloc_stages(cache, n, objects, false) == n)
		return 0;
	free_cells(cache, n, objects);
	return -ENOMEM;
}

int
cubby_alloc_bulk(struct cubby_cache *cache, size_t n, void **ret_objects)
{
	int saved_errno = errno;
	int err = -ENOMEM;

	if (unlikely(!cubby__usable(cache, "cubby_alloc_bulk")))
		return cubby__error_set(-ENOMEM, "cubby_alloc_bulk() on what "
						 "is not a live cache of this "
						 "copy of Cubby");
	if (n <= CELLS_MAX && !cubby__debug_fails(cache, n))
		err = alloc_bulk(cache, n, ret_objects);
	if (unlikely(err)) {
		count_failure(cache);
		cubby__error_set(err,
				 "cache '%s': no %zu objects at once: no "
				 "memory, a limit was reached, or init or "
				 "ctor refused",
				 cache->name, n);
	}
	errno = saved_errno;
	return err;
}

/* ---------------------------------- free ---------------------------------- */

static COLD void
free_slow(struct cubby_cache *cache, void *object, const char *call)
{
	int saved_errno = errno;

	if (unlikely(call != NULL && !cubby__usable(cache, call)))
		return;
	if (cache->weak.is_staged) {
		cubby__death_free(cache, object, false);
		errno = saved_errno;
		return;
	}
	if (unlikely(cache->debug != NULL &&
		     !cubby__debug_claim_pointer(cache, object))) {
		errno = saved_errno;
		return;
	}
	if (cache->front.block != 0) {
		if (cache->debug == NULL || !cache->debug->ends_at_once)
			cubby__alloc_free_stages(cache, 1, &object);
		if (cubby__debug_keep(cache, object)) {
			errno = saved_errno;
			return;
		}
	}
	if (unlikely(cache->sample != NULL) &&
	    cubby__sample_free(cache, object)) {
		errno = saved_errno;
		return;
	}
	if (unlikely(!cubby__front_free(cache, object))) {
		__atomic_add_fetch(&cache->front.n_direct_frees, 1,
				   __ATOMIC_RELAXED);
		cubby__direct_free(cache, 1, &object);
	}
	errno = saved_errno;
}

/* What cubby_free() ends with, so that it keeps nothing itself. */
static __attribute__((noinline)) void
free_staged(struct cubby_cache *cache, void *object)
{
	if (!cubby__death_free_quickly(cache, object))
		free_slow(cache, object, "cubby_free");
}

void
cubby_free(struct cubby_cache *cache, void *object)
{
	if (unlikely(object == NULL))
		return;
	if (unlikely(!quick_push(cache, object)))
		free_staged(cache, object);
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
	if (unlikely(!quick_push(cache, object)))
		free_slow(cache, object, NULL);
}

static bool
has_sampled(const struct cubby_cache *cache, size_t n, void *const *objects)
{
	for (size_t i = 0; cache->sample != NULL && i < n; i++)
		if (cubby__sample_has(cache, objects[i]))
			return true;
	return false;
}

void
cubby_free_bulk(struct cubby_cache *cache, size_t n, void *const *objects)
{
	int saved_errno = errno;
	size_t n_done = 0;

	if (unlikely(!cubby__usable(cache, "cubby_free_bulk")))
		return;
	if (cache->weak.is_staged || cache->debug != NULL ||
	    has_sampled(cache, n, objects) ||
	    (cache->front.block != 0 && has_free_stage(cache))) {
		for (size_t i = 0; i < n; i++)
			if (objects[i] != NULL)
				free_slow(cache, objects[i], NULL);
	} else {
		n_done = cubby__front_free_bulk(cache, n, objects);
		if (n_done < n)
			cubby__direct_free(cache, n - n_done,
					   objects + n_done);
	}
	errno = saved_errno;
}

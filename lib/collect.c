/* SPDX-License-Identifier: MIT */
/* LAYER 5: collect - what a round does with one cache */
#include "collect.h"

#include "bits.h"
#include "cache.h"
#include "check.h"
#include "death.h"
#include "debug.h"
#include "defer.h"
#include "domain.h"
#include "reclaim.h"
#include "weak.h"

/* Sheaves that go back in one visit to the slab lock. */
#define SHEAVES_PER_VISIT 64

/* How fast a large round is forgotten: by so many small ones. */
#define USUAL_DECAY 16

/* But for so many times the soft limit, so that a burst does not stay. */
#define USUAL_SOFT_LIMITS 4

/* Cells with bits that are given back in one go, if there is no dtor. */
#define BITS_PER_VISIT 256

/* Debug builds see whether a handle was made of the dead. */
#ifdef CUBBY_DEBUG
#define LOOKS_AT_ALL true
#else
#define LOOKS_AT_ALL PLANTED(LATE_BUMP)
#endif

/* --------------------------- before the grace period --------------------- */

/* Partial sheaves of all blocks: false if the cache does not stand still. */
static bool
sweep(struct cubby_cache *cache)
{
	uint32_t n = cubby__front_n_blocks();
	sigset_t saved;

	if (cache->front.block == 0)
		return true;
	if (cubby__quiesce_begin(cache, &saved) != 0)
		return false;
	__atomic_store_n(&cache->defer.opened_ns, 0, __ATOMIC_RELAXED);
	for (uint32_t i = 0; i < n; i++) {
		uint64_t *word = &cubby__front_block(cache, i)->deferred;
		uint64_t cursor = block_get(word);

		if (cursor == 0)
			continue;
		block_set(word, 0);
		cubby__defer_queue(cache,
				   magazine_settle(cursor, MAGAZINE_SHEAF));
	}
	cubby__quiesce_end(cache, &saved);
	return true;
}

static uint64_t
collect_locked(struct cubby_cache *cache)
{
	struct defer *defer = &cache->defer;
	uint32_t other = defer->fill ^ 1;
	uint64_t n_cells = 0;
	uint32_t number;
	uint64_t since = __atomic_exchange_n(&defer->waiting_ns, 0,
					     __ATOMIC_RELAXED);

	while ((number = cubby__magazine_pop(&defer->waiting)) != 0) {
		magazine_set_next(number, defer->grace);
		defer->grace = number;
		n_cells += magazine(number)->count;
	}
	/* In a fork child there may be bits of a round that is no more. */
	if (defer->n_bits[other] == 0)
		defer->fill = other;
	n_cells += defer->n_bits[defer->fill ^ 1];
	if (n_cells != 0 && since == 0) /* queued just now */
		cubby__defer_note_time(&since);
	if (n_cells != 0 &&
	    __atomic_load_n(&defer->grace_ns, __ATOMIC_RELAXED) == 0)
		__atomic_store_n(&defer->grace_ns, since, __ATOMIC_RELAXED);
	return n_cells;
}

uint64_t
cubby__collect_begin(struct cubby_cache *cache, uint64_t now,
		     uint64_t *ret_due_ns)
{
	struct defer *defer = &cache->defer;
	bool all = __atomic_exchange_n(&defer->wants_all, 0,
				       __ATOMIC_SEQ_CST) != 0;
	uint64_t opened, n_cells;
	sigset_t saved;
	bool is_stuck;

	opened = __atomic_load_n(&defer->opened_ns, __ATOMIC_RELAXED);
	is_stuck = (all || (opened != 0 && now >= opened + SWEEP_AGE_NS)) &&
		   !sweep(cache);
	if (all) /* who wants that, asks */
		defer->is_stuck = is_stuck;
	if (is_stuck) /* then once more, later */
		__atomic_store_n(&defer->opened_ns, now, __ATOMIC_RELAXED);
	opened = __atomic_load_n(&defer->opened_ns, __ATOMIC_RELAXED);
	*ret_due_ns = opened != 0 ? opened + SWEEP_AGE_NS : 0;
	cubby__lock_acquire(&cache->lock, &saved);
	n_cells = collect_locked(cache);
	if (defer->n_bits[defer->fill] != 0)
		*ret_due_ns = now; /* they are for the next round */
	cubby__lock_release(&cache->lock, &saved);
	return n_cells;
}

/* ---------------------------- after the grace period --------------------- */

/* Does an object's end take more than its word? */
static bool
has_end(const struct cubby_cache *cache)
{
	return cache->dtor != NULL || cache->debug != NULL;
}

static void
end(struct cubby_cache *cache, void *object)
{
	uint64_t cell;

	if (cache->dtor != NULL)
		cache->dtor(object, cache->context);
	if (cache->debug != NULL) {
		cubby__region_find(&cache->region, object, &cell);
		cubby__debug_release(cache, object, cell);
	}
}

/*
 * End the objects of a sheaf, from where it was left; a fork child sees how
 * far it came.  false: it stopped before the end, for the program exits.
 */
static bool
end_sheaf(struct cubby_cache *cache, uint32_t number)
{
	struct magazine *it = magazine(number);
	void **objects = magazine_cells(it);

	for (uint64_t i = it->n_begun; i < it->count; i++) {
		if (cubby__reclaim_must_stop(cache))
			return false;
		cubby__domain_call_begins(cache->defer.domain);
		__atomic_store_n(&it->n_begun, i + 1, __ATOMIC_RELAXED);
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		end(cache, objects[i]);
		cubby__domain_call_ends(cache->defer.domain);
	}
	return true;
}

/* The words of odd cells are made ready; what is retired stays behind. */
static void
settle_cells_locked(struct cubby_cache *cache, uint32_t number,
		    struct faults *faults)
{
	struct magazine *it = magazine(number);
	void **objects = magazine_cells(it);
	uint32_t n_kept = 0;
	uint64_t cell;

	for (uint32_t i = 0; i < it->count; i++) {
		cubby__region_find(&cache->region, objects[i], &cell);
		if (cache->dying != NULL)
			cell_side_clear(cache->dying, cell);
		if (cubby__death_settle(cache, objects[i], cell) &&
		    !cubby__debug_keep_locked(cache, objects[i], faults))
			objects[n_kept++] = objects[i];
	}
	magazine_set_count(it, n_kept);
}

/* How many cells; *n_sheaves are fewer than they were if it stopped. */
static uint64_t
reclaim_sheaves(struct cubby_cache *cache, unsigned *n_sheaves,
		const uint32_t *numbers)
{
	struct defer *defer = &cache->defer;
	bool is_odd = LOOKS_AT_ALL || cache->debug != NULL ||
		      __atomic_load_n(&defer->is_odd, __ATOMIC_SEQ_CST);
	struct faults faults = { 0 };
	uint64_t n_cells = 0;
	sigset_t saved;
	unsigned n = 0;

	while (n < *n_sheaves &&
	       (!has_end(cache) || end_sheaf(cache, numbers[n])))
		n++;
	*n_sheaves = n;
	cubby__lock_acquire(&cache->lock, &saved);
	for (unsigned i = 0; i < n; i++) {
		n_cells += magazine(numbers[i])->count;
		if (is_odd)
			settle_cells_locked(cache, numbers[i], &faults);
		CHECK_DEBUG(defer->reclaiming == numbers[i]); /* D3 */
		defer->reclaiming = magazine_next(numbers[i]);
		magazine_set_state(magazine(numbers[i]), MAGAZINE_IN_FLIGHT);
		cubby__depot_put(&cache->front, numbers[i]);
	}
	cubby__lock_release(&cache->lock, &saved);
	cubby__direct_report(cache, &faults);
	return n_cells;
}

/*
 * What a round gives is what the next allocations take.  Only what is more than
 * the largest of the last rounds and the bound goes to the slabs.
 */
static void
flush_rest(struct cubby_cache *cache, uint64_t n_given)
{
	const struct front *front = &cache->front;
	uint64_t *usual = &cache->defer.usual_round;
	int64_t n = cubby__depot_n_cells(front), n_before;

	*usual = min_u64(max_u64(n_given,
				 *usual - div_up(*usual, USUAL_DECAY)),
			 USUAL_SOFT_LIMITS * cache->defer.soft_cells);
	do {
		n_before = n;
		if (n <= (int64_t)(cubby__depot_bound(front) + *usual))
			break;
		cubby__depot_flush(cache);
		n = cubby__depot_n_cells(front);
	} while (n < n_before);
}

/* Its dtor has run, or had begun in a process that this one is a fork of. */
static void
finish_bit_locked(struct cubby_cache *cache, struct faults *faults)
{
	struct defer *defer = &cache->defer;
	uint64_t cell = defer->bit_begun - 1;

	if (defer->bit_begun == 0)
		return;
	defer->bit_begun = 0;
	cell_side_clear(cache->dying, cell);
	cubby__direct_give_settled_locked(cache, cell, faults);
}

/*
 * The next cells with bits: how many.  Without dtor they are free; else it is
 * one, *ret_cell, which is dying now and in no array: so a fork child knows of
 * each other cell that its dtor has not begun.
 */
static unsigned
take_bits(struct cubby_cache *cache, uint64_t *ret_cell)
{
	struct defer *defer = &cache->defer;
	unsigned n_most = has_end(cache) ? 1 : BITS_PER_VISIT;
	struct faults faults = { 0 };
	uint32_t i = defer->fill ^ 1;
	unsigned n = 0;
	sigset_t saved;

	cubby__lock_acquire(&cache->lock, &saved);
	finish_bit_locked(cache, &faults);
	while (n < n_most && defer->n_bits[i] != 0) {
		uint64_t cell = defer->bits_low[i]++;

		CHECK_DEBUG(cell < defer->bits_end[i]);
		if (!cell_side_test(defer->bits[i], cell))
			continue;
		cell_side_clear(defer->bits[i], cell);
		defer->n_bits[i]--;
		*ret_cell = cell;
		n++;
		if (!has_end(cache)) {
			cubby__direct_give_settled_locked(cache, cell,
							  &faults);
		} else {
			cell_side_set(cache->dying, cell);
			defer->bit_begun = cell + 1;
		}
	}
	cubby__lock_release(&cache->lock, &saved);
	cubby__direct_report(cache, &faults);
	return n;
}

static uint64_t
reclaim_bits(struct cubby_cache *cache)
{
	uint64_t n_all = 0, cell = 0;
	unsigned n;

	while (!cubby__reclaim_must_stop(cache)) {
		cubby__domain_call_begins(cache->defer.domain);
		n = take_bits(cache, &cell);
		if (n != 0 && has_end(cache))
			end(cache, region_object(&cache->region, cell));
		cubby__domain_call_ends(cache->defer.domain);
		n_all += n;
		if (n == 0)
			break;
	}
	if (n_all != 0)
		cubby__direct_trim(cache, cubby__direct_kept_empty(cache));
	return n_all;
}

/* The first magazines of `reclaiming`, where those of `grace` go in turn. */
static unsigned
first_sheaves(struct cubby_cache *cache, uint32_t *numbers)
{
	struct defer *defer = &cache->defer;
	uint32_t number;
	unsigned n = 0;
	sigset_t saved;

	cubby__lock_acquire(&cache->lock, &saved);
	if (defer->reclaiming == 0) {
		defer->reclaiming = defer->grace;
		defer->grace = 0;
	}
	cubby__lock_release(&cache->lock, &saved);
	for (number = defer->reclaiming; number != 0 && n < SHEAVES_PER_VISIT;
	     number = magazine_next(number))
		numbers[n++] = number;
	return n;
}

uint64_t
cubby__collect_end(struct cubby_cache *cache)
{
	struct defer *defer = &cache->defer;
	uint32_t numbers[SHEAVES_PER_VISIT];
	uint64_t n_all = 0, n_bits;
	unsigned n;

	while ((n = first_sheaves(cache, numbers)) != 0) {
		uint64_t n_cells = reclaim_sheaves(cache, &n, numbers);

		__atomic_sub_fetch(&defer->n_cells, n_cells, __ATOMIC_RELAXED);
		n_all += n_cells;
		if (cubby__reclaim_must_stop(cache))
			break; /* what is left stays in `reclaiming` */
	}
	flush_rest(cache, n_all);
	n_bits = reclaim_bits(cache);
	__atomic_sub_fetch(&defer->n_cells, n_bits, __ATOMIC_RELAXED);
	n_all += n_bits;
	__atomic_store_n(&defer->grace_ns, 0, __ATOMIC_RELAXED);
	/* What came during a stall may be as old: that is no other one. */
	if (cubby__defer_age_ns(cache) < defer->stall_ns)
		__atomic_store_n(&defer->is_stalled, 0, __ATOMIC_RELAXED);
	__atomic_add_fetch(&defer->n_reclaimed, n_all, __ATOMIC_RELAXED);
	__atomic_add_fetch(&defer->n_grace_periods, 1, __ATOMIC_RELAXED);
	return n_all;
}

/* ----------------------------------- fork -------------------------------- */

/* Cells whose dtor had begun are dead; the others wait once more. */
static void
wait_once_more(struct cubby_cache *cache, uint32_t number,
	       struct faults *faults)
{
	struct magazine *it = magazine(number);
	void **objects = magazine_cells(it);
	uint32_t n_begun = (uint32_t)min_u64(it->n_begun, it->count);
	uint64_t cell;

	for (uint32_t i = 0; i < n_begun; i++) {
		cubby__region_find(&cache->region, objects[i], &cell);
		if (cache->dying != NULL)
			cell_side_clear(cache->dying, cell);
		cubby__debug_forget(cache, cell);
		cubby__direct_give_settled_locked(cache, cell, faults);
	}
	for (uint32_t i = n_begun; i < it->count; i++)
		objects[i - n_begun] = objects[i];
	magazine_set_count(it, it->count - n_begun);
	cubby__defer_queue(cache, number);
}

static void
list_waits_once_more(struct cubby_cache *cache, uint32_t *list,
		     struct faults *faults)
{
	while (*list != 0) {
		uint32_t number = *list;

		*list = magazine_next(number);
		wait_once_more(cache, number, faults);
	}
}

static void
count_magazine(uint32_t number, void *context)
{
	*(uint64_t *)context += magazine(number)->count;
}

void
cubby__collect_fork_child(struct cubby_cache *cache, bool round_is_mine)
{
	struct defer *defer = &cache->defer;
	struct faults faults = { 0 }; /* verify finds them again */
	uint64_t n_cells = 0;

	if (round_is_mine)
		return; /* it goes on */
	list_waits_once_more(cache, &defer->grace, &faults);
	list_waits_once_more(cache, &defer->reclaiming, &faults);
	if (defer->bit_begun != 0)
		cubby__debug_forget(cache, defer->bit_begun - 1);
	finish_bit_locked(cache, &faults);
	cubby__magazine_for_each(&defer->waiting, count_magazine, &n_cells);
	defer->n_cells = n_cells + defer->n_bits[0] + defer->n_bits[1];
	defer->grace_ns = 0;
	cubby__defer_note_time(&defer->waiting_ns);
	if (cache->front.block != 0) /* whatever there is in blocks */
		cubby__defer_note_time(&defer->opened_ns);
}

/* SPDX-License-Identifier: MIT */
/* LAYER 5: defer - objects that wait for a grace period, until a round comes */
#include "defer.h"

#include "bits.h"
#include "cache.h"
#include "check.h"
#include "death.h"
#include "hand.h"
#include "os.h"
#include "reclaim.h"
#include "weak.h"

#include <errno.h>

#define TRIES 4

/*
 * How long who frees waits at the hard limit, and who allocates at his; and of
 * those who free without a magazine, one of how many waits.
 */
#define FREE_WAIT_NS ((uint64_t)10 * 1000 * 1000)
#define ALLOC_WAIT_NS ((uint64_t)100 * 1000 * 1000)
#define FREES_BY_BIT_PER_WAIT 64

void
cubby__defer_note_time(uint64_t *since_ns)
{
	uint64_t none = 0;

	if (__atomic_load_n(since_ns, __ATOMIC_RELAXED) == 0)
		__atomic_compare_exchange_n(since_ns, &none,
					    cubby__os_coarse_ns(), false,
					    __ATOMIC_RELAXED,
					    __ATOMIC_RELAXED);
}

/* ---------------------------------- limits ------------------------------- */

static uint64_t
n_waiting(const struct cubby_cache *cache)
{
	return __atomic_load_n(&cache->defer.n_cells, __ATOMIC_RELAXED);
}

static bool
is_far_above(const struct cubby_cache *cache)
{
	uint64_t max_cells = cache->defer.max_cells;

	return max_cells != 0 && n_waiting(cache) / 2 > max_cells;
}

bool
cubby__defer_refuses(struct cubby_cache *cache)
{
	if (likely(!is_far_above(cache)))
		return false;
	cubby__defer_check_stall(cache);
	return !cubby__defer_await(cache) || is_far_above(cache);
}

uint64_t
cubby__defer_age_ns(const struct cubby_cache *cache)
{
	const struct defer *defer = &cache->defer;
	uint64_t since = __atomic_load_n(&defer->grace_ns, __ATOMIC_RELAXED);
	uint64_t now;

	if (since == 0)
		since = __atomic_load_n(&defer->waiting_ns, __ATOMIC_RELAXED);
	if (since == 0)
		since = __atomic_load_n(&defer->opened_ns, __ATOMIC_RELAXED);
	if (since == 0)
		return 0;
	now = cubby__os_coarse_ns();
	return now > since ? now - since : 1;
}

void
cubby__defer_check_stall(struct cubby_cache *cache)
{
	struct defer *defer = &cache->defer;
	struct cubby_stall stall;
	uint64_t age_ns = cubby__defer_age_ns(cache);

	if (likely(age_ns < defer->stall_ns) || defer->domain == NULL ||
	    __atomic_exchange_n(&defer->is_stalled, 1, __ATOMIC_RELAXED) != 0)
		return;
	__atomic_add_fetch(&defer->n_stalls, 1, __ATOMIC_RELAXED);
	if (defer->on_stall == NULL)
		return;
	stall.age_ms = age_ns / (NS_PER_S / 1000);
	stall.n_objects = cubby__defer_count(cache);
	stall.n_bytes = stall.n_objects * cache->region.geometry.cell_bytes;
	defer->on_stall(cache, &stall, cache->context);
}

bool
cubby__defer_may_await(const struct cubby_cache *cache)
{
	return cache->defer.domain != NULL && cubby__reclaim_may_await(cache);
}

bool
cubby__defer_await(struct cubby_cache *cache)
{
	struct defer *defer = &cache->defer;

	return defer->domain != NULL && cubby__defer_age_ns(cache) != 0 &&
	       cubby__reclaim_await(cache, ALLOC_WAIT_NS);
}

/* So many more cells wait; not from within an exchange. */
static void
look_at_limits(struct cubby_cache *cache, bool by_bit)
{
	struct defer *defer = &cache->defer;
	uint64_t n = n_waiting(cache);

	cubby__reclaim_notify(cache, n > defer->soft_cells);
	if (unlikely(n > defer->brake_cells) &&
	    ((by_bit && n % FREES_BY_BIT_PER_WAIT != 0) ||
	     !cubby__reclaim_await(cache, FREE_WAIT_NS)))
		__atomic_add_fetch(&defer->n_overruns, 1, __ATOMIC_RELAXED);
	cubby__defer_check_stall(cache);
}

/* ----------------------------------- sheaves ----------------------------- */

/* So many more wait. */
static void
count_in(struct defer *defer, uint64_t n_cells)
{
	uint64_t n, peak;

	cubby__defer_note_time(&defer->waiting_ns);
	n = __atomic_add_fetch(&defer->n_cells, n_cells, __ATOMIC_RELAXED);
	peak = __atomic_load_n(&defer->n_cells_peak, __ATOMIC_RELAXED);
	if (n > peak)
		__atomic_store_n(&defer->n_cells_peak, n, __ATOMIC_RELAXED);
}

void
cubby__defer_queue(struct cubby_cache *cache, uint32_t number)
{
	struct defer *defer = &cache->defer;

	if (magazine(number)->count == 0) {
		cubby__magazine_give_empty(number);
		return;
	}
	magazine(number)->n_begun = 0;
	magazine_set_state(magazine(number), MAGAZINE_SHEAF);
	count_in(defer, magazine(number)->count);
	cubby__magazine_push(&defer->waiting, number);
}

void
cubby__defer_take_sheaf(struct cubby_cache *cache, uint64_t *word)
{
	uint64_t cursor = block_get(word);
	uint32_t number;

	if (cursor == 0)
		return;
	number = magazine_settle(cursor, MAGAZINE_SHEAF);
	block_set(word, 0);
	cubby__defer_queue(cache, number);
	cubby__reclaim_notify(cache, false);
}

/* Put an empty magazine in the place of a sheaf that is full: false: none. */
static bool
load_sheaf(const struct hand *hand)
{
	struct cubby_cache *cache = hand->cache;
	uint64_t seen = hand_read(hand, HAND_DEFERRED);
	uint32_t number;

	if ((seen & FULL_MASK_OPEN) != 0)
		return true; /* now */
	number = cubby__magazine_take_empty(cache->id,
					    cache->front.capacity_max, false);
	if (number != 0 && !hand_put(hand, HAND_DEFERRED, seen, number,
				     MAGAZINE_SHEAF_IN_BLOCK)) {
		cubby__magazine_give_empty(number);
		return true; /* somebody else has changed it */
	}
	if (number == 0 &&
	    (seen == 0 || !hand_replace(hand, HAND_DEFERRED, seen, 0)))
		return seen != 0;
	if (number != 0)
		cubby__defer_note_time(&cache->defer.opened_ns);
	if (seen != 0)
		cubby__defer_queue(cache,
				   magazine_settle(seen, MAGAZINE_SHEAF));
	return number != 0;
}

enum pushed { PUSHED, PUSHED_INTO_NEW, NOT_PUSHED, NO_EMPTY_MAGAZINE };

/* Into the sheaf that is there, or into a new one. */
static enum pushed
push(struct cubby_cache *cache, void *object)
{
	enum pushed pushed = PUSHED;
	struct hand hand;

	if (cache->front.block == 0 ||
	    !hand_enter(&hand, cache, &cache->front.gate))
		return NOT_PUSHED;
	for (unsigned i = 0; !hand_push_deferred(&hand, object); i++) {
		pushed = PUSHED_INTO_NEW;
		if (i == TRIES)
			pushed = NOT_PUSHED;
		else if (!load_sheaf(&hand))
			pushed = NO_EMPTY_MAGAZINE;
		if (pushed != PUSHED_INTO_NEW)
			break;
	}
	hand_leave(&hand);
	return pushed;
}

/* ------------------------------------- bits ------------------------------ */

bool
cubby__defer_has_bit(const struct cubby_cache *cache, uint64_t cell)
{
	const struct defer *defer = &cache->defer;

	return defer->domain != NULL &&
	       (cell_side_test(defer->bits[0], cell) ||
		cell_side_test(defer->bits[1], cell));
}

bool
cubby__defer_bit_locked(struct cubby_cache *cache, uint64_t cell)
{
	struct defer *defer = &cache->defer;
	uint32_t fill = defer->fill;

	if (cubby__defer_has_bit(cache, cell)) /* D1 */
		return false;
	cell_side_set(defer->bits[fill], cell);
	if (defer->n_bits[fill]++ == 0) {
		defer->bits_low[fill] = cell;
		defer->bits_end[fill] = cell + 1;
	}
	defer->bits_low[fill] = min_u64(defer->bits_low[fill], cell);
	defer->bits_end[fill] = max_u64(defer->bits_end[fill], cell + 1);
	count_in(defer, 1);
	return true;
}

static COLD void
defer_by_bit(struct cubby_cache *cache, void *object)
{
	enum free_fault fault;
	uint64_t cell;
	sigset_t saved;

	cubby__lock_acquire(&cache->lock, &saved);
	fault = cubby__direct_check_used(cache, object, &cell);
	if (fault == FREE_OK && !cubby__defer_bit_locked(cache, cell))
		fault = FREE_NOT_LIVE;
	cubby__lock_release(&cache->lock, &saved);
	if (fault != FREE_OK)
		cubby__usable_report_now(cache, object, cell, fault);
}

static void
defer_slow(struct cubby_cache *cache, void *object)
{
	enum pushed pushed = push(cache, object);
	bool by_bit;

	if (pushed == PUSHED)
		return; /* whoever put the sheaf there has told the domain */
	if (pushed == NO_EMPTY_MAGAZINE &&
	    cubby__depot_n_cells(&cache->front) > 0) {
		/* Makes empties of what the depot holds. */
		cubby__depot_flush(cache);
		pushed = push(cache, object);
	}
	by_bit = pushed == NOT_PUSHED || pushed == NO_EMPTY_MAGAZINE;
	if (by_bit)
		defer_by_bit(cache, object);
	look_at_limits(cache, by_bit);
}

void
cubby__defer(struct cubby_cache *cache, void *object)
{
	if (unlikely(PLANTED(NO_GRACE))) {
		uint64_t cell;

		cubby__region_find(&cache->region, object, &cell);
		cubby__death_finish(cache, object, cell);
		return;
	}
	if (likely(cubby__percpu_works) &&
	    likely(rseq_push_deferred(&cache->front.gate, &hand_full_mask,
				      object)))
		return;
	defer_slow(cache, object);
}

void
cubby__defer_odd(struct cubby_cache *cache, void *object)
{
	/* Seen by who takes the sheaf: it leaves the block by a release. */
	if (!__atomic_load_n(&cache->defer.is_odd, __ATOMIC_RELAXED))
		__atomic_store_n(&cache->defer.is_odd, 1, __ATOMIC_SEQ_CST);
	cubby__defer(cache, object);
}

/* ------------------------------- while it is quiet ----------------------- */

static void
visit_bits(const struct cubby_cache *cache, const struct cell_side *bits,
	   uint64_t cell, uint64_t end, const struct cell_visitor *visitor)
{
	for (; cell < end; cell++)
		if (cell_side_test(bits, cell))
			visitor->visit(visitor->context,
				       region_object(&cache->region, cell));
}

void
cubby__defer_for_each_dying(struct cubby_cache *cache,
			    void (*visit)(void *context, const void *object),
			    void *context)
{
	const struct cell_visitor visitor = { visit, context };

	if (cache->dying != NULL)
		visit_bits(cache, cache->dying, 0, cache->slabs.n_cells,
			   &visitor);
}

void
cubby__defer_for_each(struct cubby_cache *cache,
		      void (*visit)(void *context, const void *object),
		      void *context)
{
	const struct cell_visitor visitor = { visit, context };
	const struct defer *defer = &cache->defer;
	uint32_t n = cache->front.block != 0 ? cubby__front_n_blocks() : 0;

	if (defer->domain == NULL)
		return;
	for (uint32_t i = 0; i < n; i++)
		cubby__magazine_visit_below(
			block_get(&cubby__front_block(cache, i)->deferred),
			&visitor);
	cubby__magazine_visit_list(magazine_stack_top(&defer->waiting),
				   &visitor);
	cubby__magazine_visit_list(defer->grace, &visitor);
	cubby__magazine_visit_list(defer->reclaiming, &visitor);
	for (unsigned i = 0; i < 2; i++)
		if (defer->n_bits[i] != 0)
			visit_bits(cache, defer->bits[i], defer->bits_low[i],
				   defer->bits_end[i], &visitor);
}

uint64_t
cubby__defer_count(const struct cubby_cache *cache)
{
	const struct defer *defer = &cache->defer;
	uint32_t n_blocks = cache->front.block != 0 ? cubby__front_n_blocks() :
						      0;
	uint64_t n = 0;

	if (defer->domain == NULL)
		return 0;
	for (uint32_t i = 0; i < n_blocks; i++)
		n += magazine_cells_below(
			block_get(&cubby__front_block(cache, i)->deferred));
	cubby__magazine_count_list(magazine_stack_top(&defer->waiting), &n);
	cubby__magazine_count_list(defer->grace, &n);
	cubby__magazine_count_list(defer->reclaiming, &n);
	/* One may be ending just now. */
	return n + defer->n_bits[0] + defer->n_bits[1] +
	       (defer->bit_begun != 0);
}

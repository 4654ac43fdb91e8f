/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: quiesce - one cache stands still while the process runs
 *
 * Theory
 *
 *	close the gate (slab lock)     later allocs and frees of this cache
 *	                               take the slab lock
 *	fence, wait (no lock)          earlier ones are over: per CPU, sequences
 *	                               by the fence, exchanges by their count;
 *	                               per thread, brackets by their busy word
 *	take the slab lock             now every cell of the cache is accounted
 *	                               for, and its blocks may be written (T4)
 *	open the gate, unlock
 *
 * This is the one primitive behind walk, is-live, leak report, shrink, verify,
 * exact statistics and destroy.  Where a thread does not leave its exchange
 * it gives up: at once if it is its own, in a handler; after 100 ms or somewhat
 * more if one is stopped; after 5 s.
 *
 * Signals are blocked from begin to end: no handler of this thread's meets the
 * cache half closed, and none forks there.
 */
#include "bits.h"
#include "cache.h"
#include "debug.h"
#include "defer.h"
#include "error.h"
#include "hand.h"
#include "os.h"
#include "sample.h"
#include "weak.h"

#include <errno.h>
#include <unistd.h>

/* ------------------------------- the gate --------------------------------- */

void
cubby__quiesce_close(struct cubby_cache *cache)
{
	cache->front.n_closed++;
	if (!PLANTED(SWING))
		cubby__front_set_gate(cache, false);
}

void
cubby__quiesce_open(struct cubby_cache *cache)
{
	/* In a fork child it may be open already. */
	if (cache->front.n_closed == 0 || --cache->front.n_closed == 0)
		cubby__front_set_gate(cache, cache->front.block != 0);
}

/* 0: every sequence or bracket that saw the gate open is over. */
static int
wait_for_exchanges(struct cubby_cache *cache, pid_t *ret_tid)
{
	const struct front *front = &cache->front;

	if (!cubby__percpu_works)
		return cubby__stripe_wait(ret_tid);
	if (!PLANTED(EARLY_FENCE) && !cubby__percpu_fence())
		return -EPERM;
	if (PLANTED(NO_COUNT))
		return 0;
	return cubby__percpu_wait(front->block, &front->n_in_hand_rest,
				  ret_tid);
}

static int
make_stand_still(struct cubby_cache *cache)
{
	pid_t tid = 0;
	int err = PLANTED(SWING) ? 0 : wait_for_exchanges(cache, &tid);

	if (!err)
		return 0;
	if (err == -EPERM)
		return cubby__error_set(
			-EBUSY,
			"cache '%s': the kernel refuses membarrier(2), which "
			"it allowed at first; is there a seccomp filter?",
			cache->name);
	if (tid == gettid())
		return cubby__error_set(
			err,
			"cache '%s': this thread is itself in the middle of an "
			"allocation or a free: this is a signal handler; try "
			"again after it has returned",
			cache->name);
	if (tid == 0)
		return cubby__error_set(
			err,
			"cache '%s': a thread is in the middle of an "
			"allocation or a free, and does not go on; is there a "
			"signal handler that does not return?",
			cache->name);
	if (cubby__percpu_works)
		return cubby__error_set(
			err,
			"cache '%s': a thread is in the middle of an "
			"allocation or a free, and does not go on; perhaps "
			"thread %d is that one, for it is stopped",
			cache->name, (int)tid);
	return cubby__error_set(
		err,
		"cache '%s': thread %d has been stopped in the middle of an "
		"allocation or a free; let it go on, then try again",
		cache->name, (int)tid);
}

static void
recount_depot(struct cubby_cache *cache)
{
	struct front *front = &cache->front;
	uint64_t n_aged = 0;

	for (uint32_t i = 0; i < N_SHARDS; i++) {
		struct magazine_shard *shard = &front->young[i];
		uint64_t n = 0;

		cubby__magazine_count_list(magazine_stack_top(&shard->stack),
					   &n);
		__atomic_store_n(&shard->n, (int64_t)n, __ATOMIC_RELAXED);
	}
	cubby__magazine_count_list(front->aged_first, &n_aged);
	__atomic_store_n(&front->n_aged, (int64_t)n_aged, __ATOMIC_RELAXED);
	front->depot_is_unsure = false;
}

int
cubby__quiesce_begin(struct cubby_cache *cache, sigset_t *ret_saved)
{
	int err;

	cubby__lock_block_signals(ret_saved);
	cubby__lock_acquire_nested(&cache->lock);
	cache->front.n_quiesces++;
	if (PLANTED(EARLY_FENCE)) {
		cubby__percpu_fence();
		cubby__os_nap(1); /* what it aborted has begun again */
	}
	cubby__quiesce_close(cache);
	if (cache->front.block == 0)
		return 0;
	if (!PLANTED(LOCKED_WAIT))
		cubby__lock_release_nested(&cache->lock); /* T3 */
	err = make_stand_still(cache);
	if (!PLANTED(LOCKED_WAIT))
		cubby__lock_acquire_nested(&cache->lock);
	if (err)
		cubby__quiesce_end(cache, ret_saved);
	else if (unlikely(cache->front.depot_is_unsure))
		recount_depot(cache);
	return err;
}

void
cubby__quiesce_end(struct cubby_cache *cache, const sigset_t *saved)
{
	cubby__quiesce_open(cache);
	cubby__lock_release(&cache->lock, saved);
}

/* --------------------------------- idle cells ----------------------------- */

/* All that can be handed out. */
static void
visit_idle(struct cubby_cache *cache,
	   void (*visit)(void *context, const void *object), void *context)
{
	const struct front *front = &cache->front;
	const struct cell_visitor visitor = { visit, context };
	uint32_t n = front->block != 0 ? cubby__front_n_blocks() : 0;

	for (uint32_t i = 0; i < n; i++) {
		const struct block *block = cubby__front_block(cache, i);

		cubby__magazine_visit_below(block_get(&block->loaded),
					    &visitor);
		cubby__magazine_visit_below(block_get(&block->previous),
					    &visitor);
	}
	for (uint32_t i = 0; i < N_SHARDS; i++)
		cubby__magazine_visit_list(
			magazine_stack_top(&front->young[i].stack), &visitor);
	cubby__magazine_visit_list(front->aged_first, &visitor);
	cubby__magazine_visit_list(front->preparing, &visitor);
	cubby__reserve_for_each(cache, visit, context);
}

void
cubby__quiesce_for_each(struct cubby_cache *cache,
			void (*visit)(void *context, const void *object),
			void *context)
{
	visit_idle(cache, visit, context);
	cubby__debug_for_each(cache, visit, context);
	cubby__sample_for_each(cache, visit, context);
	cubby__defer_for_each(cache, visit, context);
	cubby__weak_for_each_retired(cache, visit, context);
}

static uint64_t
count_young(const struct front *front, uint64_t *ret_n_cells)
{
	uint64_t n = 0;

	for (uint32_t i = 0; i < N_SHARDS; i++)
		n += cubby__magazine_count_list(
			magazine_stack_top(&front->young[i].stack),
			ret_n_cells);
	return n;
}

uint64_t
cubby__quiesce_count_young(const struct cubby_cache *cache)
{
	uint64_t n_cells = 0;

	return count_young(&cache->front, &n_cells);
}

void
cubby__quiesce_count(const struct cubby_cache *cache,
		     struct idle_counts *ret_counts)
{
	const struct front *front = &cache->front;
	uint32_t n = front->block != 0 ? cubby__front_n_blocks() : 0;

	*ret_counts = (struct idle_counts){ 0 };
	for (uint32_t i = 0; i < n; i++) {
		const struct block *block = cubby__front_block(cache, i);

		ret_counts->in_blocks +=
			magazine_cells_below(block_get(&block->loaded)) +
			magazine_cells_below(block_get(&block->previous));
	}
	count_young(front, &ret_counts->in_depot);
	cubby__magazine_count_list(front->aged_first, &ret_counts->in_depot);
	cubby__magazine_count_list(front->preparing, &ret_counts->preparing);
	ret_counts->reserved = cubby__reserve_count(cache);
	ret_counts->retired = cache->weak.n_retired;
	ret_counts->waiting = cubby__debug_count(cache) +
			      cubby__sample_count(cache);
}

/* --------------------------------- taking back ---------------------------- */

static void
drain_word(struct cubby_cache *cache, uint64_t *word, struct faults *faults)
{
	uint64_t cursor = block_get(word);
	uint32_t number;

	if (cursor == 0)
		return;
	number = magazine_of_cursor(cursor);
	magazine_set_count(magazine(number), magazine_cells_below(cursor));
	block_set(word, 0);
	cubby__depot_flush_locked(cache, number, faults);
}

void
cubby__quiesce_drain(struct cubby_cache *cache, struct faults *faults)
{
	struct front *front = &cache->front;
	uint32_t n = front->block != 0 ? cubby__front_n_blocks() : 0;
	uint32_t number;

	for (uint32_t i = 0; i < n; i++) {
		struct block *block = cubby__front_block(cache, i);

		drain_word(cache, &block->loaded, faults);
		drain_word(cache, &block->previous, faults);
		cubby__defer_take_sheaf(cache, &block->deferred);
		/* Their sum is 0; a page that was never written stays so. */
		if (block->in_hand != 0)
			block->in_hand = 0;
	}
	front->n_in_hand_rest = 0;
	for (uint32_t i = 0; i < N_SHARDS; i++)
		while ((number = cubby__magazine_pop(
				&front->young[i].stack)) != 0)
			cubby__depot_flush_locked(cache, number, faults);
	while ((number = front->aged_first) != 0) {
		front->aged_first = magazine_next(number);
		cubby__depot_flush_locked(cache, number, faults);
	}
	front->aged_last = 0;
	cubby__debug_drain_locked(cache, faults);
	cubby__sample_drain_locked(cache);
	if (!PLANTED(SWING))
		recount_depot(cache);
	cubby__depot_count_process(cache);
}

/*
 * With the gate closed and the lock held: may block i be written?  Nothing waits
 * here; what is refused is for the next sweep.  Nor is this thread's own block
 * swept, or this CPU's: it is in use.
 */
static bool
may_sweep(uint32_t i)
{
	const struct stripe *stripe;

	if (cubby__percpu_works)
		return i != cubby__percpu_number();
	stripe = cubby__stripe_at(i);
	return stripe != cubby__stripe_current() && stripe_is_idle(stripe);
}

static bool
begin_sweep(struct cubby_cache *cache)
{
	const struct front *front = &cache->front;

	cubby__quiesce_close(cache);
	if (!cubby__percpu_works)
		return cubby__stripe_fence();
	return cubby__percpu_fence() &&
	       cubby__percpu_n_in_hand(front->block, &front->n_in_hand_rest) ==
		       0;
}

void
cubby__quiesce_sweep_locked(struct cubby_cache *cache, uint32_t n,
			    struct faults *faults)
{
	struct front *front = &cache->front;
	uint32_t n_blocks = cubby__front_n_blocks();

	if (!begin_sweep(cache))
		n = 0;
	for (n = (uint32_t)min_u64(n, n_blocks); n > 0; n--) {
		uint32_t i = front->swept++ % n_blocks;
		struct block *block = cubby__front_block(cache, i);

		if (!may_sweep(i))
			continue;
		drain_word(cache, &block->loaded, faults);
		drain_word(cache, &block->previous, faults);
	}
	cubby__quiesce_open(cache);
}

int
cubby__quiesce_take_back(struct cubby_cache *cache, uint64_t keep,
			 uint64_t *ret_bytes)
{
	struct faults faults = { 0 };
	uint64_t bytes;
	sigset_t saved;
	int err = cubby__quiesce_begin(cache, &saved);

	if (err)
		return err;
	cubby__quiesce_drain(cache, &faults);
	cubby__quiesce_end(cache, &saved);
	/* fini runs outside of the closed gate. */
	bytes = cubby__direct_trim(cache, keep);
	if (ret_bytes != NULL)
		*ret_bytes = bytes;
	cubby__direct_report(cache, &faults);
	return 0;
}

/* ---------------------------------- verify -------------------------------- */

struct audit {
	struct cubby_cache *cache;
	struct text *first;
	size_t n_faults;
	uint64_t *seen; /* a bit a cell, or NULL if there is no memory */
};

static void
fault(struct audit *audit, const char *what, const void *address)
{
	if (audit->n_faults++ == 0)
		cubby__text_printf(audit->first, "%p: %s", address, what);
}

static void
audit_cell(void *context, const void *object)
{
	struct audit *audit = context;
	uint64_t cell, mask;

	if (cubby__direct_check_used(audit->cache, object, &cell) != FREE_OK) {
		fault(audit, "idle, but no cell in use (F3)", object);
		return;
	}
	if (audit->seen == NULL)
		return;
	mask = (uint64_t)1 << (cell % 64);
	if (audit->seen[cell / 64] & mask)
		fault(audit, "idle in two places (F3)", object);
	audit->seen[cell / 64] |= mask;
}

/* One that is retired may still wait for its grace period. */
static void
audit_retired(void *context, const void *object)
{
	struct audit *audit = context;
	uint64_t cell;

	if (cubby__direct_check_used(audit->cache, object, &cell) == FREE_OK &&
	    audit->seen != NULL && audit->seen[cell / 64] >> cell % 64 & 1)
		fault(audit, "retired, and idle (W5)", object);
}

static void
audit_cells(struct audit *audit)
{
	uint64_t bytes = (audit->cache->slabs.n_cells / 64 + 1) * 8;
	void *memory = NULL;

	if (cubby__os_map(bytes, &memory) == 0)
		audit->seen = memory;
	visit_idle(audit->cache, audit_cell, audit);
	cubby__debug_for_each(audit->cache, audit_cell, audit);
	cubby__sample_for_each(audit->cache, audit_cell, audit);
	cubby__weak_for_each_retired(audit->cache, audit_retired, audit);
	cubby__defer_for_each(audit->cache, audit_cell, audit);
	if (memory != NULL)
		cubby__os_unmap(memory, bytes);
}

static void
audit_magazine(struct audit *audit, uint32_t number, uint64_t count)
{
	const struct magazine *it = magazine(number);

	if (number == 0 || number >= cubby__magazine_n_used() ||
	    it->capacity > MAGAZINE_CAPACITY_MAX || count > it->capacity ||
	    magazine_cells((struct magazine *)it)[-1] != NULL)
		fault(audit, "not a magazine (M2)", it);
	else if (it->cache != audit->cache->id)
		fault(audit, "another cache's magazine (M1)", it);
}

static void
audit_cursor(struct audit *audit, uint64_t cursor)
{
	if (cursor != 0)
		audit_magazine(audit, magazine_of_cursor(cursor),
			       magazine_cells_below(cursor));
}

static void
audit_list(struct audit *audit, uint32_t number)
{
	uint64_t n_left = cubby__magazine_n_used();

	for (; number != 0; number = magazine_next(number)) {
		if (n_left-- == 0) {
			fault(audit, "a list that runs in a circle (M1)",
			      magazine(number));
			return;
		}
		audit_magazine(audit, number, magazine(number)->count);
	}
}

size_t
cubby__quiesce_verify(struct cubby_cache *cache, struct text *first)
{
	struct audit audit = { .cache = cache, .first = first };
	const struct front *front = &cache->front;
	uint32_t n = front->block != 0 ? cubby__front_n_blocks() : 0;
	struct idle_counts counts;

	for (uint32_t i = 0; i < n; i++) {
		const struct block *block = cubby__front_block(cache, i);

		audit_cursor(&audit, block_get(&block->loaded));
		audit_cursor(&audit, block_get(&block->previous));
		audit_cursor(&audit, block_get(&block->deferred));
	}
	for (uint32_t i = 0; i < N_SHARDS; i++)
		audit_list(&audit, magazine_stack_top(&front->young[i].stack));
	audit_list(&audit, front->aged_first);
	audit_list(&audit, front->preparing);
	audit_list(&audit, magazine_stack_top(&cache->defer.waiting));
	audit_list(&audit, cache->defer.grace);
	audit_list(&audit, cache->defer.reclaiming);
	if (audit.n_faults != 0)
		return audit.n_faults; /* what they hold cannot be read */
	audit_cells(&audit);
	cubby__quiesce_count(cache, &counts);
	if ((int64_t)counts.in_depot != cubby__depot_n_cells(front))
		fault(&audit, "counts are not what the depot holds (F4)",
		      front);
	if (counts.in_blocks + counts.in_depot + counts.reserved +
		    counts.preparing + cubby__defer_count(cache) +
		    counts.retired + counts.waiting >
	    cache->slabs.n_live)
		fault(&audit, "more idle cells than cells in use (F3)", front);
	return audit.n_faults;
}

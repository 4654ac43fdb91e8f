/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: adopt - what a fork child does with the other threads' magazines
 *
 * Theory
 *
 * The child has one thread.  The others stand where they were when the parent
 * forked, for ever; all locks were held by the thread that forked, so they
 * stand outside of any locked section, but maybe inside a bracket.
 *
 *	gates     are opened: who closed them is gone
 *	preparing its cells go back to the slabs, but for those that the
 *	          forking thread itself is running init on
 *	blocks    of other threads' stripes are emptied into the depots; those
 *	          of CPUs stay.  Every word of a block is whole, as each was
 *	          stored in one piece
 *	in_hand   counts what this thread has in hand, and nobody else's
 *	orphans   magazines that nothing reaches: another thread had them in
 *	          hand in an exchange.  They are put where they belong
 *
 * Reachable wins over state: a magazine's state is written before or after the
 * store that moves it, so it may say "in a block" of one that has left it, or
 * has not come yet, or "in the depot" of one that is on its way there.  So first
 * all that is reachable is marked, and the rest adopted, with as many cells as
 * M3 says.  Only if another thread was in an exchange is there anything to look
 * for.
 *
 * An object that another thread was about to push, or had just popped, is not
 * in a magazine or still in one: it is a leak in the child, or idle.
 *
 * A child that a signal handler forked, with its own thread in an exchange,
 * does not look for orphans: it may hold one itself, and will put it back.  Nor
 * does it know then what depots hold: that is counted at the next quiesce.
 */
#include "cache.h"
#include "debug.h"
#include "defer.h"
#include "fork.h"
#include "percpu.h"
#include "registry.h"

void
cubby__adopt_cache(struct cubby_cache *cache)
{
	struct front *front = &cache->front;
	struct faults faults = { 0 };
	uint32_t number = front->preparing;

	cubby__debug_fork_child(cache);
	front->preparing = 0;
	while (number != 0) {
		uint32_t next = magazine_next(number);

		if (magazine(number)->preparing == cubby__stripe_self()) {
			/* This init forked, and goes on. */
			magazine_set_next(number, front->preparing);
			front->preparing = number;
		} else {
			cubby__depot_flush_locked(cache, number, &faults);
		}
		number = next;
	}
	if (front->n_closed != 0) {
		front->n_closed = 1;
		cubby__quiesce_open(cache);
	}
}

/* ------------------------------ other stripes ------------------------------ */

static bool others_were_busy;

static void
bury(struct stripe *stripe)
{
	others_were_busy |= stripe->busy != 0;
	for (uint32_t i = 1; i < stripe->n_blocks; i++) {
		struct block *block = &stripe->blocks[i];
		struct cubby_cache *cache = cubby__front_user_of(block);

		if (cache != NULL)
			cubby__front_empty_block(cache, block);
	}
}

/* --------------------------------- orphans -------------------------------- */

/* The first time all that is reached is marked so; then, where it is. */
struct marks {
	bool by_place;
	enum magazine_state place;
	uint64_t n_cells;
};

static void
mark(uint32_t number, void *context)
{
	struct marks *marks = context;

	marks->n_cells += magazine(number)->count;
	magazine_set_state(magazine(number),
			   marks->by_place ? marks->place : MAGAZINE_REACHED);
}

static void
mark_word(const uint64_t *word, struct marks *marks, enum magazine_state place)
{
	uint64_t cursor = block_get(word);

	marks->place = place;
	if (cursor != 0)
		mark(magazine_of_cursor(cursor), marks);
}

static void
mark_block(const struct block *block, struct marks *marks)
{
	mark_word(&block->loaded, marks, MAGAZINE_IN_BLOCK);
	mark_word(&block->previous, marks, MAGAZINE_IN_BLOCK);
	mark_word(&block->deferred, marks, MAGAZINE_SHEAF_IN_BLOCK);
}

/* How many cells are in the magazines of a list. */
static int64_t
mark_list(uint32_t number, struct marks *marks, enum magazine_state place)
{
	marks->place = place;
	marks->n_cells = 0;
	for (; number != 0; number = magazine_next(number))
		mark(number, marks);
	return (int64_t)marks->n_cells;
}

/* What the depot of a cache reaches; its counts are made right (F4). */
static void
mark_depot(struct cubby_cache *cache, struct marks *marks)
{
	struct front *front = &cache->front;
	struct defer *defer = &cache->defer;

	front->n_aged = mark_list(front->aged_first, marks, MAGAZINE_IN_DEPOT);
	for (uint32_t i = 0; i < N_SHARDS; i++)
		front->young[i].n = mark_list(
			magazine_stack_top(&front->young[i].stack), marks,
			MAGAZINE_IN_DEPOT);
	mark_list(front->preparing, marks, MAGAZINE_IN_FLIGHT);
	mark_list(magazine_stack_top(&defer->waiting), marks, MAGAZINE_SHEAF);
	mark_list(defer->grace, marks, MAGAZINE_SHEAF);
	mark_list(defer->reclaiming, marks, MAGAZINE_SHEAF);
}

static bool
is_used(const struct cubby_cache *cache)
{
	return cache->state == CACHE_LIVE || cache->state == CACHE_DYING;
}

/* @mine: of this thread; NULL if it has none, or per CPU. */
static void
mark_all(const struct stripe *mine, bool by_place)
{
	struct marks marks = { .by_place = by_place };
	uint32_t n = cubby__percpu_works ? cubby__percpu_n() : 0;
	struct cubby_cache *cache;

	for (uint32_t i = 1; mine != NULL && i < mine->n_blocks; i++)
		mark_block(&mine->blocks[i], &marks);
	for (uint32_t id = 1; (cache = cubby__registry_by_id(id)) != NULL;
	     id++) {
		if (!is_used(cache))
			continue;
		mark_depot(cache, &marks);
		for (uint32_t i = 0; cache->front.block != 0 && i < n; i++)
			mark_block(cubby__front_block(cache, i), &marks);
	}
	marks.place = MAGAZINE_EMPTY;
	cubby__magazine_for_each_empty(mark, &marks);
}

static void
adopt(uint32_t number)
{
	struct magazine *it = magazine(number);
	struct cubby_cache *cache = cubby__registry_by_id((uint32_t)it->cache);

	enum magazine_state state = magazine_get_state(it);

	/* It left a block, or was about to enter one (M3). */
	if ((state == MAGAZINE_IN_BLOCK || state == MAGAZINE_SHEAF_IN_BLOCK) &&
	    !PLANTED(ADOPT_BY_COUNT))
		magazine_set_count(it, magazine_cells_below(it->cursor));
	if (cache == NULL || cache->state != CACHE_LIVE)
		cubby__magazine_give_empty(number);
	else if (state == MAGAZINE_SHEAF || state == MAGAZINE_SHEAF_IN_BLOCK)
		cubby__defer_queue(cache, number);
	else
		cubby__depot_put(&cache->front, number);
}

static bool
is_orphan(uint32_t number)
{
	enum magazine_state state = magazine_get_state(magazine(number));

	/* UNUSED: of a dropped page, or lost before its first use. */
	return state != MAGAZINE_REACHED && state != MAGAZINE_UNUSED;
}

static void
adopt_orphans(const struct stripe *mine)
{
	uint32_t n = cubby__magazine_n_used();

	mark_all(mine, false);
	for (uint32_t number = 1; number < n; number++)
		if (is_orphan(number))
			adopt(number);
	mark_all(mine, true);
}

static void
doubt_depots(void)
{
	struct cubby_cache *cache;

	for (uint32_t id = 1; (cache = cubby__registry_by_id(id)) != NULL;
	     id++)
		cache->front.depot_is_unsure = true;
}

/* Per CPU: blocks are whole and nobody's; what others had in hand is left. */
static bool
forget_others(void)
{
	struct cubby_cache *cache;
	bool any = false;

	for (uint32_t id = 1; (cache = cubby__registry_by_id(id)) != NULL;
	     id++) {
		struct front *front = &cache->front;

		if (is_used(cache) && front->block != 0)
			any |= cubby__percpu_forget(id, front->block,
						    &front->n_in_hand_rest);
	}
	return any;
}

void
cubby__adopt_self(void)
{
	if (!cubby__stripe_works())
		return;
	if (cubby__percpu_works)
		cubby__percpu_fork_child();
	else
		cubby__stripe_fork_alone();
}

void
cubby__adopt_stripes(void)
{
	const struct stripe *mine = NULL;
	bool in_hand; /* of this thread, which then is in a handler */

	if (!cubby__stripe_works())
		return;
	if (cubby__percpu_works) {
		cubby__percpu_fork_child();
		others_were_busy = forget_others();
		in_hand = cubby__percpu_has_any();
	} else {
		others_were_busy = false;
		cubby__stripe_fork_child(bury);
		mine = cubby__stripe_current();
		in_hand = mine != NULL && mine->busy != 0;
	}
	/* In hand, the others' cannot be told from our own. */
	if (in_hand)
		doubt_depots();
	else if (others_were_busy)
		adopt_orphans(mine);
}

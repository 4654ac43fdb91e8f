/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: front - magazines between a thread and the depot
 *
 * Theory
 *
 * Popping and pushing a cell of the loaded magazine is in stripe.h; this file
 * is what happens when that one is empty or full.
 *
 *	alloc   loaded is empty: exchange it for `previous` if that has cells,
 *	        else for a magazine from the depot, else refill
 *	free    loaded is full: exchange it for `previous` if that has room,
 *	        else put the full one into the depot and load an empty one
 *
 * Two magazines a block, so that one who allocates and frees around a boundary
 * does not go to the depot each time.
 *
 * An exchange takes no lock: it is between hand_enter() and hand_leave(), and
 * uses lock-free stacks.  Each step stores one word of the block, and a
 * magazine that has left a block or stack and not yet reached another is
 * complete in itself (M3), so that a fork at any moment leaves nothing half.
 *
 * Per CPU a step may find that another thread of this CPU, a handler, or
 * another CPU's block has come in between.  Then what is in hand goes into
 * `previous` or the depot, and the call begins again, a few times: then alloc
 * refills, and takes its cell before others can, and free takes the slab lock.
 */
#include "bits.h"
#include "cache.h"
#include "defer.h"
#include "hand.h"
#include "registry.h"
#include "sample.h"

#include <errno.h>

/* Cells larger than this go without magazines: what would idle costs more. */
#define CELL_BYTES_MAX (64 * KIB)

/* How often one call tries, while others take what it has brought. */
#define TRIES 4

uint64_t cubby__front_closed;

/* ------------------------------ exchanges --------------------------------- */

/* A magazine has left a block, and is in hand. */
static uint32_t
settle(uint64_t cursor)
{
	PLANT_DELAY(ADOPT_BY_COUNT);
	return magazine_settle(cursor, MAGAZINE_IN_FLIGHT);
}

/* Take `previous`, leaving 0: its magazine, or 0. */
static uint32_t
take_previous(const struct hand *hand)
{
	for (unsigned i = 0; i < TRIES; i++) {
		uint64_t seen = hand_read(hand, HAND_PREVIOUS);

		if (seen == 0)
			return 0;
		if (hand_replace(hand, HAND_PREVIOUS, seen, 0)) {
			PLANT_DELAY(NO_COUNT);
			return settle(seen);
		}
	}
	return 0;
}

/* A planted bug: what is put away stays with the thread, for the next time. */
static uint32_t
swap_spare(const struct hand *hand, uint32_t number)
{
	static __thread uint32_t spare
		__attribute__((tls_model("initial-exec")));
	uint32_t old = spare;

	if (!PLANTED(TLS_SPARE) || hand->stripe != NULL)
		return number;
	PLANT_DELAY(TLS_SPARE);
	if (old != 0 && magazine_get_cache(old) != hand->cache->id)
		return number;
	spare = number;
	return old;
}

/* What is in hand, or 0, becomes `previous`, or goes where it belongs. */
static void
put_away(const struct hand *hand, uint32_t number)
{
	if (number == 0)
		return;
	number = swap_spare(hand, number);
	if (number == 0)
		return;
	if (hand_read(hand, HAND_PREVIOUS) != 0 ||
	    !hand_put(hand, HAND_PREVIOUS, 0, number, MAGAZINE_IN_BLOCK))
		cubby__depot_put(&hand->cache->front, number);
}

/* A planted bug: what was loaded goes to `previous` in the same sequence. */
static bool
load_by_pair_store(const struct hand *hand, uint64_t seen, uint32_t number)
{
	uint64_t block = hand_gate(hand) + ((uint64_t)cubby__percpu_number()
					    << CUBBY__STRIPE_SHIFT);

	magazine_set_state(magazine(number), MAGAZINE_IN_BLOCK);
	return rseq_replace(hand->gate, &cubby__front_closed,
			    &cubby__percpu_n_stripes, HAND_LOADED, seen,
			    magazine_cursor_of(number),
			    (uint64_t *)(block + HAND_PREVIOUS));
}

/* Load what is in hand, if `loaded` is still what was seen. */
static void
load(const struct hand *hand, uint64_t seen, uint32_t number)
{
	if (PLANTED(PAIR_STORE) && hand->stripe == NULL && seen != 0 &&
	    hand_read(hand, HAND_PREVIOUS) == 0) {
		if (!load_by_pair_store(hand, seen, number))
			put_away(hand, number);
	} else if (!hand_put(hand, HAND_LOADED, seen, number,
			     MAGAZINE_IN_BLOCK))
		put_away(hand, number);
	else if (seen != 0)
		put_away(hand, settle(seen));
}

/* Load cells, from `previous` or the depot: false if there are none. */
static bool
load_cells(const struct hand *hand)
{
	uint64_t seen = hand_read(hand, HAND_LOADED);
	uint32_t incoming;

	if (magazine_cells_below(seen) != 0)
		return true; /* now */
	incoming = take_previous(hand);
	if (incoming == 0 || magazine(incoming)->count == 0) {
		uint32_t empty = incoming;

		incoming = cubby__depot_get(&hand->cache->front);
		put_away(hand, empty);
		if (incoming == 0)
			return false;
	}
	load(hand, seen, incoming);
	return true;
}

static bool
has_room(uint32_t number)
{
	return magazine(number)->count < magazine(number)->capacity;
}

/* Load room, from `previous` or an empty magazine: false if there is none. */
static bool
load_room(const struct hand *hand)
{
	struct front *front = &hand->cache->front;
	uint64_t seen = hand_read(hand, HAND_LOADED);
	uint32_t incoming;

	if ((seen & FULL_MASK_OPEN) != 0)
		return true; /* now */
	incoming = take_previous(hand);
	if (incoming == 0 || !has_room(incoming)) {
		uint32_t full = incoming;

		incoming = cubby__magazine_take_empty(
			hand->cache->id,
			__atomic_load_n(&front->capacity, __ATOMIC_RELAXED),
			false);
		if (incoming == 0) {
			put_away(hand, full);
			return false;
		}
		if (full != 0)
			cubby__depot_put(front, full);
	}
	load(hand, seen, incoming);
	return true;
}

/* ----------------------------- alloc and free ----------------------------- */

/* Pop a cell: NULL if there is none, or no exchange can be. */
static void *
pop_any(struct cubby_cache *cache)
{
	struct hand hand;
	void *object;

	if (!hand_enter(&hand, cache, &cache->front.gate))
		return NULL;
	object = hand_pop(&hand);
	for (unsigned i = 0; object == NULL && i < TRIES; i++) {
		if (!load_cells(&hand))
			break;
		sample_count(cache, magazine_cells_below(
					    hand_read(&hand, HAND_LOADED)));
		object = hand_pop(&hand);
	}
	hand_leave(&hand);
	return object;
}

/*
 * Take a cell out of the first magazine, load that if cells are wanted here,
 * and put the others into the depot.  The gate cannot be closed under our lock.
 */
static void *
install(struct cubby_cache *cache, unsigned n, const uint32_t *numbers)
{
	struct magazine *first = magazine(numbers[0]);
	void *object = magazine_cells(first)[first->count - 1];
	struct hand hand;
	unsigned i = 0;

	sample_count(cache, first->count);
	magazine_set_count(first, first->count - 1);
	if (first->count != 0 &&
	    hand_enter(&hand, cache, &cache->front.gate)) {
		uint64_t seen = hand_read(&hand, HAND_LOADED);

		if (magazine_cells_below(seen) == 0)
			load(&hand, seen, numbers[i++]);
		hand_leave(&hand);
	}
	/* The lowest on top: what is allocated in turn lies in turn. */
	while (n > i)
		cubby__depot_put(&cache->front, numbers[--n]);
	return object;
}

static int
refill_locked(struct cubby_cache *cache, sigset_t *saved, void **ret_object)
{
	uint32_t numbers[MAGAZINES_PER_VISIT];
	struct faults faults = { 0 };
	unsigned n;
	int err;

	/* Others, or a handler, may have brought cells since we looked. */
	*ret_object = pop_any(cache);
	if (*ret_object != NULL)
		return 0;
	err = cubby__depot_refill(cache, numbers, &n, saved);
	if (err)
		return err;
	if (!front_is_open(&cache->front)) { /* closed while init ran */
		while (n > 0)
			cubby__depot_flush_locked(cache, numbers[--n],
						  &faults);
		return -EAGAIN;
	}
	*ret_object = install(cache, n, numbers);
	return 0;
}

/*
 * Can this thread exchange at all?  If not it must not refill: it would never
 * get to what it brings.  A busy stripe under a lock is a handler's.
 */
static bool
may_exchange(void)
{
	const struct stripe *stripe;

	if (cubby__percpu_works)
		return cubby__percpu_may_enter();
	stripe = cubby__stripe_mine();
	return stripe != NULL &&
	       !__atomic_load_n(&stripe->busy, __ATOMIC_RELAXED);
}

static COLD int
refill(struct cubby_cache *cache, void **ret_object)
{
	int err = -EAGAIN;
	sigset_t saved;

	if (unlikely(cubby__defer_refuses(cache)))
		return -ENOMEM;
	cubby__lock_acquire(&cache->lock, &saved);
	if (front_is_open(&cache->front) && may_exchange())
		err = refill_locked(cache, &saved, ret_object);
	cubby__lock_release(&cache->lock, &saved);
	return err;
}

int
cubby__front_alloc(struct cubby_cache *cache, void **ret_object)
{
	if (cache->front.block == 0)
		return -EAGAIN;
	/* What the fast path does where allocs have no stage. */
	if (cache->front.is_staged && cubby__percpu_works &&
	    cubby__rseq_pop(&cache->front.gate, ret_object))
		return 0;
	*ret_object = pop_any(cache);
	if (*ret_object != NULL)
		return 0;
	return refill(cache, ret_object);
}

/*
 * What was dying, in a cache with a flavour and dtor, is dead: in an exchange,
 * so that a walk sees it as dying or as idle (death.h).
 */
static void
mark_dying(struct cubby_cache *cache, const void *object, bool is_dying)
{
	uint64_t cell;

	cubby__region_find(&cache->region, object, &cell);
	if (is_dying)
		cell_side_set(cache->dying, cell);
	else
		cell_side_clear(cache->dying, cell);
}

/* Push a cell; *ret_full: there is no empty magazine. */
static bool
push_any(struct cubby_cache *cache, void *object, bool *ret_full)
{
	struct hand hand;
	bool pushed;

	*ret_full = false;
	if (!hand_enter(&hand, cache, &cache->front.free_gate))
		return false;
	if (unlikely(cache->dying != NULL))
		mark_dying(cache, object, false);
	pushed = hand_push(&hand, object);
	for (unsigned i = 0; !pushed && i < TRIES; i++) {
		*ret_full = !load_room(&hand);
		if (*ret_full)
			break;
		pushed = hand_push(&hand, object);
	}
	if (unlikely(!pushed && cache->dying != NULL))
		mark_dying(cache, object, true);
	hand_leave(&hand);
	return pushed;
}

/* What the fast path does where frees have no stage. */
static bool
push_at_once(struct cubby_cache *cache, void *object)
{
	/* The cache is staged, or it has been tried already. */
	return cubby__percpu_works && cache->dying == NULL &&
	       (cache->front.is_staged ||
		__atomic_load_n(&cache->fast.full_mask, __ATOMIC_RELAXED) ==
			FULL_MASK_STAGED) &&
	       cubby__rseq_push(&cache->front.free_gate, &hand_full_mask,
				object);
}

bool
cubby__front_free(struct cubby_cache *cache, void *object)
{
	bool pushed, full;

	if (cache->front.block == 0)
		return false;
	if (push_at_once(cache, object))
		return true;
	pushed = push_any(cache, object, &full);
	if (unlikely(full)) {
		/* Makes empties of what the depot holds. */
		cubby__depot_flush(cache);
		pushed = push_any(cache, object, &full);
	}
	if (unlikely(cubby__depot_overflows(&cache->front)))
		cubby__depot_flush(cache);
	return pushed;
}

/* ----------------------------------- bulk --------------------------------- */

size_t
cubby__front_alloc_bulk(struct cubby_cache *cache, size_t n, void **objects)
{
	size_t n_done = 0;
	struct hand hand;

	/* An exchange a magazine: none is long. */
	for (bool more = cache->front.block != 0; more && n_done < n;) {
		if (!hand_enter(&hand, cache, &cache->front.gate))
			break;
		n_done += hand_pop_many(&hand, n - n_done, objects + n_done);
		more = n_done < n && load_cells(&hand);
		if (more)
			sample_count(cache, magazine_cells_below(hand_read(
						    &hand, HAND_LOADED)));
		hand_leave(&hand);
	}
	return n_done;
}

/* Pushes objects, skips NULLs, until `loaded` is full: how many it passed. */
static size_t
push_run(const struct hand *hand, size_t n, void *const *objects)
{
	size_t n_done = 0;

	while (n_done < n) {
		size_t n_run = 0, n_pushed;

		while (n_done < n && objects[n_done] == NULL)
			n_done++;
		while (n_done + n_run < n && objects[n_done + n_run] != NULL &&
		       n_run < MAGAZINE_CAPACITY_MAX)
			n_run++;
		n_pushed = hand_push_many(hand, n_run, objects + n_done);
		n_done += n_pushed;
		if (n_pushed < n_run)
			break;
	}
	return n_done;
}

size_t
cubby__front_free_bulk(struct cubby_cache *cache, size_t n,
		       void *const *objects)
{
	struct front *front = &cache->front;
	size_t n_done = 0;
	struct hand hand;

	/* What the depot would not hold goes to the slabs at once. */
	if (front->block == 0 || n > cubby__depot_bound(front))
		return 0;
	for (bool more = true; more;) {
		if (!hand_enter(&hand, cache, &front->free_gate))
			break;
		n_done += push_run(&hand, n - n_done, objects + n_done);
		more = n_done < n && load_room(&hand);
		hand_leave(&hand);
		if (unlikely(cubby__depot_overflows(front)))
			cubby__depot_flush(cache);
	}
	return n_done;
}

/* ------------------- blocks, threads and caches that end ------------------------ */

uint32_t
cubby__front_n_blocks(void)
{
	return cubby__percpu_works ? cubby__percpu_n() : cubby__stripe_n();
}

struct block *
cubby__front_block(const struct cubby_cache *cache, uint32_t i)
{
	uint32_t offset_bytes = cache->front.block;

	if (cubby__percpu_works)
		return (struct block *)(cubby__percpu_stripe(i) +
					offset_bytes);
	return stripe_block(cubby__stripe_at(i), offset_bytes);
}

struct cubby_cache *
cubby__front_user_of(const struct block *block)
{
	uint64_t cursor = block_get(&block->loaded);

	if (cursor == 0)
		cursor = block_get(&block->previous);
	if (cursor == 0)
		cursor = block_get(&block->deferred);
	if (cursor == 0)
		return NULL;
	return cubby__registry_by_id(
		magazine_get_cache(magazine_of_cursor(cursor)));
}

void
cubby__front_empty_block(struct cubby_cache *cache, struct block *block)
{
	uint64_t *words[] = { &block->loaded, &block->previous };

	for (unsigned i = 0; i < ARRAY_SIZE(words); i++) {
		uint64_t cursor = block_get(words[i]);
		uint32_t number = cursor != 0 ? settle(cursor) : 0;

		block_set(words[i], 0);
		if (number != 0)
			cubby__depot_put(&cache->front, number);
	}
	cubby__defer_take_sheaf(cache, &block->deferred);
}

/*
 * A thread ends: its magazines go to the depots.  A cache whose gate is closed
 * just now keeps them in the stripe, for the next thread that gets it.
 */
static void
thread_ends(struct stripe *stripe)
{
	for (uint32_t i = 1; i < stripe->n_blocks; i++) {
		struct block *block = &stripe->blocks[i];
		struct cubby_cache *cache;

		if (!stripe_enter(stripe))
			return;
		cache = cubby__front_user_of(block);
		/* If it is open, it is so until we leave. */
		if (cache != NULL &&
		    __atomic_load_n(&cache->front.gate, __ATOMIC_ACQUIRE) ==
			    (uint64_t)i * BLOCK_BYTES)
			cubby__front_empty_block(cache, block);
		stripe_leave(stripe);
		if (cache != NULL && cubby__depot_overflows(&cache->front))
			cubby__depot_flush(cache);
	}
}

/* Threads have their stripes in the order in which they came. */
static uint32_t
thread_shard(void)
{
	const struct stripe *stripe = cubby__stripe_current();

	return stripe != NULL ? cubby__stripe_number(stripe) : 0;
}

void
cubby__front_init(void)
{
	cubby__stripe_init(thread_ends);
	__atomic_store_n(&cubby__magazine_shard_fn,
			 cubby__percpu_works ? cubby__percpu_number :
					       thread_shard,
			 __ATOMIC_RELEASE);
	if (cubby__percpu_works)
		cubby__front_closed = cubby__percpu_block(0);
}

void
cubby__front_set_gate(struct cubby_cache *cache, bool open)
{
	struct front *front = &cache->front;
	uint64_t gate = open ? front->opened : cubby__front_closed;
	uint64_t published = front->is_staged ? cubby__front_closed : gate;
	bool is_walked = cache->defer.domain != NULL && cache->n_walks != 0;

	__atomic_store_n(&front->free_gate,
			 is_walked && !PLANTED(NO_WALK_GATE) ?
				 cubby__front_closed :
				 gate,
			 __ATOMIC_RELEASE); /* F6 */
	__atomic_store_n(&front->gate, gate, __ATOMIC_RELEASE);
	if (!cubby__percpu_works)
		__atomic_store_n(&cache->fast.thread_gate, (uint32_t)published,
				 __ATOMIC_RELEASE);
	__atomic_store_n(&cache->fast.gate,
			 cubby__percpu_works ? published :
					       cubby__percpu_block(0),
			 __ATOMIC_RELEASE);
}

void
cubby__front_make_block(struct cubby_cache *cache)
{
	struct front *front = &cache->front;

	if (cache->region.geometry.cell_bytes > CELL_BYTES_MAX) {
		front->why_no_block = CUBBY_FRONT_REASON_CELLS;
		return;
	}
	front->block = cubby__stripe_take_block();
	if (front->block == 0 && cubby__stripe_works())
		front->why_no_block = CUBBY_FRONT_REASON_CACHES;
}

void
cubby__front_open_cache(struct cubby_cache *cache)
{
	struct front *front = &cache->front;
	bool alloc_staged = false;

	cubby__front_set_gate(cache, false);
	if (front->block == 0)
		return;
	for (size_t i = 0; i < N_ALLOC_STAGES; i++)
		alloc_staged |= cache->alloc_stages[i] != NULL;
	front->is_staged = alloc_staged;
	front->opened = cubby__percpu_works ?
				cubby__percpu_block(front->block) :
				front->block;
	cache->fast.full_mask = cache->free_stages[FREE_DTOR] != NULL ||
						cache->weak.is_staged ||
						cache->debug != NULL ?
					FULL_MASK_STAGED :
					FULL_MASK_OPEN;
	cubby__depot_init(cache);
	cubby__front_set_gate(cache, true);
}

void
cubby__front_close_cache(struct cubby_cache *cache)
{
	cubby__depot_fini(cache);
	cubby__stripe_give_block(cache->front.block);
}

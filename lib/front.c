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
 * Two magazines a thread, so that one who allocates and frees around a
 * boundary does not go to the depot each time.
 *
 * An exchange takes no lock: it happens inside the thread's bracket and uses
 * lock-free stacks.  Each step stores one word of the block, and a magazine
 * that has left a block or stack and not yet reached another is complete in
 * itself (M3), so that a fork at any moment leaves nothing half.
 */
#include "bits.h"
#include "cache.h"
#include "registry.h"

#include <errno.h>

/* Cells larger than this go without magazines: what would idle costs more. */
#define CELL_BYTES_MAX (64 * KIB)

/* ------------------------------ exchanges --------------------------------- */

static uint32_t
gate_of(const struct front *front)
{
	return __atomic_load_n(&front->gate, __ATOMIC_ACQUIRE);
}

/*
 * Enter the bracket and pass the gate: the block, or NULL (and no bracket) if
 * the thread is inside one already.  A closed gate leads to block 0.
 */
static struct block *
enter(struct stripe *stripe, const struct front *front)
{
	uint32_t gate = PLANTED(NO_RECHECK) ? gate_of(front) : 0;

	PLANT_DELAY(NO_RECHECK);
	if (!stripe_enter(stripe))
		return NULL;
	if (!PLANTED(NO_RECHECK))
		gate = gate_of(front);
	if (stripe->n_blocks <= gate / BLOCK_BYTES)
		stripe->n_blocks = gate / BLOCK_BYTES + 1;
	return stripe_block(stripe, gate);
}

static bool
is_open(const struct stripe *stripe, const struct block *block)
{
	return block != &stripe->blocks[0];
}

static uint64_t
cursor_of(uint32_t number)
{
	const struct magazine *it = magazine(number);

	return magazine_cursor(number, it->capacity, it->count);
}

/* Before a magazine leaves a block: its count goes to its header (M3). */
static uint32_t
settle(uint64_t cursor)
{
	uint32_t number = magazine_of_cursor(cursor);

	magazine(number)->count = (uint16_t)magazine_cells_below(cursor);
	magazine_set_state(magazine(number), MAGAZINE_IN_FLIGHT);
	PLANT_DELAY(ADOPT_BY_STATE);
	return number;
}

/* Take `previous`, leaving 0: its magazine, or 0. */
static uint32_t
take_previous(struct block *block)
{
	uint64_t cursor = block_get(&block->previous);
	uint32_t number = cursor != 0 ? settle(cursor) : 0;

	block_set(&block->previous, 0);
	return number;
}

/* Put a magazine in `previous`, which is 0. */
static void
put_previous(struct block *block, uint32_t number)
{
	magazine_set_state(magazine(number), MAGAZINE_IN_BLOCK);
	block_set(&block->previous, cursor_of(number));
}

/* Load a magazine: the one that was loaded, or 0. */
static uint32_t
swap_loaded(struct block *block, uint32_t number)
{
	uint64_t seen = block_get(&block->loaded);
	uint32_t old = seen != 0 ? settle(seen) : 0;

	magazine_set_state(magazine(number), MAGAZINE_IN_BLOCK);
	block_set(&block->loaded, cursor_of(number));
	return old;
}

/* What was loaded becomes `previous`, or goes where it belongs. */
static void
put_old(struct front *front, struct block *block, uint32_t old)
{
	if (old == 0)
		return;
	if (block_get(&block->previous) == 0)
		put_previous(block, old);
	else
		cubby__depot_put(front, old);
}

/* `loaded` is empty.  Load cells from `previous` or the depot, if any. */
static bool
load_cells(struct front *front, struct block *block)
{
	uint32_t previous = take_previous(block);
	uint32_t incoming = previous;

	if (previous == 0 || magazine(previous)->count == 0) {
		incoming = cubby__depot_get(front);
		if (previous != 0)
			put_previous(block, previous);
		if (incoming == 0)
			return false;
	}
	put_old(front, block, swap_loaded(block, incoming));
	return true;
}

static bool
has_room(uint32_t number)
{
	return magazine(number)->count < magazine(number)->capacity;
}

/* `loaded` is full.  Load room, from `previous` or an empty magazine. */
static bool
load_room(struct cubby_cache *cache, struct block *block)
{
	struct front *front = &cache->front;
	uint32_t previous = take_previous(block);
	uint32_t incoming = previous;

	if (previous == 0 || !has_room(previous)) {
		incoming = cubby__magazine_take_empty(
			cache->id,
			__atomic_load_n(&front->capacity, __ATOMIC_RELAXED),
			false);
		if (incoming == 0) {
			if (previous != 0)
				put_previous(block, previous);
			return false;
		}
		if (previous != 0)
			cubby__depot_put(front, previous);
	}
	put_old(front, block, swap_loaded(block, incoming));
	return true;
}

/* ----------------------------- alloc and free ----------------------------- */

/* Pop a cell, in the bracket: NULL if there is none or this is a handler. */
static void *
pop_any(struct stripe *stripe, struct front *front)
{
	struct block *block = enter(stripe, front);
	void *object;

	if (block == NULL)
		return NULL;
	object = block_pop(block, stripe->magazines);
	if (object == NULL && is_open(stripe, block) &&
	    load_cells(front, block))
		object = block_pop(block, stripe->magazines);
	stripe_leave(stripe);
	return object;
}

/* Load the first magazine, put the others into the depot; pop a cell. */
static void *
install(struct stripe *stripe, struct front *front, unsigned n,
	const uint32_t *numbers)
{
	struct block *block = enter(stripe, front);
	void *object;

	put_old(front, block, swap_loaded(block, numbers[0]));
	object = block_pop(block, stripe->magazines);
	stripe_leave(stripe);
	/* The gate cannot be closed under our lock. */
	for (unsigned i = 1; i < n; i++)
		cubby__depot_put(front, numbers[i]);
	return object;
}

static int
refill_locked(struct cubby_cache *cache, struct stripe *stripe,
	      sigset_t *saved, void **ret_object)
{
	struct front *front = &cache->front;
	uint32_t numbers[MAGAZINES_PER_VISIT];
	struct faults faults = { 0 };
	unsigned n;
	int err;

	/* Others, or a handler, may have brought cells since we looked. */
	*ret_object = pop_any(stripe, front);
	if (*ret_object != NULL)
		return 0;
	err = cubby__depot_refill(cache, numbers, &n, saved);
	if (err)
		return err;
	if (front->gate == 0) { /* closed while init ran */
		while (n > 0)
			cubby__depot_flush_locked(cache, numbers[--n],
						  &faults);
		return -EAGAIN;
	}
	*ret_object = install(stripe, front, n, numbers);
	return 0;
}

static COLD int
refill(struct cubby_cache *cache, struct stripe *stripe, void **ret_object)
{
	int err = -EAGAIN;
	sigset_t saved;

	cubby__lock_acquire(&cache->lock, &saved);
	/* A busy stripe under the lock is a handler's. */
	if (cache->front.gate != 0 &&
	    !__atomic_load_n(&stripe->busy, __ATOMIC_RELAXED))
		err = refill_locked(cache, stripe, &saved, ret_object);
	cubby__lock_release(&cache->lock, &saved);
	return err;
}

int
cubby__front_alloc(struct cubby_cache *cache, void **ret_object)
{
	struct stripe *stripe;

	if (cache->front.block == 0)
		return -EAGAIN;
	stripe = cubby__stripe_mine();
	if (stripe == NULL)
		return -EAGAIN;
	*ret_object = pop_any(stripe, &cache->front);
	if (*ret_object != NULL)
		return 0;
	return refill(cache, stripe, ret_object);
}

/* Push a cell, in the bracket; *ret_full: for want of an empty magazine. */
static bool
push_any(struct cubby_cache *cache, struct stripe *stripe, void *object,
	 bool *ret_full)
{
	struct block *block = enter(stripe, &cache->front);
	bool pushed;

	*ret_full = false;
	if (block == NULL)
		return false;
	pushed = block_push(block, stripe->magazines, FULL_MASK_OPEN, object);
	if (!pushed && is_open(stripe, block)) {
		*ret_full = !load_room(cache, block);
		pushed = !*ret_full && block_push(block, stripe->magazines,
						  FULL_MASK_OPEN, object);
	}
	stripe_leave(stripe);
	return pushed;
}

bool
cubby__front_free(struct cubby_cache *cache, void *object)
{
	struct stripe *stripe;
	bool pushed, full;

	if (cache->front.block == 0)
		return false;
	stripe = cubby__stripe_mine();
	if (stripe == NULL)
		return false;
	pushed = push_any(cache, stripe, object, &full);
	if (unlikely(full)) {
		/* Makes empties of what the depot holds. */
		cubby__depot_flush(cache);
		pushed = push_any(cache, stripe, object, &full);
	}
	if (unlikely(cubby__depot_overflows(&cache->front)))
		cubby__depot_flush(cache);
	return pushed;
}

/* ----------------------------------- bulk --------------------------------- */

/* What `loaded` has, at most n, the top first: how many. */
static size_t
pop_many(struct block *block, size_t n, void **objects)
{
	uint64_t cursor = block_get(&block->loaded);
	void **top = (void **)(cubby__magazine_base + cursor);
	size_t i;

	if (cursor == 0)
		return 0;
	n = min_u64(n, magazine_cells_below(cursor));
	for (i = 0; i < n; i++)
		objects[i] = *--top;
	block_set(&block->loaded, cursor - n * sizeof(*top));
	return n;
}

size_t
cubby__front_alloc_bulk(struct cubby_cache *cache, size_t n, void **objects)
{
	struct front *front = &cache->front;
	struct stripe *stripe = NULL;
	size_t n_done = 0;

	if (front->block != 0)
		stripe = cubby__stripe_mine();
	if (stripe == NULL)
		return 0;
	for (bool more = true; more && n_done < n;) {
		/* A bracket a magazine: none is long. */
		struct block *block = enter(stripe, front);

		if (block == NULL)
			break;
		n_done += pop_many(block, n - n_done, objects + n_done);
		more = n_done < n && is_open(stripe, block) &&
		       load_cells(front, block);
		stripe_leave(stripe);
	}
	return n_done;
}

/* Push objects until `loaded` is full: how many of n were passed. */
static size_t
push_many(struct block *block, size_t n, void *const *objects)
{
	uint64_t cursor = block_get(&block->loaded);
	size_t i;

	for (i = 0; i < n && (cursor & FULL_MASK_OPEN) != 0; i++) {
		if (objects[i] == NULL)
			continue;
		*(void **)(cubby__magazine_base + cursor) = objects[i];
		cursor += sizeof(void *);
	}
	block_set(&block->loaded, cursor);
	return i;
}

size_t
cubby__front_free_bulk(struct cubby_cache *cache, size_t n,
		       void *const *objects)
{
	struct front *front = &cache->front;
	struct stripe *stripe = NULL;
	size_t n_done = 0;

	/* What the depot would not hold goes to the slabs at once. */
	if (front->block != 0 && n <= cubby__depot_bound(front))
		stripe = cubby__stripe_mine();
	if (stripe == NULL)
		return 0;
	for (bool more = true; more;) {
		struct block *block = enter(stripe, front);

		if (block == NULL)
			break;
		n_done += push_many(block, n - n_done, objects + n_done);
		more = n_done < n && is_open(stripe, block) &&
		       load_room(cache, block);
		stripe_leave(stripe);
		if (unlikely(cubby__depot_overflows(front)))
			cubby__depot_flush(cache);
	}
	return n_done;
}

/* ----------------------- threads and caches that end ---------------------- */

struct cubby_cache *
cubby__front_user_of(const struct block *block)
{
	uint64_t cursor = block_get(&block->loaded);

	if (cursor == 0)
		cursor = block_get(&block->previous);
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
		if (cache != NULL && gate_of(&cache->front) == i * BLOCK_BYTES)
			cubby__front_empty_block(cache, block);
		stripe_leave(stripe);
		if (cache != NULL && cubby__depot_overflows(&cache->front))
			cubby__depot_flush(cache);
	}
}

void
cubby__front_init(void)
{
	cubby__stripe_init(thread_ends);
}

void
cubby__front_make_block(struct cubby_cache *cache)
{
	if (cache->region.geometry.cell_bytes <= CELL_BYTES_MAX)
		cache->front.block = cubby__stripe_take_block();
}

void
cubby__front_open_cache(struct cubby_cache *cache)
{
	struct front *front = &cache->front;
	bool alloc_staged = false;

	if (front->block == 0)
		return;
	for (size_t i = 0; i < N_ALLOC_STAGES; i++)
		alloc_staged |= cache->alloc_stages[i] != NULL;
	front->published = alloc_staged ? 0 : front->block;
	cache->fast.full_mask = cache->free_stages[FREE_DTOR] != NULL ?
					FULL_MASK_STAGED :
					FULL_MASK_OPEN;
	cubby__depot_init(cache);
	__atomic_store_n(&front->gate, front->block, __ATOMIC_RELEASE);
	__atomic_store_n(&cache->fast.offset_bytes, front->published,
			 __ATOMIC_RELEASE);
}

void
cubby__front_close_cache(struct cubby_cache *cache)
{
	cubby__depot_fini(cache);
	cubby__stripe_give_block(cache->front.block);
}

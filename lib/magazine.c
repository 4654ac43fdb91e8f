/* SPDX-License-Identifier: MIT */
/* LAYER 4: magazine - the array of magazines, and stacks of them */
#include "magazine.h"

#include "bits.h"
#include "check.h"
#include "granule.h"
#include "lock.h"
#include "os.h"
#include "plant.h"
#include "side.h"

#include <errno.h>

/* The most magazines there can be; fewer under a small address budget. */
#define ARRAY_BYTES_MAX                                                       \
	((uint64_t)1 << (MAGAZINE_NUMBER_BITS + MAGAZINE_SHIFT))

/* The part of the address budget that they may have. */
#define BUDGET_SHARE 256

/* Empties that a trim leaves for the next frees. */
#define EMPTIES_KEPT 64

char *cubby__magazine_base;

/*
 * A page of zeroes, then the magazines.  Numbers below n_used were used at
 * some time, those below n_committed can be; both only grow.
 */
static struct side array;
static uint32_t n_used = 1;
static uint32_t n_committed;
static struct magazine_shard empties[N_SHARDS]; /* they count magazines */

static uint32_t
no_shards(void)
{
	return 0;
}

uint32_t (*cubby__magazine_shard_fn)(void) = no_shards;

/* One bit for each page of the array whose magazines were dropped. */
static struct side dropped;
static uint64_t n_dropped_pages;

static struct lock lock = LOCK_INIT(LOCK_RANK_ARRAY);

static uint32_t
magazines_per_page(void)
{
	return (uint32_t)(cubby__os_page_bytes() / MAGAZINE_BYTES);
}

static uint32_t
numbers_in(const struct side *side)
{
	uint64_t page_bytes = cubby__os_page_bytes();

	return side->committed_bytes <= page_bytes ?
		       0 :
		       (uint32_t)((side->committed_bytes - page_bytes) /
				  MAGAZINE_BYTES);
}

int
cubby__magazine_init(void)
{
	uint64_t page_bytes = cubby__os_page_bytes();
	uint64_t bytes = align_up(
		min_u64(ARRAY_BYTES_MAX,
			cubby__granule_budget_bytes() / BUDGET_SHARE),
		page_bytes);
	int err;

	if (cubby__magazine_base != NULL)
		return 0;
	err = cubby__side_init(&array, NULL, 0, page_bytes + bytes);
	if (!err)
		err = cubby__side_init(&dropped, NULL, 0,
				       bytes / page_bytes / 8 + 8);
	if (!err)
		err = cubby__side_reach(&array,
					page_bytes + magazines_per_page() *
							     MAGAZINE_BYTES);
	if (err) {
		cubby__side_fini(&array);
		cubby__side_fini(&dropped);
		return err;
	}
	__atomic_store_n(&n_committed, numbers_in(&array), __ATOMIC_RELEASE);
	cubby__magazine_base = array.base + page_bytes;
	return 0;
}

uint32_t
cubby__magazine_n_used(void)
{
	return __atomic_load_n(&n_used, __ATOMIC_ACQUIRE);
}

uint64_t
cubby__magazine_n_empty(void)
{
	int64_t n = cubby__magazine_sum_shards(empties);

	return n > 0 ? (uint64_t)n : 0;
}

/* --------------------------------- stacks -------------------------------- */

static uint64_t
next_word(uint64_t word, uint32_t number)
{
	uint64_t tag = (word >> MAGAZINE_NUMBER_BITS) + !PLANTED(NO_TAG);

	return tag << MAGAZINE_NUMBER_BITS | number;
}

void
cubby__magazine_push(struct magazine_stack *stack, uint32_t number)
{
	uint64_t word = __atomic_load_n(&stack->word, __ATOMIC_RELAXED);

	do
		magazine_set_next(number, word & MAGAZINE_NUMBER_MASK);
	while (!__atomic_compare_exchange_n(
		&stack->word, &word, next_word(word, number), true,
		__ATOMIC_RELEASE, __ATOMIC_RELAXED));
}

uint32_t
cubby__magazine_pop(struct magazine_stack *stack)
{
	/* Pairs with the release in push: header and cells. */
	uint64_t word = __atomic_load_n(&stack->word, __ATOMIC_ACQUIRE);
	uint32_t number, next;

	do {
		number = (uint32_t)(word & MAGAZINE_NUMBER_MASK);
		if (number == 0)
			return 0;
		next = magazine_next(number);
		PLANT_DELAY(NO_TAG);
	} while (!__atomic_compare_exchange_n(
		&stack->word, &word, next_word(word, next), true,
		__ATOMIC_ACQUIRE, __ATOMIC_ACQUIRE));
	return number;
}

/* --------------------------------- shards -------------------------------- */

uint32_t
cubby__magazine_pop_shards(struct magazine_shard *shards,
			   struct magazine_shard **ret_shard)
{
	uint32_t first = magazine_my_shard();

	for (uint32_t i = 0; i < N_SHARDS; i++) {
		struct magazine_shard *shard = &shards[(first + i) % N_SHARDS];
		uint32_t number = cubby__magazine_pop(&shard->stack);

		*ret_shard = shard;
		if (number != 0)
			return number;
	}
	return 0;
}

int64_t
cubby__magazine_sum_shards(const struct magazine_shard *shards)
{
	int64_t sum = 0;

	for (uint32_t i = 0; i < N_SHARDS; i++)
		sum += __atomic_load_n(&shards[i].n, __ATOMIC_RELAXED);
	return sum;
}

/* -------------------------------- empties -------------------------------- */

/* A number that was never used, of those that are committed; or 0. */
static uint32_t
take_unused(void)
{
	uint32_t number = __atomic_load_n(&n_used, __ATOMIC_RELAXED);

	do
		if (number >= __atomic_load_n(&n_committed, __ATOMIC_ACQUIRE))
			return 0;
	while (!__atomic_compare_exchange_n(&n_used, &number, number + 1, true,
					    __ATOMIC_ACQ_REL,
					    __ATOMIC_RELAXED));
	return number;
}

/* The magazines of a dropped page go back to the empties. */
static bool
reuse_dropped(void)
{
	uint64_t *words = (uint64_t *)dropped.base;
	uint64_t i = 0;
	uint64_t page;

	if (n_dropped_pages == 0)
		return false;
	while (words[i] == 0)
		i++;
	page = i * 64 + bit_lowest(words[i]);
	words[i] &= words[i] - 1;
	n_dropped_pages--;
	for (uint32_t k = 0; k < magazines_per_page(); k++)
		cubby__magazine_give_empty(
			(uint32_t)page * magazines_per_page() + k);
	return true;
}

static uint32_t
pop_empty(void)
{
	struct magazine_shard *shard;
	uint32_t number = cubby__magazine_pop_shards(empties, &shard);

	if (number != 0)
		__atomic_sub_fetch(&shard->n, 1, __ATOMIC_RELAXED);
	return number;
}

/* More magazines to choose from: false if there are none. */
static bool
grow(void)
{
	sigset_t saved;
	bool grown;

	cubby__lock_acquire(&lock, &saved);
	grown = reuse_dropped() ||
		cubby__side_reach(&array, array.committed_bytes + 1) == 0;
	__atomic_store_n(&n_committed, numbers_in(&array), __ATOMIC_RELEASE);
	cubby__lock_release(&lock, &saved);
	return grown;
}

void
cubby__magazine_make_ready(uint64_t n)
{
	uint64_t n_ready;

	do
		n_ready = cubby__magazine_n_empty() +
			  __atomic_load_n(&n_committed, __ATOMIC_ACQUIRE) -
			  cubby__magazine_n_used();
	while (n_ready < n && grow());
}

uint32_t
cubby__magazine_take_empty(uint32_t cache, uint32_t capacity, bool may_grow)
{
	struct magazine *it;
	uint32_t number;

	for (;;) {
		number = pop_empty();
		if (number != 0)
			break;
		number = take_unused();
		if (number != 0)
			break;
		if (!may_grow || !grow())
			return 0;
	}
	it = magazine(number);
	__atomic_store_n(&it->capacity, (uint16_t)capacity, __ATOMIC_RELAXED);
	magazine_set_count(it, 0);
	magazine_set_cache(it, cache);
	magazine_set_state(it, MAGAZINE_IN_FLIGHT);
	magazine_cells(it)[-1] = NULL;
	return number;
}

void
cubby__magazine_give_empty(uint32_t number)
{
	struct magazine *it = magazine(number);
	struct magazine_shard *shard;

	magazine_set_count(it, 0);
	magazine_set_cache(it, 0);
	magazine_set_state(it, MAGAZINE_EMPTY);
	shard = &empties[magazine_my_shard()];
	__atomic_add_fetch(&shard->n, 1, __ATOMIC_RELAXED);
	cubby__magazine_push(&shard->stack, number);
}

/* ---------------------------------- trim --------------------------------- */

static bool
page_is_trimmed(uint32_t first)
{
	for (uint32_t k = 0; k < magazines_per_page(); k++)
		if (magazine_get_state(magazine(first + k)) !=
		    MAGAZINE_TRIMMED)
			return false;
	return true;
}

/* Drop the page that begins with this magazine, or give its empties back. */
static uint64_t
drop_page(uint32_t first)
{
	uint64_t page_bytes = cubby__os_page_bytes();
	uint64_t page = first / magazines_per_page();
	uint64_t *words;

	if (page_is_trimmed(first) &&
	    cubby__side_reach(&dropped, page / 64 * 8 + 8) == 0 &&
	    cubby__os_drop(magazine(first), page_bytes) == 0) {
		words = (uint64_t *)dropped.base;
		words[page / 64] |= (uint64_t)1 << (page % 64);
		n_dropped_pages++;
		return page_bytes;
	}
	for (uint32_t k = 0; k < magazines_per_page(); k++)
		if (magazine_get_state(magazine(first + k)) ==
		    MAGAZINE_TRIMMED)
			cubby__magazine_give_empty(first + k);
	return 0;
}

uint64_t
cubby__magazine_trim(void)
{
	uint64_t bytes = 0;
	uint64_t n_left;
	uint32_t number, end;
	sigset_t saved;

	if (cubby__magazine_base == NULL)
		return 0;
	cubby__lock_acquire(&lock, &saved);
	n_left = cubby__magazine_n_empty();
	for (; n_left > EMPTIES_KEPT; n_left--) {
		number = pop_empty();
		if (number == 0)
			break;
		magazine_set_state(magazine(number), MAGAZINE_TRIMMED);
	}
	end = align_up(cubby__magazine_n_used(), magazines_per_page());
	for (uint32_t first = 0; first < end; first += magazines_per_page())
		bytes += drop_page(first);
	cubby__lock_release(&lock, &saved);
	return bytes;
}

/* ---------------------------------- fork --------------------------------- */

static void
visit_cells(uint32_t number, uint32_t count,
	    const struct cell_visitor *visitor)
{
	void **objects = magazine_cells(magazine(number));

	for (uint32_t i = 0; i < count; i++)
		visitor->visit(visitor->context, objects[i]);
}

void
cubby__magazine_visit_below(uint64_t cursor,
			    const struct cell_visitor *visitor)
{
	if (cursor != 0)
		visit_cells(magazine_of_cursor(cursor),
			    magazine_cells_below(cursor), visitor);
}

void
cubby__magazine_visit_list(uint32_t number, const struct cell_visitor *visitor)
{
	for (; number != 0; number = magazine_next(number))
		visit_cells(number, magazine(number)->count, visitor);
}

uint64_t
cubby__magazine_count_list(uint32_t number, uint64_t *ret_n_cells)
{
	uint64_t n_most = cubby__magazine_n_used();
	uint64_t n = 0;

	for (; number != 0 && n < n_most; number = magazine_next(number)) {
		*ret_n_cells += __atomic_load_n(&magazine(number)->count,
						__ATOMIC_RELAXED);
		n++;
	}
	return n;
}

void
cubby__magazine_for_each(const struct magazine_stack *stack,
			 void (*visit)(uint32_t number, void *context),
			 void *context)
{
	uint32_t number = magazine_stack_top(stack);

	for (; number != 0; number = magazine_next(number))
		visit(number, context);
}

void
cubby__magazine_for_each_empty(void (*visit)(uint32_t number, void *context),
			       void *context)
{
	for (uint32_t i = 0; i < N_SHARDS; i++)
		cubby__magazine_for_each(&empties[i].stack, visit, context);
}

void
cubby__magazine_fork_prepare(void)
{
	cubby__lock_seize(&lock);
}

void
cubby__magazine_fork_done(void)
{
	cubby__lock_unseize(&lock);
}

/* SPDX-License-Identifier: MIT */
/* The words of the fast path, the array of magazines and stacks of them. */
#include "unit.h"

#include "granule.h"
#include "stripe.h"

#include <pthread.h>

#define CACHE 7 /* an id; this layer does not look at it */
#define KEPT 64 /* empties that a trim leaves */

static int
setup(void **state)
{
	(void)state;
	assert_int_equal(cubby__granule_init(), 0);
	assert_int_equal(cubby__magazine_init(), 0);
	return 0;
}

static uint32_t
take(uint32_t capacity)
{
	uint32_t number = cubby__magazine_take_empty(CACHE, capacity, true);

	assert_int_not_equal(number, 0);
	return number;
}

/* --------------------------------- formats -------------------------------- */

/* M2: header, NULL word and cells do not meet, for every capacity. */
static void
magazine_null_offset_every_capacity_fits(void **state)
{
	(void)state;
	for (uint32_t capacity = 0; capacity <= MAGAZINE_CAPACITY_MAX;
	     capacity++) {
		uint32_t offset = magazine_null_offset(capacity);

		assert_int_equal(offset, 1016 - 8 * capacity); /* M2 */
		assert_true(offset >= MAGAZINE_HEADER_BYTES);  /* M2 */
		assert_int_equal(offset + 8 + 8 * capacity, MAGAZINE_BYTES);
	}
}

/* M1: every cursor finds its magazine, the full one at its end included. */
static void
magazine_of_cursor_every_position_is_its_own(void **state)
{
	(void)state;
	for (uint32_t number = 1; number < 4; number++)
		for (uint64_t offset = 8; offset <= MAGAZINE_BYTES;
		     offset += 8)
			assert_int_equal(
				magazine_of_cursor((uint64_t)number *
							   MAGAZINE_BYTES +
						   offset),
				number); /* M1 */
}

static void
magazine_cursor_every_fill_is_counted(void **state)
{
	(void)state;
	for (uint32_t capacity = 1; capacity <= MAGAZINE_CAPACITY_MAX;
	     capacity++) {
		for (uint32_t count = 0; count <= capacity; count++) {
			uint64_t cursor = magazine_cursor(5, capacity, count);

			assert_int_equal(magazine_of_cursor(cursor), 5);
			assert_int_equal(magazine_cursor_count(cursor,
							       capacity),
					 count);
			assert_int_equal((cursor & FULL_MASK_OPEN) == 0,
					 count == capacity);
			assert_int_equal(cursor & FULL_MASK_STAGED, 0);
		}
	}
}

/* What is pushed until it is full is popped, last first, until it is empty. */
static void
check_fill(uint32_t capacity)
{
	uint32_t number = take(capacity);
	struct block block = { .loaded = magazine_cursor(number, capacity,
							 0) };
	char cells[MAGAZINE_CAPACITY_MAX];
	char *base = cubby__magazine_base;
	uint32_t n = 0;

	assert_false(block_push(&block, base, FULL_MASK_STAGED, cells));
	while (block_push(&block, base, FULL_MASK_OPEN, &cells[n]))
		n++;
	assert_int_equal(n, capacity);
	assert_ptr_equal(magazine_cells(magazine(number))[0], &cells[0]);
	while (n > 0)
		assert_ptr_equal(block_pop(&block, base), &cells[--n]);
	assert_null(block_pop(&block, base));
	assert_int_equal(block.loaded, magazine_cursor(number, capacity, 0));
	cubby__magazine_give_empty(number);
}

static void
block_push_until_full_pops_in_reverse(void **state)
{
	static const uint32_t capacities[] = { 1, 2, 8, 63, 119, 120 };

	(void)state;
	for (size_t i = 0; i < sizeof(capacities) / sizeof(capacities[0]); i++)
		check_fill(capacities[i]);
}

static void
block_of_zeroes_is_empty_and_full(void **state)
{
	struct block block = { 0 };

	(void)state;
	assert_null(block_pop(&block, cubby__magazine_base));
	assert_false(block_push(&block, cubby__magazine_base, FULL_MASK_OPEN,
				&block));
	assert_int_equal(block.loaded, 0);
}

/* --------------------------------- stacks --------------------------------- */

static void
count_visit(uint32_t number, void *context)
{
	uint32_t *expected = context;

	assert_int_equal(number, (*expected)--);
}

static void
magazine_pop_is_last_in_first_out(void **state)
{
	struct magazine_stack stack = { 0 };
	uint32_t numbers[10], last;

	(void)state;
	assert_int_equal(cubby__magazine_pop(&stack), 0);
	cubby__magazine_make_ready(10);
	for (int i = 0; i < 10; i++)
		numbers[i] = take(8);
	for (int i = 0; i < 10; i++)
		cubby__magazine_push(&stack, numbers[i]);
	last = numbers[9];
	/* Those that were never used are handed out by number. */
	cubby__magazine_for_each(&stack, count_visit, &last);
	for (int i = 10; i-- > 0;)
		assert_int_equal(cubby__magazine_pop(&stack), numbers[i]);
	assert_int_equal(cubby__magazine_pop(&stack), 0);
	for (int i = 0; i < 10; i++)
		cubby__magazine_give_empty(numbers[i]);
}

/* The word of a stack never comes back: who slept over two pops notices. */
static void
magazine_stack_same_top_has_another_tag(void **state)
{
	struct magazine_stack stack = { 0 };
	uint32_t a = take(8), b = take(8);
	uint64_t seen;

	(void)state;
	cubby__magazine_push(&stack, a);
	cubby__magazine_push(&stack, b);
	seen = stack.word;
	assert_int_equal(cubby__magazine_pop(&stack), b);
	assert_int_equal(cubby__magazine_pop(&stack), a);
	cubby__magazine_push(&stack, b);
	assert_int_equal(magazine_stack_top(&stack), seen & 0xffffff);
	assert_int_equal(stack.word >> MAGAZINE_NUMBER_BITS,
			 (seen >> MAGAZINE_NUMBER_BITS) + 3);
	cubby__magazine_pop(&stack);
	cubby__magazine_give_empty(a);
	cubby__magazine_give_empty(b);
}

#define N_THREADS 4
#define N_SHARED 6

static struct magazine_stack shared[2];

/* Move magazines between two stacks; each is in one hand at a time. */
static void *
move_around(void *argument)
{
	unsigned n_steps = scaled(200000);
	uintptr_t n_doubly = 0;

	for (unsigned i = 0; i < n_steps; i++) {
		uint32_t number = cubby__magazine_pop(&shared[i % 2]);

		if (number == 0)
			continue;
		n_doubly += __atomic_fetch_add(&magazine(number)->preparing, 1,
					       __ATOMIC_RELAXED) != 0;
		__atomic_fetch_sub(&magazine(number)->preparing, 1,
				   __ATOMIC_RELAXED);
		cubby__magazine_push(&shared[(i / 3) % 2], number);
	}
	(void)argument;
	return (void *)n_doubly;
}

static void
magazine_pop_by_many_threads_gives_each_to_one(void **state)
{
	pthread_t threads[N_THREADS];
	uint32_t n_left = 0, number;
	void *n_doubly;

	(void)state;
	for (int i = 0; i < N_SHARED; i++) {
		number = take(8);
		magazine(number)->preparing = 0;
		cubby__magazine_push(&shared[i % 2], number);
	}
	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, move_around,
						NULL),
				 0);
	for (int i = 0; i < N_THREADS; i++) {
		assert_int_equal(pthread_join(threads[i], &n_doubly), 0);
		assert_null(n_doubly);
	}
	for (int i = 0; i < 2; i++)
		for (; (number = cubby__magazine_pop(&shared[i])) != 0;
		     n_left++)
			cubby__magazine_give_empty(number);
	assert_int_equal(n_left, N_SHARED);
}

/* --------------------------------- empties -------------------------------- */

static void
magazine_take_empty_again_is_as_new(void **state)
{
	uint32_t number = take(120);
	struct magazine *it = magazine(number);
	uint64_t n_empty;

	(void)state;
	for (uint32_t i = 0; i < 120; i++)
		magazine_cells(it)[i] = it;
	it->count = 120;
	n_empty = cubby__magazine_n_empty();
	cubby__magazine_give_empty(number);
	assert_int_equal(magazine_get_state(it), MAGAZINE_EMPTY);
	assert_int_equal(cubby__magazine_n_empty(), n_empty + 1);
	assert_int_equal(take(16), number); /* the last is the first */
	assert_int_equal(cubby__magazine_n_empty(), n_empty);
	assert_int_equal(magazine_get_state(it), MAGAZINE_IN_FLIGHT);
	assert_int_equal(it->cache, CACHE);
	assert_int_equal(it->count, 0);
	assert_int_equal(it->capacity, 16);
	assert_null(magazine_cells(it)[-1]);
	cubby__magazine_give_empty(number);
}

static void
magazine_take_empty_without_growth_ends(void **state)
{
	enum { N_MAX = 4096 };
	static uint32_t numbers[N_MAX];
	uint32_t n = 0, number;

	(void)state;
	while ((number = cubby__magazine_take_empty(CACHE, 8, false)) != 0) {
		assert_true(n < N_MAX);
		numbers[n++] = number;
	}
	assert_int_equal(cubby__magazine_n_empty(), 0);
	assert_int_equal(cubby__magazine_take_empty(CACHE, 8, false), 0);
	numbers[n++] = take(8); /* with growth there are more */
	assert_int_equal(cubby__magazine_n_used(), numbers[n - 1] + 1);
	cubby__magazine_make_ready(100);
	for (int i = 0; i < 100; i++) {
		numbers[n] = cubby__magazine_take_empty(CACHE, 8, false);
		assert_int_not_equal(numbers[n++], 0);
	}
	for (uint32_t i = 0; i < n; i++)
		cubby__magazine_give_empty(numbers[i]);
}

/* ---------------------------------- trim ---------------------------------- */

static void
magazine_trim_drops_pages_of_empties_only(void **state)
{
	enum { N = 1000 };
	static uint32_t numbers[N];
	uint32_t n_used, kept = N / 2;
	uint64_t bytes;

	(void)state;
	for (uint32_t i = 0; i < N; i++) {
		numbers[i] = take(8);
		magazine_cells(magazine(numbers[i]))[0] = &numbers[i];
	}
	n_used = cubby__magazine_n_used();
	for (uint32_t i = 0; i < N; i++)
		if (i != kept)
			cubby__magazine_give_empty(numbers[i]);
	bytes = cubby__magazine_trim();
	/* All but the kept empties, and pages that something is left on. */
	assert_true(bytes >= (N - 2 * KEPT) * (uint64_t)MAGAZINE_BYTES);
	assert_int_equal(bytes % page_bytes(), 0);
	assert_in_range(cubby__magazine_n_empty(), KEPT, 2 * KEPT);
	assert_ptr_equal(magazine_cells(magazine(numbers[kept]))[0],
			 &numbers[kept]);
	assert_int_equal(cubby__magazine_trim(), 0);
	/* What was dropped is used again, after what never was. */
	for (uint32_t i = 0; i < N; i++)
		if (i != kept)
			numbers[i] = take(120);
	assert_true(cubby__magazine_n_used() < n_used + KEPT);
	for (uint32_t i = 0; i < N; i++) {
		for (uint32_t j = 0; j < i && i % 50 == 0; j++)
			assert_int_not_equal(numbers[i], numbers[j]);
		cubby__magazine_give_empty(numbers[i]);
	}
}

static void
magazine_trim_dropped_page_has_no_frame(void **state)
{
	enum { N = 1000 };
	static uint32_t numbers[N];
	uint64_t n_dropped = 0, bytes;

	(void)state;
	for (uint32_t i = 0; i < N; i++)
		numbers[i] = take(8);
	for (uint32_t i = 0; i < N; i++)
		cubby__magazine_give_empty(numbers[i]);
	bytes = cubby__magazine_trim();
	for (uint32_t i = 0; i < N; i++)
		n_dropped += !is_resident(magazine(numbers[i]));
	assert_int_equal(n_dropped * MAGAZINE_BYTES, bytes);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(magazine_null_offset_every_capacity_fits),
		cmocka_unit_test(magazine_of_cursor_every_position_is_its_own),
		cmocka_unit_test(magazine_cursor_every_fill_is_counted),
		cmocka_unit_test(block_push_until_full_pops_in_reverse),
		cmocka_unit_test(block_of_zeroes_is_empty_and_full),
		cmocka_unit_test(magazine_pop_is_last_in_first_out),
		cmocka_unit_test(magazine_stack_same_top_has_another_tag),
		cmocka_unit_test(
			magazine_pop_by_many_threads_gives_each_to_one),
		cmocka_unit_test(magazine_take_empty_again_is_as_new),
		cmocka_unit_test(magazine_take_empty_without_growth_ends),
		cmocka_unit_test(magazine_trim_drops_pages_of_empties_only),
		cmocka_unit_test(magazine_trim_dropped_page_has_no_frame),
	};

	return cmocka_run_group_tests_name("magazine", tests, setup, NULL);
}

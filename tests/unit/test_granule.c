/* SPDX-License-Identifier: MIT */
/* The address budget, the table of owners, retirement. */
#include "unit.h"

#include "annotate.h"
#include "bits.h"
#include "granule.h"
#include "os.h"

#include <pthread.h>

/* granule.c */
#define RETIRED_MAX 64
#define PLAIN_PART 64

static uint64_t
table_bytes(void)
{
	return ((uint64_t)4 << cubby__os_address_bits()) >> GRANULE_SHIFT;
}

static void
start(void)
{
	assert_int_equal(cubby__granule_init(), 0);
	assert_int_equal(cubby__granule_verify(), 0);
}

static char *
take(uint64_t n_granules, uint32_t id, uint32_t ordinal)
{
	struct granule_owner owner = { id, ordinal };
	char *base;

	assert_int_equal(cubby__granule_take(n_granules * GRANULE_BYTES, owner,
					     &base),
			 0);
	assert_int_equal((uintptr_t)base % GRANULE_BYTES, 0);
	return base;
}

static char *
take_units(uint64_t n_units, uint32_t id, uint32_t ordinal)
{
	struct granule_owner owner = { id, ordinal };
	char *base;

	assert_int_equal(cubby__granule_take_units(
				 n_units * cubby__granule_unit_bytes(), owner,
				 &base),
			 0);
	return base;
}

static void
assert_owner(const void *address, uint32_t id, uint32_t ordinal)
{
	struct granule_owner owner = { 0, 0 };

	assert_true(cubby__granule_find(address, &owner)); /* A1 */
	assert_int_equal(owner.id, id);
	assert_int_equal(owner.ordinal, ordinal);
}

static void
assert_nobodys(const void *address)
{
	struct granule_owner owner;

	assert_false(cubby__granule_find(address, &owner));
}

/* The address is nobody's, or a range has got it that was taken later. */
static void
assert_no_longer(const void *address, uint32_t id)
{
	struct granule_owner owner;

	if (cubby__granule_find(address, &owner))
		assert_int_not_equal(owner.id, id);
}

/* -------------------------------- the budget ----------------------------- */

/* What cells may use; the rest is for bookkeeping alone. */
static uint64_t
cell_budget_bytes(void)
{
	uint64_t budget = cubby__granule_budget_bytes();

	return budget - budget / PLAIN_PART;
}

/* What cells may take while there are none. */
static uint64_t
cell_bytes_left(void)
{
	return min_u64(cell_budget_bytes(),
		       cubby__granule_budget_bytes() -
			       cubby__granule_used_bytes());
}

static void
granule_init_default_budget_is_the_documented_one(void **state)
{
	uint64_t quarter = (uint64_t)1 << (cubby__os_user_space_bits() - 2);
	uint64_t expected = min_u64(32 * TIB, quarter);

	(void)state;
	if (cubby__os_address_space_left_bytes() != UINT64_MAX)
		skip_because("addresses are limited here");
	start();
	if (cubby__annotate_on_tsan())
		expected = 2 * TIB;
	if (cubby__annotate_on_valgrind())
		expected = 64 * GIB;
	assert_int_equal(cubby__granule_budget_bytes(), expected);
	assert_false(cubby__granule_wants_units());
	assert_int_equal(cubby__granule_used_bytes(),
			 2 * table_bytes()); /* A2 */
	assert_int_equal(cubby__granule_init(), 0);
	assert_int_equal(cubby__granule_used_bytes(), 2 * table_bytes());
}

static void
granule_init_option_6g_is_not_small(void **state)
{
	(void)state;
	start();
	assert_int_equal(cubby__granule_budget_bytes(), 6 * GIB);
	assert_false(cubby__granule_wants_units());
	assert_int_equal(cubby__granule_used_bytes(),
			 2 * table_bytes()); /* A2 */
}

/* Whatever the budget was: 4 GiB are left, then a granule less. */
static void
granule_wants_units_less_than_4g_left_does(void **state)
{
	uint64_t left;

	(void)state;
	start();
	left = cell_bytes_left();
	take((left - 4 * GIB) / GRANULE_BYTES, 1, 0);
	assert_false(cubby__granule_wants_units());
	take(1, 2, 0);
	assert_true(cubby__granule_wants_units());
	assert_true(cubby__granule_has_units());
	take((4 * GIB) / GRANULE_BYTES - 1, 3, 0);
	assert_false(cubby__granule_has_units());
}

static void
granule_init_option_under_4g_is_small(void **state)
{
	(void)state;
	start();
	assert_int_equal(cubby__granule_budget_bytes(), 4 * GIB - MIB);
	assert_true(cubby__granule_wants_units());
	assert_int_equal(cubby__granule_used_bytes(), table_bytes()); /* A2 */
}

static void
limit_address_space(uint64_t bytes)
{
	struct rlimit limit = { bytes, bytes };

	if (cubby__os_read_number("/proc/self/statm", 0) * page_bytes() >=
	    bytes / 2)
		skip_because("a sanitizer uses more addresses");
	assert_int_equal(setrlimit(RLIMIT_AS, &limit), 0);
}

static void
granule_init_limited_addresses_leave_half(void **state)
{
	uint64_t left;

	(void)state;
	limit_address_space(100 * GIB);
	left = cubby__os_address_space_left_bytes();
	start();
	assert_in_range(cubby__granule_budget_bytes(), left / 2 - 16 * MIB,
			left / 2 + 16 * MIB);
	assert_false(cubby__granule_wants_units());
}

static void
granule_init_few_addresses_make_it_small(void **state)
{
	(void)state;
	limit_address_space(4 * GIB);
	start();
	assert_true(cubby__granule_budget_bytes() < 2 * GIB);
	assert_true(cubby__granule_wants_units());
}

static void
granule_init_option_is_above_the_limit(void **state)
{
	(void)state;
	limit_address_space(100 * GIB);
	start();
	assert_int_equal(cubby__granule_budget_bytes(), 99 * GIB);
}

static void
granule_init_no_memory_is_tried_again(void **state)
{
	(void)state;
	assert_nobodys(state);
	cubby__os_fail_at(1);
	assert_int_equal(cubby__granule_init(), -ENOMEM);
	assert_nobodys(state);
	cubby__os_fail_at(0);
	assert_int_equal(cubby__granule_init(), 0);
	assert_int_equal(cubby__granule_used_bytes(),
			 2 * table_bytes()); /* A2 */
}

/* A2: the table alone may exceed the budget; then nothing else fits. */
static void
granule_init_budget_under_the_table_refuses_all(void **state)
{
	struct granule_owner owner = { 1, 0 };
	char *base;

	(void)state;
	start();
	assert_true(cubby__granule_used_bytes() >
		    cubby__granule_budget_bytes());
	assert_int_equal(cubby__granule_take_plain(page_bytes(), &base),
			 -ENOMEM);
	assert_int_equal(cubby__granule_take_units(4096, owner, &base),
			 -ENOMEM);
	assert_int_equal(cubby__granule_take(GRANULE_BYTES, owner, &base),
			 -ENOMEM);
	assert_int_equal(cubby__granule_default_range_bytes(), GRANULE_BYTES);
}

static void
granule_default_range_bytes_is_a_part_in_whole_granules(void **state)
{
	uint64_t part, range;

	(void)state;
	start();
	/* 1 TiB: 1/1024 is 1 GiB less bookkeeping's and the table's. */
	part = cell_bytes_left() / 1024;
	range = cubby__granule_default_range_bytes();
	assert_int_equal(range, part / GRANULE_BYTES * GRANULE_BYTES);
	assert_int_equal(range, GIB - GRANULE_BYTES);
}

static void
granule_default_range_bytes_is_at_most_32g(void **state)
{
	(void)state;
	start();
	assert_int_equal(cubby__granule_default_range_bytes(), 32 * GIB);
}

static void
granule_default_range_bytes_is_at_least_a_granule(void **state)
{
	(void)state;
	start();
	assert_int_equal(cubby__granule_default_range_bytes(), GRANULE_BYTES);
}

/* -------------------------------- the table ------------------------------ */

static void
granule_find_foreign_addresses_are_nobodys(void **state)
{
	static char data;
	static const uintptr_t numbers[] = {
		0,
		1,
		GRANULE_BYTES,
		0x7fffffffffff,
		0x800000000000,
		0x8000000000000000,
		0xffff800000000000,
		UINTPTR_MAX,
		UINTPTR_MAX - GRANULE_BYTES,
	};
	char *heap = malloc(64);

	(void)state;
	assert_nobodys(&data); /* before there is a table */
	start();
	if (cubby__granule_wants_units())
		take_units(1, 9, 0);
	else
		take(1, 9, 0);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		assert_nobodys((void *)numbers[i]);
	assert_nobodys(&data);
	assert_nobodys(heap);
	assert_nobodys(&heap);
	assert_nobodys((void *)(uintptr_t)start);
	free(heap);
}

static void
granule_find_every_granule_of_a_range_has_its_owner(void **state)
{
	uint64_t used;
	char *base;

	(void)state;
	start();
	used = cubby__granule_used_bytes();
	base = take(5, 77, 0);
	for (uint64_t i = 0; i < 5; i++) {
		assert_owner(base + i * GRANULE_BYTES, 77, 0); /* A1 */
		assert_owner(base + (i + 1) * GRANULE_BYTES - 1, 77, 0);
	}
	assert_nobodys(base - 1);
	assert_nobodys(base + 5 * GRANULE_BYTES);
	assert_int_equal(cubby__granule_used_bytes() - used,
			 5 * GRANULE_BYTES); /* A2 */
	assert_int_equal(signal_of_reading(base), SIGSEGV);
}

static void
granule_find_chunks_have_their_ordinals(void **state)
{
	char *chunks[10];

	(void)state;
	start();
	for (uint32_t i = 0; i < 10; i++)
		chunks[i] = take(1, 5, i);
	for (uint32_t i = 0; i < 10; i++)
		assert_owner(chunks[i] + 12345, 5, i);
}

static void
granule_take_no_memory_leaves_nothing(void **state)
{
	struct granule_owner owner = { 3, 4 };
	uint64_t used;
	char *base = NULL;

	(void)state;
	start();
	used = cubby__granule_used_bytes();
	for (uint64_t nth = 1; nth <= 3; nth++) {
		cubby__os_fail_at(nth);
		assert_int_equal(cubby__granule_take(GRANULE_BYTES, owner,
						     &base),
				 -ENOMEM);
		assert_int_equal(cubby__os_n_calls(), nth);
		assert_null(base);
		assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
		assert_int_equal(cubby__granule_verify(), 0);
	}
	cubby__os_fail_at(4);
	assert_int_equal(cubby__granule_take(GRANULE_BYTES, owner, &base), 0);
	cubby__os_fail_at(0);
	assert_owner(base, 3, 4);
}

static void
granule_take_over_budget_is_enomem(void **state)
{
	struct granule_owner owner = { 1, 0 };
	uint64_t left, used;
	char *base;

	(void)state;
	start();
	used = cubby__granule_used_bytes();
	left = cell_bytes_left();
	assert_int_equal(cubby__granule_take(align_up(left + 1, GRANULE_BYTES),
					     owner, &base),
			 -ENOMEM);
	assert_int_equal(cubby__granule_take(UINT64_MAX - (GRANULE_BYTES - 1),
					     owner, &base),
			 -ENOMEM);
	assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
	assert_int_equal(cubby__granule_take(align_down(left, GRANULE_BYTES),
					     owner, &base),
			 0);
	assert_int_equal(cubby__granule_take(GRANULE_BYTES, owner, &base),
			 -ENOMEM);
	/* Bookkeeping may take what cells had to leave, and no more. */
	used = cubby__granule_used_bytes();
	left = cubby__granule_budget_bytes() - used;
	assert_int_equal(cubby__granule_take_plain(left + page_bytes(), &base),
			 -ENOMEM);
	assert_int_equal(cubby__granule_take_plain(left, &base), 0);
	assert_int_equal(cubby__granule_used_bytes(),
			 cubby__granule_budget_bytes()); /* A2 */
	assert_int_equal(cubby__granule_take_plain(page_bytes(), &base),
			 -ENOMEM);
}

static void
granule_take_plain_is_budgeted_without_an_owner(void **state)
{
	uint64_t used;
	char *base;

	(void)state;
	start();
	used = cubby__granule_used_bytes();
	assert_int_equal(cubby__granule_take_plain(3 * page_bytes(), &base),
			 0);
	assert_nobodys(base);
	assert_int_equal(cubby__granule_used_bytes() - used,
			 3 * page_bytes()); /* A2 */
	cubby__granule_give_plain(base, 3 * page_bytes());
	assert_false(is_mapped(base));
	assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
}

/* -------------------------------- retirement ----------------------------- */

static void
granule_retire_keeps_owner_and_addresses_not_pages(void **state)
{
	uint64_t used;
	char *base;

	(void)state;
	start();
	base = take(2, 8, 0);
	assert_int_equal(cubby__os_commit(base, page_bytes()), 0);
	base[0] = 1;
	used = cubby__granule_used_bytes();
	cubby__granule_retire(base, 2 * GRANULE_BYTES);
	assert_owner(base, 8, 0); /* A1 */
	assert_owner(base + 2 * GRANULE_BYTES - 1, 8, 0);
	assert_true(is_mapped(base));
	assert_false(is_resident(base));
	assert_int_equal(signal_of_reading(base), SIGSEGV);
	assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
	assert_int_equal(cubby__granule_verify(), 0);
}

static void
granule_retire_more_than_the_fifo_holds_ends_the_oldest(void **state)
{
	enum { N = 2 * RETIRED_MAX + 10 };
	char *base[N];
	uint64_t used;

	(void)state;
	start();
	for (uint32_t i = 0; i < N; i++)
		base[i] = take(1, i + 1, i % 3);
	used = cubby__granule_used_bytes();
	for (uint32_t i = 0; i < N; i++) {
		uint32_t n_gone = i + 1 > RETIRED_MAX ? i + 1 - RETIRED_MAX :
							0;

		cubby__granule_retire(base[i], GRANULE_BYTES);
		assert_int_equal(cubby__granule_verify(), 0); /* A1 */
		assert_int_equal(used - cubby__granule_used_bytes(),
				 n_gone * GRANULE_BYTES); /* A2 */
		for (uint32_t j = 0; j < n_gone; j++) {
			assert_nobodys(base[j]);
			assert_false(is_mapped(base[j]));
		}
		for (uint32_t j = n_gone; j < N; j++)
			assert_owner(base[j], j + 1, j % 3); /* A1 */
	}
}

/* An address that had a chunk's ordinal is a first range's later. */
static void
granule_take_address_used_before_forgets_its_ordinal(void **state)
{
	char *old[RETIRED_MAX + 4];

	(void)state;
	start();
	for (uint32_t i = 0; i < ARRAY_SIZE(old); i++)
		old[i] = take(1, 1, i + 1);
	for (uint32_t i = 0; i < ARRAY_SIZE(old); i++)
		cubby__granule_retire(old[i], GRANULE_BYTES);
	for (uint32_t i = 0; i < 8; i++)
		assert_owner(take(1, 2, 0), 2, 0);
}

static void
granule_take_exhausted_budget_ends_the_oldest_as_needed(void **state)
{
	enum { N = 7 };
	char *base[N];

	(void)state;
	start(); /* 8 GiB */
	for (uint32_t i = 0; i < N; i++)
		base[i] = take(64, i + 1, 0);
	for (uint32_t i = 0; i < N - 1; i++)
		cubby__granule_retire(base[i], GIB);
	take(64 + 32, 20, 0); /* there is a little: one goes */
	assert_no_longer(base[0], 1);
	for (uint32_t i = 1; i < N; i++)
		assert_owner(base[i], i + 1, 0); /* A1 */
	take(96 + 48, 21, 0); /* one is not enough: two go */
	assert_no_longer(base[1], 2);
	assert_no_longer(base[2], 3);
	assert_owner(base[3], 4, 0);
	assert_int_equal(cubby__granule_verify(), 0);
	assert_true(cubby__granule_used_bytes() <=
		    cubby__granule_budget_bytes()); /* A2 */
}

static void
granule_take_what_never_fits_ends_none_of_the_retired(void **state)
{
	struct granule_owner owner = { 20, 0 };
	char *base[3], *refused;
	uint64_t used;

	(void)state;
	start();
	for (uint32_t i = 0; i < 3; i++)
		base[i] = take(64, i + 1, 0);
	cubby__granule_retire(base[0], GIB);
	cubby__granule_retire(base[1], GIB);
	used = cubby__granule_used_bytes();
	assert_int_equal(
		cubby__granule_take(cell_budget_bytes() - GIB + GRANULE_BYTES,
				    owner, &refused),
		-ENOMEM);
	assert_owner(base[0], 1, 0);
	assert_owner(base[1], 2, 0);
	assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
	assert_int_equal(cubby__granule_verify(), 0);        /* A4 */
}

static void
granule_forget_makes_its_retired_ranges_nobodys(void **state)
{
	char *first, *second, *other;

	(void)state;
	start();
	first = take(2, 7, 0);
	second = take(1, 7, 1);
	other = take(1, 8, 0);
	cubby__granule_retire(first, 2 * GRANULE_BYTES);
	cubby__granule_retire(other, GRANULE_BYTES);
	cubby__granule_retire(second, GRANULE_BYTES);
	cubby__granule_forget(7);
	assert_nobodys(first);
	assert_nobodys(first + 2 * GRANULE_BYTES - 1);
	assert_nobodys(second);
	assert_owner(other, 8, 0); /* A1 */
	assert_int_equal(cubby__granule_verify(), 0);
}

static void
granule_retire_decommit_refused_unmaps_at_once(void **state)
{
	uint64_t used;
	char *base;

	(void)state;
	start();
	used = cubby__granule_used_bytes();
	base = take(1, 6, 1);
	cubby__os_fail_at(1);
	cubby__granule_retire(base, GRANULE_BYTES);
	cubby__os_fail_at(0);
	assert_nobodys(base);
	assert_false(is_mapped(base));
	assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
	assert_int_equal(cubby__granule_verify(), 0);
}

/* --------------------------- threads and fork ---------------------------- */

static void *
look_while_others_change(void *stop)
{
	struct granule_owner owner;
	uintptr_t address = 0x7f0000000000;

	while (!__atomic_load_n((int *)stop, __ATOMIC_RELAXED)) {
		address += GRANULE_BYTES;
		if (cubby__granule_find((void *)(address & 0x7fffffffffff),
					&owner) &&
		    owner.id == 0)
			return stop;
	}
	return NULL;
}

static void
granule_find_beside_take_and_retire_is_safe(void **state)
{
	pthread_t thread;
	void *wrong;
	int stop = 0;

	(void)state;
	start();
	assert_int_equal(pthread_create(&thread, NULL,
					look_while_others_change, &stop),
			 0);
	for (uint32_t i = 1; i <= scaled(1000); i++) {
		char *base = take(1, i, i % 2);

		assert_owner(base, i, i % 2);
		cubby__granule_retire(base, GRANULE_BYTES);
	}
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	pthread_join(thread, &wrong);
	assert_null(wrong);
}

static void *
ask_for_used_bytes(void *answered)
{
	cubby__granule_used_bytes();
	__atomic_store_n((int *)answered, 1, __ATOMIC_SEQ_CST);
	return NULL;
}

static void
granule_fork_prepare_holds_the_lock_until_done(void **state)
{
	pthread_t thread;
	int answered = 0;

	(void)state;
	start();
	cubby__granule_fork_prepare();
	assert_int_equal(pthread_create(&thread, NULL, ask_for_used_bytes,
					&answered),
			 0);
	usleep(20000);
	assert_int_equal(__atomic_load_n(&answered, __ATOMIC_SEQ_CST), 0);
	cubby__granule_fork_done();
	pthread_join(thread, NULL);
	assert_int_equal(answered, 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CHILD_TEST(granule_init_default_budget_is_the_documented_one,
			   ""),
		CHILD_TEST(granule_init_option_6g_is_not_small, "budget=6G"),
		CHILD_TEST(granule_wants_units_less_than_4g_left_does,
			   "budget=6G"),
		CHILD_TEST(granule_init_option_under_4g_is_small,
			   "budget=4095M"),
		CHILD_TEST(granule_init_limited_addresses_leave_half, ""),
		CHILD_TEST(granule_init_few_addresses_make_it_small, ""),
		CHILD_TEST(granule_init_option_is_above_the_limit,
			   "budget=99G"),
		CHILD_TEST(granule_init_no_memory_is_tried_again, "budget=8G"),
		CHILD_TEST(granule_init_budget_under_the_table_refuses_all,
			   "budget=1M"),
		CHILD_TEST(
			granule_default_range_bytes_is_a_part_in_whole_granules,
			"budget=1T"),
		CHILD_TEST(granule_default_range_bytes_is_at_most_32g,
			   "budget=64T"),
		CHILD_TEST(granule_default_range_bytes_is_at_least_a_granule,
			   "budget=8G"),
		CHILD_TEST_IN_ALL(granule_find_foreign_addresses_are_nobodys),
		CHILD_TEST(granule_find_every_granule_of_a_range_has_its_owner,
			   "budget=8G"),
		CHILD_TEST(granule_find_chunks_have_their_ordinals,
			   "budget=8G"),
		CHILD_TEST(granule_take_no_memory_leaves_nothing, "budget=8G"),
		CHILD_TEST(granule_take_over_budget_is_enomem, "budget=8G"),
		CHILD_TEST(granule_take_plain_is_budgeted_without_an_owner,
			   "budget=8G"),
		CHILD_TEST(granule_retire_keeps_owner_and_addresses_not_pages,
			   "budget=8G"),
		CHILD_TEST(
			granule_retire_more_than_the_fifo_holds_ends_the_oldest,
			"budget=8G"),
		CHILD_TEST(granule_take_address_used_before_forgets_its_ordinal,
			   "budget=8G"),
		CHILD_TEST(
			granule_take_exhausted_budget_ends_the_oldest_as_needed,
			"budget=8G"),
		CHILD_TEST(
			granule_take_what_never_fits_ends_none_of_the_retired,
			"budget=8G"),
		CHILD_TEST(granule_forget_makes_its_retired_ranges_nobodys,
			   "budget=8G"),
		CHILD_TEST(granule_retire_decommit_refused_unmaps_at_once,
			   "budget=8G"),
		CHILD_TEST(granule_find_beside_take_and_retire_is_safe,
			   "budget=8G"),
		CHILD_TEST(granule_fork_prepare_holds_the_lock_until_done,
			   "budget=8G"),
	};

	return cmocka_run_group_tests_name("granule", tests, NULL, NULL);
}

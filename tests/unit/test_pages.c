/* SPDX-License-Identifier: MIT */
/* Runs of pages in granules, as the preloaded malloc has them. */
#include "unit.h"

#include "bits.h"
#include "granule.h"
#include "preload/pages.h"

enum { N_RUNS = 200, N_PAGES_MAX = 300, N_ALIGN_LOG = 5 };

static void
start(void)
{
	assert_int_equal(cubby__granule_init(), 0);
}

static void
assert_sound(void)
{
	assert_int_equal(cubby__pages_verify(), 0); /* E1, E2, E3 */
}

static uint32_t
must_take(uint32_t n_pages, uint32_t n_align, enum run_state *ret_was)
{
	uint32_t number = cubby__pages_take(n_pages, n_align, ret_was);

	assert_int_not_equal(number, RUN_NONE);
	assert_int_equal(cubby__pages_run(number)->state, RUN_USED);
	assert_int_equal(cubby__pages_run(number)->n_pages, n_pages);
	assert_int_equal((uintptr_t)cubby__pages_address(number) %
				 (n_align * RUN_PAGE_BYTES),
			 0);
	return number;
}

static void
purge_all(void)
{
	while (cubby__pages_purge() != 0)
		;
	assert_int_equal(cubby__pages_totals.n_dirty, 0);
}

/* The first word of each page says whose it is. */
static void
stamp(uint32_t number, uint64_t owner)
{
	char *page = cubby__pages_address(number);

	for (uint32_t i = 0; i < cubby__pages_run(number)->n_pages; i++)
		*(uint64_t *)(void *)(page + i * RUN_PAGE_BYTES) = owner;
}

static void
assert_stamped(uint32_t number, uint32_t n_pages, uint64_t owner)
{
	const char *page = cubby__pages_address(number);

	for (uint32_t i = 0; i < n_pages; i++)
		assert_int_equal(
			*(const uint64_t *)(const void *)(page +
							  i * RUN_PAGE_BYTES),
			owner);
}

static void
pages_free_neighbours_are_one_run(void **state)
{
	uint32_t numbers[64];
	enum run_state was;

	(void)state;
	start();
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		numbers[i] = must_take(RUN_PAGES_MAX / ARRAY_SIZE(numbers), 1,
				       &was);
	assert_int_equal(cubby__pages_totals.n_records, 1);
	assert_int_equal(cubby__pages_totals.n_clean, 0);
	/* Between two that are free, behind one, in front of one. */
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i += 2)
		cubby__pages_give(numbers[i]);
	assert_sound();
	for (size_t i = 1; i < ARRAY_SIZE(numbers); i += 2)
		cubby__pages_give(numbers[i]);
	assert_sound();
	assert_int_equal(cubby__pages_totals.n_dirty, RUN_PAGES_MAX);
	/* All of it, and no other granule. */
	must_take(RUN_PAGES_MAX - 1, 1, &was);
	assert_int_equal(was, RUN_DIRTY);
	assert_int_equal(cubby__pages_totals.n_records, 1);
	assert_sound();
}

static void
pages_purged_read_as_zeroes_and_stay_apart_until_then(void **state)
{
	enum run_state was;
	uint32_t number;

	(void)state;
	start();
	number = must_take(10, 1, &was);
	assert_int_equal(was, RUN_CLEAN);
	stamp(number, 1);
	cubby__pages_give(number);
	assert_sound();
	assert_int_equal(must_take(10, 1, &was), number);
	assert_int_equal(was, RUN_DIRTY);
	assert_stamped(number, 10, 1);
	cubby__pages_give(number);
	purge_all();
	assert_sound();
	assert_int_equal(must_take(10, 1, &was), number);
	assert_int_equal(was, RUN_CLEAN);
	assert_stamped(number, 10, 0);
}

static void
pages_resize_takes_what_is_behind_or_nothing(void **state)
{
	uint32_t first, second;
	enum run_state was;

	(void)state;
	start();
	first = must_take(10, 1, &was);
	second = must_take(10, 1, &was);
	assert_int_equal(second, first + 10);
	stamp(first, 1);
	stamp(second, 2);
	assert_false(cubby__pages_resize(first, 11));
	cubby__pages_give(second);
	assert_false(cubby__pages_resize(first, 21)); /* DIRTY, then CLEAN */
	assert_true(cubby__pages_resize(first, 15));
	assert_sound();
	assert_stamped(first, 10, 1);
	assert_true(cubby__pages_resize(first, 4));
	assert_sound();
	assert_stamped(first, 4, 1);
	assert_int_equal(cubby__pages_totals.n_dirty, 16);
}

static void
pages_granules_without_a_run_go_back(void **state)
{
	uint32_t numbers[4];
	enum run_state was;
	uint64_t used_bytes;
	char *last;

	(void)state;
	start();
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		numbers[i] = must_take(RUN_PAGES_MAX - 1, 1, &was);
	assert_int_equal(cubby__pages_totals.n_records, ARRAY_SIZE(numbers));
	used_bytes = cubby__granule_used_bytes();
	last = cubby__pages_address(numbers[3]);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		cubby__pages_give(numbers[i]);
	purge_all();
	cubby__pages_release(1);
	assert_int_equal(cubby__pages_totals.n_records, 1);
	assert_int_equal(cubby__granule_used_bytes(),
			 used_bytes - 3 * GRANULE_BYTES);
	cubby__pages_release(0);
	assert_int_equal(cubby__pages_totals.n_records, 0);
	assert_int_equal(cubby__pages_totals.n_clean, 0);
	assert_null(cubby__pages_record(last));
	assert_sound();
	must_take(1, 1, &was);
	assert_int_equal(cubby__pages_totals.n_records, 1);
}

/* ------------------------------ random programs --------------------------- */

struct model {
	uint32_t numbers[N_RUNS]; /* RUN_NONE */
	uint32_t n_pages[N_RUNS];
};

static void
model_take(struct model *model, size_t i)
{
	uint32_t n_pages = 1 + (uint32_t)random_below(N_PAGES_MAX);
	uint32_t n_align = 1u << random_below(N_ALIGN_LOG);
	enum run_state was;

	model->numbers[i] = must_take(n_pages, n_align, &was);
	model->n_pages[i] = n_pages;
	if (was == RUN_CLEAN)
		assert_stamped(model->numbers[i], n_pages, 0);
	stamp(model->numbers[i], i + 1);
}

static void
model_step(struct model *model, size_t i)
{
	uint32_t n_pages = 1 + (uint32_t)random_below(N_PAGES_MAX);

	if (model->numbers[i] == RUN_NONE) {
		model_take(model, i);
		return;
	}
	assert_stamped(model->numbers[i], model->n_pages[i], i + 1);
	if (random_below(3) == 0) {
		if (cubby__pages_resize(model->numbers[i], n_pages))
			model->n_pages[i] = n_pages;
		stamp(model->numbers[i], i + 1);
		return;
	}
	cubby__pages_give(model->numbers[i]);
	model->numbers[i] = RUN_NONE;
}

static void
pages_random_programs_agree_with_a_model(void **state)
{
	static struct model model;

	(void)state;
	start();
	memset(model.numbers, 0xff, sizeof(model.numbers));
	for (unsigned n = scaled(20000); n > 0; n--) {
		model_step(&model, random_below(N_RUNS));
		if (random_below(20) == 0)
			cubby__pages_purge();
		if (random_below(100) == 0)
			cubby__pages_release(1);
		if (n % 64 == 0)
			assert_sound();
	}
	for (size_t i = 0; i < N_RUNS; i++)
		if (model.numbers[i] != RUN_NONE)
			cubby__pages_give(model.numbers[i]);
	purge_all();
	cubby__pages_release(0);
	assert_int_equal(cubby__pages_totals.n_records, 0);
	assert_sound();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CHILD_TEST(pages_free_neighbours_are_one_run, ""),
		CHILD_TEST(
			pages_purged_read_as_zeroes_and_stay_apart_until_then,
			""),
		CHILD_TEST(pages_resize_takes_what_is_behind_or_nothing, ""),
		CHILD_TEST(pages_granules_without_a_run_go_back, ""),
		CHILD_TEST(pages_random_programs_agree_with_a_model, ""),
	};

	return cmocka_run_group_tests_name("pages", tests, NULL, NULL);
}

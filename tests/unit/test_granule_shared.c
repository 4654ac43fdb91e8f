/* SPDX-License-Identifier: MIT */
/* Units of shared granules, as caches in small budgets take them. */
#include "unit.h"

#include "bits.h"
#include "granule.h"
#include "os.h"

static void
start(void)
{
	assert_int_equal(cubby__granule_init(), 0);
	assert_int_equal(cubby__granule_verify(), 0);
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

#define UNITS (GRANULE_BYTES / cubby__granule_unit_bytes())

static void
granule_take_units_next_fit_delays_reuse(void **state)
{
	uint64_t unit;
	char *a, *b, *c, *d;

	(void)state;
	start();
	unit = cubby__granule_unit_bytes();
	assert_int_equal(unit, max_u64(4096, page_bytes()));
	a = take_units(1, 1, 0);
	b = take_units(3, 2, 7);
	assert_int_equal((uintptr_t)a % GRANULE_BYTES, 0);
	assert_ptr_equal(b, a + unit);
	assert_owner(a + unit - 1, 1, 0); /* A1 */
	assert_owner(b, 2, 7);
	assert_owner(b + 3 * unit - 1, 2, 7);
	assert_nobodys(b + 3 * unit);
	cubby__granule_give_units(a, unit);
	assert_nobodys(a);
	c = take_units(1, 3, 0);
	assert_ptr_equal(c, b + 3 * unit);
	d = take_units(UNITS - 5, 4, 1); /* to the end */
	assert_ptr_equal(d, c + unit);
	assert_ptr_equal(take_units(1, 5, 0), a); /* and round */
	assert_owner(a, 5, 0);
	assert_int_equal(cubby__granule_verify(), 0); /* A3 */
}

static void
granule_take_units_bytes_are_rounded_up(void **state)
{
	struct granule_owner owner = { 4, 0 };
	char *first, *second;

	(void)state;
	start();
	assert_int_equal(cubby__granule_take_units(1, owner, &first), 0);
	assert_int_equal(
		cubby__granule_take_units(cubby__granule_unit_bytes() + 1,
					  owner, &second),
		0);
	assert_ptr_equal(second, first + cubby__granule_unit_bytes());
	assert_ptr_equal(take_units(1, 5, 0),
			 second + 2 * cubby__granule_unit_bytes());
	cubby__granule_give_units(second, cubby__granule_unit_bytes() + 1);
	assert_nobodys(second + 2 * cubby__granule_unit_bytes() - 1);
	assert_owner(second + 2 * cubby__granule_unit_bytes(), 5, 0);
}

static void
granule_give_units_pages_go_and_are_inaccessible(void **state)
{
	char *base;

	(void)state;
	start();
	base = take_units(2, 1, 0);
	assert_int_equal(cubby__os_commit(base, page_bytes()), 0);
	base[0] = 1;
	cubby__granule_give_units(base, 2 * cubby__granule_unit_bytes());
	assert_false(is_resident(base));
	assert_int_equal(signal_of_reading(base), SIGSEGV);
}

static void
granule_give_units_decommit_refused_drops_the_pages(void **state)
{
	char *base;

	(void)state;
	start();
	base = take_units(1, 1, 0);
	assert_int_equal(cubby__os_commit(base, page_bytes()), 0);
	base[0] = 1;
	cubby__os_fail_at(1);
	cubby__granule_give_units(base, cubby__granule_unit_bytes());
	cubby__os_fail_at(0);
	assert_false(is_resident(base));
	assert_nobodys(base);
	assert_int_equal(cubby__granule_verify(), 0); /* A3 */
}

static void
give_foreign_units(void *base)
{
	cubby__granule_give_units(base, 4096);
}

static void
granule_give_units_not_shared_aborts_in_debug_builds(void **state)
{
#ifdef CUBBY_DEBUG
	struct ending ending;

	(void)state;
	start();
	take_units(1, 1, 0);
	ending = run_forked(give_foreign_units, state);
	assert_int_equal(ending.signal, SIGABRT);
	assert_non_null(strstr(ending.output, "table[i]")); /* A1 */
#else
	(void)state;
	(void)give_foreign_units;
	skip_because("the check is compiled into debug builds");
#endif
}

static void
granule_take_units_full_granules_are_followed_by_new_ones(void **state)
{
	struct granule_owner owner = { 1, 0 };
	uint64_t before, per_granule;
	char *first, *second, *base;
	unsigned n = 0;

	(void)state;
	start(); /* 200 MiB */
	before = cubby__granule_used_bytes();
	first = take_units(UNITS, 1, 0);
	per_granule = cubby__granule_used_bytes() - before;
	assert_in_range(per_granule, GRANULE_BYTES + page_bytes(),
			GRANULE_BYTES + 64 * KIB); /* A2: with its record */
	second = take_units(UNITS, 2, 3);
	assert_ptr_not_equal(first, second);
	assert_owner(first + GRANULE_BYTES - 1, 1, 0);
	assert_owner(second, 2, 3);
	while (cubby__granule_take_units(GRANULE_BYTES, owner, &base) == 0)
		n++;
	assert_int_equal(n + 2, (cubby__granule_budget_bytes() - before) /
					per_granule);
	assert_true(cubby__granule_used_bytes() <=
		    cubby__granule_budget_bytes()); /* A2 */
	cubby__granule_give_units(first, GRANULE_BYTES);
	assert_ptr_equal(take_units(1, 9, 0), first);
	assert_int_equal(cubby__granule_verify(), 0);
}

static void
granule_take_units_no_memory_leaves_nothing(void **state)
{
	struct granule_owner owner = { 1, 0 };
	uint64_t used;
	char *base;

	(void)state;
	start();
	used = cubby__granule_used_bytes();
	for (uint64_t nth = 1; nth <= 3; nth++) {
		cubby__os_fail_at(nth);
		assert_int_equal(cubby__granule_take_units(4096, owner, &base),
				 -ENOMEM);
		assert_int_equal(cubby__os_n_calls(), nth);
		assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
		assert_int_equal(cubby__granule_verify(), 0);
	}
	cubby__os_fail_at(0);
	take_units(1, 1, 0);
}

/* A2: a granule would fit, but not with its record. */
static void
granule_take_units_record_is_budgeted_too(void **state)
{
	struct granule_owner owner = { 1, 0 };
	uint64_t used;
	char *base;

	(void)state;
	start(); /* the table of 32 MiB, a granule and 4 KiB */
	used = cubby__granule_used_bytes();
	if (used != 32 * MIB)
		skip_because("the table has another size here");
	cubby__os_fail_at(0);
	assert_int_equal(cubby__granule_take_units(4096, owner, &base),
			 -ENOMEM);
	assert_int_equal(cubby__os_n_calls(), 0);
	assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
}

/* A model of one granule that is too simple to be wrong. */
struct model {
	char *base;
	uint64_t next;
	uint32_t owner[4096];
};

static uint64_t
model_place(const struct model *model, uint64_t n, uint64_t from)
{
	for (uint64_t first = from; first + n <= UNITS; first++) {
		uint64_t i = 0;

		while (i < n && model->owner[first + i] == 0)
			i++;
		if (i == n)
			return first;
	}
	return UNITS;
}

static bool
model_take(struct model *model, uint64_t n, uint32_t id)
{
	uint64_t first = model_place(model, n, model->next);

	if (first == UNITS)
		first = model_place(model, n, 0);
	if (first == UNITS)
		return false;
	assert_ptr_equal(take_units(n, id, id + 1),
			 model->base + first * cubby__granule_unit_bytes());
	for (uint64_t i = 0; i < n; i++)
		model->owner[first + i] = id;
	model->next = first + n;
	return true;
}

static void
model_give(struct model *model, uint32_t id)
{
	uint64_t first = 0, n = 0;

	while (first < UNITS && model->owner[first] != id)
		first++;
	if (first == UNITS)
		return;
	for (; first + n < UNITS && model->owner[first + n] == id; n++)
		model->owner[first + n] = 0;
	cubby__granule_give_units(model->base +
					  first * cubby__granule_unit_bytes(),
				  n * cubby__granule_unit_bytes());
}

static void
model_compare(const struct model *model)
{
	for (uint64_t i = 0; i < UNITS; i++) {
		char *address = model->base + i * cubby__granule_unit_bytes() +
				random_below(4096);

		if (model->owner[i] == 0)
			assert_nobodys(address);
		else
			assert_owner(address, model->owner[i],
				     model->owner[i] + 1); /* A1 */
	}
	assert_int_equal(cubby__granule_verify(), 0); /* A3 */
}

static void
granule_take_units_random_programs_agree_with_a_model(void **state)
{
	static struct model model;
	uint32_t id = 1;

	(void)state;
	start();
	model.base = take_units(1, id, id + 1);
	model.owner[0] = id;
	model.next = 1;
	for (unsigned round = scaled(2000); round > 0; round--) {
		if (random_below(100) < 48)
			model_give(&model, 1 + (uint32_t)random_below(id));
		else if (model_take(&model, 1 + random_below(60), id + 1))
			id++;
		if (round % 50 == 0)
			model_compare(&model);
	}
	model_compare(&model);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CHILD_TEST(granule_take_units_next_fit_delays_reuse,
			   "budget=1G"),
		CHILD_TEST(granule_take_units_bytes_are_rounded_up,
			   "budget=1G"),
		CHILD_TEST(granule_give_units_pages_go_and_are_inaccessible,
			   "budget=1G"),
		CHILD_TEST(granule_give_units_decommit_refused_drops_the_pages,
			   "budget=1G"),
		CHILD_TEST(granule_give_units_not_shared_aborts_in_debug_builds,
			   "budget=1G"),
		CHILD_TEST(
			granule_take_units_full_granules_are_followed_by_new_ones,
			"budget=200M"),
		CHILD_TEST(granule_take_units_no_memory_leaves_nothing,
			   "budget=1G"),
		CHILD_TEST(granule_take_units_record_is_budgeted_too,
			   "budget=49156K"),
		CHILD_TEST(
			granule_take_units_random_programs_agree_with_a_model,
			"budget=1G"),
	};

	return cmocka_run_group_tests_name("granule_shared", tests, NULL,
					   NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Tests of which attributes go together: every combination is either in a line
 * of the table at struct cubby_cache_attr or refused with the name of a field
 * that is wrong.
 */
#include "unit.h"

#include "flavor.h"
#include "weak_plan.h"

#include <cubby/cubby.h>

#define TRUCK_SLOTS(SLOT) SLOT(long, number, "on its plate")
CUBBY_LAYOUT(plain, TRUCK_SLOTS);
CUBBY_WEAK_LAYOUT(truck, TRUCK_SLOTS);

static void
nothing(void)
{
}

/* Never called, but for its members being there. */
static const struct rcu_flavor_struct *
some_flavor(void)
{
	static void (
		*functions[sizeof(struct rcu_flavor_struct) / sizeof(void *)])(
		void);

	for (size_t i = 0; i < sizeof(functions) / sizeof(functions[0]); i++)
		functions[i] = nothing;
	return (const struct rcu_flavor_struct *)(const void *)functions;
}

static void
expire(struct cubby_cache *cache, void *object, uint64_t handle, void *context)
{
	(void)cache;
	(void)object;
	(void)handle;
	(void)context;
}

/* The table once more, as it is written there. */
static bool
is_a_line(const struct cubby_cache_attr *attr)
{
	bool either = attr->reclaim == CUBBY_RECLAIM_THREAD ||
		      attr->reclaim == CUBBY_RECLAIM_POLL;

	switch (attr->weak) {
	case CUBBY_WEAK_NONE:
		if (attr->rcu == NULL)
			return attr->is_strong == 0 && attr->reclaim == 0;
		return attr->is_strong == 0 && either;
	case CUBBY_WEAK_RCU:
		return attr->rcu != NULL && attr->is_strong <= 1 && either;
	case CUBBY_WEAK_STRONG:
	case CUBBY_WEAK_REUSE:
		return attr->rcu == NULL && attr->is_strong == 0 &&
		       attr->reclaim == 0;
	default:
		return false;
	}
}

static void
check(const struct cubby_cache_attr *attr, const struct cubby_layout *layout,
      bool is_legal)
{
	int err = cubby__weak_plan_check(attr, layout);

	if (err != (is_legal ? 0 : -EINVAL))
		fail_msg(
			"weak %zu, rcu %d, is_strong %zu, reclaim %zu: %d, %s",
			(size_t)attr->weak, attr->rcu != NULL,
			(size_t)attr->is_strong, (size_t)attr->reclaim, err,
			err ? cubby_error_detail() : "accepted");
	if (err)
		assert_int_equal(strncmp(cubby_error_detail(), "attr.", 5), 0);
}

/* All of the table's columns; next_combination() is the odometer. */
static bool
next_combination(struct cubby_cache_attr *attr)
{
	if (++attr->reclaim <= CUBBY_RECLAIM_POLL + 1)
		return true;
	attr->reclaim = 0;
	if (++attr->is_strong <= 2)
		return true;
	attr->is_strong = 0;
	attr->rcu = attr->rcu == NULL ? some_flavor() : NULL;
	if (attr->rcu != NULL)
		return true;
	return ++attr->weak <= CUBBY_WEAK_REUSE + 1;
}

static void
plan_check_takes_exactly_the_lines_of_the_table(void **state)
{
	struct cubby_cache_attr attr = { 0 };
	unsigned n_legal = 0;

	(void)state;
	do {
		n_legal += is_a_line(&attr);
		check(&attr, NULL, is_a_line(&attr));
		check(&attr, &truck_layout, is_a_line(&attr));
		check(&attr, &plain_layout,
		      is_a_line(&attr) && attr.weak == CUBBY_WEAK_NONE);
	} while (next_combination(&attr));
	assert_int_equal(n_legal, 1 + 2 + 4 + 1 + 1);
}

static void
plan_check_takes_on_expire_in_every_mode(void **state)
{
	struct cubby_cache_attr attr = { .on_expire = expire };

	(void)state;
	check(&attr, NULL, false);
	attr.weak = CUBBY_WEAK_STRONG;
	check(&attr, NULL, true);
	attr.weak = CUBBY_WEAK_REUSE;
	check(&attr, NULL, true);
	attr.weak = CUBBY_WEAK_RCU;
	attr.rcu = some_flavor();
	check(&attr, NULL, true);
	attr.weak = CUBBY_WEAK_NONE;
	check(&attr, NULL, false);
}

static void
plan_check_takes_limits_that_are_in_order(void **state)
{
	static const struct {
		uint64_t soft, hard;
		bool is_legal;
	} rows[] = {
		{ 0, 0, true },          { 7, 0, true }, { 0, 7, true },
		{ 7, 7, true },          { 6, 7, true }, { 8, 7, false },
		{ 1, UINT64_MAX, true },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cubby_cache_attr attr = {
			.rcu = some_flavor(),
			.soft_deferred_objects = rows[i].soft,
			.max_deferred_objects = rows[i].hard,
		};

		check(&attr, NULL, rows[i].is_legal);
		attr.soft_deferred_objects = attr.max_deferred_objects = 0;
		attr.soft_deferred_bytes = rows[i].soft;
		attr.max_deferred_bytes = rows[i].hard;
		check(&attr, NULL, rows[i].is_legal);
	}
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			plan_check_takes_exactly_the_lines_of_the_table),
		cmocka_unit_test(plan_check_takes_on_expire_in_every_mode),
		cmocka_unit_test(plan_check_takes_limits_that_are_in_order),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* Does the ownership oracle catch what it is for?  Bugs are planted in it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/oracle.h"

static struct oracle oracle;

#define PLANT_ROUNDS 20
#define PLANT_BURST 200

/* One thread, so that every planted bug strikes in every run. */
static void
work_with_plant(void)
{
	void *objects[PLANT_BURST];

	for (unsigned round = 0; round < PLANT_ROUNDS; round++) {
		for (unsigned i = 0; i < PLANT_BURST; i++)
			objects[i] = oracle_alloc(&oracle, 1);
		for (unsigned i = 0; i < PLANT_BURST; i++)
			oracle_free(&oracle, 1, objects[i]);
	}
}

/* A walk over objects that are held, then one over objects that are idle. */
static void
walk_with_plant(void)
{
	void *objects[PLANT_BURST];

	for (unsigned i = 0; i < PLANT_BURST; i++)
		objects[i] = oracle_alloc(&oracle, 1);
	oracle_meddle_walk(&oracle);
	for (unsigned i = 0; i < PLANT_BURST; i++)
		oracle_free(&oracle, 1, objects[i]);
	oracle_meddle_walk(&oracle);
}

static void
walk_plant_is_caught(enum oracle_plant plant)
{
	assert_int_equal(oracle_init(&oracle, 24, 0, NULL), 0);
	oracle.plant = plant;
	walk_with_plant();
	oracle_fini_force(&oracle);
	assert_true(oracle.n_faults[ORACLE_CONTRADICTED] > 0);
}

static void
plant_is_caught(enum oracle_plant plant, unsigned callbacks,
		enum oracle_fault expected)
{
	int err = oracle_init(&oracle, 24, callbacks, NULL);

	assert_int_equal(err, 0);
	oracle.plant = plant;
	work_with_plant();
	oracle_fini_force(&oracle);
	assert_true(oracle.n_faults[expected] > 0);
	for (int i = 0; i < N_ORACLE_FAULTS; i++)
		if (i != (int)expected && oracle.n_faults[i] != 0)
			fail_msg("plant %d: also %llu faults of kind %d",
				 plant, (unsigned long long)oracle.n_faults[i],
				 i);
}

static void
oracle_no_plant_finds_nothing(void **state)
{
	(void)state;
	assert_int_equal(oracle_init(&oracle, 24, ORACLE_INIT, NULL), 0);
	work_with_plant();
	walk_with_plant();
	oracle_fini_force(&oracle);
	assert_int_equal(oracle_n_faults(&oracle), 0);
}

static void
oracle_object_handed_out_twice_is_caught(void **state)
{
	(void)state;
	plant_is_caught(ORACLE_PLANT_TWICE, 0, ORACLE_TWICE);
}

static void
oracle_object_freed_early_is_caught(void **state)
{
	(void)state;
	plant_is_caught(ORACLE_PLANT_EARLY, 0, ORACLE_TWICE);
}

static void
oracle_byte_overwritten_is_caught(void **state)
{
	(void)state;
	plant_is_caught(ORACLE_PLANT_SCRIBBLE, 0, ORACLE_OVERWRITTEN);
}

static void
oracle_stamp_skipped_is_caught(void **state)
{
	(void)state;
	plant_is_caught(ORACLE_PLANT_NO_STAMP, ORACLE_CTOR,
			ORACLE_OVERWRITTEN);
}

static void
oracle_init_state_lost_is_caught(void **state)
{
	(void)state;
	plant_is_caught(ORACLE_PLANT_FORGET, ORACLE_INIT, ORACLE_STATE);
}

static void
oracle_object_leaked_is_caught(void **state)
{
	(void)state;
	plant_is_caught(ORACLE_PLANT_LEAK, 0, ORACLE_COUNT);
}

static void
oracle_live_object_not_visited_is_caught(void **state)
{
	(void)state;
	walk_plant_is_caught(ORACLE_PLANT_BLIND);
}

static void
oracle_idle_object_visited_is_caught(void **state)
{
	(void)state;
	walk_plant_is_caught(ORACLE_PLANT_LEAK);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(oracle_no_plant_finds_nothing),
		cmocka_unit_test(oracle_object_handed_out_twice_is_caught),
		cmocka_unit_test(oracle_object_freed_early_is_caught),
		cmocka_unit_test(oracle_byte_overwritten_is_caught),
		cmocka_unit_test(oracle_stamp_skipped_is_caught),
		cmocka_unit_test(oracle_init_state_lost_is_caught),
		cmocka_unit_test(oracle_object_leaked_is_caught),
		cmocka_unit_test(oracle_live_object_not_visited_is_caught),
		cmocka_unit_test(oracle_idle_object_visited_is_caught),
	};

	return cmocka_run_group_tests_name("stress_oracle", tests, NULL, NULL);
}

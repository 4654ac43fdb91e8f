/* SPDX-License-Identifier: MIT */
/* Every contradiction that verify knows is planted, and named. */
#include "slab_fixture.h"

static void
assert_fault(const struct fixture *f, const char *expected)
{
	char buffer[128];
	struct text text;

	cubby__text_init(&text, buffer, sizeof(buffer));
	assert_true(cubby__slab_verify(&f->set, &text) >= 1);
	assert_string_equal(buffer, expected);
}

/* Two slabs of 2048 cells and one of 100: 1 is half full, 2 is full. */
static void
corruptible(struct fixture *f)
{
	fixture_init(f, 24, 2 * 2048 + 100);
	take_slabs(f, 2);
	for (uint64_t cell = 2048; cell < 3072; cell++)
		cubby__slab_give(&f->set, cell);
	assert_int_equal(cubby__slab_prefault(&f->set, 2 * 2048 + 1), 0);
	assert_clean(&f->set);
}

#define PLANT(place, value, expected)                                         \
	do {                                                                  \
		__typeof__(place) planted_over = (place);                     \
		(place) = (__typeof__(place))(value);                         \
		assert_fault(&f, expected);                                   \
		(place) = planted_over;                                       \
		assert_clean(&f.set);                                         \
	} while (0)

static void
slab_verify_planted_fault_in_a_slab_is_named(void **state)
{
	struct fixture f;
	struct slab *slab;

	(void)state;
	corruptible(&f);
	slab = slab_record(&f.set, 1);
	PLANT(slab->n_live, slab->n_live + 1,
	      "slab 1: n_live is not its set bits (L1)");
	PLANT(slab->n_live, slab->n_live - 1,
	      "slab 1: n_live is not its set bits (L1)");
	PLANT(slab->live[20], slab->live[20] ^ 1ull << 63,
	      "slab 1: n_live is not its set bits (L1)");
	PLANT(slab->first_word, 1, "slab 1: first_word is too high (L3)");
	PLANT(slab->lane, LANE_PARTIAL_2, "slab 1: in a wrong lane (L4)");
	PLANT(slab->lane, LANE_RETURNED, "slab 1: in a wrong lane (L4)");
	PLANT(slab->lane, N_LANES, "slab 1: in a wrong lane (L4)");
	PLANT(slab->lane, 255, "slab 1: in a wrong lane (L4)");
	PLANT(slab->flags, SLAB_DECOMMITTED,
	      "slab 1: decommitted but in use (L6)");
	PLANT(*bit_tree_word(&f.set.tree, 0, LANE_FULL, 0), 3,
	      "slab 1: in a wrong lane (L4)");
	PLANT(*bit_tree_word(&f.set.tree, 0, LANE_PARTIAL_1, 0), 0,
	      "slab 1: in a wrong lane (L4)");
	slab = slab_record(&f.set, 2);
	assert_int_equal(slab->n_cells, 100);
	PLANT(slab->live[1], 1ull << 36,
	      "slab 2: a bit beyond its cells (L2)");
	PLANT(slab->live[2], 1, "slab 2: a bit beyond its cells (L2)");
	PLANT(slab->live[31], 1ull << 63,
	      "slab 2: a bit beyond its cells (L2)");
	PLANT(slab->live[1], 1ull << 35,
	      "slab 2: n_live is not its set bits (L1)");
	fixture_fini(&f);
}

static void
slab_verify_planted_fault_in_a_total_is_named(void **state)
{
	const char *text = "the totals are not the sums over the slabs (L5)";
	struct fixture f;

	(void)state;
	corruptible(&f);
	PLANT(f.set.n_live, f.set.n_live + 1, text);
	PLANT(f.set.n_cells, f.set.n_cells - 1, text);
	PLANT(f.set.n_cells_returned, 1, text);
	for (int lane = 0; lane < N_LANES; lane++)
		PLANT(f.set.n_in_lane[lane], 17, text);
	fixture_fini(&f);
}

static void
slab_verify_several_faults_are_counted(void **state)
{
	char buffer[128];
	struct fixture f;
	struct text text;

	(void)state;
	corruptible(&f);
	slab_record(&f.set, 1)->first_word =
		3; /* of 16 words that are not full */
	f.set.n_live++;
	cubby__text_init(&text, buffer, sizeof(buffer));
	assert_int_equal(cubby__slab_verify(&f.set, &text), 4);
	assert_string_equal(buffer, "slab 1: first_word is too high (L3)");
	fixture_fini(&f);
}

#ifdef CUBBY_DEBUG
static void
give_twice(void *fixture)
{
	cubby__slab_give(&((struct fixture *)fixture)->set, 7);
	cubby__slab_give(&((struct fixture *)fixture)->set, 7);
}
#endif

static void
slab_give_free_cell_aborts_in_debug_builds(void **state)
{
#ifdef CUBBY_DEBUG
	struct fixture f;

	(void)state;
	fixture_init(&f, 24, 0);
	take_slabs(&f, 1);
	assert_int_equal(run_forked(give_twice, &f).signal, SIGABRT);
	fixture_fini(&f);
#else
	(void)state;
	skip_because("checked in debug builds");
#endif
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CHILD_TEST(slab_verify_planted_fault_in_a_slab_is_named, ""),
		CHILD_TEST(slab_verify_planted_fault_in_a_total_is_named, ""),
		CHILD_TEST(slab_verify_several_faults_are_counted, ""),
		CHILD_TEST(slab_give_free_cell_aborts_in_debug_builds, ""),
	};

	return cmocka_run_group_tests_name("slab_verify", tests, NULL, NULL);
}

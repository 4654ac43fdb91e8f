/* SPDX-License-Identifier: MIT */
/*
 * Slabs against a model that knows each cell and searches from the start, in
 * a range, in chunks, in units and from a range into chunks.
 */
#include "slab_fixture.h"

/* ---------------------------------- model -------------------------------- */

#define MODEL_CELLS (24 * 2048)

struct model {
	bool live[MODEL_CELLS];
	bool returned[MODEL_CELLS]; /* by slab */
	uint64_t n_slabs;           /* ever opened */
	uint64_t slab_cells;
	uint64_t max_cells;
	uint64_t n_live;
};

static struct model model;

static uint64_t
model_cells_of(uint64_t slab)
{
	return min_u64(model.slab_cells,
		       model.max_cells - slab * model.slab_cells);
}

static uint64_t
model_live_of(uint64_t slab)
{
	uint64_t n = 0;

	for (uint64_t i = 0; i < model_cells_of(slab); i++)
		n += model.live[slab * model.slab_cells + i];
	return n;
}

/* 4: more than three quarters live .. 1: up to a quarter, 0: none; -1: full */
static int
model_class(uint64_t slab)
{
	uint64_t n_live = model_live_of(slab);
	uint64_t n_cells = model_cells_of(slab);

	if (n_live == n_cells)
		return -1;
	for (int quarter = 4; quarter > 1; quarter--)
		if (n_live * 4 > n_cells * (uint64_t)(quarter - 1))
			return quarter;
	return n_live != 0;
}

static uint64_t
model_choose(void)
{
	for (int class = 4; class >= 0; class --)
		for (uint64_t slab = 0; slab < model.n_slabs; slab++)
			if (!model.returned[slab] &&
			    model_class(slab) == class)
				return slab;
	for (uint64_t slab = 0; slab < model.n_slabs; slab++)
		if (model.returned[slab])
			return slab;
	return model.n_slabs * model.slab_cells < model.max_cells ?
		       model.n_slabs :
		       UINT64_MAX;
}

/* The next cells that take should give; fewer than n at the limit. */
static size_t
model_take(size_t n, uint64_t *cells)
{
	size_t n_taken = 0;

	while (n_taken < n) {
		uint64_t slab = model_choose();

		if (slab == UINT64_MAX)
			break;
		model.returned[slab] = false;
		model.n_slabs = max_u64(model.n_slabs, slab + 1);
		for (uint64_t i = 0; i < model_cells_of(slab); i++) {
			uint64_t cell = slab * model.slab_cells + i;

			if (n_taken == n || model.live[cell])
				continue;
			model.live[cell] = true;
			cells[n_taken++] = cell;
		}
	}
	model.n_live += n_taken;
	return n_taken;
}

/* --------------------------- the random program -------------------------- */

/* What a live cell and its side elements hold; dropped ones are 0. */
static void
stamp(struct fixture *f, uint64_t cell)
{
	*(uint64_t *)region_cell(&f->region, cell) = ~cell; /* R2 */
	cell_side_set(&f->sides[0], cell);
	((uint32_t *)f->sides[1].side.base)[cell] = (uint32_t)cell + 1;
}

static void
assert_stamped(struct fixture *f, uint64_t cell)
{
	assert_true(*(uint64_t *)region_cell(&f->region, cell) == ~cell);
	assert_true(cell_side_test(&f->sides[0], cell));
	assert_int_equal(((uint32_t *)f->sides[1].side.base)[cell], cell + 1);
}

static void
take_both(struct fixture *f, size_t n)
{
	uint64_t *expected = malloc((n + 1) * sizeof(*expected));
	uint64_t *cells = malloc((n + 1) * sizeof(*cells));
	enum slab_refusal refusal = SLAB_NO_MEMORY;
	size_t n_expected, n_taken;

	assert_non_null(expected);
	assert_non_null(cells);
	n_expected = model_take(n, expected);
	n_taken = cubby__slab_take(&f->set, n, cells, &refusal);
	assert_int_equal(n_taken, n_expected);
	assert_int_equal(refusal,
			 n_taken < n ? SLAB_AT_LIMIT : SLAB_NO_MEMORY);
	for (size_t i = 0; i < n_taken; i++) {
		assert_int_equal(cells[i], expected[i]);
		stamp(f, cells[i]);
	}
	free(expected);
	free(cells);
}

static void
give_both(struct fixture *f, uint64_t cell)
{
	if (!model.live[cell])
		return;
	assert_stamped(f, cell);
	cubby__slab_give(&f->set, cell);
	model.live[cell] = false;
	model.n_live--;
}

static void
give_some(struct fixture *f)
{
	uint64_t slab;

	if (model.n_slabs == 0)
		return;
	slab = random_below(model.n_slabs) * model.slab_cells;
	if (random_below(2)) {
		for (uint64_t i = 0; i < model.slab_cells; i++)
			if (slab + i < model.max_cells)
				give_both(f, slab + i);
		return;
	}
	for (uint64_t n = random_below(model.slab_cells + 1); n > 0; n--)
		give_both(f, random_below(
				     min_u64(model.n_slabs * model.slab_cells,
					     model.max_cells)));
}

static uint64_t
model_highest_empty(uint64_t *ret_n)
{
	uint64_t highest = UINT64_MAX;

	*ret_n = 0;
	for (uint64_t slab = 0; slab < model.n_slabs; slab++) {
		if (model.returned[slab] || model_live_of(slab) != 0)
			continue;
		highest = slab;
		(*ret_n)++;
	}
	return highest;
}

static void
assert_sides_zero(struct fixture *f, uint64_t slab)
{
	for (uint64_t i = 0; i < model_cells_of(slab); i++) {
		uint64_t cell = slab * model.slab_cells + i;

		assert_false(cell_side_test(&f->sides[0], cell));
		assert_int_equal(((uint32_t *)f->sides[1].side.base)[cell], 0);
	}
}

static void
reclaim_both(struct fixture *f, uint64_t keep)
{
	uint64_t n, slab, chosen;
	uint64_t highest = model_highest_empty(&n);

	assert_int_equal(cubby__slab_reclaim_begin(&f->set, keep, &slab),
			 n > keep);
	if (n <= keep)
		return;
	assert_int_equal(slab, highest);
	assert_int_equal(slab_record(&f->set, slab)->lane, LANE_RECLAIMING);
	assert_clean(&f->set);
	if (n == 1 && keep == 0)
		assert_false(cubby__slab_reclaim_begin(&f->set, 0, &chosen));
	cubby__slab_reclaim_end(&f->set, slab);
	model.returned[slab] = true;
	assert_sides_zero(f, slab);
}

static void
compare(struct fixture *f)
{
	uint64_t n_cells = min_u64(model.n_slabs * model.slab_cells,
				   model.max_cells);
	uint64_t n_returned = 0;

	assert_clean(&f->set);
	for (uint64_t slab = 0; slab < model.n_slabs; slab++)
		if (model.returned[slab])
			n_returned += model_cells_of(slab);
	assert_int_equal(f->set.n_slabs, model.n_slabs); /* L5 */
	assert_int_equal(f->set.n_cells, n_cells);       /* L5 */
	assert_int_equal(f->set.n_live, model.n_live);   /* L5 */
	assert_int_equal(f->set.n_cells_returned, n_returned);
	assert_true(f->set.n_live_peak >= model.n_live);
	for (uint64_t cell = 0; cell < n_cells; cell++) {
		assert_int_equal(cubby__slab_is_live(&f->set, cell),
				 model.live[cell]); /* L1 */
		if (model.live[cell])
			assert_stamped(f, cell);
	}
	assert_false(cubby__slab_is_live(&f->set,
					 model.n_slabs * model.slab_cells));
	assert_false(cubby__slab_is_live(&f->set, UINT32_MAX));
}

static void
run_program(size_t object_bytes, unsigned n_steps)
{
	uint64_t n_slabs = 5 + random_below(12);
	struct fixture f;

	memset(&model, 0, sizeof(model));
	model.slab_cells = max_u64(1, 65536 / object_bytes);
	while (!is_pow2(model.slab_cells))
		model.slab_cells &= model.slab_cells - 1;
	model.max_cells = (n_slabs - 1) * model.slab_cells + 1 +
			  random_below(model.slab_cells);
	fixture_init(&f, object_bytes, model.max_cells);
	assert_int_equal(slab_cells(&f), model.slab_cells);
	for (unsigned step = 0; step < n_steps; step++) {
		switch (random_below(3)) {
		case 0:
			take_both(&f, random_below(2 * model.slab_cells + 2));
			break;
		case 1:
			give_some(&f);
			break;
		default:
			reclaim_both(&f, random_below(3));
		}
		compare(&f);
	}
	fixture_fini(&f);
}

static void
slab_random_program_agrees_with_the_model(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		for (unsigned n = i < 2 ? 1 : 4; n > 0; n--)
			run_program(sizes[i], scaled(200));
}

/* ------------------------------ order and limit -------------------------- */

static void
slab_take_fresh_is_in_address_order(void **state)
{
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		fixture_init(&f, sizes[i], 0);
		take_slabs(&f, 3);
		assert_int_equal(f.set.n_slabs, 3);
		assert_int_equal(f.set.n_in_lane[LANE_FULL], 3); /* L4 */
		assert_clean(&f.set);
		fixture_fini(&f);
	}
}

/* The lanes' borders: 16 cells a slab, so quarters of 4. */
static void
slab_give_every_count_is_in_its_lane(void **state)
{
	static const enum slab_lane lanes[] = {
		LANE_EMPTY,     LANE_PARTIAL_0, LANE_PARTIAL_0, LANE_PARTIAL_0,
		LANE_PARTIAL_0, LANE_PARTIAL_1, LANE_PARTIAL_1, LANE_PARTIAL_1,
		LANE_PARTIAL_1, LANE_PARTIAL_2, LANE_PARTIAL_2, LANE_PARTIAL_2,
		LANE_PARTIAL_2, LANE_PARTIAL_3, LANE_PARTIAL_3, LANE_PARTIAL_3,
		LANE_FULL,
	};
	struct fixture f;

	(void)state;
	fixture_init(&f, 3000, 0);
	assert_int_equal(slab_cells(&f), 16);
	take_slabs(&f, 1);
	for (uint64_t n = 16; n > 0; n--) {
		assert_int_equal(slab_record(&f.set, 0)->lane, lanes[n]);
		cubby__slab_give(&f.set, n * 5 % 16); /* each once */
		assert_int_equal(slab_record(&f.set, 0)->n_live, n - 1);
		assert_clean(&f.set); /* L1 L4 */
	}
	assert_int_equal(slab_record(&f.set, 0)->lane, LANE_EMPTY);
	fixture_fini(&f);
}

/* An EMPTY slab before a RETURNED one before a new one. */
static void
slab_take_prefers_full_then_empty_then_returned(void **state)
{
	uint64_t cells[64];
	struct fixture f;

	(void)state;
	fixture_init(&f, 1000, 0);
	take_slabs(&f, 6);
	give_slab(&f, 0);
	reclaim(&f, 0);   /* 0: RETURNED */
	give_slab(&f, 1); /* 1: EMPTY */
	for (int i = 0; i < 40; i++)
		cubby__slab_give(&f.set, 2 * 64 + i); /* 2: PARTIAL_1 */
	for (int i = 0; i < 3; i++)
		cubby__slab_give(&f.set, 5 * 64 + i); /* 5: PARTIAL_3 */
	assert_int_equal(take(&f, 3, cells), 3);
	assert_int_equal(cells[0], 5 * 64);
	assert_int_equal(take(&f, 40, cells), 40);
	assert_int_equal(cells[0], 2 * 64);
	assert_int_equal(take(&f, 64, cells), 64);
	assert_int_equal(cells[0], 64);
	assert_int_equal(take(&f, 64, cells), 64);
	assert_int_equal(cells[0], 0);
	assert_int_equal(f.set.n_opened, 7);
	assert_int_equal(f.set.n_closed, 1);
	assert_int_equal(take(&f, 1, cells), 1);
	assert_int_equal(cells[0], 6 * 64);
	assert_int_equal(f.set.n_live_peak, 6 * 64 + 1);
	fixture_fini(&f);
}

static void
slab_take_limit_is_exact_with_a_short_last_slab(void **state)
{
	enum { N = 64 * 2 + 7 };
	enum slab_refusal refusal = SLAB_NO_MEMORY;
	uint64_t cells[N + 10];
	struct fixture f;

	(void)state;
	fixture_init(&f, 1000, N);
	assert_int_equal(cubby__slab_take(&f.set, N + 10, cells, &refusal), N);
	assert_int_equal(refusal, SLAB_AT_LIMIT);
	assert_int_equal(f.set.n_cells, N); /* L5 */
	assert_int_equal(slab_record(&f.set, 2)->n_cells, 7);
	assert_int_equal(slab_record(&f.set, 2)->lane, LANE_FULL); /* L4 */
	assert_clean(&f.set);                                      /* L2 */
	assert_int_equal(cubby__slab_take(&f.set, 1, cells, &refusal), 0);
	cubby__slab_give(&f.set, N - 1);
	assert_int_equal(take(&f, 2, cells), 1);
	assert_int_equal(cells[0], N - 1);
	give_slab(&f, 2);
	reclaim(&f, 2);
	assert_int_equal(f.set.n_cells_returned, 7);
	assert_clean(&f.set);
	assert_int_equal(take(&f, 10, cells), 7);
	assert_int_equal(f.set.n_cells_returned, 0);
	fixture_fini(&f);
}

/* --------------------------------- prefault ------------------------------ */

static void
slab_prefault_any_number_is_resident_and_empty(void **state)
{
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		uint64_t n, end;

		fixture_init(&f, sizes[i], 0);
		n = 5 * slab_cells(&f) / 2 + 1;
		assert_int_equal(cubby__slab_prefault(&f.set, n), 0);
		assert_int_equal(f.set.n_slabs, div_up(n, slab_cells(&f)));
		assert_int_equal(f.set.n_in_lane[LANE_EMPTY], f.set.n_slabs);
		assert_clean(&f.set);
		for (uint64_t cell = 0; cell < n; cell++) {
			char *start = region_cell(&f.region, cell);

			end = f.region.geometry.cell_bytes - 1;
			assert_true(is_resident(start));
			assert_true(is_resident(start + end));
		}
		end = f.set.n_slabs;
		take_slabs(&f, end);
		assert_int_equal(f.set.n_slabs, end);
		fixture_fini(&f);
	}
}

/* More than a group of slabs is open already: only the first n count. */
static void
slab_prefault_fewer_than_open_is_fine(void **state)
{
	struct fixture f;

	(void)state;
	fixture_init(&f, 1000, 0);
	take_slabs(&f, 70);
	assert_int_equal(cubby__slab_prefault(&f.set, 10), 0);
	assert_true(is_resident(region_cell(&f.region, 9)));
	assert_false(is_resident(region_cell(&f.region, 69 * 64)));
	fixture_fini(&f);
}

static void
slab_prefault_no_memory_keeps_what_is_open(void **state)
{
	(void)state;
	for (uint64_t nth = 1; nth < 12; nth++) {
		struct fixture f;
		int err;

		fixture_init(&f, 1000, 0);
		cubby__os_fail_at(nth);
		err = cubby__slab_prefault(&f.set, 64 * 70);
		cubby__os_fail_at(0);
		assert_true(err == 0 || err == -ENOMEM);
		assert_true(err == -ENOMEM || nth > 3);
		assert_int_equal(f.set.n_in_lane[LANE_EMPTY], f.set.n_slabs);
		assert_clean(&f.set);
		take_slabs(&f, 71);
		fixture_fini(&f);
	}
}

/* ---------------------------------- growth ------------------------------- */

/* Over 64 slabs the tree moves out; over 4096 its second level has two words. */
static void
slab_take_thousands_of_slabs_keep_their_lanes(void **state)
{
	enum { N = 4096 + 70 };
	static uint64_t cells[N];
	struct fixture f;

	(void)state;
	fixture_init(&f, 65536, 0);
	assert_int_equal(slab_cells(&f), 1);
	for (uint64_t i = 0; i < N; i++) {
		assert_int_equal(take(&f, 1, &cells[i]), 1);
		assert_int_equal(cells[i], i);
		if (i == 63) {
			assert_ptr_equal(f.set.tree.level[0],
					 f.set.tree_inline[0]);
			cubby__slab_give(&f.set, 5); /* EMPTY moves as well */
			assert_int_equal(take(&f, 1, cells), 1);
			assert_int_equal(cells[0], 5);
		}
		if (i == 64)
			assert_ptr_not_equal(f.set.tree.level[0],
					     f.set.tree_inline[0]);
		if (i % 512 == 0 || i == 64 || i == 4096)
			assert_clean(&f.set); /* B1 L4 L5 */
	}
	for (uint64_t i = N; i-- > 0;)
		if (i % 7 != 0)
			cubby__slab_give(&f.set, i);
	assert_clean(&f.set);
	for (uint64_t i = N; i-- > 4000;)
		if (i % 7 != 0)
			reclaim(&f, i);
	assert_clean(&f.set);
	for (uint64_t i = 0; i < N; i++) {
		if (i % 7 == 0)
			continue;
		assert_int_equal(take(&f, 1, cells), 1);
		assert_int_equal(cells[0], i);
	}
	assert_clean(&f.set);
	fixture_fini(&f);
}

/* A slab of one cell each: more of them than one word of the top level. */
static void
slab_take_quarter_million_slabs_reach_the_next_top_word(void **state)
{
	enum { TOP_WORD = 64 * 64 * 64, N = TOP_WORD + 10 };
	static uint64_t cells[N];
	struct fixture f;

	(void)state;
	if (scaled(1000) < 100) /* under Valgrind it takes a minute */
		return;
	fixture_init(&f, 65536, 0);
	assert_int_equal(take(&f, N, cells), N);
	for (uint64_t i = 0; i < N; i++)
		assert_int_equal(cells[i], i);
	cubby__slab_give(&f.set, TOP_WORD + 7);
	cubby__slab_give(&f.set, TOP_WORD + 2);
	assert_clean(&f.set);
	assert_int_equal(take(&f, 2, cells), 2);
	assert_int_equal(cells[0], TOP_WORD + 2);
	assert_int_equal(cells[1], TOP_WORD + 7);
	cubby__slab_give(&f.set, 3);
	cubby__slab_give(&f.set, TOP_WORD);
	reclaim(&f, TOP_WORD);
	reclaim(&f, 3);
	assert_clean(&f.set);
	fixture_fini(&f);
}

/* In any order, from one word to another and back: the lowest are the next. */
static void
slab_give_run_goes_from_word_to_word(void **state)
{
	enum { N = 1024 }; /* a slab of 16 words */
	static const uint64_t run[] = { 900, 70, 901, 3, 130, 71, 2, 902 };
	static const uint64_t order[] = { 2, 3, 70, 71, 130, 900, 901, 902 };
	static uint64_t cells[N];
	struct fixture f;

	(void)state;
	fixture_init(&f, 64, 0);
	assert_int_equal(take(&f, N, cells), N);
	assert_int_equal(cubby__slab_give_run(&f.set, ARRAY_SIZE(run), run),
			 ARRAY_SIZE(run));
	assert_clean(&f.set);
	for (size_t i = 0; i < ARRAY_SIZE(run); i++)
		assert_false(cubby__slab_is_live(&f.set, run[i]));
	assert_int_equal(take(&f, ARRAY_SIZE(run), cells), ARRAY_SIZE(run));
	assert_memory_equal(cells, order, sizeof(order));
	assert_clean(&f.set);
	fixture_fini(&f);
}

/* Of a slab, and each once: what comes after that is another call's. */
static void
slab_give_run_ends_at_what_is_not_live(void **state)
{
	enum { N_TWO = 2 * 64, FIRST = 7 };
	static const uint64_t run[] = { 5, 9, FIRST, 9, 6 };
	static const uint64_t others[] = { 6, 64 + 3, 2 };
	static uint64_t cells[N_TWO];
	struct fixture f;

	(void)state;
	fixture_init(&f, 1024, 0); /* 64 cells a slab */
	assert_int_equal(take(&f, N_TWO, cells), N_TWO);
	assert_int_equal(cubby__slab_give_run(&f.set, ARRAY_SIZE(run), run),
			 3);
	assert_int_equal(f.set.n_live, N_TWO - 3);
	assert_false(cubby__slab_is_live(&f.set, FIRST));
	assert_true(cubby__slab_is_live(&f.set, 6));
	assert_int_equal(cubby__slab_give_run(&f.set, 2, run + 3), 0);
	assert_clean(&f.set);
	assert_int_equal(
		cubby__slab_give_run(&f.set, ARRAY_SIZE(others), others), 1);
	assert_true(cubby__slab_is_live(&f.set, 64 + 3));
	assert_int_equal(cubby__slab_give_run(&f.set, 2, others + 1), 1);
	assert_int_equal(cubby__slab_give_run(&f.set, 1, others + 2), 1);
	assert_int_equal(f.set.n_live, N_TWO - 6);
	assert_clean(&f.set);
	assert_int_equal(take(&f, 2, cells), 2);
	assert_int_equal(cells[0], 2);
	assert_int_equal(cells[1], 5);
	fixture_fini(&f);
}

/* Each kernel call of the way from nothing to 65 slabs fails once. */
static void
slab_take_no_memory_gives_fewer_and_recovers(void **state)
{
	static uint64_t cells[70 * 16];

	(void)state;
	for (uint64_t nth = 1; nth < 40; nth++) {
		enum slab_refusal refusal = SLAB_AT_LIMIT;
		struct fixture f;
		size_t n;

		fixture_init(&f, 3000, 0);
		cubby__os_fail_at(nth);
		n = cubby__slab_take(&f.set, ARRAY_SIZE(cells), cells,
				     &refusal);
		cubby__os_fail_at(0);
		assert_int_equal(n % 16, 0);
		assert_int_equal(f.set.n_live, n);
		assert_int_equal(f.set.n_slabs, n / 16);
		assert_true(n == ARRAY_SIZE(cells) ||
			    refusal == SLAB_NO_MEMORY);
		assert_clean(&f.set);
		assert_int_equal(take(&f, ARRAY_SIZE(cells) - n, cells),
				 ARRAY_SIZE(cells) - n);
		fill_cells(&f, ARRAY_SIZE(cells)); /* R2 */
		assert_clean(&f.set);
		fixture_fini(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CHILD_TEST_IN_ALL(slab_random_program_agrees_with_the_model),
		CHILD_TEST_IN_ALL(slab_take_fresh_is_in_address_order),
		CHILD_TEST(slab_give_every_count_is_in_its_lane, ""),
		CHILD_TEST(slab_take_prefers_full_then_empty_then_returned,
			   ""),
		CHILD_TEST_IN_ALL(
			slab_take_limit_is_exact_with_a_short_last_slab),
		CHILD_TEST_IN_ALL(
			slab_prefault_any_number_is_resident_and_empty),
		CHILD_TEST_IN_ALL(slab_prefault_fewer_than_open_is_fine),
		CHILD_TEST_IN_ALL(slab_prefault_no_memory_keeps_what_is_open),
		CHILD_TEST_IN_ALL(
			slab_take_thousands_of_slabs_keep_their_lanes),
		CHILD_TEST(
			slab_take_quarter_million_slabs_reach_the_next_top_word,
			""),
		cmocka_unit_test(slab_give_run_goes_from_word_to_word),
		cmocka_unit_test(slab_give_run_ends_at_what_is_not_live),
		CHILD_TEST_IN_ALL(
			slab_take_no_memory_gives_fewer_and_recovers),
	};

	return cmocka_run_group_tests_name("slab", tests, NULL, NULL);
}

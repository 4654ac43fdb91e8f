/* SPDX-License-Identifier: MIT */
/*
 * Slabs where the kernel charges committed memory (overcommit mode 2): the
 * module itself, compiled with another answer to that question.
 */
#include "slab_fixture.h"

static bool
charges_commit(void)
{
	return true;
}

#define cubby__os_charges_commit charges_commit
#include "slab.c"
#undef cubby__os_charges_commit

#define GROUP SLABS_PER_GROUP
#define CELL_BYTES 1000 /* a slab of 64 cells ends inside a page */

static bool
is_decommitted(const struct fixture *f, uint64_t slab)
{
	return slab_record(&f->set, slab)->flags & SLAB_DECOMMITTED;
}

static char *
middle_of(const struct fixture *f, uint64_t slab)
{
	return region_cell(&f->region,
			   slab_first_cell(&f->set, slab) + slab_cells(f) / 2);
}

/* Slabs [from, to), from the top, as reclaim takes them. */
static void
return_slabs(struct fixture *f, uint64_t from, uint64_t to)
{
	for (uint64_t slab = from; slab < to; slab++)
		give_slab(f, slab);
	for (uint64_t slab = to; slab-- > from;) {
		reclaim(f, slab);
		assert_clean(&f->set);
	}
}

static void
slab_reclaim_end_whole_group_is_decommitted(void **state)
{
	struct fixture f;
	uint64_t committed;

	(void)state;
	fixture_init(&f, CELL_BYTES, 0);
	take_slabs(&f, 3 * GROUP);
	committed = f.region.committed_bytes;
	return_slabs(&f, GROUP + 1, 2 * GROUP);
	assert_int_equal(f.region.committed_bytes, committed);
	assert_false(is_decommitted(&f, 2 * GROUP - 1));
	return_slabs(&f, GROUP, GROUP + 1);
	for (uint64_t slab = 0; slab < 3 * GROUP; slab++) {
		bool in = slab >= GROUP && slab < 2 * GROUP;

		assert_int_equal(is_decommitted(&f, slab), in); /* L6 */
	}
	assert_in_range(committed - f.region.committed_bytes,
			GROUP * (64 * CELL_BYTES - 2 * page_bytes()),
			GROUP * 64 * CELL_BYTES);
	assert_int_equal(signal_of_writing(middle_of(&f, GROUP)), SIGSEGV);
	assert_int_equal(signal_of_writing(middle_of(&f, 2 * GROUP - 1)),
			 SIGSEGV);
	/* The neighbours' bytes in shared pages stay. */
	memset(region_cell(&f.region, GROUP * 64 - 1), 1, CELL_BYTES);
	memset(region_cell(&f.region, 2 * GROUP * 64), 1, CELL_BYTES);
	fixture_fini(&f);
}

static void
slab_take_decommitted_slab_brings_its_run_back(void **state)
{
	struct fixture f;
	uint64_t committed, cell;

	(void)state;
	fixture_init(&f, CELL_BYTES, 0);
	take_slabs(&f, 2 * GROUP + 3);
	committed = f.region.committed_bytes;
	return_slabs(&f, GROUP, 2 * GROUP + 3); /* and a group that is short */
	assert_true(is_decommitted(&f, 2 * GROUP));
	for (uint64_t slab = GROUP; slab < 2 * GROUP + 3; slab++) {
		assert_int_equal(take(&f, 1, &cell), 1);
		assert_int_equal(cell, slab * 64);
		assert_false(is_decommitted(&f, slab));
		assert_clean(&f.set);
		memset(region_cell(&f.region, cell), 7,
		       64 * CELL_BYTES); /* R2 */
		for (uint64_t i = 1; i < 64; i++)
			assert_int_equal(take(&f, 1, &cell), 1);
	}
	assert_int_equal(f.region.committed_bytes, committed);
	fixture_fini(&f);
}

static void
slab_take_recommit_refused_changes_nothing(void **state)
{
	enum slab_refusal refusal = SLAB_AT_LIMIT;
	uint64_t cells[65], committed;
	struct fixture f;

	(void)state;
	fixture_init(&f, CELL_BYTES, 0);
	take_slabs(&f, GROUP);
	return_slabs(&f, 0, GROUP);
	committed = f.region.committed_bytes;
	cubby__os_fail_at(1);
	assert_int_equal(cubby__slab_take(&f.set, 65, cells, &refusal), 0);
	cubby__os_fail_at(0);
	assert_int_equal(refusal, SLAB_NO_MEMORY);
	assert_true(is_decommitted(&f, 0));
	assert_int_equal(f.region.committed_bytes, committed);
	assert_clean(&f.set);
	assert_int_equal(take(&f, 65, cells), 65);
	assert_int_equal(cells[64], 64);
	assert_clean(&f.set);
	fixture_fini(&f);
}

static void
slab_reclaim_end_decommit_refused_keeps_the_pages_accessible(void **state)
{
	struct fixture f;
	uint64_t committed;

	(void)state;
	fixture_init(&f, CELL_BYTES, 0);
	take_slabs(&f, GROUP);
	return_slabs(&f, 1, GROUP);
	committed = f.region.committed_bytes;
	cubby__os_fail_at(1);
	return_slabs(&f, 0, 1);
	cubby__os_fail_at(0);
	assert_false(is_decommitted(&f, 0));
	assert_int_equal(f.region.committed_bytes, committed);
	*middle_of(&f, 5) = 1;
	assert_clean(&f.set);
	fixture_fini(&f);
}

/* Runs of chunks of one slab, of some, of a range: all stamped and kept. */
static void
slab_random_program_keeps_live_cells(void **state)
{
	enum { N_SLABS = 2 * GROUP + 5, N_CELLS = N_SLABS * 64 };
	static uint64_t live[N_CELLS];
	struct fixture f;
	uint64_t n_live = 0, slab;

	(void)state;
	fixture_init(&f, CELL_BYTES, N_CELLS);
	for (unsigned round = scaled(3000); round > 0; round--) {
		uint64_t n = random_below(600);

		if (random_below(100) < 45 + round % 2000 / 100) {
			n = take(&f, n, live + n_live);
			for (uint64_t i = 0; i < n; i++, n_live++)
				*(uint64_t *)region_cell(
					&f.region,
					live[n_live]) = ~live[n_live];
		} else {
			for (; n > 0 && n_live > 0; n--) {
				uint64_t i = random_below(n_live);
				uint64_t cell = live[i];

				assert_true(*(uint64_t *)region_cell(
						    &f.region, cell) == ~cell);
				cubby__slab_give(&f.set, cell);
				live[i] = live[--n_live];
			}
		}
		while (cubby__slab_reclaim_begin(&f.set, random_below(3),
						 &slab))
			cubby__slab_reclaim_end(&f.set, slab);
		assert_int_equal(f.set.n_live, n_live); /* L5 */
		assert_clean(&f.set);
	}
	fixture_fini(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CHILD_TEST_IN_ALL(slab_reclaim_end_whole_group_is_decommitted),
		CHILD_TEST_IN_ALL(
			slab_take_decommitted_slab_brings_its_run_back),
		CHILD_TEST_IN_ALL(slab_take_recommit_refused_changes_nothing),
		CHILD_TEST(
			slab_reclaim_end_decommit_refused_keeps_the_pages_accessible,
			""),
		CHILD_TEST_IN_ALL(slab_random_program_keeps_live_cells),
	};

	return cmocka_run_group_tests_name("slab_charged", tests, NULL, NULL);
}

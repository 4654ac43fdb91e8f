/* SPDX-License-Identifier: MIT */
/* Arrays beside the cells: growth, moving out, zeroes after a drop. */
#include "unit.h"

#include "bits.h"
#include "granule.h"
#include "os.h"
#include "side.h"

#define INLINE_BYTES 1000

static uint64_t inline_part[INLINE_BYTES / 8];

static void
start(void)
{
	assert_int_equal(cubby__granule_init(), 0);
}

static void
assert_zero(const char *bytes, uint64_t from, uint64_t to)
{
	for (uint64_t i = from; i < to; i++)
		if (bytes[i] != 0)
			fail_msg("byte %ju is %d", (uintmax_t)i, bytes[i]);
}

static void
side_init_inline_part_takes_no_address_space(void **state)
{
	struct side side;
	uint64_t used;

	(void)state;
	start();
	used = cubby__granule_used_bytes();
	assert_int_equal(cubby__side_init(&side, inline_part, INLINE_BYTES,
					  64 * MIB),
			 0);
	assert_ptr_equal(side.base, inline_part);
	assert_int_equal(side.committed_bytes, INLINE_BYTES);
	assert_int_equal(side.reserved_bytes, 0);
	assert_int_equal(side.max_bytes, 64 * MIB);
	assert_int_equal(cubby__side_reach(&side, INLINE_BYTES), 0);
	assert_ptr_equal(side.base, inline_part);
	assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
	cubby__side_fini(&side);
	assert_null(side.base);
	assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
}

static void
side_init_own_reservation_never_moves(void **state)
{
	uint64_t used, committed = 0;
	struct side side;
	char *base;

	(void)state;
	start();
	used = cubby__granule_used_bytes();
	assert_int_equal(cubby__side_init(&side, NULL, 0, 10 * MIB + 1), 0);
	base = side.base;
	assert_int_equal(side.committed_bytes, 0);
	assert_int_equal(side.reserved_bytes, 10 * MIB + page_bytes());
	assert_int_equal(cubby__granule_used_bytes() - used,
			 side.reserved_bytes); /* A2 */
	assert_int_equal(signal_of_reading(base), SIGSEGV);
	for (uint64_t bytes = 1; bytes <= 10 * MIB + 1; bytes += 299993) {
		assert_int_equal(cubby__side_reach(&side, bytes), 0);
		assert_ptr_equal(side.base, base);
		assert_in_range(side.committed_bytes, bytes,
				side.reserved_bytes);
		assert_true(side.committed_bytes >= committed);
		committed = side.committed_bytes;
		assert_int_equal(base[bytes - 1], 0);
		memset(base, 0x5a, bytes);
	}
	cubby__side_fini(&side);
	assert_false(is_mapped(base));
	assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
}

/* 64 KiB, then as much again as there is, then 2 MiB at a time. */
static void
side_reach_small_steps_commit_in_growing_steps(void **state)
{
	static const uint64_t steps[] = { 64 * KIB,  128 * KIB, 256 * KIB,
					  512 * KIB, MIB,       2 * MIB,
					  4 * MIB,   6 * MIB,   7 * MIB };
	struct side side;

	(void)state;
	start();
	assert_int_equal(cubby__side_init(&side, NULL, 0, 7 * MIB), 0);
	for (size_t i = 0; i < ARRAY_SIZE(steps); i++) {
		assert_int_equal(
			cubby__side_reach(&side, side.committed_bytes + 1), 0);
		assert_int_equal(side.committed_bytes, steps[i]);
	}
	assert_int_equal(cubby__side_reach(&side, 7 * MIB + 1), -ENOMEM);
	assert_int_equal(side.committed_bytes, 7 * MIB);
	cubby__side_fini(&side);
}

static void
side_reach_inline_outgrown_moves_with_its_contents(void **state)
{
	struct side side;
	char *bytes = (char *)inline_part;

	(void)state;
	start();
	for (size_t i = 0; i < INLINE_BYTES; i++)
		bytes[i] = (char)(i * 7);
	cubby__side_init(&side, inline_part, INLINE_BYTES, MIB);
	assert_int_equal(cubby__side_reach(&side, INLINE_BYTES + 1), 0);
	assert_ptr_not_equal(side.base, bytes);
	assert_int_equal(side.reserved_bytes, MIB);
	assert_int_equal(side.max_bytes, MIB);
	assert_memory_equal(side.base, bytes, INLINE_BYTES);
	assert_zero(side.base, INLINE_BYTES, side.committed_bytes);
	assert_int_equal(cubby__side_reach(&side, MIB), 0);
	assert_memory_equal(side.base, bytes, INLINE_BYTES);
	cubby__side_fini(&side);
}

/* Every kernel call on the way out fails once; nothing changes then. */
static void
side_reach_no_memory_leaves_it_unchanged(void **state)
{
	uint64_t used;

	(void)state;
	start();
	used = cubby__granule_used_bytes();
	for (uint64_t nth = 1; nth <= 2; nth++) {
		struct side side, before;

		cubby__side_init(&side, inline_part, INLINE_BYTES, MIB);
		before = side;
		cubby__os_fail_at(nth);
		assert_int_equal(cubby__side_reach(&side, INLINE_BYTES + 1),
				 -ENOMEM);
		assert_true(cubby__os_n_calls() >= nth);
		cubby__os_fail_at(0);
		assert_memory_equal(&side, &before, sizeof(side));
		assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
		assert_int_equal(cubby__side_reach(&side, INLINE_BYTES + 1),
				 0);
		before = side;
		cubby__os_fail_at(1);
		assert_int_equal(cubby__side_reach(&side, MIB), -ENOMEM);
		cubby__os_fail_at(0);
		assert_memory_equal(&side, &before, sizeof(side));
		cubby__side_fini(&side);
	}
}

static void
side_init_no_address_space_is_enomem(void **state)
{
	struct side side;

	(void)state;
	start();
	assert_int_equal(cubby__side_init(&side, NULL, 0,
					  cubby__granule_budget_bytes()),
			 -ENOMEM);
}

/*
 * A step that does not fit is followed by the least that does: the second
 * commit, which injection cannot tell from the first.
 */
static void
side_reach_step_refused_commits_the_least(void **state)
{
	struct side side;
	int err;

	(void)state;
	start();
	assert_int_equal(cubby__side_init(&side, NULL, 0, 64 * MIB), 0);
	assert_int_equal(cubby__side_reach(&side, 8 * MIB), 0);
	limit_commit(MIB, 256 * KIB);
	err = cubby__side_reach(&side, 8 * MIB + 1);
	unlimit_commit();
	assert_int_equal(err, 0);
	assert_int_equal(side.committed_bytes, 8 * MIB + page_bytes());
	side.base[8 * MIB] = 1;
	cubby__side_fini(&side);
}

/* Once inline, it moves whenever it outgrows its reservation. */
static void
side_reach_reservation_outgrown_moves_again(void **state)
{
	struct side side;
	unsigned n_moves = 0;
	uint64_t used;

	(void)state;
	start();
	used = cubby__granule_used_bytes();
	cubby__side_init(&side, inline_part, INLINE_BYTES, 100 * MIB);
	for (uint64_t bytes = 8; bytes <= 100 * MIB; bytes *= 2) {
		char *before = side.base;

		assert_int_equal(cubby__side_reach(&side, bytes), 0);
		n_moves += side.base != before;
		assert_true(side.committed_bytes >= bytes);
		assert_true(side.reserved_bytes <= 100 * MIB);
		assert_int_equal(cubby__granule_used_bytes() - used,
				 side.reserved_bytes); /* A2 */
		for (uint64_t i = 8; i < bytes; i *= 2)
			assert_int_equal(*(uint64_t *)(side.base + i - 8), ~i);
		*(uint64_t *)(side.base + bytes - 8) = ~bytes;
	}
	assert_in_range(n_moves, 2, 4); /* 1 MiB, then 8 times as much */
	assert_int_equal(cubby__side_reach(&side, 100 * MIB), 0);
	assert_int_equal(cubby__side_reach(&side, 100 * MIB + 1), -ENOMEM);
	cubby__side_fini(&side);
	assert_int_equal(cubby__granule_used_bytes(), used); /* A2 */
}

/* A side that could not be made is not taken for one that was. */
static void
side_init_no_memory_leaves_zeroes(void **state)
{
	const struct side zero = { 0 };
	struct side side;

	(void)state;
	start();
	memset(&side, 0xff, sizeof(side));
	cubby__os_fail_at(1);
	assert_int_equal(cubby__side_init(&side, NULL, 0, MIB), -ENOMEM);
	cubby__os_fail_at(0);
	assert_null(side.base);
	assert_int_equal(side.max_bytes, zero.max_bytes);
	assert_int_equal(side.committed_bytes, zero.committed_bytes);
	assert_int_equal(side.reserved_bytes, zero.reserved_bytes);
}

/* --------------------------------- drops --------------------------------- */

/* Both ends at every place around a page's edge. */
static void
side_drop_any_part_reads_as_zeroes(void **state)
{
	const uint64_t page = page_bytes();
	const uint64_t places[] = { 0,        1,        page - 1,     page,
				    page + 1, 2 * page, 3 * page - 1, 3 * page,
				    4 * page };
	struct side side;

	(void)state;
	start();
	assert_int_equal(cubby__side_init(&side, NULL, 0, 4 * page), 0);
	assert_int_equal(cubby__side_reach(&side, 4 * page), 0);
	for (size_t i = 0; i < ARRAY_SIZE(places); i++) {
		for (size_t j = i; j < ARRAY_SIZE(places); j++) {
			memset(side.base, 0x77, 4 * page);
			cubby__side_drop(&side, places[i], places[j]);
			for (uint64_t k = 0; k < 4 * page; k++) {
				bool in = k >= places[i] && k < places[j];

				assert_int_equal(side.base[k], in ? 0 : 0x77);
			}
		}
	}
	cubby__side_fini(&side);
}

static void
side_drop_whole_pages_are_given_back(void **state)
{
	const uint64_t page = page_bytes();
	struct side side;

	(void)state;
	start();
	assert_int_equal(cubby__side_init(&side, NULL, 0, 8 * page), 0);
	assert_int_equal(cubby__side_reach(&side, 8 * page), 0);
	memset(side.base, 1, 8 * page);
	cubby__side_drop(&side, page / 2, 5 * page + page / 2);
	assert_true(is_resident(side.base));
	for (uint64_t i = 1; i < 5; i++)
		assert_false(is_resident(side.base + i * page));
	assert_true(is_resident(side.base + 5 * page));
	assert_int_equal(side.committed_bytes, 8 * page);
	cubby__side_fini(&side);
}

static void
side_drop_inline_part_is_zeroed(void **state)
{
	static uint64_t large[4096];
	struct side side;
	char *bytes = (char *)large;

	(void)state;
	start();
	memset(large, 0x33, sizeof(large));
	cubby__side_init(&side, large, sizeof(large), MIB);
	cubby__side_drop(&side, 3, sizeof(large) - 5);
	assert_int_equal(bytes[2], 0x33);
	assert_zero(bytes, 3, sizeof(large) - 5);
	assert_int_equal(bytes[sizeof(large) - 5], 0x33);
	cubby__side_fini(&side);
}

/* ------------------------------- cell sides ------------------------------ */

static void
cell_side_bytes_any_width_is_rounded_up(void **state)
{
	struct cell_side bit = { .bits_per_cell = 1 };
	struct cell_side word = { .bits_per_cell = 32 };

	(void)state;
	for (uint64_t n = 0; n < 100; n++) {
		assert_int_equal(cell_side_bytes(&bit, n),
				 n / 8 + (n % 8 != 0));
		assert_int_equal(cell_side_bytes(&word, n), 4 * n);
	}
}

#define N_CELLS 4096

static void
cell_side_set_and_clear_agree_with_a_model(void **state)
{
	static bool model[N_CELLS];
	struct cell_side array = { .bits_per_cell = 1 };

	(void)state;
	start();
	cubby__side_init(&array.side, NULL, 0, N_CELLS / 8);
	assert_int_equal(cubby__side_reach(&array.side, N_CELLS / 8), 0);
	for (unsigned round = scaled(20000); round > 0; round--) {
		uint64_t cell = random_below(N_CELLS);

		assert_int_equal(cell_side_test(&array, cell), model[cell]);
		model[cell] = random_below(2);
		if (model[cell])
			cell_side_set(&array, cell);
		else
			cell_side_clear(&array, cell);
		cell = cell ^ 1;
		assert_int_equal(cell_side_test(&array, cell), model[cell]);
	}
	for (uint64_t cell = 0; cell < N_CELLS; cell++)
		assert_int_equal(cell_side_test(&array, cell), model[cell]);
	cubby__side_fini(&array.side);
}

/* Slabs of 1 to 4096 cells: exactly their bits go, whatever shares a byte. */
static void
side_drop_cells_slab_of_any_size_clears_only_its_own(void **state)
{
	struct cell_side array = { .bits_per_cell = 1 };

	(void)state;
	start();
	cubby__side_init(&array.side, NULL, 0, N_CELLS / 8);
	assert_int_equal(cubby__side_reach(&array.side, N_CELLS / 8), 0);
	for (uint64_t n = 1; n <= N_CELLS; n *= 2) {
		for (uint64_t first = 0; first < N_CELLS;
		     first += n * (1 + N_CELLS / n / 16)) {
			memset(array.side.base, 0xff, N_CELLS / 8);
			cubby__side_drop_cells(&array, first, n);
			for (uint64_t i = 0; i < N_CELLS; i++)
				assert_int_equal(cell_side_test(&array, i),
						 i < first || i >= first + n);
		}
	}
	cubby__side_fini(&array.side);
}

static void
side_drop_cells_wide_elements_are_zeroed(void **state)
{
	struct cell_side array = { .bits_per_cell = 32 };
	uint32_t *words;

	(void)state;
	start();
	cubby__side_init(&array.side, NULL, 0, N_CELLS * 4);
	assert_int_equal(cubby__side_reach(&array.side, N_CELLS * 4), 0);
	words = (uint32_t *)array.side.base;
	memset(words, 0xff, N_CELLS * 4);
	cubby__side_drop_cells(&array, 4, 4);
	cubby__side_drop_cells(&array, 1024, 2048);
	for (uint64_t i = 0; i < N_CELLS; i++) {
		bool dropped = (i >= 4 && i < 8) || (i >= 1024 && i < 3072);

		assert_int_equal(words[i], dropped ? 0 : UINT32_MAX);
	}
	cubby__side_fini(&array.side);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CHILD_TEST(side_init_inline_part_takes_no_address_space, NULL),
		CHILD_TEST(side_init_own_reservation_never_moves, NULL),
		CHILD_TEST(side_reach_small_steps_commit_in_growing_steps,
			   NULL),
		CHILD_TEST(side_reach_inline_outgrown_moves_with_its_contents,
			   NULL),
		CHILD_TEST(side_reach_no_memory_leaves_it_unchanged, NULL),
		CHILD_TEST(side_init_no_address_space_is_enomem, NULL),
		CHILD_TEST(side_reach_step_refused_commits_the_least, NULL),
		CHILD_TEST(side_reach_reservation_outgrown_moves_again, NULL),
		CHILD_TEST(side_init_no_memory_leaves_zeroes, NULL),
		CHILD_TEST(side_drop_any_part_reads_as_zeroes, NULL),
		CHILD_TEST(side_drop_whole_pages_are_given_back, NULL),
		CHILD_TEST(side_drop_inline_part_is_zeroed, NULL),
		cmocka_unit_test(cell_side_bytes_any_width_is_rounded_up),
		CHILD_TEST(cell_side_set_and_clear_agree_with_a_model, NULL),
		CHILD_TEST(side_drop_cells_slab_of_any_size_clears_only_its_own,
			   NULL),
		CHILD_TEST(side_drop_cells_wide_elements_are_zeroed, NULL),
	};

	return cmocka_run_group_tests_name("side", tests, NULL, NULL);
}

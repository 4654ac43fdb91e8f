/* SPDX-License-Identifier: MIT */
/*
 * Cell arithmetic against division, for every size up to 64 KiB with every
 * alignment, and a sample above.  The ids are geometry.h's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cubby/cache.h>

#include <errno.h>

#include "geometry.h"

#define DENSE_BYTES_MAX ((size_t)64 << 10)
#define RANGE_BYTES_MAX ((uint64_t)32 << 30)

/* Between sampled sizes above DENSE_BYTES_MAX; prime, so of every residue. */
#define SPARSE_STEP_BYTES 251

static const size_t aligns[] = { 0,  1,   2,   4,   8,    16,   32,
				 64, 128, 256, 512, 1024, 2048, 4096 };

/* In percent; less than 100 tests every n-th size only. */
static size_t
size_step(void)
{
	const char *text = getenv("CUBBY_TEST_SCALE");
	size_t percent = text ? strtoul(text, NULL, 10) : 100;

	if (percent >= 100)
		return 1;
	return percent == 0 ? 101 : 100 / percent | 1;
}

/* splitmix64, the same numbers in each run. */
static uint64_t random_state;

static uint64_t
random_below(uint64_t limit)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return (x ^ x >> 31) % limit;
}

static int
setup(void **state)
{
	(void)state;
	random_state = 1;
	return 0;
}

#define check_equal(geometry, got, expected)                                  \
	do {                                                                  \
		uint64_t got_ = (got), expected_ = (expected);                \
                                                                              \
		if (got_ != expected_)                                        \
			fail_msg("object %u align %u prefix %u: %s is %llu, " \
				 "expected %llu",                             \
				 (geometry)->object_bytes,                    \
				 (geometry)->align_bytes,                     \
				 (geometry)->prefix_bytes, #got,              \
				 (unsigned long long)got_,                    \
				 (unsigned long long)expected_);              \
	} while (0)

/* ----------------------------- sizes: G1, G2, G3 ------------------------- */

static size_t
naive_align(size_t object_bytes, size_t asked, bool with_prefix)
{
	size_t align = 1;

	if (asked != 0)
		align = asked;
	else
		while (align < 16 && object_bytes % (2 * align) == 0)
			align *= 2;
	/* What is in front of an object is an aligned word. */
	return with_prefix && align < 8 ? 8 : align;
}

static uint64_t
naive_multiple(uint64_t bytes, uint64_t align)
{
	return (bytes + align - 1) / align * align;
}

static void
check_slab(const struct geometry *geometry)
{
	uint64_t cells = geometry_slab_cells(geometry);
	uint64_t bytes = geometry_slab_bytes(geometry);

	check_equal(geometry, cells & (cells - 1), 0);
	check_equal(geometry, bytes, cells * geometry->cell_bytes);
	if (cells > 1)
		check_equal(geometry, bytes <= SLAB_BYTES_TARGET, 1);
	check_equal(geometry, 2 * bytes > SLAB_BYTES_TARGET, 1);
}

static void
check_sizes(const struct geometry *geometry, size_t object_bytes,
	    size_t asked_align, bool with_prefix)
{
	size_t align = naive_align(object_bytes, asked_align, with_prefix);
	uint64_t prefix = with_prefix ? naive_multiple(8, align) : 0;
	uint64_t content = (object_bytes < 8 ? 8 : object_bytes) + prefix;
	uint64_t waste = geometry->cell_bytes - prefix - object_bytes;

	check_equal(geometry, geometry->object_bytes, object_bytes);
	check_equal(geometry, geometry->align_bytes, align);
	check_equal(geometry, geometry->prefix_bytes, prefix);
	check_equal(geometry, geometry->cell_bytes,
		    naive_multiple(content, align));
	check_equal(geometry, waste < (align < 8 ? 8 : align), 1);
	/* every alignment that divides a size of 8 or more costs nothing */
	if (object_bytes >= 8 && object_bytes % align == 0)
		check_equal(geometry, waste, 0);
	check_slab(geometry);
}

/* ------------------------------ numbers: G2, G4 -------------------------- */

/* Cell and offset and back, for the ends of one cell and a byte inside. */
static void
check_cell(const struct geometry *geometry, uint64_t cell)
{
	uint64_t cell_bytes = geometry->cell_bytes;
	uint64_t first = geometry_offset_bytes(geometry, cell);
	uint64_t inside = first + 1 + random_below(cell_bytes - 1);
	uint64_t last = first + cell_bytes - 1;

	check_equal(geometry, first, cell * cell_bytes);
	check_equal(geometry,
		    (first + geometry->prefix_bytes) % geometry->align_bytes,
		    0);
	check_equal(geometry, geometry_cell(geometry, first), cell);
	check_equal(geometry, geometry_cell(geometry, inside), cell);
	check_equal(geometry, geometry_cell(geometry, last), cell);
	check_equal(geometry, geometry_cell(geometry, last + 1), cell + 1);
}

/* First, last, slab boundary and random cells of the largest range. */
static void
check_cells(const struct geometry *geometry)
{
	uint64_t slab = geometry_slab_cells(geometry);
	uint64_t n_cells = RANGE_BYTES_MAX / geometry->cell_bytes;

	check_cell(geometry, 0);
	check_cell(geometry, slab - 1);
	check_cell(geometry, slab);
	check_cell(geometry, n_cells / 2);
	check_cell(geometry, n_cells - 1);
	check_cell(geometry, random_below(n_cells));
}

static void
check_size(size_t object_bytes)
{
	for (size_t i = 0; i < 2 * ARRAY_SIZE(aligns); i++) {
		size_t align = aligns[i / 2];
		bool with_prefix = i % 2 != 0;
		struct geometry geometry;

		assert_int_equal(cubby__geometry_init(&geometry, object_bytes,
						      align, with_prefix, 0),
				 0);
		check_sizes(&geometry, object_bytes, align, with_prefix);
		check_cells(&geometry);
	}
}

static void
geometry_every_size_to_64k_and_alignment_is_exact(void **state)
{
	size_t step = size_step();

	(void)state;
	for (size_t bytes = 1; bytes <= DENSE_BYTES_MAX; bytes += step)
		check_size(bytes);
}

static void
geometry_sizes_to_1m_are_exact_at_the_far_end(void **state)
{
	size_t step = SPARSE_STEP_BYTES * size_step();

	(void)state;
	for (size_t bytes = DENSE_BYTES_MAX; bytes <= OBJECT_BYTES_MAX;
	     bytes += step)
		check_size(bytes);
	for (size_t bytes = 2; bytes <= OBJECT_BYTES_MAX; bytes *= 2) {
		check_size(bytes - 1);
		check_size(bytes);
		if (bytes < OBJECT_BYTES_MAX)
			check_size(bytes + 1);
	}
}

/* G4 goes further than any range: to the last offset that it promises. */
static void
cell_last_offset_of_the_bound_is_exact(void **state)
{
	size_t step = size_step();

	(void)state;
	for (size_t bytes = 8; bytes <= OBJECT_BYTES_MAX; bytes += 7 * step) {
		struct geometry geometry;
		uint64_t bound, edge;

		assert_int_equal(cubby__geometry_init(&geometry, bytes, 1,
						      false, 0),
				 0);
		bound = UINT64_MAX / bytes; /* bound * bytes < 2^64 */
		edge = bound / bytes * bytes;
		check_equal(&geometry, geometry_cell(&geometry, bound),
			    bound / bytes);
		check_equal(&geometry, geometry_cell(&geometry, edge),
			    edge / bytes);
		check_equal(&geometry, geometry_cell(&geometry, edge - 1),
			    edge / bytes - 1);
	}
}

/* ------------------------------ known answers ---------------------------- */

static void
geometry_known_sizes_have_their_cells(void **state)
{
	static const struct {
		size_t object_bytes, align_bytes;
		bool with_prefix;
		uint32_t cell_bytes, align_of_cell, prefix_bytes, slab_cells;
	} known[] = {
		{ 1, 0, false, 8, 1, 0, 8192 },
		{ 8, 0, false, 8, 8, 0, 8192 },
		{ 9, 0, false, 9, 1, 0, 4096 },
		{ 13, 0, false, 13, 1, 0, 4096 },
		{ 24, 0, false, 24, 8, 0, 2048 },
		{ 24, 0, true, 32, 8, 8, 2048 },
		{ 32, 0, false, 32, 16, 0, 2048 },
		{ 32, 0, true, 48, 16, 16, 1024 },
		{ 1, 0, true, 16, 8, 8, 4096 },
		{ 13, 0, true, 24, 8, 8, 2048 },
		{ 20, 4, true, 32, 8, 8, 2048 },
		{ 20, 1, true, 32, 8, 8, 2048 },
		{ 40, 64, false, 64, 64, 0, 1024 },
		{ 1, 4096, true, 8192, 4096, 4096, 8 },
		{ 65536, 0, false, 65536, 16, 0, 1 },
		{ 32769, 0, false, 32769, 1, 0, 1 },
		{ 32768, 0, false, 32768, 16, 0, 2 },
		{ 1 << 20, 4096, false, 1 << 20, 4096, 0, 1 },
		{ 1 << 20, 4096, true, (1 << 20) + 4096, 4096, 4096, 1 },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(known); i++) {
		struct geometry geometry;

		assert_int_equal(cubby__geometry_init(&geometry,
						      known[i].object_bytes,
						      known[i].align_bytes,
						      known[i].with_prefix, 0),
				 0);
		check_equal(&geometry, geometry.cell_bytes,
			    known[i].cell_bytes);
		check_equal(&geometry, geometry.align_bytes,
			    known[i].align_of_cell);
		check_equal(&geometry, geometry.prefix_bytes,
			    known[i].prefix_bytes);
		check_equal(&geometry, geometry_slab_cells(&geometry),
			    known[i].slab_cells);
	}
}

static void
geometry_impossible_arguments_are_refused(void **state)
{
	static const struct {
		size_t object_bytes, align_bytes;
		int error;
	} bad[] = {
		{ 0, 0, -EINVAL },
		{ 0, 8, -EINVAL },
		{ OBJECT_BYTES_MAX + 1, 0, -E2BIG },
		{ OBJECT_BYTES_MAX + 1, 16, -E2BIG },
		{ SIZE_MAX, 0, -E2BIG },
		{ SIZE_MAX - 7, 8, -E2BIG },
		{ 24, 3, -EINVAL },
		{ 24, 12, -EINVAL },
		{ 24, 4095, -EINVAL },
		{ 24, 8192, -EINVAL },
		{ 24, (size_t)1 << 32, -EINVAL },
		{ 24, SIZE_MAX, -EINVAL },
	};

	(void)state;
	for (size_t i = 0; i < 2 * ARRAY_SIZE(bad); i++) {
		struct geometry geometry, before;

		memset(&geometry, 0xa5, sizeof(geometry));
		before = geometry;
		assert_int_equal(cubby__geometry_init(&geometry,
						      bad[i / 2].object_bytes,
						      bad[i / 2].align_bytes,
						      i % 2 != 0, 0),
				 bad[i / 2].error);
		assert_memory_equal(&geometry, &before, sizeof(geometry));
	}
}

static void
geometry_limits_are_the_public_ones(void **state)
{
	(void)state;
	assert_int_equal(OBJECT_BYTES_MAX, CUBBY_OBJECT_BYTES_MAX);
	assert_int_equal(ALIGN_BYTES_MAX, CUBBY_ALIGN_BYTES_MAX);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			geometry_every_size_to_64k_and_alignment_is_exact,
			setup),
		cmocka_unit_test_setup(
			geometry_sizes_to_1m_are_exact_at_the_far_end, setup),
		cmocka_unit_test(cell_last_offset_of_the_bound_is_exact),
		cmocka_unit_test(geometry_known_sizes_have_their_cells),
		cmocka_unit_test(geometry_impossible_arguments_are_refused),
		cmocka_unit_test(geometry_limits_are_the_public_ones),
	};

	return cmocka_run_group_tests_name("geometry", tests, NULL, NULL);
}

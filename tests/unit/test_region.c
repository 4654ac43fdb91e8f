/* SPDX-License-Identifier: MIT */
/* Where cells lie: in a range, in chunks, in units, and from one to the next. */
#include "unit.h"

#include "bits.h"
#include "os.h"
#include "region.h"

#define ID 42

struct shape {
	uint32_t object_bytes;
	uint32_t align_bytes;
	bool with_prefix;
};

static const struct shape shapes[] = {
	{ 8, 0, false },         { 13, 1, false },    { 24, 0, false },
	{ 40, 0, true },         { 1000, 0, false },  { 3000, 64, true },
	{ 4096, 4096, true },    { 70000, 0, false }, { 1 << 20, 0, false },
	{ 1 << 20, 4096, true },
};

static struct geometry
geometry_of(struct shape shape)
{
	struct geometry geometry;

	assert_int_equal(cubby__geometry_init(&geometry, shape.object_bytes,
					      shape.align_bytes,
					      shape.with_prefix, 0),
			 0);
	return geometry;
}

static void
init(struct region *region, struct shape shape, uint64_t max_cells)
{
	struct geometry geometry = geometry_of(shape);

	assert_int_equal(cubby__granule_init(), 0);
	assert_int_equal(cubby__region_init(region, &geometry, ID, max_cells,
					    false),
			 0);
}

static void
open_slabs(struct region *region, uint64_t first, uint64_t end)
{
	for (uint64_t slab = first; slab < end; slab++)
		assert_int_equal(
			cubby__region_open_slab(
				region, slab,
				geometry_slab_cells(&region->geometry)),
			0);
}

static void
assert_answer(const struct region *region, const void *address,
	      enum region_answer answer, uint64_t cell)
{
	uint64_t found = UINT64_MAX;

	assert_int_equal(cubby__region_find(region, address, &found), answer);
	assert_int_equal(found, answer == REGION_OUTSIDE ? UINT64_MAX : cell);
}

/* R1, and every other byte of the cell is its interior. */
static void
assert_found(const struct region *region, uint64_t cell)
{
	const struct geometry *geometry = &region->geometry;
	char *object = region_object(region, cell);
	char *start = region_cell(region, cell);

	assert_ptr_equal(object, start + geometry->prefix_bytes);
	assert_int_equal((uintptr_t)object % geometry->align_bytes, 0);
	assert_answer(region, object, REGION_OBJECT, cell); /* R1 */
	assert_answer(region, object + 1, REGION_INTERIOR, cell);
	assert_answer(region, start + geometry->cell_bytes - 1,
		      REGION_INTERIOR, cell);
	if (geometry->prefix_bytes != 0)
		assert_answer(region, start, REGION_INTERIOR, cell);
}

static void
region_find_every_shape_finds_its_cells(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct region region;
		uint64_t n_cells;

		init(&region, shapes[i], 0);
		open_slabs(&region, 0, 5);
		n_cells = 5ull << region.geometry.slab_shift;
		for (uint64_t cell = 0; cell < n_cells;
		     cell += 1 + n_cells / 3000)
			assert_found(&region, cell);
		assert_found(&region, n_cells - 1);
		cubby__region_fini(&region);
	}
}

/* R2: the first and last byte of each cell of an opened slab. */
static void
region_open_slab_every_byte_is_accessible(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct region region;

		init(&region, shapes[i], 0);
		for (uint64_t slab = 0; slab < 6; slab++) {
			uint64_t n = geometry_slab_cells(&region.geometry);

			open_slabs(&region, slab, slab + 1);
			for (uint64_t cell = slab * n; cell < (slab + 1) * n;
			     cell += 1 + n / 100) {
				char *start = region_cell(&region, cell);

				start[0] = 1; /* R2 */
				start[region.geometry.cell_bytes - 1] = 1;
			}
			memset(region_cell(&region, (slab + 1) * n - 1), 1,
			       region.geometry.cell_bytes);
		}
		cubby__region_fini(&region);
	}
}

static void
region_open_slab_again_changes_nothing(void **state)
{
	struct region region, before;

	(void)state;
	init(&region, shapes[2], 0);
	open_slabs(&region, 0, 7);
	before = region;
	open_slabs(&region, 0, 7);
	assert_memory_equal(&before, &region, sizeof(region));
	cubby__region_fini(&region);
}

static void
region_find_foreign_addresses_are_outside(void **state)
{
	struct region region, other;
	char *base;
	uint64_t n;

	(void)state;
	init(&region, shapes[2], 0);
	init(&other, shapes[3], 0);
	other.id = ID; /* made with it, but asked as another */
	open_slabs(&region, 0, 3);
	n = 3ull << region.geometry.slab_shift;
	base = region_cell(&region, 0);
	assert_answer(&region, NULL, REGION_OUTSIDE, 0);
	assert_answer(&region, &region, REGION_OUTSIDE, 0);
	assert_answer(&region, base - 1, REGION_OUTSIDE, 0);
	assert_answer(&region, (void *)UINTPTR_MAX, REGION_OUTSIDE, 0);
	if (region.base != NULL)
		assert_answer(&region, base + region.range_bytes,
			      REGION_OUTSIDE, 0);
	region.id = ID + 1;
	if (region.base == NULL)
		assert_answer(&region, region_cell(&region, n - 1),
			      REGION_OUTSIDE, 0);
	region.id = ID;
	cubby__region_fini(&region);
	cubby__region_fini(&other);
}

/* In granules and units the place of a chunk's tail is no cell. */
static void
region_find_tail_of_a_piece_is_outside(void **state)
{
	struct region region;
	char *first;
	uint64_t used_bytes;

	(void)state;
	init(&region, shapes[4], 1000);
	open_slabs(&region, 0, 1);
	if (region.base != NULL) {
		first = region.base;
		used_bytes = 1000 * 1000;
		assert_int_equal(region.range_cells, 1000);
	} else {
		first = region_chunk(&region, 0);
		used_bytes = 1000ull << region.chunk_shift;
	}
	assert_answer(&region, first + used_bytes - 1, REGION_INTERIOR,
		      used_bytes / 1000 - 1);
	assert_answer(&region, first + used_bytes, REGION_OUTSIDE, 0);
	cubby__region_fini(&region);
}

/* --------------------------------- ranges -------------------------------- */

static void
region_init_max_cells_reserves_what_they_need(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct region region;
		uint64_t used, bytes;

		assert_int_equal(cubby__granule_init(), 0);
		used = cubby__granule_used_bytes();
		init(&region, shapes[i], 12345);
		bytes = align_up(12345ull * region.geometry.cell_bytes,
				 GRANULE_BYTES);
		assert_int_equal(region.range_bytes, bytes);
		assert_int_equal(region.reserved_bytes, bytes);
		assert_int_equal(region.committed_bytes, 0);
		assert_int_equal(region.range_cells, 12345); /* R3 */
		assert_int_equal(region.max_cells, 12345);
		assert_int_equal(cubby__granule_used_bytes() - used, bytes);
		cubby__region_fini(&region);
	}
}

static void
region_init_default_range_holds_whole_slabs(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct region region;
		uint64_t slab_cells;

		init(&region, shapes[i], 0);
		slab_cells = geometry_slab_cells(&region.geometry);
		assert_int_equal(region.range_bytes, GRANULE_BYTES);
		assert_int_equal(region.range_cells % slab_cells, 0); /* R3 */
		assert_in_range(
			region.range_cells * region.geometry.cell_bytes,
			GRANULE_BYTES - geometry_slab_bytes(&region.geometry),
			GRANULE_BYTES);
		assert_int_equal(region.max_cells,
				 min_u64(5 * GIB / region.geometry.cell_bytes,
					 CELLS_MAX));
		cubby__region_fini(&region);
	}
}

static void
region_init_beyond_the_reciprocal_is_enomem(void **state)
{
	struct geometry geometry = geometry_of(shapes[8]);
	struct region region;

	(void)state;
	assert_int_equal(cubby__granule_init(), 0);
	cubby__os_fail_at(0);
	assert_int_equal(cubby__region_init(&region, &geometry, ID, CELLS_MAX,
					    false),
			 -ENOMEM); /* G4 */
	assert_int_equal(cubby__os_n_calls(), 0);
}

/* A range of one granule, then chunks: cells go on without a gap. */
static void
region_open_slab_past_the_range_goes_on_in_chunks(void **state)
{
	(void)state;
	for (size_t i = 2; i < ARRAY_SIZE(shapes); i++) {
		struct region region;
		uint64_t slab_cells, chunk_cells, n_slabs, end;
		struct region_piece piece = { 0 };

		init(&region, shapes[i], 0);
		slab_cells = geometry_slab_cells(&region.geometry);
		chunk_cells = 1ull << region.chunk_shift;
		assert_true(chunk_cells * region.geometry.cell_bytes <=
			    GRANULE_BYTES);
		assert_true(2 * chunk_cells * region.geometry.cell_bytes >
			    GRANULE_BYTES);
		assert_true(chunk_cells >= slab_cells);
		end = region.range_cells + 2 * chunk_cells + slab_cells;
		n_slabs = end / slab_cells;
		open_slabs(&region, 0, n_slabs);
		assert_int_equal(region.n_chunks, 3);
		assert_int_equal(region.reserved_bytes, 4 * GRANULE_BYTES);
		for (uint64_t cell = 0; cell < end; cell += 1 + end / 2000) {
			assert_found(&region, cell);
			*(char *)region_object(&region, cell) = 1; /* R2 */
			assert_ptr_equal(region_object_near(&region, &piece,
							    cell),
					 region_object(&region, cell));
		}
		assert_ptr_equal(region_object_near(&region, &piece, 0),
				 region_object(&region, 0));
		assert_found(&region, region.range_cells - 1);
		assert_found(&region, region.range_cells);
		assert_found(&region, region.range_cells + chunk_cells - 1);
		assert_found(&region, region.range_cells + chunk_cells);
		assert_found(&region, end - 1);
		assert_true(
			(uintptr_t)region_cell(&region, region.range_cells) %
				GRANULE_BYTES ==
			0);
		cubby__region_fini(&region);
	}
}

/* A page more than one chunk of one slab each, in units of 4 KiB. */
static void
region_open_slab_small_budget_takes_one_slab_at_a_time(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(shapes); i++) {
		struct region region;
		uint64_t bytes;

		init(&region, shapes[i], 0);
		assert_null(region.base);
		assert_int_equal(region.range_cells, 0); /* R3 */
		assert_int_equal(region.reserved_bytes, 0);
		bytes = align_up(geometry_slab_bytes(&region.geometry),
				 cubby__granule_unit_bytes());
		open_slabs(&region, 0, 3);
		assert_int_equal(region.n_chunks, 3);
		assert_int_equal(region.chunk_bytes, bytes);
		assert_int_equal(region.reserved_bytes, 3 * bytes);
		assert_true(region.committed_bytes <= 3 * bytes);
		cubby__region_fini(&region);
	}
}

static void
region_init_chunks_option_has_no_range(void **state)
{
	struct region region;

	(void)state;
	init(&region, shapes[2], 0);
	assert_null(region.base);
	assert_int_equal(region.range_cells, 0);
	open_slabs(&region, 0, 1);
	assert_int_equal(region.n_chunks, 1);
	assert_int_equal(region.reserved_bytes, GRANULE_BYTES);
	cubby__region_fini(&region);
}

/* 64 KiB, doubling up to 2 MiB, and no further than the segment. */
static void
region_open_slab_commits_in_growing_steps(void **state)
{
	uint64_t expected = 0;
	struct region region;

	(void)state;
	init(&region, (struct shape){ 64 << 10, 0, false }, 0);
	for (uint64_t slab = 0; slab < 256; slab++) {
		if ((slab + 1) * 64 * KIB > expected)
			expected += min_u64(max_u64(expected, 64 * KIB),
					    2 * MIB);
		open_slabs(&region, slab, slab + 1);
		assert_int_equal(region.committed_bytes,
				 min_u64(expected, GRANULE_BYTES));
		assert_int_equal(region.segment_committed_bytes,
				 region.committed_bytes);
	}
	assert_int_equal(region.committed_bytes, GRANULE_BYTES);
	cubby__region_fini(&region);
}

/* -------------------------------- the end -------------------------------- */

static void
region_fini_any_gives_all_back(void **state)
{
	struct granule_owner owner;
	struct region region;
	uint64_t used, retired;
	char *cell;

	(void)state;
	init(&region, shapes[4], 0);
	open_slabs(&region, 0, 1); /* so that there is a shared granule */
	cubby__region_fini(&region);
	used = cubby__granule_used_bytes();
	init(&region, shapes[4], 0);
	open_slabs(&region, 0, 4);
	cell = region_cell(&region, 5);
	*cell = 1;
	retired = cubby__granule_wants_units() ? 0 : region.reserved_bytes;
	cubby__region_fini(&region);
	assert_null(region.base);
	assert_int_equal(region.n_chunks, 0);
	assert_int_equal(region.reserved_bytes, 0);
	assert_int_equal(region.committed_bytes, 0);
	assert_false(is_resident(cell));
	if (cubby__granule_wants_units())
		assert_false(cubby__granule_find(cell, &owner));
	else
		assert_true(cubby__granule_find(cell, &owner)); /* retired */
	assert_int_equal(cubby__granule_verify(), 0);
	assert_int_equal(cubby__granule_used_bytes() - used, retired); /* A2 */
}

/* Every kernel call fails in turn; then the same call succeeds. */
static void
region_open_slab_no_memory_can_be_tried_again(void **state)
{
	struct geometry geometry = geometry_of(shapes[2]);

	(void)state;
	assert_int_equal(cubby__granule_init(), 0);
	for (uint64_t nth = 1; nth < 12; nth++) {
		struct region region;
		int err;

		cubby__os_fail_at(nth);
		err = cubby__region_init(&region, &geometry, ID, 0, false);
		if (err) {
			assert_int_equal(err, -ENOMEM);
			cubby__os_fail_at(0);
			continue;
		}
		for (uint64_t slab = 0; slab < 3; slab++) {
			err = cubby__region_open_slab(&region, slab, 2048);
			if (err) {
				assert_int_equal(err, -ENOMEM);
				cubby__os_fail_at(0);
				open_slabs(&region, slab, slab + 1);
			}
			assert_found(&region, slab * 2048);
			memset(region_cell(&region, slab * 2048), 1,
			       2048 * 24); /* R2 */
		}
		cubby__os_fail_at(0);
		cubby__region_fini(&region);
		assert_int_equal(cubby__granule_verify(), 0);
	}
}

/* Where a whole step is refused, the least is asked for. */
static void
region_open_slab_step_refused_commits_the_least(void **state)
{
	struct region region;
	int err;

	(void)state;
	init(&region, (struct shape){ 64 << 10, 0, false }, 0);
	open_slabs(&region, 0, 96);
	assert_int_equal(region.committed_bytes, 6 * MIB);
	limit_commit(MIB, 256 * KIB);
	err = cubby__region_open_slab(&region, 96, 1);
	unlimit_commit();
	assert_int_equal(err, 0);
	assert_int_equal(region.committed_bytes, 6 * MIB + 64 * KIB);
	assert_int_equal(region.segment_committed_bytes,
			 region.committed_bytes);
	memset(region_cell(&region, 96), 1, 64 * KIB); /* R2 */
	open_slabs(&region, 97, 200);
	memset(region_cell(&region, 199), 1, 64 * KIB); /* R2 */
	cubby__region_fini(&region);
}

/* The flags of the mapping that an address is in: "nh" or "hg" among them. */
static bool
has_flag(const void *address, const char *flag)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	bool inside = false, found = false;
	unsigned long start, end;
	char line[512];

	if (smaps == NULL)
		skip_because("no smaps here");
	while (fgets(line, sizeof(line), smaps)) {
		if (sscanf(line, "%lx-%lx ", &start, &end) == 2)
			inside = (uintptr_t)address >= start &&
				 (uintptr_t)address < end;
		else if (inside && strncmp(line, "VmFlags:", 8) == 0)
			found = strstr(line, flag) != NULL;
	}
	fclose(smaps);
	return found;
}

static void
region_open_slab_huge_pages_are_advised_as_wished(void **state)
{
	struct geometry geometry = geometry_of(shapes[8]);
	struct region region;

	(void)state;
	if (access("/sys/kernel/mm/transparent_hugepage", F_OK) != 0)
		skip_because("this kernel has no huge pages");
	init(&region, shapes[8], 0);
	open_slabs(&region, 0, 1);
	assert_false(has_flag(region.segment, " nh"));
	open_slabs(&region, 1, 4);
	assert_true(has_flag(region.segment, " nh"));
	assert_false(has_flag(region.segment + 2 * MIB, " nh"));
	cubby__region_fini(&region);
	assert_int_equal(cubby__region_init(&region, &geometry, ID, 0, true),
			 0);
	open_slabs(&region, 0, 1);
	assert_int_equal(region.committed_bytes, 2 * MIB);
	assert_true(has_flag(region.segment, " hg"));
	open_slabs(&region, 1, 40);
	assert_true(has_flag(region.segment, " hg"));
	cubby__region_fini(&region);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CHILD_TEST_IN_ALL(region_find_every_shape_finds_its_cells),
		CHILD_TEST_IN_ALL(region_open_slab_every_byte_is_accessible),
		CHILD_TEST_IN_ALL(region_open_slab_again_changes_nothing),
		CHILD_TEST_IN_ALL(region_find_foreign_addresses_are_outside),
		CHILD_TEST_IN_ALL(region_find_tail_of_a_piece_is_outside),
		CHILD_TEST_IN_ALL(region_fini_any_gives_all_back),
		CHILD_TEST_IN_ALL(
			region_open_slab_no_memory_can_be_tried_again),
		CHILD_TEST(region_init_max_cells_reserves_what_they_need,
			   "budget=60G"),
		CHILD_TEST(region_init_default_range_holds_whole_slabs,
			   "budget=5G"),
		CHILD_TEST(region_init_beyond_the_reciprocal_is_enomem,
			   "budget=4096T"),
		CHILD_TEST(region_open_slab_past_the_range_goes_on_in_chunks,
			   "budget=5G"),
		CHILD_TEST(
			region_open_slab_small_budget_takes_one_slab_at_a_time,
			"budget=2G"),
		CHILD_TEST(region_init_chunks_option_has_no_range, "chunks"),
		CHILD_TEST(region_open_slab_commits_in_growing_steps,
			   "budget=5G"),
		CHILD_TEST(region_open_slab_step_refused_commits_the_least,
			   "budget=5G"),
		CHILD_TEST(region_open_slab_huge_pages_are_advised_as_wished,
			   "budget=5G"),
	};

	return cmocka_run_group_tests_name("region", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Thinning: pages of a slab that hold none of its few live cells go back; when
 * it happens, when again, and that live cells keep what they hold.
 */
#include "slab_fixture.h"

/* As slab.c: steps begin at a half, and anew above three quarters. */
#define N_STEPS 5

/* Cells within a page, across pages, and of several pages. */
static const size_t thin_sizes[] = { 64, 1000, 3000, 7000, 9000 };

#define N_SIZES (sizeof(thin_sizes) / sizeof(thin_sizes[0]))

/* One full slab whose cells are written, and which may be thinned. */
static uint64_t
setup_slab(struct fixture *f, size_t object_bytes)
{
	uint64_t n;

	fixture_init(f, object_bytes, 0);
	f->set.thins = true;
	take_slabs(f, 1);
	n = slab_cells(f);
	for (uint64_t cell = 0; cell < n; cell++)
		memset(region_cell(&f->region, cell), (int)(cell % 251 + 1),
		       f->region.geometry.cell_bytes);
	return n;
}

static bool
is_live(const struct fixture *f, uint64_t cell)
{
	return cubby__slab_is_live(&f->set, cell);
}

/* As lib/direct.c does it. */
static void
give(struct fixture *f, uint64_t cell)
{
	cubby__slab_give(&f->set, cell);
	cubby__slab_thin(&f->set, cell);
}

static void
assert_live_cells_whole(const struct fixture *f, uint64_t n)
{
	uint64_t cell_bytes = f->region.geometry.cell_bytes;

	for (uint64_t cell = 0; cell < n; cell++) {
		const unsigned char *bytes = (unsigned char *)region_cell(
			&f->region, cell);

		for (uint64_t i = 0; is_live(f, cell) && i < cell_bytes; i++)
			if (bytes[i] != cell % 251 + 1)
				fail_msg("cell %u of %u bytes, byte %u",
					 (unsigned)cell, (unsigned)cell_bytes,
					 (unsigned)i);
	}
}

/* Does a live cell have bytes in this page? */
static bool
is_page_used(const struct fixture *f, uint64_t n, uintptr_t page)
{
	uint64_t cell_bytes = f->region.geometry.cell_bytes;

	for (uint64_t cell = 0; cell < n; cell++) {
		uintptr_t start = (uintptr_t)region_cell(&f->region, cell);

		if (is_live(f, cell) && start < page + page_bytes() &&
		    start + cell_bytes > page)
			return true;
	}
	return false;
}

/* Whole pages of the slab that have a frame; those that are used must. */
static uint64_t
count_pages(const struct fixture *f, uint64_t n, uint64_t *ret_n_used)
{
	uintptr_t page = (uintptr_t)region_cell(&f->region, 0);
	uintptr_t end = page + n * f->region.geometry.cell_bytes;
	uint64_t n_resident = 0;

	*ret_n_used = 0;
	for (; page + page_bytes() <= end; page += page_bytes()) {
		bool used = is_page_used(f, n, page);

		assert_true(!used || is_resident((void *)page));
		*ret_n_used += used;
		n_resident += is_resident((void *)page);
	}
	return n_resident;
}

/* Free in random order but `last`; after each step only used pages are left. */
static void
check_steps(size_t object_bytes)
{
	struct fixture f;
	uint64_t n = setup_slab(&f, object_bytes);
	uint64_t last = random_below(n), n_live = n, n_used, n_resident;
	uint64_t n_pages = n * f.region.geometry.cell_bytes / page_bytes();

	assert_int_equal(count_pages(&f, n, &n_used), n_pages);
	while (n_live > 1) {
		uint64_t n_thinned = f.set.n_thinned;
		uint64_t cell = random_below(n);

		if (cell == last || !is_live(&f, cell))
			continue;
		give(&f, cell);
		n_live--;
		if (n_live > n / 2)
			assert_int_equal(f.set.n_thinned, 0);
		if (f.set.n_thinned == n_thinned)
			continue;
		n_resident = count_pages(&f, n, &n_used);
		assert_int_equal(n_resident, n_used);
		assert_live_cells_whole(&f, n);
	}
	assert_in_range(f.set.n_thinned, 1, N_STEPS);
	/* The last cell is alone in its pages. */
	n_resident = count_pages(&f, n, &n_used);
	assert_int_equal(n_resident, n_used);
	assert_true(n_used <= f.region.geometry.cell_bytes / page_bytes() + 2);
	assert_live_cells_whole(&f, n);
	assert_clean(&f.set);
	give(&f, last);
	fixture_fini(&f);
}

static void
slab_thin_steps_leave_pages_of_live_cells(void **state)
{
	(void)state;
	for (unsigned i = 0; i < N_SIZES; i++)
		for (unsigned k = 0; k < scaled(500); k++)
			check_steps(thin_sizes[i]);
}

/* Give all cells from `from` to `to`, the highest first. */
static void
give_down(struct fixture *f, uint64_t from, uint64_t to)
{
	for (uint64_t cell = to; cell-- > from;)
		give(f, cell);
}

static void
take_lowest(struct fixture *f, uint64_t n)
{
	uint64_t *cells = malloc(n * sizeof(*cells));

	assert_int_equal(take(f, n, cells), n);
	free(cells);
}

/* The steps of 1024 cells in 16 pages, each at its number and once. */
static void
slab_thin_each_step_is_taken_once(void **state)
{
	static const struct {
		uint64_t n_live, n_thinned;
	} steps[] = { { 513, 0 }, { 512, 1 },    { 129, 1 }, { 128, 2 },
		      { 17, 2 },  { 16, 3 },     { 5, 3 },   { 4, 4 },
		      { 2, 4 },   { 1, N_STEPS } };
	struct fixture f;
	uint64_t n = setup_slab(&f, 64);

	(void)state;
	assert_int_equal(n, 1024);
	for (unsigned i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
		give_down(&f, steps[i].n_live, n);
		n = steps[i].n_live;
		assert_int_equal(f.set.n_thinned, steps[i].n_thinned);
	}
	/* Up to three quarters and down again: nothing more. */
	take_lowest(&f, 767);
	give_down(&f, 1, 768);
	assert_int_equal(f.set.n_thinned, N_STEPS);
	/* More than that: all of them anew. */
	take_lowest(&f, 768);
	give_down(&f, 1, 769);
	assert_int_equal(f.set.n_thinned, 2 * N_STEPS);
	give(&f, 0);
	fixture_fini(&f);
}

/* A slab that was emptied and used again begins anew, as well. */
static void
slab_thin_returned_slab_is_thinned_anew(void **state)
{
	struct fixture f;
	uint64_t n = setup_slab(&f, 64), slab;

	(void)state;
	give_down(&f, 0, n);
	assert_int_equal(f.set.n_thinned, N_STEPS);
	assert_true(cubby__slab_reclaim_begin(&f.set, 0, &slab));
	cubby__slab_reclaim_end(&f.set, slab);
	take_lowest(&f, 600);
	give_down(&f, 1, 600);
	assert_int_equal(f.set.n_thinned, 2 * N_STEPS);
	give(&f, 0);
	fixture_fini(&f);
}

static void
slab_thin_forbidden_keeps_every_page(void **state)
{
	struct fixture f;
	uint64_t n = setup_slab(&f, 64), n_used;

	(void)state;
	f.set.thins = false; /* free cells hold something */
	give_down(&f, 1, n);
	assert_int_equal(f.set.n_thinned, 0);
	assert_int_equal(count_pages(&f, n, &n_used), 16);
	give(&f, 0);
	fixture_fini(&f);
	n = setup_slab(&f, 64);
	f.set.n_kept_slabs = 1; /* its pages were asked for */
	give_down(&f, 1, n);
	assert_int_equal(f.set.n_thinned, 0);
	assert_int_equal(count_pages(&f, n, &n_used), 16);
	give(&f, 0);
	fixture_fini(&f);
}

/* Pages that two slabs share hold cells of the neighbour. */
static void
slab_thin_leaves_the_neighbours_alone(void **state)
{
	struct fixture f;
	uint64_t n = setup_slab(&f, 3000);
	uint64_t cell_bytes = f.region.geometry.cell_bytes;

	(void)state;
	take_slabs(&f, 2);
	for (uint64_t cell = n; cell < 3 * n; cell++)
		memset(region_cell(&f.region, cell), (int)(cell % 251 + 1),
		       cell_bytes);
	give_down(&f, n + 1, 2 * n); /* the one in the middle */
	assert_true(f.set.n_thinned > 0);
	assert_live_cells_whole(&f, 3 * n);
	give_down(&f, 0, n + 1);
	give_down(&f, 2 * n, 3 * n);
	fixture_fini(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(slab_thin_steps_leave_pages_of_live_cells),
		cmocka_unit_test(slab_thin_each_step_is_taken_once),
		cmocka_unit_test(slab_thin_returned_slab_is_thinned_anew),
		cmocka_unit_test(slab_thin_forbidden_keeps_every_page),
		cmocka_unit_test(slab_thin_leaves_the_neighbours_alone),
	};

	return cmocka_run_group_tests_name("slab_thin", tests, NULL, NULL);
}

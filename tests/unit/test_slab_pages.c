/* SPDX-License-Identifier: MIT */
/*
 * Whose pages are there: asked of the kernel, for cells that do and do not
 * divide a page.
 */
#include "slab_fixture.h"

#define N_PAGE_SLABS 8

/* A page has a frame if and only if a slab with bytes in it is not RETURNED. */
static void
assert_pages(const struct fixture *f, uint64_t n_slabs)
{
	for (uint64_t slab = 0; slab < n_slabs; slab++) {
		const struct slab *record = slab_record(&f->set, slab);
		char *start = region_cell(&f->region,
					  slab_first_cell(&f->set, slab));
		char *end = start +
			    record->n_cells * f->region.geometry.cell_bytes;
		uintptr_t page = align_down((uintptr_t)start, page_bytes());

		for (; page < (uintptr_t)end; page += page_bytes()) {
			bool used = false;

			for (uint64_t i = 0; i < n_slabs; i++) {
				const struct slab *other = slab_record(&f->set,
								       i);
				uintptr_t from = (uintptr_t)region_cell(
					&f->region,
					slab_first_cell(&f->set, i));

				used |= other->lane != LANE_RETURNED &&
					from < page + page_bytes() &&
					from + other->n_cells * f->region
									.geometry
									.cell_bytes >
						page;
			}
			assert_int_equal(is_resident((void *)page), used);
		}
	}
}

static uint64_t
resident_pages(const struct fixture *f, uint64_t n_slabs)
{
	uintptr_t last = 0;
	uint64_t n = 0;

	for (uint64_t slab = 0; slab < n_slabs; slab++) {
		uintptr_t start = (uintptr_t)region_cell(
			&f->region, slab_first_cell(&f->set, slab));
		uintptr_t page = align_down(start, page_bytes());
		uintptr_t end = start + slab_record(&f->set, slab)->n_cells *
						f->region.geometry.cell_bytes;

		for (; page < end; page += page_bytes()) {
			n += page != last && is_resident((void *)page);
			last = page;
		}
	}
	return n;
}

/* Return the slabs in a random order; bytes reported are pages gone. */
static void
return_in_random_order(struct fixture *f)
{
	bool gone[N_PAGE_SLABS] = { false };

	for (unsigned n = N_PAGE_SLABS; n > 0; n--) {
		uint64_t slab, before, bytes;

		do
			slab = random_below(N_PAGE_SLABS);
		while (gone[slab]);
		gone[slab] = true;
		before = resident_pages(f, N_PAGE_SLABS);
		give_slab(f, slab);
		bytes = reclaim(f, slab);
		assert_pages(f, N_PAGE_SLABS);
		assert_int_equal((before - resident_pages(f, N_PAGE_SLABS)) *
					 page_bytes(),
				 bytes / page_bytes() * page_bytes() -
					 bytes % page_bytes());
		for (uint64_t i = 0; i < N_PAGE_SLABS; i++) {
			uint64_t last = slab_first_cell(&f->set, i) +
					slab_record(&f->set, i)->n_cells - 1;
			char *end = region_cell(&f->region, last) +
				    f->region.geometry.cell_bytes;

			if (!gone[i]) {
				assert_int_equal(end[-1], 0x42);
				assert_int_equal(
					*region_cell(&f->region,
						     slab_first_cell(&f->set,
								     i)),
					0x42);
			}
		}
	}
	assert_int_equal(resident_pages(f, N_PAGE_SLABS), 0);
}

static void
slab_reclaim_end_shared_pages_go_with_their_last_slab(void **state)
{
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++) {
		for (unsigned round = scaled(500) / 100 + 1; round > 0;
		     round--) {
			fixture_init(&f, sizes[i], 0);
			take_slabs(&f, N_PAGE_SLABS);
			fill_cells(&f, N_PAGE_SLABS * slab_cells(&f));
			return_in_random_order(&f);
			fixture_fini(&f);
		}
	}
}

/* A last slab of one cell shares its page with the slab below. */
static void
slab_reclaim_end_short_last_slab_shares_its_page(void **state)
{
	uint64_t n, *cells;
	struct fixture f;

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		fixture_init(&f, sizes[i], 0);
		n = slab_cells(&f) + 1;
		fixture_fini(&f);
		fixture_init(&f, sizes[i], n);
		cells = malloc(n * sizeof(*cells));
		assert_int_equal(take(&f, n, cells), n);
		free(cells);
		fill_cells(&f, n);
		give_slab(&f, 1);
		reclaim(&f, 1);
		assert_pages(&f, 2);
		assert_int_equal(*region_cell(&f.region, n - 2), 0x42);
		give_slab(&f, 0);
		reclaim(&f, 0);
		assert_pages(&f, 2);
		assert_int_equal(resident_pages(&f, 2), 0);
		fixture_fini(&f);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CHILD_TEST_IN_ALL(
			slab_reclaim_end_shared_pages_go_with_their_last_slab),
		CHILD_TEST_IN_ALL(
			slab_reclaim_end_short_last_slab_shares_its_page),
	};

	return cmocka_run_group_tests_name("slab_pages", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* A slab set with what it stands on, as a cache has it. */
#ifndef CUBBY__TESTS_SLAB_FIXTURE_H
#define CUBBY__TESTS_SLAB_FIXTURE_H

#include "unit.h"

#include "bits.h"
#include "granule.h"
#include "os.h"
#include "slab.h"

#define INLINE_BYTES 1024

/* What divides a page and what does not; one cell a slab from 64 KiB on. */
static const size_t sizes[]
	__attribute__((unused)) = { 24, 40, 1000, 3000, 70000, 1 << 20 };

struct fixture {
	struct region region;
	struct slab_set set;
	struct cell_side sides[2]; /* a bit and a word a cell */
	uint64_t records[INLINE_BYTES / 8];
};

static inline void
fixture_init(struct fixture *f, size_t object_bytes, uint64_t max_cells)
{
	struct geometry geometry;

	memset(f, 0, sizeof(*f));
	assert_int_equal(cubby__granule_init(), 0);
	assert_int_equal(
		cubby__geometry_init(&geometry, object_bytes, 0, false, 0), 0);
	assert_int_equal(cubby__region_init(&f->region, &geometry, 1,
					    max_cells, false),
			 0);
	f->sides[0].bits_per_cell = 1;
	f->sides[1].bits_per_cell = 32;
	for (int i = 0; i < 2; i++)
		assert_int_equal(
			cubby__side_init(&f->sides[i].side, NULL, 0,
					 cell_side_bytes(&f->sides[i],
							 f->region.max_cells)),
			0);
	cubby__slab_init(&f->set, &f->region, f->records, INLINE_BYTES,
			 max_cells, f->sides, 2);
}

static inline void
fixture_fini(struct fixture *f)
{
	cubby__slab_fini(&f->set);
	for (int i = 0; i < 2; i++)
		cubby__side_fini(&f->sides[i].side);
	cubby__region_fini(&f->region);
}

static inline uint64_t
slab_cells(const struct fixture *f)
{
	return geometry_slab_cells(&f->region.geometry);
}

/* B1: the tree's upper levels say which words below are not 0. */
static inline void
assert_tree_whole(const struct slab_set *set)
{
	uint64_t words = div_up(set->n_slabs, 64);

	for (unsigned level = 0; level + 1 < BIT_TREE_LEVELS; level++) {
		for (uint64_t i = 0; i < words * BIT_TREE_LANES; i++) {
			unsigned lane = i % BIT_TREE_LANES;
			uint64_t word = i / BIT_TREE_LANES;
			bool bit = *bit_tree_word(&set->tree, level + 1, lane,
						  word / 64) >>
					   (word % 64) &
				   1;

			assert_int_equal(bit, *bit_tree_word(&set->tree, level,
							     lane, word) !=
						      0); /* B1 */
		}
		words = div_up(words, 64);
	}
}

/* L1 to L6 as the library sees them, with what it says. */
static inline void
assert_clean(const struct slab_set *set)
{
	char buffer[128];
	struct text text;
	size_t n_faults;

	cubby__text_init(&text, buffer, sizeof(buffer));
	n_faults = cubby__slab_verify(set, &text);
	assert_string_equal(buffer, "");
	assert_int_equal(n_faults, 0);
	assert_tree_whole(set);
}

static inline size_t
take(struct fixture *f, size_t n, uint64_t *cells)
{
	enum slab_refusal refusal;

	return cubby__slab_take(&f->set, n, cells, &refusal);
}

/* Take cells of new slabs: they are consecutive. */
static inline void
take_slabs(struct fixture *f, uint64_t n_slabs)
{
	uint64_t n = n_slabs * slab_cells(f);
	uint64_t *cells = malloc(n * sizeof(*cells));

	assert_non_null(cells);
	assert_int_equal(take(f, n, cells), n);
	for (uint64_t i = 1; i < n; i++)
		assert_int_equal(cells[i], cells[0] + i);
	free(cells);
}

static inline void
give_slab(struct fixture *f, uint64_t slab)
{
	uint64_t first = slab_first_cell(&f->set, slab);
	uint64_t n = slab_record(&f->set, slab)->n_cells;

	for (uint64_t i = 0; i < n; i++)
		if (cubby__slab_is_live(&f->set, first + i))
			cubby__slab_give(&f->set, first + i);
}

/* So that every page of them has a frame. */
static inline void
fill_cells(struct fixture *f, uint64_t n_cells)
{
	for (uint64_t cell = 0; cell < n_cells; cell++)
		memset(region_cell(&f->region, cell), 0x42,
		       f->region.geometry.cell_bytes);
}

/* Return the highest EMPTY slab, which is the one expected. */
static inline uint64_t
reclaim(struct fixture *f, uint64_t slab)
{
	uint64_t chosen;

	assert_true(cubby__slab_reclaim_begin(&f->set, 0, &chosen));
	assert_int_equal(chosen, slab);
	return cubby__slab_reclaim_end(&f->set, chosen);
}

#endif /* CUBBY__TESTS_SLAB_FIXTURE_H */

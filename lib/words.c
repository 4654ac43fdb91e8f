/* SPDX-License-Identifier: MIT */
/* LAYER 3: words - a state word for every cell, and floors for those that went */
#include "words.h"

#include "bits.h"
#include "plant.h"

static void
set_bounds(struct words *words, uint32_t n_cells)
{
	for (size_t i = 0; i < ARRAY_SIZE(words->bounds); i++)
		if (words->bounds[i] != NULL)
			__atomic_store_n(words->bounds[i], n_cells,
					 __ATOMIC_RELEASE);
}

void
cubby__words_publish(struct words *words, uint64_t n_cells)
{
	if (words_exist(words))
		set_bounds(words,
			   (uint32_t)min_u64(n_cells,
					     words->region->range_cells));
}

void
cubby__words_unpublish(struct words *words)
{
	set_bounds(words, 0);
}

static uint32_t *
floor_of(const struct words *words, uint64_t slab)
{
	return (uint32_t *)words->floors.base + slab;
}

static int
reach_floor(struct words *words, uint64_t slab)
{
	if (words->floors.max_bytes == 0) {
		int err = cubby__side_init(&words->floors, NULL, 0,
					   words->max_slabs *
						   sizeof(uint32_t));

		if (err)
			return err;
	}
	return cubby__side_reach(&words->floors,
				 (slab + 1) * sizeof(uint32_t));
}

bool
cubby__words_keep_floor(struct words *words, uint64_t slab,
			uint64_t first_cell, uint64_t n_cells)
{
	uint32_t highest = 0;

	if (PLANTED(NO_FLOOR))
		return true;
	for (uint64_t i = 0; i < n_cells; i++)
		highest = (uint32_t)max_u64(
			highest,
			__atomic_load_n(word_of(words, first_cell + i),
					__ATOMIC_RELAXED) >>
				1);
	if (highest == 0)
		return true; /* its floor is 0 already: generations do not fall */
	if (reach_floor(words, slab) != 0)
		return false;
	*floor_of(words, slab) = highest;
	return true;
}

void
cubby__words_restore(struct words *words, uint64_t slab, uint64_t first_cell,
		     uint64_t n_cells)
{
	uint32_t floor;

	if ((slab + 1) * sizeof(uint32_t) > words->floors.committed_bytes)
		return;
	floor = *floor_of(words, slab);
	for (uint64_t i = 0; floor != 0 && i < n_cells; i++)
		__atomic_store_n(word_of(words, first_cell + i), floor << 1,
				 __ATOMIC_RELAXED);
}

void
cubby__words_fini(struct words *words)
{
	cubby__side_fini(&words->floors);
}

/* SPDX-License-Identifier: MIT */
/* LAYER 3: slab - do the records of slabs agree with each other? */
#include "slab.h"

#include <string.h>

struct sums {
	uint64_t n_cells;
	uint64_t n_live;
	uint64_t n_cells_returned;
	uint64_t n_in_lane[N_LANES];
};

struct verdict {
	size_t n_faults;
	struct text *first;
};

#define NO_SLAB UINT64_MAX /* a fault of the whole set */

static void
fault(struct verdict *verdict, uint64_t slab, const char *what)
{
	if (verdict->n_faults++ != 0)
		return;
	if (slab != NO_SLAB)
		cubby__text_printf(verdict->first, "slab %zu: ", (size_t)slab);
	cubby__text_printf(verdict->first, "%s", what);
}

static bool
lane_is_right(const struct slab *slab)
{
	if (slab->lane == LANE_RECLAIMING || slab->lane == LANE_RETURNED)
		return slab->n_live == 0;
	return slab->lane == slab_lane_by_count(slab);
}

static bool
lanes_agree(const struct slab_set *set, uint64_t number)
{
	uint8_t mine = slab_record(set, number)->lane;

	for (unsigned lane = 0; lane < N_LANES; lane++)
		if (bit_tree_test(&set->tree, lane, number) != (lane == mine))
			return false;
	return true;
}

static void
verify_bits(const struct slab_set *set, uint64_t number,
	    struct verdict *verdict)
{
	const struct slab *slab = slab_record(set, number);
	uint64_t n_live = 0;

	for (uint64_t i = 0; i < slab_words(set); i++) {
		uint64_t word = slab->live[i];

		n_live += (uint64_t)__builtin_popcountll(word);
		if (word & slab_beyond_mask(slab, i))
			fault(verdict, number, "a bit beyond its cells (L2)");
		if (i < slab->first_word && word != UINT64_MAX)
			fault(verdict, number, "first_word is too high (L3)");
	}
	if (n_live != slab->n_live)
		fault(verdict, number, "n_live is not its set bits (L1)");
}

static void
verify_slab(const struct slab_set *set, uint64_t number, struct sums *sums,
	    struct verdict *verdict)
{
	const struct slab *slab = slab_record(set, number);

	verify_bits(set, number, verdict);
	if (slab->lane >= N_LANES || !lane_is_right(slab) ||
	    !lanes_agree(set, number)) {
		fault(verdict, number, "in a wrong lane (L4)");
		return;
	}
	if ((slab->flags & SLAB_DECOMMITTED) && slab->lane != LANE_RETURNED)
		fault(verdict, number, "decommitted but in use (L6)");
	sums->n_cells += slab->n_cells;
	sums->n_live += slab->n_live;
	sums->n_in_lane[slab->lane]++;
	if (slab->lane == LANE_RETURNED)
		sums->n_cells_returned += slab->n_cells;
}

size_t
cubby__slab_verify(const struct slab_set *set, struct text *first)
{
	struct verdict verdict = { 0, first };
	struct sums sums = { 0 };

	for (uint64_t number = 0; number < set->n_slabs; number++)
		verify_slab(set, number, &sums, &verdict);
	if (sums.n_cells != set->n_cells || sums.n_live != set->n_live ||
	    sums.n_cells_returned != set->n_cells_returned ||
	    memcmp(sums.n_in_lane, set->n_in_lane, sizeof(sums.n_in_lane)))
		fault(&verdict, NO_SLAB,
		      "the totals are not the sums over the slabs (L5)");
	return verdict.n_faults;
}

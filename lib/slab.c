/* SPDX-License-Identifier: MIT */
/* LAYER 3: slab - which cells are live, and whose pages can go */
#include "slab.h"

#include "check.h"
#include "host.h"
#include "os.h"

#include <errno.h>
#include <string.h>

uint32_t
cubby__slab_record_bytes(const struct geometry *geometry)
{
	return (uint32_t)(sizeof(struct slab) +
			  div_up(geometry_slab_cells(geometry),
				 SLAB_BITS_PER_WORD) *
				  sizeof(uint64_t));
}

static uint64_t
max_slabs(const struct slab_set *set)
{
	return div_up(set->max_cells,
		      geometry_slab_cells(&set->region->geometry));
}

/* Bytes of the levels of a tree that has left its inline part. */
static uint64_t
level_bytes(const struct slab_set *set, unsigned level)
{
	return bit_tree_words(max_slabs(set), level) * BIT_TREE_LANES *
	       sizeof(uint64_t);
}

void
cubby__slab_init(struct slab_set *set, struct region *region,
		 void *inline_part, uint32_t inline_bytes, uint64_t max_cells,
		 struct cell_side *cell_sides, uint32_t n_cell_sides)
{
	*set = (struct slab_set){
		.region = region,
		.cell_sides = cell_sides,
		.n_cell_sides = n_cell_sides,
		.record_bytes = cubby__slab_record_bytes(&region->geometry),
		.max_cells = region->max_cells,
	};
	if (max_cells != 0 && max_cells <= set->max_cells) {
		set->max_cells = max_cells;
		set->max_is_limit = true;
	}
	cubby__side_init(&set->records, inline_part, inline_bytes,
			 max_slabs(set) * set->record_bytes);
	for (unsigned level = 0; level < BIT_TREE_LEVELS; level++)
		set->tree.level[level] = set->tree_inline[level];
	set->tree.n_top_words = 1;
}

void
cubby__slab_fini(struct slab_set *set)
{
	cubby__words_fini(&set->words);
	cubby__side_fini(&set->records);
	cubby__side_fini(&set->tree_memory);
}

/* ---------------------------------- lanes -------------------------------- */

static void
enter_lane(struct slab_set *set, uint64_t number, enum slab_lane lane)
{
	slab_record(set, number)->lane = (uint8_t)lane;
	bit_tree_set(&set->tree, lane, number);
	set->n_in_lane[lane]++;
}

static void
leave_lane(struct slab_set *set, uint64_t number)
{
	enum slab_lane lane = slab_record(set, number)->lane;

	bit_tree_clear(&set->tree, lane, number);
	set->n_in_lane[lane]--;
}

static void
move_to_lane(struct slab_set *set, uint64_t number, enum slab_lane lane)
{
	if (slab_record(set, number)->lane == lane)
		return;
	leave_lane(set, number);
	enter_lane(set, number, lane);
}

/* ---------------------------- addresses and pages ------------------------ */

/* Does slab `number` begin where the one before it ends? */
static bool
follows(const struct slab_set *set, uint64_t number)
{
	return slab_end(set, number - 1) == slab_start(set, number);
}

/* With its pages, which it may share? */
static bool
is_returned(const struct slab_set *set, uint64_t number)
{
	const struct slab *slab = slab_record(set, number);

	return slab->lane == LANE_RETURNED && !(slab->flags & SLAB_WORDS_STAY);
}

/*
 * Where the pages begin that only this slab and RETURNED ones have bytes in.
 * A piece of the region begins with a page, so the search ends there.
 */
static uintptr_t
droppable_start(const struct slab_set *set, uint64_t number)
{
	uintptr_t start = slab_start(set, number);
	uintptr_t page = align_down(start, cubby__os_page_bytes());

	while (slab_start(set, number) > page) {
		number--;
		if (!is_returned(set, number))
			return align_up(start, cubby__os_page_bytes());
	}
	return page;
}

static uintptr_t
droppable_end(const struct slab_set *set, uint64_t number)
{
	uintptr_t end = slab_end(set, number);
	uintptr_t page = align_up(end, cubby__os_page_bytes());

	while (slab_end(set, number) < page) {
		number++;
		if (number == set->n_slabs || !follows(set, number))
			break;
		if (!is_returned(set, number))
			return align_down(end, cubby__os_page_bytes());
	}
	return page;
}

/*
 * A run is the slabs of a group that lie behind each other in one piece of
 * the region.  The end of the run that begins with `first`:
 */
static uint64_t
run_end(const struct slab_set *set, uint64_t first)
{
	uint64_t group_end = align_down(first, SLABS_PER_GROUP) +
			     SLABS_PER_GROUP;
	uint64_t end = first + 1;

	while (end < group_end && end < set->n_slabs && follows(set, end))
		end++;
	return end;
}

/* The pages wholly inside a run. */
static bool
run_pages(const struct slab_set *set, uint64_t first, uint64_t end,
	  char **ret_start, uint64_t *ret_bytes)
{
	uintptr_t from = align_up(slab_start(set, first),
				  cubby__os_page_bytes());
	uintptr_t to = align_down(slab_end(set, end - 1),
				  cubby__os_page_bytes());

	*ret_start = (char *)from;
	*ret_bytes = to - from;
	return from < to;
}

static void
flag_run(struct slab_set *set, uint64_t first, uint64_t end, uint16_t flags)
{
	for (uint64_t i = first; i < end; i++)
		slab_record(set, i)->flags = flags;
}

/* Does the kernel charge for memory, and is the whole group returned? */
static bool
group_is_chargeless(const struct slab_set *set, uint64_t number)
{
	uint64_t first = align_down(number, SLABS_PER_GROUP);
	uint64_t n = min_u64(set->n_slabs - first, SLABS_PER_GROUP);
	uint64_t all = n == SLABS_PER_GROUP ? UINT64_MAX :
					      ((uint64_t)1 << n) - 1;

	for (uint64_t i = 0; i < n; i++)
		if (slab_record(set, first + i)->flags & SLAB_WORDS_STAY)
			return false;
	return cubby__os_charges_commit() &&
	       *bit_tree_word(&set->tree, 0, LANE_RETURNED,
			      number / SLABS_PER_GROUP) == all;
}

static int
decommit(const struct slab_set *set, char *start, uint64_t bytes)
{
	return set->stays_readable ?
		       cubby__os_decommit_readable(start, bytes) :
		       cubby__os_decommit(start, bytes);
}

static void
decommit_group(struct slab_set *set, uint64_t number)
{
	uint64_t first = align_down(number, SLABS_PER_GROUP);
	uint64_t group_end = min_u64(first + SLABS_PER_GROUP, set->n_slabs);
	uint64_t end, bytes;
	char *start;

	for (; first < group_end; first = end) {
		end = run_end(set, first);
		/* Only some runs of the group may have been reopened. */
		if ((slab_record(set, first)->flags & SLAB_DECOMMITTED) ||
		    !run_pages(set, first, end, &start, &bytes) ||
		    decommit(set, start, bytes) != 0)
			continue;
		flag_run(set, first, end, SLAB_DECOMMITTED);
		set->region->committed_bytes -= bytes;
	}
}

/* Make the run of a DECOMMITTED slab accessible again: 0 or -ENOMEM. */
static int
recommit_run(struct slab_set *set, uint64_t number)
{
	uint64_t first = align_down(number, SLABS_PER_GROUP);
	uint64_t end, bytes;
	char *start;
	int err;

	while ((end = run_end(set, first)) <= number)
		first = end;
	if (run_pages(set, first, end, &start, &bytes)) {
		err = cubby__os_commit(start, bytes);
		if (err)
			return err;
		set->region->committed_bytes += bytes;
	}
	flag_run(set, first, end, 0);
	return 0;
}

/* --------------------------------- opening ------------------------------- */

/* Leave the inline tree, which is one word a lane and level. */
static int
move_tree_out(struct slab_set *set)
{
	struct side memory = { 0 };
	uint64_t *level[BIT_TREE_LEVELS];
	uint64_t bytes = level_bytes(set, 2) + level_bytes(set, 1);
	int err = cubby__side_init(&memory, NULL, 0,
				   bytes + level_bytes(set, 0));

	if (err)
		return err;
	level[2] = (uint64_t *)memory.base;
	level[1] = (uint64_t *)(memory.base + level_bytes(set, 2));
	level[0] = (uint64_t *)(memory.base + bytes);
	err = cubby__side_reach(&memory, bytes + sizeof(set->tree_inline[0]));
	if (err) {
		cubby__side_fini(&memory);
		return err;
	}
	for (unsigned i = 0; i < BIT_TREE_LEVELS; i++) {
		memcpy(level[i], set->tree_inline[i],
		       sizeof(set->tree_inline[i]));
		set->tree.level[i] = level[i];
	}
	set->tree_memory = memory;
	set->tree.n_top_words = bit_tree_words(max_slabs(set), 2);
	return 0;
}

/* Make room in the tree for one more slab: 0 or -ENOMEM. */
static int
reach_tree(struct slab_set *set)
{
	uint64_t group = set->n_slabs / SLABS_PER_GROUP;
	int err;

	if (group == 0)
		return 0;
	if (set->tree_memory.base == NULL) {
		err = move_tree_out(set);
		if (err)
			return err;
	}
	return cubby__side_reach(&set->tree_memory,
				 level_bytes(set, 2) + level_bytes(set, 1) +
					 (group + 1) * BIT_TREE_LANES *
						 sizeof(uint64_t));
}

static int
reach_cell_sides(struct slab_set *set, uint64_t n_cells)
{
	for (uint32_t i = 0; i < set->n_cell_sides; i++) {
		struct cell_side *array = &set->cell_sides[i];
		int err = cubby__side_reach(&array->side,
					    cell_side_bytes(array, n_cells));

		if (err)
			return err;
	}
	return 0;
}

/* Open the slab that was never open before: 0 or -ENOMEM. */
static int
open_next(struct slab_set *set)
{
	uint64_t number = set->n_slabs;
	uint64_t first = slab_first_cell(set, number);
	uint32_t n_cells = (uint32_t)min_u64(
		geometry_slab_cells(&set->region->geometry),
		set->max_cells - first);
	int err;

	err = cubby__side_reach(&set->records,
				(number + 1) * set->record_bytes);
	if (!err)
		err = reach_tree(set);
	if (!err)
		err = reach_cell_sides(set, first + n_cells);
	if (!err)
		err = cubby__region_open_slab(set->region, number, n_cells);
	if (err)
		return err;
	slab_record(set, number)->n_cells = (uint16_t)n_cells;
	set->n_slabs++;
	/* Pairs with the acquire of those who look up handles. */
	__atomic_store_n(&set->n_cells, set->n_cells + n_cells,
			 __ATOMIC_RELEASE);
	cubby__words_publish(&set->words, set->n_cells);
	set->n_opened++;
	enter_lane(set, number, LANE_EMPTY);
	return 0;
}

static int
reopen(struct slab_set *set, uint64_t number)
{
	struct slab *slab = slab_record(set, number);

	if (slab->flags & SLAB_DECOMMITTED) {
		int err = recommit_run(set, number);

		if (err)
			return err;
	}
	if (cubby__region_regain_slab(set->region, number) != 0)
		return -ENOMEM;
	slab->flags = 0;
	if (words_exist(&set->words))
		cubby__words_restore(&set->words, number,
				     slab_first_cell(set, number),
				     slab->n_cells);
	move_to_lane(set, number, LANE_EMPTY);
	set->n_cells_returned -= slab->n_cells;
	set->n_opened++;
	return 0;
}

/* ------------------------------ take and give ---------------------------- */

/* The slab to serve from; BIT_TREE_NONE and *ret_refusal if there is none. */
static uint64_t
choose(struct slab_set *set, enum slab_refusal *ret_refusal)
{
	static const uint8_t order[] = { LANE_PARTIAL_3, LANE_PARTIAL_2,
					 LANE_PARTIAL_1, LANE_PARTIAL_0,
					 LANE_EMPTY };
	uint64_t number;

	for (size_t i = 0; i < ARRAY_SIZE(order); i++)
		if (set->n_in_lane[order[i]] != 0)
			return bit_tree_lowest(&set->tree, order[i]);
	*ret_refusal = SLAB_NO_MEMORY;
	if (set->n_in_lane[LANE_RETURNED] != 0) {
		number = bit_tree_lowest(&set->tree, LANE_RETURNED);
		return reopen(set, number) == 0 ? number : BIT_TREE_NONE;
	}
	if (set->n_cells == set->max_cells) {
		if (set->max_is_limit)
			*ret_refusal = SLAB_AT_LIMIT;
		return BIT_TREE_NONE;
	}
	number = set->n_slabs;
	return open_next(set) == 0 ? number : BIT_TREE_NONE;
}

static size_t
take_from(struct slab_set *set, uint64_t number, size_t n, uint64_t *cells)
{
	struct slab *slab = slab_record(set, number);
	uint64_t first = slab_first_cell(set, number);
	size_t n_taken = 0;

	n = min_u64(n, (uint64_t)slab->n_cells - slab->n_live);
	while (n_taken < n) {
		uint64_t word_first = first +
				      slab->first_word * SLAB_BITS_PER_WORD;
		uint64_t free = ~slab->live[slab->first_word];

		/* As few stores as words: the next load would wait for each. */
		for (; free != 0 && n_taken < n; free &= free - 1)
			cells[n_taken++] = word_first + bit_lowest(free);
		slab->live[slab->first_word] = ~free;
		if (free == 0 && n_taken < n)
			slab->first_word++;
	}
	slab->n_live = (uint16_t)(slab->n_live + n);
	if (slab->flags != 0 && slab->n_live * 4 > slab->n_cells * 3)
		slab->flags = 0; /* to be thinned anew */
	move_to_lane(set, number, slab_lane_by_count(slab));
	return n;
}

size_t
cubby__slab_take(struct slab_set *set, size_t n, uint64_t *cells,
		 enum slab_refusal *ret_refusal)
{
	size_t n_taken = 0;

	while (n_taken < n) {
		uint64_t number = choose(set, ret_refusal);

		if (number == BIT_TREE_NONE)
			break;
		n_taken += take_from(set, number, n - n_taken,
				     cells + n_taken);
	}
	set->n_live += n_taken;
	set->n_live_peak = max_u64(set->n_live_peak, set->n_live);
	return n_taken;
}

/* An empty slab, or BIT_TREE_NONE. */
static uint64_t
choose_whole(struct slab_set *set, bool may_be_populated)
{
	uint64_t number = set->n_slabs;

	if (may_be_populated && set->n_in_lane[LANE_EMPTY] != 0)
		return bit_tree_lowest(&set->tree, LANE_EMPTY);
	if (set->n_in_lane[LANE_RETURNED] != 0) {
		number = bit_tree_lowest(&set->tree, LANE_RETURNED);
		return reopen(set, number) == 0 ? number : BIT_TREE_NONE;
	}
	return set->n_cells < set->max_cells && open_next(set) == 0 ?
		       number :
		       BIT_TREE_NONE;
}

int
cubby__slab_take_whole(struct slab_set *set, bool may_be_populated,
		       uint64_t *ret_slab)
{
	uint64_t number = choose_whole(set, may_be_populated);
	struct slab *slab;

	if (number == BIT_TREE_NONE)
		return -ENOMEM;
	slab = slab_record(set, number);
	for (uint64_t i = 0; i < slab_words(set); i++)
		slab->live[i] = ~slab_beyond_mask(slab, i);
	slab->n_live = slab->n_cells;
	slab->flags = 0;
	set->n_live += slab->n_cells;
	move_to_lane(set, number, slab_lane_by_count(slab));
	*ret_slab = number;
	return 0;
}

int
cubby__slab_prefault(struct slab_set *set, uint64_t n_cells)
{
	uint64_t end;
	int err;

	while (set->n_cells < n_cells) {
		err = open_next(set);
		if (err)
			return err;
	}
	for (uint64_t first = 0;
	     !set->region->passes && first < set->n_slabs &&
	     slab_first_cell(set, first) < n_cells;
	     first = end) {
		uintptr_t from = align_down(slab_start(set, first),
					    cubby__os_page_bytes());
		uintptr_t to;

		end = run_end(set, first);
		to = (uintptr_t)region_cell(
			     set->region,
			     min_u64(n_cells, slab_first_cell(set, end)) - 1) +
		     set->region->geometry.cell_bytes;
		err = cubby__os_populate((void *)from, to - from);
		if (err)
			return err;
	}
	return 0;
}

bool
cubby__slab_is_live(const struct slab_set *set, uint64_t cell)
{
	unsigned shift = set->region->geometry.slab_shift;
	uint64_t number = cell >> shift;
	uint64_t i = cell & (((uint64_t)1 << shift) - 1);

	if (number >= set->n_slabs)
		return false;
	return slab_record(set, number)->live[i / SLAB_BITS_PER_WORD] >>
		       (i % SLAB_BITS_PER_WORD) &
	       1;
}

void
cubby__slab_give(struct slab_set *set, uint64_t cell)
{
	unsigned shift = set->region->geometry.slab_shift;
	uint64_t number = cell >> shift;
	uint64_t i = cell & (((uint64_t)1 << shift) - 1);
	struct slab *slab = slab_record(set, number);
	uint8_t word = (uint8_t)(i / SLAB_BITS_PER_WORD);

	CHECK_DEBUG(cubby__slab_is_live(set, cell)); /* L1 */
	slab->live[word] &= ~((uint64_t)1 << (i % SLAB_BITS_PER_WORD));
	if (word < slab->first_word)
		slab->first_word = word;
	slab->n_live--;
	set->n_live--;
	move_to_lane(set, number, slab_lane_by_count(slab));
}

size_t
cubby__slab_give_run(struct slab_set *set, size_t n, const uint64_t *cells)
{
	unsigned shift = set->region->geometry.slab_shift;
	uint64_t number = cells[0] >> shift;
	struct slab *slab = slab_record(set, number);
	uint64_t *word = NULL,
		 live = 0; /* the word of the last cell, as it is now */
	uint64_t lowest = slab->first_word;
	size_t n_given;

	for (n_given = 0; n_given < n; n_given++) {
		uint64_t i = cells[n_given] - (number << shift);
		uint64_t bit = (uint64_t)1 << (i % SLAB_BITS_PER_WORD);

		if (i >> shift != 0)
			break;
		if (word != &slab->live[i / SLAB_BITS_PER_WORD]) {
			if (word != NULL)
				*word = live;
			word = &slab->live[i / SLAB_BITS_PER_WORD];
			live = *word;
			lowest = min_u64(lowest, i / SLAB_BITS_PER_WORD);
		}
		if ((live & bit) == 0)
			break;
		live &= ~bit;
	}
	if (n_given == 0)
		return 0;
	*word = live;
	slab->first_word = (uint8_t)lowest;
	slab->n_live = (uint16_t)(slab->n_live - n_given);
	set->n_live -= n_given;
	move_to_lane(set, number, slab_lane_by_count(slab));
	return n_given;
}

/* ----------------------------- returning pages --------------------------- */

bool
cubby__slab_reclaim_begin(struct slab_set *set, uint64_t keep,
			  uint64_t *ret_slab)
{
	if (set->n_in_lane[LANE_EMPTY] <= keep)
		return false;
	*ret_slab = bit_tree_highest(&set->tree, LANE_EMPTY);
	move_to_lane(set, *ret_slab, LANE_RECLAIMING);
	return true;
}

static void
drop_cell_sides(struct slab_set *set, uint64_t first, uint64_t n_cells,
		bool words_too)
{
	for (uint32_t i = 0; i < set->n_cell_sides; i++)
		if (words_too || &set->cell_sides[i] != set->words.array)
			cubby__side_drop_cells(&set->cell_sides[i], first,
					       n_cells);
}

/* May the words of this slab go?  Then its floor is kept (W1). */
static bool
may_drop_words(struct slab_set *set, uint64_t number)
{
	return !words_exist(&set->words) ||
	       cubby__words_keep_floor(&set->words, number,
				       slab_first_cell(set, number),
				       slab_record(set, number)->n_cells);
}

static uint64_t
drop_pages(const struct slab_set *set, uint64_t number)
{
	uintptr_t start, end;

	if (set->region->passes)
		return 0;
	start = droppable_start(set, number);
	end = droppable_end(set, number);
	return start < end && cubby__os_drop((void *)start, end - start) == 0 ?
		       end - start :
		       0;
}

uint64_t
cubby__slab_reclaim_end(struct slab_set *set, uint64_t number)
{
	struct slab *slab = slab_record(set, number);
	uint64_t bytes = 0;
	bool words_too;

	if (slab->lane != LANE_RECLAIMING)
		return 0;               /* abandoned: this fini forked */
	CHECK_DEBUG(slab->n_live == 0); /* L4 */
	words_too = may_drop_words(set, number);
	if (!words_too && set->words.array == NULL)
		slab->flags |= SLAB_WORDS_STAY;
	else
		bytes = drop_pages(set, number);
	drop_cell_sides(set, slab_first_cell(set, number), slab->n_cells,
			words_too);
	move_to_lane(set, number, LANE_RETURNED);
	set->n_cells_returned += slab->n_cells;
	set->n_closed++;
	cubby__region_give_slab(set->region, number);
	if (!set->region->passes && !set->region->gives &&
	    group_is_chargeless(set, number))
		decommit_group(set, number);
	return bytes;
}

/* Fewer cells a slab go through all steps within a few allocations. */
#define THIN_CELLS_MIN 4

/* The step of thinning that so few live cells call for; 0: none. */
static unsigned
thin_step(const struct slab_set *set, const struct slab *slab)
{
	uint64_t n_pages = geometry_slab_bytes(&set->region->geometry) /
			   cubby__os_page_bytes();
	uint64_t n_live = slab->n_live;

	if (n_live == 0 || n_live > slab->n_cells / 2 ||
	    slab->n_cells < THIN_CELLS_MIN)
		return 0;
	if (n_live == 1)
		return 5;
	if (n_live > slab->n_cells / 8)
		return 1;
	if (n_live > n_pages)
		return 2;
	return n_live > n_pages / 4 ? 3 : 4;
}

/* Drop the whole pages of [start, end). */
static void
drop_between(uintptr_t start, uintptr_t end)
{
	start = align_up(start, cubby__os_page_bytes());
	end = align_down(end, cubby__os_page_bytes());
	if (start < end)
		cubby__os_drop((void *)start, end - start);
}

static void
thin(const struct slab_set *set, uint64_t number)
{
	const struct slab *slab = slab_record(set, number);
	uint64_t cell_bytes = set->region->geometry.cell_bytes;
	uintptr_t first = slab_start(set, number);
	uintptr_t gap = first;

	for (uint64_t i = 0; i < slab_words(set); i++) {
		for (uint64_t bits = slab->live[i]; bits != 0;
		     bits &= bits - 1) {
			uint64_t cell = i * SLAB_BITS_PER_WORD +
					bit_lowest(bits);

			drop_between(gap, first + cell * cell_bytes);
			gap = first + (cell + 1) * cell_bytes;
		}
	}
	drop_between(gap, slab_end(set, number));
}

/* Is it time to look for pages in slabs that are in use? */
static bool
is_sparse(const struct slab_set *set)
{
	return cubby__host.empty_share == 0 ||
	       set->n_live * 2 < set->n_cells - set->n_cells_returned;
}

static void
thin_if_due(struct slab_set *set, uint64_t number)
{
	struct slab *slab = slab_record(set, number);
	unsigned step = thin_step(set, slab);

	if (step <= slab->flags >> SLAB_THIN_SHIFT)
		return;
	slab->flags = (uint16_t)(step << SLAB_THIN_SHIFT);
	thin(set, number);
	set->n_thinned++;
}

void
cubby__slab_thin(struct slab_set *set, uint64_t cell)
{
	uint64_t number = cell >> set->region->geometry.slab_shift;
	const struct slab *slab = slab_record(set, number);

	if (likely(slab->n_live > slab->n_cells / 2) || !set->thins ||
	    number < set->n_kept_slabs || !is_sparse(set))
		return;
	thin_if_due(set, number);
}

void
cubby__slab_thin_others(struct slab_set *set, uint64_t n)
{
	if (!set->thins || cubby__host.empty_share == 0 || !is_sparse(set))
		return;
	for (n = min_u64(n, set->n_slabs); n > 0; n--) {
		uint64_t number = set->thinned_next++;

		if (set->thinned_next >= set->n_slabs)
			set->thinned_next = 0;
		if (number >= set->n_kept_slabs && number < set->n_slabs &&
		    slab_record(set, number)->lane < LANE_FULL)
			thin_if_due(set, number);
	}
}

void
cubby__slab_reclaim_abandon(struct slab_set *set)
{
	while (set->n_in_lane[LANE_RECLAIMING] != 0)
		cubby__slab_reclaim_end(set, bit_tree_lowest(&set->tree,
							     LANE_RECLAIMING));
}

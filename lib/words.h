/* SPDX-License-Identifier: MIT */
/*
 * LAYER 3: words - a state word for every cell, and floors for those that went
 *
 * The word of a cell is 32 bits: {generation:31, taken:1}, in a side array, or
 * in the four bytes in front of the object.  What it means is in weak.h; this
 * is where it is, and how its generation outlives its page (W1):
 *
 *	pages go        floor[slab] = the highest generation of its cells
 *	pages go        words read 0: generation 0, not taken
 *	slab reopened   word of every cell = { floor, 0 }, if floor > 0
 *
 * Floors are 4 bytes a slab, made when the first slab's pages go.
 *
 * Locks: the slab lock, but for word_of() of an opened cell.
 */
#ifndef CUBBY__WORDS_H
#define CUBBY__WORDS_H

#include "compiler.h"
#include "region.h"
#include "side.h"

struct words {
	const struct region *region; /* NULL: cells have no words */
	struct cell_side *array;     /* NULL: they are in front of objects */
	struct side floors;          /* uint32_t a slab */
	uint64_t max_slabs;

	/* Where the cells of the first range that are opened are published. */
	uint32_t *bounds[2];
};

/* Bytes of the word in front of an object. */
#define WORD_PREFIX_BYTES 4

static inline bool
words_exist(const struct words *words)
{
	return words->region != NULL;
}

/* Side arrays never move: reads need no lock. */
static inline uint32_t *
word_of(const struct words *words, uint64_t cell)
{
	if (words->array != NULL)
		return (uint32_t *)(words->array->side.base +
				    words->array->skipped_bytes) +
		       cell;
	return (uint32_t *)region_object(words->region, cell) - 1;
}

/* After more cells were opened. */
void cubby__words_publish(struct words *words, uint64_t n_cells);

/* Nothing is published any more. */
void cubby__words_unpublish(struct words *words);

/*
 * The pages of a slab are to go: keep its floor.  false: there is no memory for
 * it, and then the words must stay.
 */
bool cubby__words_keep_floor(struct words *words, uint64_t slab,
			     uint64_t first_cell, uint64_t n_cells);

/* They are there again, as zeroes. */
void cubby__words_restore(struct words *words, uint64_t slab,
			  uint64_t first_cell, uint64_t n_cells);

void cubby__words_fini(struct words *words);

#endif /* CUBBY__WORDS_H */

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 3: side - arrays that grow with a cache, beside its cells
 *
 * All bookkeeping of a cache lies outside its cells, in arrays that are
 * reserved once for the most they can need and committed from the bottom:
 *
 *	base                committed_bytes              reserved_bytes
 *	+-------------------+----------------------------+
 *	| accessible        | PROT_NONE                  |
 *	+-------------------+----------------------------+
 *
 * A small array first lives inside its owner (the inline part), so that a
 * cache of a dozen objects costs no page of bookkeeping.  When it outgrows
 * that, and whenever it outgrows its reservation after that, it moves to one
 * that is several times as large.  An array without an inline part is reserved
 * for the most it can need and never moves: its elements can be read without
 * a lock.
 *
 * Elements start as zero, and are zero again after a drop.
 *
 * Locks: the owner's slab lock around every call.
 */
#ifndef CUBBY__SIDE_H
#define CUBBY__SIDE_H

#include "compiler.h"

struct side {
	char *base;
	uint64_t committed_bytes; /* [base, base + so many) is accessible */
	uint64_t reserved_bytes;  /* 0 while the array is inline */
	uint64_t max_bytes;
};

/*
 * @inline_part: zeroed memory of the owner's, or NULL: then the reservation
 *	is made at once and -ENOMEM is possible.
 * @max_bytes: the most that cubby__side_reach() will be asked for.
 */
int cubby__side_init(struct side *side, void *inline_part,
		     uint64_t inline_bytes, uint64_t max_bytes);
void cubby__side_fini(struct side *side);

/* Make the first so many bytes accessible: 0, or -ENOMEM and unchanged. */
int cubby__side_reach(struct side *side, uint64_t bytes);

/* Zero [from, to), and give the whole pages in it back. */
void cubby__side_drop(struct side *side, uint64_t from_byte, uint64_t to_byte);

/*
 * A side array with an element for each cell.  The slab layer reaches and
 * drops it in step with the cells.
 */
struct cell_side {
	struct side side;
	uint32_t bits_per_cell; /* 1, or a multiple of 8 */
	uint32_t skipped_bytes; /* in front of the first; 0 for bits */
};

static inline uint64_t
cell_side_bytes(const struct cell_side *array, uint64_t n_cells)
{
	return array->skipped_bytes + (n_cells * array->bits_per_cell + 7) / 8;
}

/* One-bit elements; set and clear are atomic, as neighbours share bytes. */
static inline bool
cell_side_test(const struct cell_side *array, uint64_t cell)
{
	return __atomic_load_n((uint8_t *)array->side.base + cell / 8,
			       __ATOMIC_RELAXED) >>
		       (cell % 8) &
	       1;
}

static inline void
cell_side_set(struct cell_side *array, uint64_t cell)
{
	__atomic_fetch_or((uint8_t *)array->side.base + cell / 8,
			  (uint8_t)(1u << (cell % 8)), __ATOMIC_RELAXED);
}

/* Set, and was it set before?  A full barrier. */
static inline bool
cell_side_claim(const struct cell_side *array, uint64_t cell)
{
	uint8_t mask = (uint8_t)(1u << (cell % 8));

	return (__atomic_fetch_or((uint8_t *)array->side.base + cell / 8, mask,
				  __ATOMIC_SEQ_CST) &
		mask) != 0;
}

static inline void
cell_side_clear(struct cell_side *array, uint64_t cell)
{
	__atomic_fetch_and((uint8_t *)array->side.base + cell / 8,
			   (uint8_t) ~(1u << (cell % 8)), __ATOMIC_RELAXED);
}

/*
 * Zero the elements of a slab's cells and give whole pages back.  Nobody uses
 * these elements meanwhile; others may share a byte with them.
 */
void cubby__side_drop_cells(struct cell_side *array, uint64_t first_cell,
			    uint64_t n_cells);

#endif /* CUBBY__SIDE_H */

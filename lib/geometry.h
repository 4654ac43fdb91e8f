/* SPDX-License-Identifier: MIT */
/*
 * LAYER 2: geometry - how large a cell is, and which one an offset is in
 *
 * Pure arithmetic: no memory, no locks, no state.
 *
 *	cell i of a contiguous range:
 *
 *	0        prefix_bytes                        cell_bytes
 *	+--------+------------------------------+----+
 *	| prefix | object_bytes                 | up |  i * cell_bytes
 *	+--------+------------------------------+----+
 *	         ^ what the program holds         ^ to align_bytes, or to 8,
 *	                                            and a zone's bytes
 *
 * Invariants:
 *   G1  cell_bytes is the least multiple of align_bytes that holds the prefix,
 *       max(object_bytes, 8), and a zone if there are any
 *       (with a prefix, align_bytes is at least 8)
 *   G2  prefix_bytes is a multiple of align_bytes; so in a range that is
 *       aligned to a page every object is aligned
 *   G3  a slab is 2^slab_shift cells: as many as fit into 64 KiB, at least 1
 *   G4  geometry_cell(o) == o / cell_bytes while o * cell_bytes < 2^64
 */
#ifndef CUBBY__GEOMETRY_H
#define CUBBY__GEOMETRY_H

#include "compiler.h"

#define CELL_BYTES_MIN 8

/* What is in front of an object is one aligned word. */
#define PREFIX_BYTES_MIN 8
#define OBJECT_BYTES_MAX ((size_t)1 << 20)
#define ALIGN_BYTES_MAX 4096
#define ALIGN_BYTES_DEFAULT_MAX 16
#define SLAB_BYTES_TARGET ((size_t)64 << 10)

/* Cell numbers fit 31 bits, so that a handle of 64 can hold one. */
#define CELLS_MAX ((uint64_t)1 << 31)

struct geometry {
	uint64_t reciprocal; /* 2^64 / cell_bytes, rounded up */
	uint32_t object_bytes;
	uint32_t align_bytes;
	uint32_t prefix_bytes;
	uint32_t cell_bytes;
	uint32_t slab_shift;
};

/*
 * @object_bytes: 1 .. OBJECT_BYTES_MAX.
 * @align_bytes: a power of two up to ALIGN_BYTES_MAX, or 0: the largest power
 *	of two that divides object_bytes, at most 16.
 * @with_prefix: have 8 bytes, rounded up to the alignment, in front of each
 *	object.
 * @zone_bytes: at least so many more in front of that, and behind the object.
 *
 * Returns 0, -EINVAL (alignment) or -E2BIG (size; 0 is -EINVAL).
 */
int cubby__geometry_init(struct geometry *geometry, size_t object_bytes,
			 size_t align_bytes, bool with_prefix,
			 size_t zone_bytes);

static inline uint32_t
geometry_slab_cells(const struct geometry *geometry)
{
	return 1u << geometry->slab_shift;
}

static inline uint64_t
geometry_slab_bytes(const struct geometry *geometry)
{
	return (uint64_t)geometry->cell_bytes << geometry->slab_shift;
}

/* The cell that holds byte `offset_bytes` of a contiguous range. */
static inline uint64_t
geometry_cell(const struct geometry *geometry, uint64_t offset_bytes)
{
	/*
	 * Multiplication by the reciprocal: exact under G4 because its error,
	 * at most offset_bytes * cell_bytes / 2^64, stays below 1 / cell_bytes
	 * of a cell.  T. Granlund and P. Montgomery, "Division by Invariant
	 * Integers using Multiplication", PLDI 1994.
	 */
	return (uint64_t)((unsigned __int128)offset_bytes *
				  geometry->reciprocal >>
			  64);
}

static inline uint64_t
geometry_offset_bytes(const struct geometry *geometry, uint64_t cell)
{
	return cell * geometry->cell_bytes;
}

#endif /* CUBBY__GEOMETRY_H */

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 3: region - where the cells of one cache lie
 *
 * Theory
 *
 * A cache is one array: cell i begins at base + i * cell_bytes of a range
 * that is reserved when the cache is created and committed from the bottom,
 * in steps of 64 KiB that double up to 2 MiB.  When the range is full, and
 * from the start where there is none, the cache goes on in chunks:
 *
 *	cell                                      address
 *	0 .. range_cells - 1                      base + cell * cell_bytes
 *	range_cells + j,                          chunk[j >> chunk_shift]
 *	  j = 0, 1, 2 ...                         + (j & mask) * cell_bytes
 *
 *	why chunks                  a chunk is
 *	the range is full           a granule of 16 MiB
 *	CUBBY_OPTIONS=chunks        the same, with range_cells = 0
 *	4 GiB of budget or less     one slab, with range_cells = 0
 *	memcheck is watching        a granule from malloc(), the same
 *	host.h has a nursery        a granule; the range is a small piece of a
 *	                            shared one
 *	passthrough                 one cell from malloc(), the same
 *
 * cells_per_chunk is the greatest power of two that fits, and at least one
 * slab's, so a slab never lies in two pieces.  Only the functions of this file
 * know any of this.
 *
 * Types are kept apart, so addresses stay a cache's for its life.  The caches of a
 * malloc are sizes, not types, and where its address space is small, a slab's units
 * go back with its pages; the slab has no place until it is used again.
 *
 * In passthrough a cell has a block of malloc() from when it is taken until it
 * is given back, so that tools see each object begin and end; one whose cells
 * are looked at while they are free has its block until the cache's end.
 *
 * Invariants:
 *   R1  region_find(region_object(i)) == i for every cell of an opened slab
 *   R2  every byte of an opened slab is accessible, unless the slab layer
 *       decommitted it
 *   R3  range_cells is a multiple of a slab's cells, or all cells are in it
 *
 * Locks: the owner's slab lock, except region_object() and region_find() on
 * cells that the caller knows to be opened: a chunk's address and owner are
 * written before any pointer into it is given out, and do not change (in
 * passthrough, while the cell is in use).
 */
#ifndef CUBBY__REGION_H
#define CUBBY__REGION_H

#include "compiler.h"
#include "geometry.h"
#include "granule.h"
#include "side.h"

struct region {
	struct geometry geometry;
	uint32_t id;          /* owner of its granules */
	uint32_t chunk_shift; /* log2 of the cells of a chunk */
	char *base;           /* of the first range, or NULL */
	uint64_t range_bytes;
	uint64_t range_cells;
	uint64_t chunk_bytes; /* one chunk's reservation */
	uint64_t n_chunks;
	struct side chunks; /* char *[n_chunks] */
	uint64_t max_cells; /* in all; sizes what is reserved */
	bool want_huge_pages;
	bool in_units;   /* chunks are slabs of shared granules */
	bool in_nursery; /* the range is a piece of one */
	bool gives;      /* chunks without objects go back to be others' */
	bool in_heap;    /* and not mapped, but from malloc() */
	bool passes;     /* chunks are blocks of malloc(), of a cell each */
	bool keeps; /* them, while cells are free; set before the first slab */

	/* The segment (range or chunk) that was opened last. */
	char *segment;
	uint64_t segment_bytes;
	uint64_t segment_committed_bytes;

	/* Totals, for the statistics. */
	uint64_t reserved_bytes;
	uint64_t committed_bytes;
};

enum region_answer {
	REGION_OBJECT,   /* the first byte of a cell's object */
	REGION_INTERIOR, /* inside a cell, but not there */
	REGION_OUTSIDE   /* in no cell of this region */
};

/*
 * @max_cells: what the cache may ever hold, or 0.  With it the range is
 *	exactly as long as needed; without it, the default of the granule layer.
 * Returns 0 or -ENOMEM.
 */
int cubby__region_init(struct region *region, const struct geometry *geometry,
		       uint32_t id, uint64_t max_cells, bool want_huge_pages);

/* Give all address space back; the range's addresses retire. */
void cubby__region_fini(struct region *region);

/*
 * Make the cells of a slab accessible.  Slabs are opened in order: `slab` is
 * one that was opened before, or the next one.
 * @n_cells: of that slab; fewer than the geometry's only in the last one.
 * Returns 0 or -ENOMEM.
 */
int cubby__region_open_slab(struct region *region, uint64_t slab,
			    uint32_t n_cells);

/*
 * Where the region gives: the addresses of a slab are others' from now on, and
 * some are its own again, 0 or -ENOMEM.  Elsewhere, and at the second call,
 * nothing.
 */
void cubby__region_give_slab(struct region *region, uint64_t slab);
int cubby__region_regain_slab(struct region *region, uint64_t slab);

/* In passthrough: the cell is going to be used, or is not: 0 or -ENOMEM. */
int cubby__region_begin_cell(struct region *region, uint64_t cell);
void cubby__region_end_cell(struct region *region, uint64_t cell);

/* Which cell's object is at `address`?  *ret_cell unless OUTSIDE. */
enum region_answer cubby__region_find(const struct region *region,
				      const void *address, uint64_t *ret_cell);

static inline char *
region_chunk(const struct region *region, uint64_t chunk)
{
	return ((char **)region->chunks.base)[chunk];
}

/* The first byte of a cell, which is its prefix if there is one. */
static inline char *
region_cell(const struct region *region, uint64_t cell)
{
	uint64_t beyond;

	if (likely(cell < region->range_cells))
		return region->base +
		       geometry_offset_bytes(&region->geometry, cell);
	beyond = cell - region->range_cells;
	return region_chunk(region, beyond >> region->chunk_shift) +
	       geometry_offset_bytes(
		       &region->geometry,
		       beyond & (((uint64_t)1 << region->chunk_shift) - 1));
}

/* What the program holds of a cell. */
static inline void *
region_object(const struct region *region, uint64_t cell)
{
	return region_cell(region, cell) + region->geometry.prefix_bytes;
}

/* The same as cubby__region_find(), for objects of the first range alone. */
static inline bool
region_find_in_range(const struct region *region, const void *object,
		     uint64_t *ret_cell)
{
	uint64_t offset_bytes = (uintptr_t)object - (uintptr_t)region->base -
				region->geometry.prefix_bytes;

	if (unlikely(offset_bytes >= region->range_bytes))
		return false;
	*ret_cell = geometry_cell(&region->geometry, offset_bytes);
	return likely(offset_bytes ==
		      geometry_offset_bytes(&region->geometry, *ret_cell));
}

/* A piece of the region, range or chunk, that an address is in. */
struct region_piece {
	uintptr_t start; /* of cells, prefix included */
	uint64_t bytes;  /* 0: none yet */
	uint64_t first_cell;
	uint64_t n_cells;
};

bool cubby__region_find_piece(const struct region *region, const void *address,
			      struct region_piece *ret_piece);

/*
 * As cubby__region_find(), for objects that often lie in the piece that the last
 * one was in; false: not an object.
 */
static inline bool
region_find_near(const struct region *region, struct region_piece *piece,
		 const void *object, uint64_t *ret_cell)
{
	uint64_t offset_bytes = (uintptr_t)object - piece->start;
	uint64_t cell;

	if (unlikely(offset_bytes >= piece->bytes)) {
		if (!cubby__region_find_piece(region, object, piece))
			return false;
		offset_bytes = (uintptr_t)object - piece->start;
	}
	cell = geometry_cell(&region->geometry, offset_bytes);
	*ret_cell = piece->first_cell + cell;
	return cell < piece->n_cells &&
	       offset_bytes == geometry_offset_bytes(&region->geometry, cell) +
				       region->geometry.prefix_bytes;
}

/* The piece that a cell is in. */
static inline struct region_piece
region_piece_of(const struct region *region, uint64_t cell)
{
	uint64_t chunk;

	if (likely(cell < region->range_cells))
		return (struct region_piece){ (uintptr_t)region->base,
					      region->range_bytes, 0,
					      region->range_cells };
	chunk = (cell - region->range_cells) >> region->chunk_shift;
	return (struct region_piece){ (uintptr_t)region_chunk(region, chunk),
				      region->chunk_bytes,
				      region->range_cells +
					      (chunk << region->chunk_shift),
				      (uint64_t)1 << region->chunk_shift };
}

/* As region_object(), for cells that often lie in the piece of the last one. */
static inline void *
region_object_near(const struct region *region, struct region_piece *piece,
		   uint64_t cell)
{
	if (unlikely(cell - piece->first_cell >= piece->n_cells))
		*piece = region_piece_of(region, cell);
	return (void *)(piece->start +
			geometry_offset_bytes(&region->geometry,
					      cell - piece->first_cell) +
			region->geometry.prefix_bytes);
}

/* The first cell behind the piece, range or chunk, that `cell` is in. */
static inline uint64_t
region_piece_end(const struct region *region, uint64_t cell)
{
	uint64_t chunk_cells = (uint64_t)1 << region->chunk_shift;

	if (cell < region->range_cells)
		return region->range_cells;
	cell -= region->range_cells;
	return region->range_cells + cell - cell % chunk_cells + chunk_cells;
}

#endif /* CUBBY__REGION_H */

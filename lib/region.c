/* SPDX-License-Identifier: MIT */
/* LAYER 3: region - where the cells of one cache lie */
#include "region.h"

#include "annotate.h"
#include "bits.h"
#include "check.h"
#include "host.h"
#include "options.h"
#include "os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define STEP_BYTES_MIN (64 * KIB)
#define STEP_BYTES_MAX (2 * MIB)

/* What malloc() aligns to. */
#define BLOCK_ALIGN_BYTES 16

/* A small cache must not be given a huge page. */
#define HUGE_PAGE_BYTES (2 * MIB)

static uint64_t force_chunks;
OPTION_ROW(chunks, OPTION_FLAG, &force_chunks, NULL,
	   "no contiguous ranges: every cache lies in chunks");

static bool
in_range(const struct region *region, const void *address)
{
	return (uintptr_t)address - (uintptr_t)region->base <
	       region->range_bytes;
}

static void
choose_chunks(struct region *region)
{
	const struct geometry *geometry = &region->geometry;

	region->passes = cubby__annotate_passes();
	if (region->passes) {
		/* The table of where they are takes what a range would. */
		region->max_cells = min_u64(
			region->max_cells,
			cubby__granule_default_range_bytes() / sizeof(char *));
		region->chunk_bytes = geometry->cell_bytes;
		return;
	}
	region->in_heap = cubby__annotate_searches();
	region->in_units = !region->in_heap && cubby__granule_wants_units();
	if (region->in_units) {
		/* Shared granules hold no more in all; it sizes the table. */
		region->max_cells = min_u64(region->max_cells,
					    SMALL_BUDGET_BYTES /
						    geometry->cell_bytes);
		region->gives = cubby__host.is_malloc;
		region->chunk_shift = geometry->slab_shift;
		region->chunk_bytes = align_up(geometry_slab_bytes(geometry),
					       cubby__granule_unit_bytes());
	} else {
		region->chunk_shift = bit_highest(GRANULE_BYTES /
						  geometry->cell_bytes);
		region->chunk_bytes = GRANULE_BYTES;
	}
}

/* Whole slabs, and at least one. */
static uint64_t
nursery_bytes(const struct geometry *geometry)
{
	uint64_t slab_bytes = geometry_slab_bytes(geometry);
	uint64_t n_slabs = max_u64(cubby__host.nursery_bytes / slab_bytes, 1);

	return align_up(n_slabs * slab_bytes, cubby__granule_unit_bytes());
}

static int
reserve_range(struct region *region, uint64_t max_cells)
{
	const struct geometry *geometry = &region->geometry;
	struct granule_owner owner = { region->id, 0 };
	uint64_t bytes = cubby__granule_default_range_bytes();
	int err;

	region->in_nursery = max_cells == 0 && cubby__host.nursery_bytes != 0;
	if (max_cells != 0)
		bytes = align_up(geometry_offset_bytes(geometry, max_cells),
				 GRANULE_BYTES);
	if (region->in_nursery)
		bytes = nursery_bytes(geometry);
	if (bytes > UINT64_MAX / geometry->cell_bytes) /* G4 */
		return -ENOMEM;
	err = region->in_nursery ?
		      cubby__granule_take_units(bytes, owner, &region->base) :
		      cubby__granule_take(bytes, owner, &region->base);
	if (err)
		return err;
	region->range_bytes = bytes;
	region->range_cells =
		max_cells ? max_cells :
			    align_down(min_u64(geometry_cell(geometry, bytes),
					       CELLS_MAX),
				       geometry_slab_cells(geometry));
	region->reserved_bytes = bytes;
	region->segment = region->base;
	region->segment_bytes = bytes;
	cubby__annotate_roots(region->base, bytes, true);
	if (region->want_huge_pages)
		cubby__os_advise_huge(region->base, bytes, true);
	return 0;
}

int
cubby__region_init(struct region *region, const struct geometry *geometry,
		   uint32_t id, uint64_t max_cells, bool want_huge_pages)
{
	*region = (struct region){
		.geometry = *geometry,
		.id = id,
		.want_huge_pages = want_huge_pages,
		.max_cells = max_cells,
	};
	if (max_cells == 0)
		region->max_cells = min_u64(cubby__granule_budget_bytes() /
						    geometry->cell_bytes,
					    CELLS_MAX);
	choose_chunks(region);
	if (region->in_units)
		return cubby__granule_has_units() ? 0 : -ENOMEM;
	if (force_chunks || region->in_heap || region->passes)
		return 0;
	return reserve_range(region, max_cells);
}

/* -------------------------------- passthrough ---------------------------- */

static void
give_block(struct region *region, char *block)
{
	struct granule_owner nobody = { 0, 0 };

	if (block == NULL)
		return;
	cubby__granule_set_block(block, region->chunk_bytes, nobody);
	region->reserved_bytes -= region->chunk_bytes;
	region->committed_bytes -= region->chunk_bytes;
	free(block);
}

int
cubby__region_begin_cell(struct region *region, uint64_t cell)
{
	const struct geometry *geometry = &region->geometry;
	struct granule_owner owner = { region->id, (uint32_t)cell };
	char *block;

	if (!region->passes || region_chunk(region, cell) != NULL)
		return 0;
	if (geometry->align_bytes <= BLOCK_ALIGN_BYTES)
		block = malloc(region->chunk_bytes);
	else
		block = aligned_alloc(geometry->align_bytes,
				      region->chunk_bytes);
	if (block == NULL)
		return -ENOMEM;
	region->reserved_bytes += region->chunk_bytes;
	region->committed_bytes += region->chunk_bytes;
	if (cubby__granule_set_block(block, region->chunk_bytes, owner) != 0) {
		give_block(region, block);
		return -ENOMEM;
	}
	memset(block, 0, geometry->prefix_bytes);
	((char **)region->chunks.base)[cell] = block;
	return 0;
}

void
cubby__region_end_cell(struct region *region, uint64_t cell)
{
	if (!region->passes || region->keeps)
		return;
	give_block(region, region_chunk(region, cell));
	((char **)region->chunks.base)[cell] = NULL;
}

/* ----------------------------------- chunks ------------------------------ */

/* Whoever has these addresses next may touch them. */
static void
tell_end(const struct region *region, char *start, uint64_t bytes)
{
	cubby__annotate_roots(start, bytes, false);
	if (cubby__annotate_accesses())
		cubby__annotate_access(
			start, start == region->segment ?
				       region->segment_committed_bytes :
				       bytes);
}

static void
give_chunk(struct region *region, char *chunk)
{
	if (region->passes) {
		give_block(region, chunk);
		return;
	}
	if (chunk == NULL)
		return;
	tell_end(region, chunk, region->chunk_bytes);
	if (region->in_heap)
		cubby__granule_give_heap(chunk);
	else if (region->in_units)
		cubby__granule_give_units(chunk, region->chunk_bytes);
	else
		cubby__granule_retire(chunk, region->chunk_bytes);
}

void
cubby__region_fini(struct region *region)
{
	for (uint64_t i = 0; i < region->n_chunks; i++)
		give_chunk(region, region_chunk(region, i));
	cubby__side_fini(&region->chunks);
	if (region->base != NULL) {
		tell_end(region, region->base, region->range_bytes);
		if (region->in_nursery)
			cubby__granule_give_units(region->base,
						  region->range_bytes);
		else
			cubby__granule_retire(region->base,
					      region->range_bytes);
	}
	*region = (struct region){ .base = NULL };
}

/* Room for so many in the table of chunks: 0 or -ENOMEM. */
static int
reach_chunk_table(struct region *region, uint64_t n_chunks)
{
	uint64_t most = div_up(region->max_cells,
			       (uint64_t)1 << region->chunk_shift);
	int err;

	if (region->chunks.max_bytes == 0) {
		err = cubby__side_init(&region->chunks, NULL, 0,
				       most * sizeof(char *));
		if (err)
			return err;
	}
	return cubby__side_reach(&region->chunks, n_chunks * sizeof(char *));
}

static int
add_chunk(struct region *region)
{
	struct granule_owner owner = { region->id,
				       (uint32_t)region->n_chunks };
	char *chunk;
	int err = reach_chunk_table(region, region->n_chunks + 1);

	if (err)
		return err;
	err = region->in_heap ?
		      cubby__granule_take_heap(owner, &chunk) :
	      region->in_units ?
		      cubby__granule_take_units(region->chunk_bytes, owner,
						&chunk) :
		      cubby__granule_take(region->chunk_bytes, owner, &chunk);
	if (err)
		return err;
	((char **)region->chunks.base)[region->n_chunks] = chunk;
	/* Pairs with the acquire in find_piece, which may run unlocked. */
	__atomic_store_n(&region->n_chunks, region->n_chunks + 1,
			 __ATOMIC_RELEASE);
	region->reserved_bytes += region->chunk_bytes;
	cubby__annotate_roots(chunk, region->chunk_bytes, true);
	region->segment = chunk;
	/* What is behind the last cell is never used: do not commit it. */
	region->segment_bytes = align_up(
		geometry_offset_bytes(&region->geometry,
				      (uint64_t)1 << region->chunk_shift),
		cubby__os_page_bytes());
	region->segment_committed_bytes = 0;
	if (region->want_huge_pages)
		cubby__os_advise_huge(chunk, region->chunk_bytes, true);
	return 0;
}

/* Commit the open segment up to `wanted` bytes: 0 or -ENOMEM. */
static int
commit_segment(struct region *region, uint64_t wanted)
{
	uint64_t committed = region->segment_committed_bytes;
	bool has_range = region->base != NULL && !region->in_nursery;
	bool first_segment = region->n_chunks == (has_range ? 0 : 1);
	int err;

	if (!region->want_huge_pages && first_segment &&
	    committed < HUGE_PAGE_BYTES && wanted >= HUGE_PAGE_BYTES)
		cubby__os_advise_huge(region->segment, HUGE_PAGE_BYTES, false);
	err = cubby__os_commit(region->segment + committed,
			       wanted - committed);
	if (err)
		return err;
	region->segment_committed_bytes = wanted;
	region->committed_bytes += wanted - committed;
	return 0;
}

/* Commit at least up to `bytes`, a step more if the kernel lets us. */
static int
extend_segment(struct region *region, uint64_t bytes)
{
	uint64_t committed = region->segment_committed_bytes;
	uint64_t step_bytes = min_u64(max_u64(committed, STEP_BYTES_MIN),
				      STEP_BYTES_MAX);
	uint64_t least = align_up(bytes, cubby__os_page_bytes());
	uint64_t wanted;

	if (least <= committed)
		return 0;
	if (region->want_huge_pages)
		step_bytes = HUGE_PAGE_BYTES;
	/* At once, so that what is accessible in its granule is one mapping. */
	if (region->in_nursery && region->segment == region->base &&
	    !cubby__os_charges_commit())
		step_bytes = region->segment_bytes;
	wanted = min_u64(max_u64(least, committed + step_bytes),
			 region->segment_bytes);
	if (commit_segment(region, wanted) == 0)
		return 0;
	return least == wanted ? -ENOMEM : commit_segment(region, least);
}

static int
open_passing(struct region *region, uint64_t cell, uint64_t n_cells)
{
	int err = reach_chunk_table(region, cell + n_cells);

	if (!err)
		__atomic_store_n(&region->n_chunks,
				 max_u64(region->n_chunks, cell + n_cells),
				 __ATOMIC_RELEASE);
	for (uint64_t i = 0; !err && region->keeps && i < n_cells; i++)
		err = cubby__region_begin_cell(region, cell + i);
	return err;
}

int
cubby__region_open_slab(struct region *region, uint64_t slab, uint32_t n_cells)
{
	const struct geometry *geometry = &region->geometry;
	uint64_t cell = slab << geometry->slab_shift;
	char *end;
	int err;

	if (region->passes)
		return open_passing(region, cell, n_cells);
	if (cell >= region->range_cells) {
		uint64_t chunk = (cell - region->range_cells) >>
				 region->chunk_shift;

		CHECK_DEBUG(chunk <= region->n_chunks);
		if (chunk == region->n_chunks) {
			err = add_chunk(region);
			if (err)
				return err;
		}
	}
	end = region_cell(region, cell) +
	      geometry_offset_bytes(geometry, n_cells);
	if (end <= region->segment ||
	    end > region->segment + region->segment_bytes)
		return 0; /* in an earlier segment, so committed */
	return extend_segment(region, (uint64_t)(end - region->segment));
}

/* Bytes of a slab that is a chunk, as far as it is accessible. */
static uint64_t
unit_slab_bytes(const struct region *region)
{
	return align_up(geometry_slab_bytes(&region->geometry),
			cubby__os_page_bytes());
}

void
cubby__region_give_slab(struct region *region, uint64_t slab)
{
	char **chunk = (char **)region->chunks.base + slab;

	if (!region->gives || *chunk == NULL)
		return;
	if (region->segment == *chunk) {
		region->segment = NULL;
		region->segment_bytes = 0;
	}
	cubby__granule_give_units(*chunk, region->chunk_bytes);
	*chunk = NULL;
	region->reserved_bytes -= region->chunk_bytes;
	region->committed_bytes -= unit_slab_bytes(region);
}

int
cubby__region_regain_slab(struct region *region, uint64_t slab)
{
	char **chunk = (char **)region->chunks.base + slab;
	struct granule_owner owner = { region->id, (uint32_t)slab };
	char *base;
	int err;

	if (!region->gives || *chunk != NULL)
		return 0;
	err = cubby__granule_take_units(region->chunk_bytes, owner, &base);
	if (err)
		return err;
	err = cubby__os_commit(base, unit_slab_bytes(region));
	if (err) {
		cubby__granule_give_units(base, region->chunk_bytes);
		return err;
	}
	*chunk = base;
	region->reserved_bytes += region->chunk_bytes;
	region->committed_bytes += unit_slab_bytes(region);
	return 0;
}

bool
cubby__region_find_piece(const struct region *region, const void *address,
			 struct region_piece *ret_piece)
{
	struct granule_owner owner;

	if (in_range(region, address)) {
		*ret_piece = region_piece_of(region, 0);
		return true;
	}
	if (!cubby__granule_find(address, &owner) || owner.id != region->id ||
	    owner.ordinal >=
		    __atomic_load_n(&region->n_chunks, __ATOMIC_ACQUIRE))
		return false;
	*ret_piece = region_piece_of(region, region->range_cells +
						     ((uint64_t)owner.ordinal
						      << region->chunk_shift));
	return true;
}

enum region_answer
cubby__region_find(const struct region *region, const void *address,
		   uint64_t *ret_cell)
{
	const struct geometry *geometry = &region->geometry;
	struct region_piece piece;
	uint64_t offset_bytes, cell;

	if (!cubby__region_find_piece(region, address, &piece))
		return REGION_OUTSIDE;
	offset_bytes = (uintptr_t)address - piece.start;
	cell = geometry_cell(geometry, offset_bytes);
	if (cell >= piece.n_cells)
		return REGION_OUTSIDE;
	*ret_cell = piece.first_cell + cell;
	return offset_bytes == geometry_offset_bytes(geometry, cell) +
				       geometry->prefix_bytes ?
		       REGION_OBJECT :
		       REGION_INTERIOR;
}

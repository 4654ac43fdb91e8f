/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: walk - the live objects of a cache, by runs over a snapshot
 *
 * The snapshot is a bit a cell, copied under the slab lock; the walk then
 * needs no lock.  A bit set in it stays meaningful until the walk is destroyed,
 * because no pages are given back while a walk is open: whatever the program
 * does meanwhile, every visited address is readable.
 *
 *	0                          n_cells bits
 *	+------------------+-------------------------------+
 *	| struct cubby_walk| live[]: bit i of word i / 64  |
 *	+------------------+-------------------------------+
 */
#include "bits.h"
#include "cache.h"
#include "error.h"
#include "os.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BITS_PER_WORD 64

/* report_live writes in pieces of so many bytes. */
#define REPORT_PIECE_BYTES 4096
#define REPORT_LINE_BYTES_MAX 128

struct cubby_walk {
	struct cubby_cache *cache;
	uint64_t mapped_bytes;
	uint64_t n_cells;
	uint64_t n_live;
	uint64_t next_cell;
	uint64_t live[];
};

static uint64_t
walk_bytes(uint64_t n_cells)
{
	return sizeof(struct cubby_walk) +
	       div_up(n_cells, BITS_PER_WORD) * sizeof(uint64_t);
}

static void
copy_slab(struct cubby_walk *walk, const struct slab_set *set, uint64_t number)
{
	const struct slab *slab = slab_record(set, number);
	uint64_t first = slab_first_cell(set, number);
	uint64_t n_words = div_up(slab->n_cells, BITS_PER_WORD);

	/* Fewer than 64 cells a slab: several slabs share a word. */
	if (slab->n_cells < BITS_PER_WORD)
		walk->live[first / BITS_PER_WORD] |= slab->live[0]
						     << (first % BITS_PER_WORD);
	else
		memcpy(&walk->live[first / BITS_PER_WORD], slab->live,
		       n_words * sizeof(uint64_t));
}

/* Copy if the mapping is large enough for the cells there are now. */
static bool
try_snapshot(struct cubby_walk *walk, struct cubby_cache *cache)
{
	const struct slab_set *set = &cache->slabs;
	sigset_t saved;
	bool fits;

	cubby__lock_acquire(&cache->lock, &saved);
	fits = walk_bytes(set->n_cells) <= walk->mapped_bytes;
	if (fits) {
		walk->n_cells = set->n_cells;
		walk->n_live = set->n_live;
		for (uint64_t i = 0; i < set->n_slabs; i++)
			copy_slab(walk, set, i);
		cache->n_walks++;
	}
	cubby__lock_release(&cache->lock, &saved);
	return fits;
}

static uint64_t
cells_now(struct cubby_cache *cache)
{
	sigset_t saved;
	uint64_t n_cells;

	cubby__lock_acquire(&cache->lock, &saved);
	n_cells = cache->slabs.n_cells;
	cubby__lock_release(&cache->lock, &saved);
	return n_cells;
}

int
cubby_walk_create(struct cubby_walk **ret_walk, struct cubby_cache *cache)
{
	struct cubby_walk *walk;
	uint64_t bytes;
	void *memory;

	if (!cubby__usable(cache, "cubby_walk_create"))
		return -CUBBY_ENOCACHE;
	for (;;) {
		/* A slab more than needed now: the cache may be growing. */
		bytes = align_up(walk_bytes(cells_now(cache) +
					    geometry_slab_cells(
						    &cache->region.geometry)),
				 cubby__os_page_bytes());
		if (cubby__os_map(bytes, &memory) != 0)
			return cubby__error_set(
				-ENOMEM,
				"cache '%s': no memory for a snapshot of %zu "
				"bytes",
				cache->name, (size_t)bytes);
		walk = memory;
		walk->cache = cache;
		walk->mapped_bytes = bytes;
		if (try_snapshot(walk, cache))
			break;
		cubby__os_unmap(memory, bytes);
	}
	*ret_walk = walk;
	return 0;
}

/* The first cell from `cell` on whose bit is `wanted`; n_cells if none. */
static uint64_t
find_bit(const struct cubby_walk *walk, uint64_t cell, bool wanted)
{
	uint64_t flip = wanted ? 0 : UINT64_MAX;
	uint64_t word = cell / BITS_PER_WORD;
	uint64_t n_words = div_up(walk->n_cells, BITS_PER_WORD);
	uint64_t bits;

	if (cell >= walk->n_cells)
		return walk->n_cells;
	bits = (walk->live[word] ^ flip) &
	       UINT64_MAX << (cell % BITS_PER_WORD);
	while (bits == 0) {
		if (++word == n_words)
			return walk->n_cells;
		bits = walk->live[word] ^ flip;
	}
	return min_u64(word * BITS_PER_WORD + bit_lowest(bits), walk->n_cells);
}

/* The first cell behind the piece of the region that `cell` is in. */
static uint64_t
piece_end(const struct region *region, uint64_t cell)
{
	uint64_t chunk_cells = (uint64_t)1 << region->chunk_shift;

	if (cell < region->range_cells)
		return region->range_cells;
	return region->range_cells +
	       align_down(cell - region->range_cells, chunk_cells) +
	       chunk_cells;
}

int
cubby_walk_next(struct cubby_walk *walk, struct cubby_run *ret_run)
{
	const struct region *region = &walk->cache->region;
	uint64_t first = find_bit(walk, walk->next_cell, true);
	uint64_t end;

	if (first == walk->n_cells) {
		walk->next_cell = first;
		return 0;
	}
	end = min_u64(find_bit(walk, first, false), piece_end(region, first));
	walk->next_cell = end;
	*ret_run = (struct cubby_run){
		.first = region_object(region, first),
		.n_objects = end - first,
		.stride_bytes = region->geometry.cell_bytes,
	};
	return 1;
}

void
cubby_walk_destroy(struct cubby_walk *walk)
{
	struct cubby_cache *cache;
	sigset_t saved;

	if (walk == NULL)
		return;
	cache = walk->cache;
	cubby__os_unmap(walk, walk->mapped_bytes);
	cubby__lock_acquire(&cache->lock, &saved);
	cache->n_walks--;
	cubby__lock_release(&cache->lock, &saved);
	/* What was not given back while the walk was open. */
	cubby__alloc_trim(cache, cache->n_kept_empty);
}

/* ------------------------------ report of live --------------------------- */

static int
flush(struct text *piece, int fd)
{
	int err = cubby__os_write(fd, piece->start, piece->used_bytes);

	piece->used_bytes = 0;
	return err;
}

static int
write_objects(struct cubby_walk *walk, struct text *piece, int fd)
{
	uint64_t cell = find_bit(walk, 0, true);

	for (; cell < walk->n_cells; cell = find_bit(walk, cell + 1, true)) {
		cubby__text_printf(piece, "  %p cell %zu\n",
				   region_object(&walk->cache->region, cell),
				   (size_t)cell);
		if (piece->used_bytes + REPORT_LINE_BYTES_MAX >
		    REPORT_PIECE_BYTES) {
			int err = flush(piece, fd);

			if (err)
				return err;
		}
	}
	return flush(piece, fd);
}

int
cubby_cache_report_live(struct cubby_cache *cache, int fd)
{
	char buffer[REPORT_PIECE_BYTES];
	struct cubby_walk *walk;
	struct text piece;
	int err = cubby_walk_create(&walk, cache);

	if (err)
		return err;
	cubby__text_init(&piece, buffer, sizeof(buffer));
	cubby__text_printf(&piece, "cubby: cache '%s': %zu live object%s of "
				   "%u bytes\n",
			   cache->name, (size_t)walk->n_live,
			   walk->n_live == 1 ? "" : "s",
			   cache->region.geometry.object_bytes);
	err = write_objects(walk, &piece, fd);
	cubby_walk_destroy(walk);
	if (err)
		return cubby__error_set(err,
					"cache '%s': the report could not be "
					"written to descriptor %d",
					cache->name, fd);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: walk - the live objects of a cache, by runs over a snapshot
 *
 * The snapshot is a bit a cell, copied while the cache is quiet (quiesce.c),
 * less the cells that are idle in magazines and reserves; the walk then needs
 * no lock.  A bit set in it stays meaningful until the walk is destroyed,
 * because no pages are given back while a walk is open: whatever the program
 * does meanwhile, every visited address is readable.
 *
 * A full slab is one bit: its cells' bits are not copied and not read, so that
 * a dense cache costs neither page faults nor a look at each word.
 *
 *	0                     a bit a slab   a bit a cell
 *	+-------------------+--------------+--------------------------+
 *	| struct cubby_walk | full[]       | live[]                   |
 *	+-------------------+--------------+--------------------------+
 *
 * Slabs of fewer than 64 cells share words of live[] and are always copied.
 */
#include "bits.h"
#include "cache.h"
#include "defer.h"
#include "error.h"
#include "os.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#define BITS_PER_WORD 64

/* report_live writes in pieces of so many bytes. */
#define REPORT_PIECE_BYTES 4096
#define REPORT_LINE_BYTES_MAX 128

/* What write(2) may answer to a report. */
ERROR_ROW(EAGAIN, "the descriptor does not block, and is full");
ERROR_ROW(EBADF, "not a descriptor that is open for writing");
ERROR_ROW(EFBIG, "the file would become larger than it may");
ERROR_ROW(EIO, "the device failed");
ERROR_ROW(ENOSPC, "the device is full");
ERROR_ROW(EPIPE, "nobody reads the other end of the pipe");

struct cubby_walk {
	struct cubby_cache *cache;
	uint64_t *full;
	uint64_t *live;
	uint64_t mapped_bytes;
	uint64_t n_cells;
	uint64_t n_live;
	uint64_t n_words; /* of live[] */
	uint64_t next_cell;
	uint64_t word_to_slab; /* shift from a word of live[] to its slab */
};

static uint64_t
bit_words(uint64_t n_bits)
{
	return div_up(n_bits, BITS_PER_WORD);
}

static uint64_t
walk_bytes(uint64_t n_slabs, uint64_t n_cells)
{
	return sizeof(struct cubby_walk) +
	       (bit_words(n_slabs) + bit_words(n_cells)) * sizeof(uint64_t);
}

static void
copy_slab(struct cubby_walk *walk, const struct slab_set *set, uint64_t number)
{
	const struct slab *slab = slab_record(set, number);
	uint64_t first = slab_first_cell(set, number);
	uint64_t *live = &walk->live[first / BITS_PER_WORD];

	if (geometry_slab_cells(&set->region->geometry) < BITS_PER_WORD)
		*live |= slab->live[0] << (first % BITS_PER_WORD);
	else if (slab->lane == LANE_FULL)
		walk->full[number / BITS_PER_WORD] |= (uint64_t)1
						      << (number %
							  BITS_PER_WORD);
	else if (slab->n_live != 0)
		memcpy(live, slab->live,
		       bit_words(slab->n_cells) * sizeof(uint64_t));
}

static void
copy_slabs(struct cubby_walk *walk, const struct slab_set *set)
{
	unsigned shift = set->region->geometry.slab_shift;

	walk->n_cells = set->n_cells;
	walk->n_live = set->n_live;
	walk->n_words = bit_words(set->n_cells);
	walk->full = (uint64_t *)(walk + 1);
	walk->live = walk->full + bit_words(set->n_slabs);
	/* With slabs under a word full[] is all clear, so any slab will do. */
	walk->word_to_slab = shift > 6 ? shift - 6 : 0;
	for (uint64_t i = 0; i < set->n_slabs; i++)
		copy_slab(walk, set, i);
}

/* Clear a cell's bit; that of a full slab becomes its cells' bits first. */
static void
clear_idle(void *context, const void *object)
{
	struct cubby_walk *walk = context;
	const struct cubby_cache *cache = walk->cache;
	uint64_t cell, slab, *full, mask;

	if (cubby__region_find(&cache->region, object, &cell) !=
		    REGION_OBJECT ||
	    cell >= walk->n_cells)
		return; /* not ours: a flush will say so */
	slab = cell >> cache->region.geometry.slab_shift;
	full = &walk->full[slab / BITS_PER_WORD];
	mask = (uint64_t)1 << (slab % BITS_PER_WORD);
	if (*full & mask) {
		const struct slab *record = slab_record(&cache->slabs, slab);
		uint64_t first = slab_first_cell(&cache->slabs, slab);

		*full &= ~mask;
		memcpy(&walk->live[first / BITS_PER_WORD], record->live,
		       bit_words(record->n_cells) * sizeof(uint64_t));
	}
	mask = (uint64_t)1 << (cell % BITS_PER_WORD);
	if (walk->live[cell / BITS_PER_WORD] & mask)
		walk->n_live--;
	walk->live[cell / BITS_PER_WORD] &= ~mask;
}

/* Copy if the mapping is large enough: 1, 0 if it is not, or -EBUSY. */
static int
try_snapshot(struct cubby_walk *walk, struct cubby_cache *cache)
{
	const struct slab_set *set = &cache->slabs;
	sigset_t saved;
	bool fits;
	int err = cubby__quiesce_begin(cache, &saved);

	if (err)
		return err;
	fits = walk_bytes(set->n_slabs, set->n_cells) <= walk->mapped_bytes;
	if (fits) {
		copy_slabs(walk, set);
		cubby__quiesce_for_each(cache, clear_idle, walk);
		cubby__defer_for_each_dying(cache, clear_idle, walk);
	}
	cubby__quiesce_end(cache, &saved);
	return fits;
}

/*
 * Frees of a cache with a flavour are held up from here on: before the snapshot
 * (death.h).
 */
static void
add_walks(struct cubby_cache *cache, int64_t n)
{
	sigset_t saved;

	cubby__lock_acquire(&cache->lock, &saved);
	__atomic_add_fetch(&cache->n_walks, (uint64_t)n, __ATOMIC_SEQ_CST);
	if (front_is_open(&cache->front))
		cubby__front_set_gate(cache, true);
	cubby__lock_release(&cache->lock, &saved);
}

/* Bytes for the slabs there are and one more: the cache may be growing. */
static uint64_t
bytes_now(struct cubby_cache *cache)
{
	const struct slab_set *set = &cache->slabs;
	uint64_t n_slabs, n_cells;
	sigset_t saved;

	cubby__lock_acquire(&cache->lock, &saved);
	n_slabs = set->n_slabs + 1;
	n_cells = set->n_cells + geometry_slab_cells(&cache->region.geometry);
	cubby__lock_release(&cache->lock, &saved);
	return align_up(walk_bytes(n_slabs, n_cells), cubby__os_page_bytes());
}

static int
create(struct cubby_walk **ret_walk, struct cubby_cache *cache)
{
	struct cubby_walk *walk;
	uint64_t bytes;
	void *memory;
	int answer;

	add_walks(cache, 1);
	for (;;) {
		bytes = bytes_now(cache);
		if (cubby__os_map(bytes, &memory) != 0) {
			add_walks(cache, -1);
			return cubby__error_set(
				-ENOMEM,
				"cache '%s': no memory for a snapshot of %zu "
				"bytes",
				cache->name, (size_t)bytes);
		}
		walk = memory;
		walk->cache = cache;
		walk->mapped_bytes = bytes;
		answer = try_snapshot(walk, cache);
		if (answer > 0)
			break;
		cubby__os_unmap(memory, bytes);
		if (answer < 0) {
			add_walks(cache, -1);
			return answer;
		}
	}
	*ret_walk = walk;
	return 0;
}

int
cubby_walk_create(struct cubby_walk **ret_walk, struct cubby_cache *cache)
{
	int err;

	if (ret_walk == NULL)
		return cubby__error_set(-EINVAL, "ret_walk is NULL");
	err = cubby__usable_or_error(cache, "cubby_walk_create");
	return err ? err : create(ret_walk, cache);
}

static bool
is_full(const struct cubby_walk *walk, uint64_t word)
{
	uint64_t slab = word >> walk->word_to_slab;

	return walk->full[slab / BITS_PER_WORD] >> (slab % BITS_PER_WORD) & 1;
}

static uint64_t
live_word(const struct cubby_walk *walk, uint64_t word)
{
	return is_full(walk, word) ? UINT64_MAX : walk->live[word];
}

/* The first live cell from `cell` on; n_cells if there is none. */
static uint64_t
find_live(const struct cubby_walk *walk, uint64_t cell)
{
	uint64_t word = cell / BITS_PER_WORD;
	uint64_t bits;

	if (cell >= walk->n_cells)
		return walk->n_cells;
	bits = live_word(walk, word) & UINT64_MAX << (cell % BITS_PER_WORD);
	while (bits == 0) {
		if (++word == walk->n_words)
			return walk->n_cells;
		bits = live_word(walk, word);
	}
	return min_u64(word * BITS_PER_WORD + bit_lowest(bits), walk->n_cells);
}

/* The first free cell from `cell`, a live one, on; or n_cells. */
static uint64_t
find_free(const struct cubby_walk *walk, uint64_t cell)
{
	uint64_t word = cell / BITS_PER_WORD;
	uint64_t bits = ~live_word(walk, word) &
			UINT64_MAX << (cell % BITS_PER_WORD);

	while (bits == 0) {
		word++;
		/* Pass a full slab in one step. */
		if (word < walk->n_words && is_full(walk, word))
			word = ((word >> walk->word_to_slab) + 1)
			       << walk->word_to_slab;
		if (word >= walk->n_words)
			return walk->n_cells;
		bits = ~live_word(walk, word);
	}
	return min_u64(word * BITS_PER_WORD + bit_lowest(bits), walk->n_cells);
}

int
cubby_walk_next(struct cubby_walk *walk, struct cubby_run *ret_run)
{
	const struct region *region = &walk->cache->region;
	uint64_t first = find_live(walk, walk->next_cell);
	uint64_t end;

	if (first == walk->n_cells) {
		walk->next_cell = first;
		return 0;
	}
	end = min_u64(find_free(walk, first), region_piece_end(region, first));
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

	if (walk == NULL)
		return;
	cache = walk->cache;
	cubby__os_unmap(walk, walk->mapped_bytes);
	add_walks(cache, -1);
	cubby__direct_end_walks(cache);
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
	uint64_t cell = find_live(walk, 0);

	for (; cell < walk->n_cells; cell = find_live(walk, cell + 1)) {
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
	int err = cubby__usable_or_error(cache, "cubby_cache_report_live");

	if (!err)
		err = create(&walk, cache);
	if (err)
		return err;
	cubby__text_init(&piece, buffer, sizeof(buffer));
	cubby__text_printf(&piece,
			   "cubby: cache '%s': %zu live object%s of "
			   "%u bytes\n",
			   cache->name, (size_t)walk->n_live,
			   walk->n_live == 1 ? "" : "s",
			   cache->region.geometry.object_bytes);
	err = write_objects(walk, &piece, fd);
	cubby_walk_destroy(walk);
	if (err)
		return cubby__error_set(err,
					"cache '%s': the report could not be "
					"written to descriptor %d: %s",
					cache->name, fd,
					cubby_error_name(err));
	return 0;
}

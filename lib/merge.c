/* SPDX-License-Identifier: MIT */
/* LAYER 5: merge - of two magazines the low half stays, the high half goes */
#include "merge.h"

#include "bits.h"

#define MERGE_CELLS_MAX (2 * MAGAZINE_CAPACITY_MAX)

static void
swap_cells(uint64_t *a, uint64_t *b)
{
	uint64_t c = *a;

	*a = *b;
	*b = c;
}

/* Reorder so that the k lowest stand first (C. A. R. Hoare, Find, 1961). */
static void
find_lowest(uint64_t *cells, int64_t n, int64_t k)
{
	int64_t low = 0, high = n - 1;

	while (low < high) {
		uint64_t pivot = cells[low + (high - low) / 2];
		int64_t i = low, j = high;

		while (i <= j) {
			while (cells[i] < pivot)
				i++;
			while (cells[j] > pivot)
				j--;
			if (i <= j)
				swap_cells(&cells[i++], &cells[j--]);
		}
		if (k <= j)
			high = j;
		else if (k >= i)
			low = i;
		else
			return;
	}
}

/* The numbers of a magazine's cells; what is no cell is noted and dropped. */
static uint32_t
unload(struct cubby_cache *cache, uint32_t number, uint64_t *cells,
       struct faults *faults)
{
	struct magazine *it = magazine(number);
	void **objects = magazine_cells(it);
	struct region_piece piece = { 0 };
	uint32_t n = 0;

	for (uint32_t i = 0; i < it->count; i++)
		if (likely(region_find_near(&cache->region, &piece, objects[i],
					    &cells[n]) &&
			   cells[n] < cache->slabs.n_cells) ||
		    cubby__direct_find_locked(cache, objects[i], &cells[n],
					      faults))
			n++;
	magazine_set_count(it, 0);
	return n;
}

/* Put cells in a magazine, the lowest ones on top as far as they are sorted. */
static void
load(struct cubby_cache *cache, uint32_t number, uint32_t n,
     const uint64_t *cells)
{
	struct magazine *it = magazine(number);
	void **objects = magazine_cells(it);
	struct region_piece piece = { 0 };

	for (uint32_t i = 0; i < n; i++)
		objects[n - 1 - i] = region_object_near(&cache->region, &piece,
							cells[i]);
	magazine_set_count(it, n);
}

/* Where a magazine's cells lie, if that is in one piece of the region. */
struct span {
	uintptr_t lowest, highest;
	uint64_t first_cell; /* of the piece */
};

static bool
find_span(const struct cubby_cache *cache, uint32_t number,
	  struct span *ret_span)
{
	struct magazine *it = magazine(number);
	void *const *objects = magazine_cells(it);
	struct region_piece piece;
	uintptr_t lowest = UINTPTR_MAX, highest = 0;

	for (uint32_t i = 0; i < it->count; i++) {
		lowest = min_u64(lowest, (uintptr_t)objects[i]);
		highest = max_u64(highest, (uintptr_t)objects[i]);
	}
	if (it->count == 0 ||
	    !cubby__region_find_piece(&cache->region, (void *)lowest, &piece))
		return false;
	*ret_span = (struct span){ lowest, highest, piece.first_cell };
	return highest - piece.start < piece.bytes;
}

/* Is all that one magazine has below all that the other has? */
static bool
is_below(const struct span *low, const struct span *high)
{
	if (low->first_cell != high->first_cell)
		return low->first_cell < high->first_cell;
	return low->highest < high->lowest;
}

/*
 * Frees in order fill one magazine after the other.  Then the low one stays as it
 * is, and nothing of it has to be looked at: *ret_low and *ret_high.
 */
static bool
are_apart(const struct cubby_cache *cache, uint32_t first, uint32_t second,
	  uint32_t *ret_low, uint32_t *ret_high)
{
	struct span one, other;
	bool in_order;

	if (second == 0 || !find_span(cache, first, &one) ||
	    !find_span(cache, second, &other))
		return false;
	in_order = is_below(&one, &other);
	*ret_low = in_order ? first : second;
	*ret_high = in_order ? second : first;
	return (in_order || is_below(&other, &one)) &&
	       magazine(*ret_low)->count >= magazine(*ret_high)->count / 2;
}

uint32_t
cubby__merge_flush(struct cubby_cache *cache, uint32_t number,
		   struct faults *faults)
{
	uint64_t cells[MAGAZINE_CAPACITY_MAX];
	uint32_t n = unload(cache, number, cells, faults);

	cubby__direct_give_cells_locked(cache, n, cells, faults);
	cubby__magazine_give_empty(number);
	return n;
}

uint32_t
cubby__merge(struct cubby_cache *cache, uint32_t first, uint32_t second,
	     uint32_t *ret_kept, struct faults *faults)
{
	uint64_t cells[MERGE_CELLS_MAX];
	uint32_t low, high, n, n_kept;

	if (are_apart(cache, first, second, &low, &high)) {
		*ret_kept = low;
		return cubby__merge_flush(cache, high, faults);
	}
	n = unload(cache, first, cells, faults);
	if (second != 0)
		n += unload(cache, second, cells + n, faults);
	n_kept = (uint32_t)min_u64(n / 2, magazine(first)->capacity);
	find_lowest(cells, n, n_kept);
	cubby__direct_give_cells_locked(cache, n - n_kept, cells + n_kept,
					faults);
	if (second != 0)
		cubby__magazine_give_empty(second);
	load(cache, first, n_kept, cells);
	*ret_kept = n_kept != 0 ? first : 0;
	if (n_kept == 0)
		cubby__magazine_give_empty(first);
	return n - n_kept;
}

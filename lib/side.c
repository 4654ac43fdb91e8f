/* SPDX-License-Identifier: MIT */
/* LAYER 3: side - arrays that grow with a cache, beside its cells */
#include "side.h"

#include "bits.h"
#include "check.h"
#include "granule.h"
#include "os.h"

#include <errno.h>
#include <string.h>

#define STEP_BYTES_MIN (64 * KIB)
#define STEP_BYTES_MAX (2 * MIB)

/* An array that moves reserves so many times what it needs, and at least: */
#define GROWTH 8
#define RESERVATION_BYTES_MIN MIB

static uint64_t
reservation_bytes(uint64_t max_bytes)
{
	return align_up(max_u64(max_bytes, 1), cubby__os_page_bytes());
}

static int
reserve(struct side *side, uint64_t bytes)
{
	int err = cubby__granule_take_plain(reservation_bytes(bytes),
					    &side->base);

	if (err)
		return err;
	side->committed_bytes = 0;
	side->reserved_bytes = reservation_bytes(bytes);
	return 0;
}

int
cubby__side_init(struct side *side, void *inline_part, uint64_t inline_bytes,
		 uint64_t max_bytes)
{
	int err;

	*side = (struct side){ .base = inline_part,
			       .committed_bytes = inline_bytes,
			       .max_bytes = max_bytes };
	err = inline_part != NULL ? 0 : reserve(side, max_bytes);
	/* So that a table that is made at its first use is made again. */
	if (err)
		*side = (struct side){ 0 };
	return err;
}

void
cubby__side_fini(struct side *side)
{
	if (side->reserved_bytes != 0)
		cubby__granule_give_plain(side->base, side->reserved_bytes);
	*side = (struct side){ 0 };
}

/* Commit at least up to `bytes`, a step more if the kernel lets us. */
static int
extend(struct side *side, uint64_t bytes)
{
	uint64_t page_bytes = cubby__os_page_bytes();
	uint64_t step_bytes = min_u64(max_u64(side->committed_bytes,
					      STEP_BYTES_MIN),
				      STEP_BYTES_MAX);
	uint64_t least = align_up(bytes, page_bytes);
	uint64_t wanted = min_u64(max_u64(least,
					  side->committed_bytes + step_bytes),
				  side->reserved_bytes);
	char *from = side->base + side->committed_bytes;

	CHECK_DEBUG(least <= side->reserved_bytes);
	if (cubby__os_commit(from, wanted - side->committed_bytes) == 0) {
		side->committed_bytes = wanted;
		return 0;
	}
	if (least == wanted ||
	    cubby__os_commit(from, least - side->committed_bytes) != 0)
		return -ENOMEM;
	side->committed_bytes = least;
	return 0;
}

/* Move to a larger reservation. */
static int
move(struct side *side, uint64_t bytes)
{
	struct side larger = { .max_bytes = side->max_bytes };
	int err = reserve(&larger, min_u64(max_u64(bytes * GROWTH,
						   RESERVATION_BYTES_MIN),
					   side->max_bytes));

	if (err)
		return err;
	err = extend(&larger, bytes);
	if (err) {
		cubby__side_fini(&larger);
		return err;
	}
	memcpy(larger.base, side->base, min_u64(side->committed_bytes, bytes));
	cubby__side_fini(side);
	*side = larger;
	return 0;
}

int
cubby__side_reach(struct side *side, uint64_t bytes)
{
	if (bytes <= side->committed_bytes)
		return 0;
	if (bytes > side->max_bytes)
		return -ENOMEM;
	if (bytes > side->reserved_bytes)
		return move(side, bytes);
	return extend(side, bytes);
}

/* Others may be reading: state words of objects that are no more. */
static void
clear(char *from, const char *to)
{
	for (; from < to && (uintptr_t)from % sizeof(uint64_t) != 0; from++)
		__atomic_store_n(from, 0, __ATOMIC_RELAXED);
	for (; from + sizeof(uint64_t) <= to; from += sizeof(uint64_t))
		__atomic_store_n((uint64_t *)(void *)from, 0,
				 __ATOMIC_RELAXED);
	for (; from < to; from++)
		__atomic_store_n(from, 0, __ATOMIC_RELAXED);
}

void
cubby__side_drop(struct side *side, uint64_t from_byte, uint64_t to_byte)
{
	uint64_t page_bytes = cubby__os_page_bytes();
	uint64_t first = align_up(from_byte, page_bytes);
	uint64_t last = align_down(to_byte, page_bytes);

	if (side->reserved_bytes == 0 || first >= last ||
	    cubby__os_drop(side->base + first, last - first) != 0) {
		clear(side->base + from_byte, side->base + to_byte);
		return;
	}
	clear(side->base + from_byte, side->base + first);
	clear(side->base + last, side->base + to_byte);
}

void
cubby__side_drop_cells(struct cell_side *array, uint64_t first_cell,
		       uint64_t n_cells)
{
	/* Fewer than 8 cells a slab: its bits share a byte with the next. */
	if (array->bits_per_cell == 1 && n_cells < 8) {
		for (uint64_t i = 0; i < n_cells; i++)
			cell_side_clear(array, first_cell + i);
		return;
	}
	cubby__side_drop(&array->side, cell_side_bytes(array, first_cell),
			 cell_side_bytes(array, first_cell + n_cells));
}

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 4: magazine - the words of the fast path
 *
 * Formats only.  In this version every cache's gate is closed: its published
 * block offset is 0, block 0 of every stripe has zero capacity, and so every
 * alloc and free takes the slow path of alloc.c, which is right without any of
 * this.  The magazine layer fills these formats without changing them.
 *
 * Stripe: all blocks of one CPU (or thread), 32 bytes each; block 0 is never
 * used.  A cache's block is at stripe + offset_bytes, for every stripe alike.
 *
 *	0            32             64
 *	+------------+--------------+-----
 *	| block 0: 0 | cache A's    | ...
 *	+------------+--------------+-----
 *
 * Block: three cursors and a reserved word.
 *
 *	0          8           16          24         32
 *	+----------+-----------+-----------+----------+
 *	| loaded   | previous  | deferred  | reserved |
 *	+----------+-----------+-----------+----------+
 *
 * Magazine: 1 KiB at a 1 KiB boundary; number n lies at array + 1024 * n.  Its
 * cells grow downwards from the end to a NULL word, so that capacity is a
 * matter of where the NULL stands:
 *
 *	0        32                1016 - 8 * capacity        1024
 *	+--------+-----------------+------+-------------------+
 *	| header | unused          | NULL | cells, capacity   |
 *	+--------+-----------------+------+-------------------+
 *
 * Cursor: the address just above the top cell.  The NULL word is what an empty
 * magazine's cursor finds below itself; a full one's cursor is at the 1 KiB
 * boundary above the magazine.
 *
 *	pop    cell = cursor[-1]; empty if NULL; cursor -= 8
 *	push   full if (cursor & full_mask) == 0; *cursor = cell; cursor += 8
 *	owner  (cursor - 8) & ~1023, the magazine that a cursor points into
 *
 * A stored cursor is relative to a 1 KiB-aligned base with a NULL word below
 * it.  A zero-filled block therefore is the block of zero capacity: popping
 * finds NULL, pushing finds "full".  So stripes need no initialisation, and a
 * closed gate needs no test: it leads to a block of zeroes.
 *
 * Gate: the published offset_bytes of struct cubby_fast, read inside the
 * restartable sequence or the busy bracket.  0 closes it.
 *
 * Invariants:
 *   M1  a cursor's owner is a magazine in state IN_BLOCK, or the cursor is 0
 *   M2  MAGAZINE_CAPACITY_MAX cells, the NULL word and the header fit
 */
#ifndef CUBBY__MAGAZINE_H
#define CUBBY__MAGAZINE_H

#include "compiler.h"

#define MAGAZINE_BYTES 1024
#define MAGAZINE_HEADER_BYTES 32
#define MAGAZINE_CAPACITY_MAX 120
#define BLOCK_BYTES 32

/* full_mask: a cursor at a 1 KiB boundary is full; 0 makes every push full. */
#define FULL_MASK_OPEN (MAGAZINE_BYTES - 1)
#define FULL_MASK_STAGED 0

/*
 * What the inline header will read of a cache: its ABI.  Stands 8 bytes into
 * struct cubby_cache.
 */
struct cubby_fast {
	uint32_t offset_bytes; /* of its block in a stripe; 0: gate closed */
	uint32_t full_mask;    /* fixed for the cache's life */
};

struct block {
	uint64_t loaded;
	uint64_t previous;
	uint64_t deferred;
	uint64_t reserved;
};

enum magazine_state {
	MAGAZINE_UNUSED, /* 0: a dropped or never used page is a valid one */
	MAGAZINE_IN_BLOCK,
	MAGAZINE_IN_DEPOT,
	MAGAZINE_IN_FLIGHT,
	MAGAZINE_DEFERRED,
	MAGAZINE_RESERVED,
	MAGAZINE_ORPHAN
};

struct magazine_header {
	uint64_t next;     /* in a depot stack */
	uint32_t state;    /* enum magazine_state */
	uint16_t capacity; /* <= MAGAZINE_CAPACITY_MAX */
	uint16_t count;    /* while not in a block; there the cursor tells */
	uint64_t cache;    /* id */
	uint64_t reserved;
};

_Static_assert(sizeof(struct cubby_fast) == 8, "one load of the fast path");
_Static_assert(sizeof(struct block) == BLOCK_BYTES, "the diagram above");
_Static_assert(sizeof(struct magazine_header) == MAGAZINE_HEADER_BYTES,
	       "the diagram above");
_Static_assert(MAGAZINE_HEADER_BYTES + 8 + 8 * MAGAZINE_CAPACITY_MAX <=
		       MAGAZINE_BYTES,
	       "M2");

/* Where the NULL word of a magazine of this capacity stands. */
static inline uint32_t
magazine_null_offset(uint32_t capacity)
{
	return MAGAZINE_BYTES - 8 - 8 * capacity;
}

/* The magazine that a cursor points into; the cursor is not 0. */
static inline uint64_t
magazine_of_cursor(uint64_t cursor)
{
	return (cursor - 8) & ~(uint64_t)(MAGAZINE_BYTES - 1);
}

/* Cells below a cursor in a magazine of this capacity. */
static inline uint32_t
magazine_cursor_count(uint64_t cursor, uint32_t capacity)
{
	return (uint32_t)(cursor - magazine_of_cursor(cursor) -
			  magazine_null_offset(capacity) - 8) /
	       8;
}

#endif /* CUBBY__MAGAZINE_H */

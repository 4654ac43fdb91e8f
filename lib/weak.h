/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: weak - the state words of cells, and what handles mean
 *
 * Theory
 *
 * Every cell of a cache with handles has a state word:
 *
 *	31           1   0
 *	+--------------+-------+
 *	| generation   | taken |
 *	+--------------+-------+
 *
 * in a side array, or as the high half of the word in front of a counted
 * object (<cubby/inline/weak.h>).  A handle holds the state word that it
 * matches, with the bit set; so of a life whose bit was never set there is no
 * handle, and none can be forged.
 *
 *	make    set the bit, if it is not set (atomic OR)
 *	get     load (acquire), compare
 *	end     if the bit is set: generation + 1, bit clear (compare-exchange:
 *	        one winner); else leave it: nobody can ask
 *	wait    if the bit was set: a grace period, in CUBBY_WEAK_RCU
 *	free    the cell is idle; its word is that of its next life
 *
 * Why get is right.  A reader in section S sees generation g.  The end of that
 * life stored g + 1 before the grace period began.  If S began after that, it
 * could not have seen g; so it began before, and ends before the cell is
 * reused.  The bump must therefore come before the grace period (W2), never at
 * reuse.
 *
 * Counted objects.  A reference is taken by one compare-exchange of the word
 * that holds generation and count, so that identity and count cannot part (W4).
 * A free cell's word is that of an object with the one reference that alloc
 * gives, so alloc need not write it; as its bit is clear nobody can upgrade.
 *
 *	alive    { g, taken?, 0, holds }
 *	dying    { g + 1, 0, DYING, holds }     free was called, holds > 0 or
 *	                                        the object is being torn down
 *	free     { g + 1, 0, 0, 0 }
 *
 * Last generation.  A cell whose generation becomes GENERATION_LAST is retired:
 * it goes through the rest of its death and is then given to nobody.  Its bit
 * in its slab stays set, so that the slab keeps its words (W5).
 *
 * Pages that go back.  A slab's words go with its pages: then they read 0, which
 * no handle matches, as its bit is clear.  Before that the highest generation in
 * the slab is kept as its floor; when it is opened again every cell begins
 * there (W1).
 *
 * Invariants:
 *   W1  the generation of a cell never falls, also across the return of its
 *       pages
 *   W2  when an object's memory is reused, at least a grace period (RCU) or the
 *       last put (STRONG) lies behind the change of its word
 *   W3  one caller ends a life
 *   W4  a reference is taken of a life that its handle names, or not at all
 *   W5  a retired cell is never handed out, and its word never changes
 */
#ifndef CUBBY__WEAK_H
#define CUBBY__WEAK_H

#include "compiler.h"
#include "plant.h"

#include <cubby/weak.h>

/* Test builds have narrow generations, so that cells retire within seconds. */
#ifndef CUBBY_GENERATION_BITS
#define CUBBY_GENERATION_BITS 31
#endif
#define GENERATION_LAST (((uint32_t)1 << CUBBY_GENERATION_BITS) - 1)

#define WEAK_TAKEN 1u

#define TAKEN_IN_HANDLE ((uint64_t)WEAK_TAKEN << 32)
#define DYING CUBBY__STRONG_DYING
#define HOLDS CUBBY__STRONG_HOLDS
#define HOLDS_MAX (HOLDS - 1) /* one more is for who ends the life */

static inline uint32_t
weak_generation(uint32_t word)
{
	return word >> 1;
}

/* The word of the next life, or of a retired cell. */
static inline uint32_t
weak_next_word(uint32_t word)
{
	uint32_t generation = weak_generation(word) + 1;

	if (generation > GENERATION_LAST)
		generation = GENERATION_LAST;
	if (PLANTED(WRAP) && generation == GENERATION_LAST)
		generation = 0;
	return generation << 1;
}

static inline bool
weak_is_retired(uint32_t word)
{
	return weak_generation(word) == GENERATION_LAST;
}

/* The word in front of a counted object. */
static inline uint64_t *
strong_word(const void *object)
{
	return (uint64_t *)object - 1;
}

/*
 * What a handle says, if it can be one of this cache's: false if its cell was
 * never opened, or its taken bit is clear.  Not whether it lives.
 */
bool cubby__weak_decode(struct cubby_cache *cache, cubby_weak handle,
			uint64_t *ret_cell, uint32_t *ret_generation);

/* The reverse; any numbers. */
cubby_weak cubby__weak_encode(const struct cubby_cache *cache, uint64_t cell,
			      uint32_t generation);

/*
 * The word of the handle's cell, and what it has to be; NULL if it is no cell
 * of this cache, or no handle.
 */
uint32_t *cubby__weak_find_word(struct cubby_cache *cache, cubby_weak handle,
				uint64_t *ret_cell, uint32_t *ret_wanted);

/* The cell of an object; false, and misuse is reported, if it is none. */
bool cubby__weak_find_cell(struct cubby_cache *cache, const void *object,
			   const char *call, uint64_t *ret_cell);

/* Has the cache handles?  Counted objects?  false: misuse is reported. */
bool cubby__weak_usable(struct cubby_cache *cache, const char *call);
bool cubby__weak_strong_usable(struct cubby_cache *cache, const char *call);

/* Will the cell never be used again?  Of a cell without an object. */
bool cubby__weak_is_retired(const struct cubby_cache *cache, uint64_t cell);

/* With the lock held: objects that are dead and exist by references. */
uint64_t cubby__weak_count_held(const struct cubby_cache *cache);

/*
 * With the lock held: visit the retired cells.  Reads all words, if there are
 * any retired.
 */
void cubby__weak_for_each_retired(struct cubby_cache *cache,
				  void (*visit)(void *context,
						const void *object),
				  void *context);

#endif /* CUBBY__WEAK_H */

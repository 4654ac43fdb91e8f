/* SPDX-License-Identifier: MIT */
/*
 * LAYER 8: recent - runs of pages that were freed a moment ago
 *
 * Theory
 *
 * A few runs for each group of CPUs, whole and with their pages, that an allocation
 * of their length takes without a lock or a call of the kernel.  To pages.c
 * they are in use.
 *
 *	shard of a group   [ word | word | word | word ]   one line of the cache
 *	word               number of the run << 16 | its pages; 0: nothing
 *
 * A word says how long the run is, as the run must not be looked at before the word
 * is taken: until then somebody else may take it, and its granule may go.
 *
 * Invariant:
 *   E4  a RECENT run is in one word, or in the hands of the one thread that has
 *       made it RECENT or has taken its word; or, in the child of a fork, was in
 *       those of a thread that is not there: nobody's, for ever
 *
 * Who frees a block makes it RECENT by compare-and-swap, so that of two who free it
 * one finds no block.  Any thread and any signal handler may call these functions.
 */
#ifndef CUBBY__RECENT_H
#define CUBBY__RECENT_H

#include "magazine.h"

/* Words of a shard, and of all. */
#define RECENT_WORDS 4
#define RECENT_WORDS_ALL (N_SHARDS * RECENT_WORDS)

/* A run of so many pages, or RUN_NONE. */
uint32_t cubby__recent_take(uint32_t n_pages);

/*
 * Keep a run here, where all may then have n_pages_max, and it no more: those that
 * go for it in ret_numbers.  How many: up to RECENT_WORDS.
 */
unsigned cubby__recent_put(uint32_t number, uint32_t n_pages,
			   uint64_t n_pages_max, uint32_t *ret_numbers);

/* Take all there are: up to RECENT_WORDS_ALL. */
unsigned cubby__recent_take_all(uint32_t *ret_numbers);

/* How many, and their pages: right when nobody moves. */
unsigned cubby__recent_count(uint64_t *ret_n_pages);

#endif /* CUBBY__RECENT_H */

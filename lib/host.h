/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: host - whom this copy of the core serves
 *
 * The core is in two libraries: in libcubby, for programs that name their
 * caches, and in the malloc that is preloaded under programs which know of none
 * (lib/preload).  What differs is data, and all of it is here.
 */
#ifndef CUBBY__HOST_H
#define CUBBY__HOST_H

#include "compiler.h"

struct host {
	/* Environment variable of the options. */
	const char *options_name;

	/* Its name in reports, and the text of debug_rules.h; NULL: none. */
	const char *debug_name;
	const char *(*debug_text)(void);

	/*
	 * This is the program's malloc(): no cell can lie in a block of it, and
	 * all address space that RLIMIT_AS leaves is for cells.
	 */
	bool is_malloc;

	/* The most that a cache without max_objects reserves; then chunks. */
	uint64_t range_bytes_max;

	/*
	 * If not 0, such a cache's range is only so many bytes of a granule that
	 * it shares with others: a process with many caches of a few objects has
	 * few mappings and page tables then, and fork() less to copy.
	 */
	uint64_t nursery_bytes;

	/* What the option `idle` is by default. */
	uint64_t idle_bytes;

	/* Where the depot of a cache begins, in bytes of idle cells. */
	uint64_t depot_bytes;

	/*
	 * Empty slabs with pages that a cache keeps for the next burst; and if
	 * the share is not 0, one of so many that are in use, and then pages of
	 * slabs in use are dropped only where half the cells are free.
	 */
	uint64_t n_empty_slabs;
	uint64_t empty_share;

	/* Hold locks of rank LOCK_RANK_EXTENT across fork(); NULL: none. */
	void (*fork_prepare)(void);
	void (*fork_done)(void);
};

extern const struct host cubby__host __attribute__((visibility("hidden")));

#endif /* CUBBY__HOST_H */

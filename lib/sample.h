/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: sample - one of many objects, alone on its page
 *
 * Theory
 *
 * What a program does to an object beyond its ends, or after its free, is found at
 * once where a page without access is hit.  Pages are dear, so one of many
 * objects gets them, and all runs of a program together find what one would not.
 * (After KFENCE of the kernel, and GWP-ASan: K. Serebryany et al., 2023.)
 *
 * A cache that is sampled keeps one slab for that, its area.  All but a few of
 * the area's cells are never served; these few, the slots, are the last or the first
 * ones between two pages that nobody may access:
 *
 *	  page      page      page      page      page
 *	+---------+---------+---------+---------+---------+--
 *	|xxxxxxxxx|.....oooo|xxxxxxxxx|oooo.....|xxxxxxxxx|    x no access
 *	+---------+---------+---------+---------+---------+--  o an object
 *	            slot 0              slot 1                 . filled, and compared
 *	                                                         at its free
 *
 *	         take          free
 *	IDLE ---------> LIVE --------> IDLE    while it is IDLE its pages, too, have
 *	                  |                    no access; the longest idle is next
 *	                  v
 *	                LOOSE --------> IDLE   when its cell comes back to the slabs
 *
 * They are cells as others are, so walks, counts and checks of pointers know them.
 *
 * Who notices.  Allocations are counted where magazines are loaded (and one by one
 * where they have a stage), and one of about `every` gets a slot: the next that comes
 * out of line.  While one is LIVE, pushes are made to find every magazine full
 * (fast.full_mask), and so each free comes out of line, and the one that matters is
 * seen.  After every / SAMPLE_FREES_PART of them nobody waits any longer: the slot is
 * LOOSE, its cell is as any other, and only its neighbours without access stay.  If a
 * sample is due and no slot is IDLE, frees come out of line as well, so that LOOSE
 * ones are seen coming back.  So both ways of the fast path are as they were but for
 * a small part of the time.  Where frees have a stage, they come out of line anyway,
 * and none becomes LOOSE.
 *
 * Invariants:
 *   E1  while there is an area all bits of its slab are set: cells that hold no
 *       object are idle, here or in a magazine
 *   E2  the pages of an IDLE slot have no access, unless is_open: it was freed while
 *       a walk was open, which may still look at it
 *   E3  fast.full_mask is 0 while n_frees_left is positive
 *
 * Not for caches whose free cells are looked at or wait for grace periods (weak.h),
 * that are watched (debug.h), have a limit, huge pages, no magazines, or cells that
 * leave no room for a slot.
 *
 * Locks: slots are under the slab lock.
 */
#ifndef CUBBY__SAMPLE_H
#define CUBBY__SAMPLE_H

#include "cache.h"
#include "debug.h"

#define SAMPLE_SLOTS_MAX 8
#define SAMPLE_FREES_PART 128

enum sample_state { SAMPLE_IDLE, SAMPLE_LIVE, SAMPLE_LOOSE };

struct sample_slot {
	uint64_t cell;
	char *pages; /* those that the object may be in */
	uint64_t n_bytes;
	enum sample_state state;
	bool is_open;
	uint64_t idle_since; /* a turn */
	struct debug_user user;
};

struct sample {
	uint64_t every;
	uint64_t mapped_bytes;

	/* Atomic. */
	int64_t n_until_next; /* allocations */
	int64_t n_frees_left; /* until nobody waits for a free */
	uint64_t n_taken;     /* events */

	/* Under the slab lock; the area read elsewhere too. */
	char *start, *end; /* its pages; NULL: there is none */
	uint64_t slab;
	uint64_t n_turns;
	uint32_t n_slots;
	struct sample_slot slots[SAMPLE_SLOTS_MAX];
};

/* What rules ask for, where it can be done: 0 or -ENOMEM.  Before the gate opens. */
int cubby__sample_init(struct cubby_cache *cache,
		       const struct debug_rules *rules);
void cubby__sample_fini(struct cubby_cache *cache);

/* An allocation is out of line: an object between pages, or NULL, usually. */
void *cubby__sample_alloc(struct cubby_cache *cache) COLD;

/* A free is out of line: was it of such an object?  Then that is all. */
bool cubby__sample_free(struct cubby_cache *cache, void *object) COLD;

/* A cell comes back to its slab, under the lock: does it stay here? */
enum sample_catch {
	SAMPLE_NOT_OURS, /* no */
	SAMPLE_CAUGHT,   /* yes */
	SAMPLE_NOT_LIVE  /* it is here already: it is freed once more */
};
enum sample_catch cubby__sample_catch_locked(struct cubby_cache *cache,
					     uint64_t cell) COLD;

/* The last walk has ended: what was freed meanwhile is closed. */
void cubby__sample_end_walks_locked(struct cubby_cache *cache);

/*
 * The area goes back, as far as it holds no objects; if its pages cannot be opened,
 * it stays, and cubby__sample_count() is not 0.
 */
void cubby__sample_drain_locked(struct cubby_cache *cache);

/* Who had a slot's cell last, or NULL. */
const struct debug_user *cubby__sample_user(const struct cubby_cache *cache,
					    uint64_t cell);

/* Cells that are idle here. */
uint64_t cubby__sample_count(const struct cubby_cache *cache);
void cubby__sample_for_each(const struct cubby_cache *cache,
			    void (*visit)(void *context, const void *object),
			    void *context);

/* Is a cell in the area's slab?  Under the lock. */
static inline bool
sample_owns(const struct cubby_cache *cache, uint64_t cell)
{
	return cache->sample != NULL &&
	       cell >> cache->region.geometry.slab_shift ==
		       cache->sample->slab &&
	       cache->sample->start != NULL;
}

/* So many cells have been loaded, and are going to be allocated in line. */
static inline void
sample_count(struct cubby_cache *cache, uint64_t n_cells)
{
	if (unlikely(cache->sample != NULL) && !cache->front.is_staged)
		__atomic_sub_fetch(&cache->sample->n_until_next,
				   (int64_t)n_cells, __ATOMIC_RELAXED);
}

/* Is it in the area, so that its free is not for magazines? */
bool cubby__sample_has(const struct cubby_cache *cache, const void *object);

#endif /* CUBBY__SAMPLE_H */

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 4: magazine - the words of the fast path
 *
 * Theory
 *
 * A magazine is a bounded stack of free cells.  What moves between threads,
 * and between a thread and the slabs, is magazines and not cells.
 *
 * Stripe: all blocks of one CPU (or thread), 32 bytes each; block 0 is never
 * used.  A cache's block is at stripe + offset_bytes, for every stripe alike.
 *
 *	0            32             64
 *	+------------+--------------+-----
 *	| block 0: 0 | cache A's    | ...
 *	+------------+--------------+-----
 *
 * Block: three cursors and a counter.
 *
 *	0          8           16          24         32
 *	+----------+-----------+-----------+----------+
 *	| loaded   | previous  | deferred  | in_hand  |
 *	+----------+-----------+-----------+----------+
 *
 * Magazine: 1 KiB at a 1 KiB boundary; number n lies at base + 1024 * n.  Its
 * cells lie at its end, above a NULL word, so that capacity is a matter of
 * where the NULL stands:
 *
 *	0        32                1016 - 8 * capacity        1024
 *	+--------+-----------------+------+-------------------+
 *	| header | unused          | NULL | cells, capacity   |
 *	+--------+-----------------+------+-------------------+
 *
 * Cursor: the place of the next cell to be pushed, in bytes from the base.
 * The NULL word is what an empty magazine's cursor finds below itself; a full
 * one's cursor is at the 1 KiB boundary above the magazine.
 *
 *	pop    cell = cursor[-1]; empty if NULL; cursor -= 8
 *	push   full if (cursor & full_mask) == 0; *cursor = cell; cursor += 8
 *	owner  (cursor - 8) / 1024, the magazine that a cursor points into
 *
 * The word below the base is NULL too.  A zero-filled block therefore is the
 * block of zero capacity: popping finds NULL, pushing finds "full".  So
 * stripes need no initialisation, and a closed gate needs no test: it leads to
 * a block of zeroes.
 *
 * Gate: where the cache's block is, read inside the restartable sequence or the
 * busy bracket: an address (fast.gate), or an offset in a thread's stripe
 * (fast.thread_gate).  Closed, it leads to block 0.
 *
 * Stacks of magazines are lock-free.  Their word is {tag:40, number:24}; the
 * tag counts pushes and pops, so that a compare-exchange by one who has been
 * asleep fails although the same magazine is on top again.  Magazines are
 * never unmapped: reading `next` of one that was popped meanwhile is harmless.
 * (Treiber 1986, with the counted pointers of the IBM System/370.)
 *
 * Invariants:
 *   M1  a magazine is reached once: by one cursor of one block, or in one
 *       stack or list; or it is in flight: in the hands of a thread that is
 *       in an exchange or holds the slab lock
 *   M2  MAGAZINE_CAPACITY_MAX cells, the NULL word and the header fit
 *   M3  count tells the cells of a magazine wherever it is but in a block,
 *       where the cursor does.  Of a magazine that says (SHEAF_)IN_BLOCK, but that no
 *       block reaches, `cursor` tells them: it is written before the magazine
 *       leaves a block, and before one is to enter.  So a fork child knows
 *       what another thread had in hand
 *
 * Source: J. Bonwick and J. Adams, "Magazines and Vmem", USENIX 2001.
 */
#ifndef CUBBY__MAGAZINE_H
#define CUBBY__MAGAZINE_H

#include "compiler.h"

#include <cubby/inline/abi.h>

#define MAGAZINE_SHIFT 10
#define MAGAZINE_BYTES 1024
#define MAGAZINE_HEADER_BYTES 32
#define MAGAZINE_CAPACITY_MAX 120
#define BLOCK_BYTES 32

/*
 * full_mask: a cursor at a 1 KiB boundary is full; 0 makes every push full, so
 * that frees with a stage go out of line, where the first is used.
 */
#define FULL_MASK_OPEN (MAGAZINE_BYTES - 1)
#define FULL_MASK_STAGED 0

struct block {
	uint64_t loaded;
	uint64_t previous;
	uint64_t deferred;
	uint64_t in_hand; /* per CPU: exchanges that began less those that ended */
};

/* Where a magazine was last put; in a fork child, reachable wins over it. */
enum magazine_state {
	MAGAZINE_UNUSED, /* 0: a dropped or never used page is a valid one */
	MAGAZINE_EMPTY,  /* on the process's stack of empties */
	MAGAZINE_IN_BLOCK,
	MAGAZINE_IN_DEPOT,
	MAGAZINE_IN_FLIGHT,
	MAGAZINE_SHEAF_IN_BLOCK, /* cells wait for a grace period, in a block */
	MAGAZINE_SHEAF,          /* elsewhere, in hand or in a list */
	MAGAZINE_TRIMMED,        /* taken off the stack of empties by a trim */
	MAGAZINE_REACHED /* in a fork child, while orphans are looked for */
};

struct magazine {
	uint64_t next;     /* number, in a stack or list */
	uint32_t state;    /* enum magazine_state */
	uint16_t capacity; /* <= MAGAZINE_CAPACITY_MAX */
	uint16_t count;    /* M3 */
	uint64_t cache;    /* id */
	union {
		uint64_t cursor;    /* M3 */
		uint64_t preparing; /* while init runs on its cells: by whom */
		uint64_t n_begun; /* of a sheaf: cells whose dtor was begun */
	};
	void *words[(MAGAZINE_BYTES - MAGAZINE_HEADER_BYTES) / 8];
};

_Static_assert(sizeof(struct cubby__fast) == 16, "ABI");
_Static_assert(sizeof(struct block) == BLOCK_BYTES, "the diagram above");
_Static_assert(offsetof(struct magazine, words) == MAGAZINE_HEADER_BYTES,
	       "the diagram above");
_Static_assert(sizeof(struct magazine) == MAGAZINE_BYTES &&
		       MAGAZINE_BYTES == 1 << MAGAZINE_SHIFT,
	       "the diagram above");
_Static_assert(MAGAZINE_HEADER_BYTES + 8 + 8 * MAGAZINE_CAPACITY_MAX <=
		       MAGAZINE_BYTES,
	       "M2");

/* A stack of magazines; all zero is an empty one. */
struct magazine_stack {
	uint64_t word; /* {tag:40, number:24} */
};

/*
 * Magazines that are put down are shared by all CPUs, but in so many stacks,
 * each with a line and a count of its own: who puts one down finds it again, and
 * its cells' and objects' lines are still in his processor's cache.  A stack that
 * is empty looks into the others.
 */
#define N_SHARDS 8

struct magazine_shard {
	_Alignas(64) struct magazine_stack stack;
	int64_t n; /* what the owner counts: cells, or magazines */
};

#define MAGAZINE_NUMBER_BITS 24
#define MAGAZINE_NUMBER_MASK (((uint64_t)1 << MAGAZINE_NUMBER_BITS) - 1)

/*
 * The process's magazines.  Number 0 is none: its 1 KiB is never used, and
 * the page below the base is zero.
 */
extern char *cubby__magazine_base;

/* Reserve the array: 0 or -ENOMEM.  Under the registry lock, once. */
int cubby__magazine_init(void);

/* Numbers ever used are below this one. */
uint32_t cubby__magazine_n_used(void);

/* Magazines that wait on the stack of empties, about. */
uint64_t cubby__magazine_n_empty(void);

/*
 * An empty magazine of this capacity for this cache, IN_FLIGHT, or 0.
 * @may_grow: commit more of the array if none is left; not from free.
 */
uint32_t cubby__magazine_take_empty(uint32_t cache, uint32_t capacity,
				    bool may_grow);
void cubby__magazine_give_empty(uint32_t number);

/* From alloc: see to it that frees find so many empties, if possible. */
void cubby__magazine_make_ready(uint64_t n);

/* Drop pages that hold nothing but empties: how many bytes went. */
uint64_t cubby__magazine_trim(void);

void cubby__magazine_push(struct magazine_stack *stack, uint32_t number);
uint32_t cubby__magazine_pop(struct magazine_stack *stack);

/* The shard of this CPU or thread; how the front end tells them apart. */
extern uint32_t (*cubby__magazine_shard_fn)(void);

static inline uint32_t
magazine_my_shard(void)
{
	return __atomic_load_n(&cubby__magazine_shard_fn, __ATOMIC_ACQUIRE)() %
	       N_SHARDS;
}

/*
 * Pop of the first of all shards that has one, ours first: its number and the
 * shard, or 0.
 */
uint32_t cubby__magazine_pop_shards(struct magazine_shard *shards,
				    struct magazine_shard **ret_shard);

/* The sum of what the shards count: exact when nobody moves. */
int64_t cubby__magazine_sum_shards(const struct magazine_shard *shards);

/* What visits cells; nobody changes meanwhile what is visited. */
struct cell_visitor {
	void (*visit)(void *context, const void *object);
	void *context;
};

/* The cells below a cursor, which may be 0; of a list. */
void cubby__magazine_visit_below(uint64_t cursor,
				 const struct cell_visitor *visitor);
void cubby__magazine_visit_list(uint32_t number,
				const struct cell_visitor *visitor);

/*
 * Magazines of a list, whose cells are added to *ret_n_cells.  Also of one that
 * others change, for numbers that are not exact.
 */
uint64_t cubby__magazine_count_list(uint32_t number, uint64_t *ret_n_cells);

/* Visit the magazines of a stack that nobody changes meanwhile. */
void cubby__magazine_for_each(const struct magazine_stack *stack,
			      void (*visit)(uint32_t number, void *context),
			      void *context);
void cubby__magazine_for_each_empty(void (*visit)(uint32_t number,
						  void *context),
				    void *context);

/* For fork: hold the lock of the array across it. */
void cubby__magazine_fork_prepare(void);
void cubby__magazine_fork_done(void);

static inline struct magazine *
magazine(uint32_t number)
{
	return (struct magazine *)(cubby__magazine_base +
				   (uint64_t)number * MAGAZINE_BYTES);
}

/* The state is looked at from outside: by a trim, by a reader of a core. */
static inline void
magazine_set_state(struct magazine *it, enum magazine_state state)
{
	__atomic_store_n(&it->state, state, __ATOMIC_RELAXED);
}

static inline enum magazine_state
magazine_get_state(const struct magazine *it)
{
	return (enum magazine_state)__atomic_load_n(&it->state,
						    __ATOMIC_RELAXED);
}

/* Statistics that are not exact read it while it changes. */
static inline void
magazine_set_count(struct magazine *it, uint64_t count)
{
	__atomic_store_n(&it->count, (uint16_t)count, __ATOMIC_RELAXED);
}

/* Who ends looks whose magazine it is before it knows the gate open. */
static inline void
magazine_set_cache(struct magazine *it, uint32_t cache)
{
	__atomic_store_n(&it->cache, cache, __ATOMIC_RELAXED);
}

static inline uint32_t
magazine_get_cache(uint32_t number)
{
	return (uint32_t)__atomic_load_n(&magazine(number)->cache,
					 __ATOMIC_RELAXED);
}

/* One who lost the race for a stack's top may still be reading it. */
static inline uint32_t
magazine_next(uint32_t number)
{
	return (uint32_t)__atomic_load_n(&magazine(number)->next,
					 __ATOMIC_RELAXED);
}

static inline void
magazine_set_next(uint32_t number, uint32_t next)
{
	__atomic_store_n(&magazine(number)->next, next, __ATOMIC_RELAXED);
}

static inline uint32_t
magazine_stack_top(const struct magazine_stack *stack)
{
	return (uint32_t)(__atomic_load_n(&stack->word, __ATOMIC_ACQUIRE) &
			  MAGAZINE_NUMBER_MASK);
}

/* Where the NULL word of a magazine of this capacity stands. */
static inline uint32_t
magazine_null_offset(uint32_t capacity)
{
	return MAGAZINE_BYTES - 8 - 8 * capacity;
}

/* The magazine that a cursor points into; the cursor is not 0. */
static inline uint32_t
magazine_of_cursor(uint64_t cursor)
{
	return (uint32_t)((cursor - 8) >> MAGAZINE_SHIFT);
}

/* Cells below a cursor in a magazine of this capacity. */
static inline uint32_t
magazine_cursor_count(uint64_t cursor, uint32_t capacity)
{
	return (uint32_t)(cursor -
			  ((uint64_t)magazine_of_cursor(cursor)
			   << MAGAZINE_SHIFT) -
			  magazine_null_offset(capacity) - 8) /
	       8;
}

/* Cells below a cursor; 0 is the cursor of no magazine. */
static inline uint32_t
magazine_cells_below(uint64_t cursor)
{
	if (cursor == 0)
		return 0;
	return magazine_cursor_count(
		cursor,
		__atomic_load_n(&magazine(magazine_of_cursor(cursor))->capacity,
				__ATOMIC_RELAXED));
}

/* The cursor of a magazine of this capacity that holds `count` cells. */
static inline uint64_t
magazine_cursor(uint32_t number, uint32_t capacity, uint32_t count)
{
	return ((uint64_t)number << MAGAZINE_SHIFT) +
	       magazine_null_offset(capacity) + 8 + 8 * (uint64_t)count;
}

/* The cursor of a magazine that is in no block. */
static inline uint64_t
magazine_cursor_of(uint32_t number)
{
	const struct magazine *it = magazine(number);

	return magazine_cursor(number, it->capacity, it->count);
}

/* A magazine has left a block by this cursor: its number. */
static inline uint32_t
magazine_settle(uint64_t cursor, enum magazine_state state)
{
	uint32_t number = magazine_of_cursor(cursor);

	magazine_set_count(magazine(number), magazine_cells_below(cursor));
	__atomic_signal_fence(__ATOMIC_RELEASE); /* M3: only then */
	magazine_set_state(magazine(number), state);
	return number;
}

/* The lowest of a magazine's places for cells; cells[count - 1] is the top. */
static inline void **
magazine_cells(struct magazine *it)
{
	return &it->words[(MAGAZINE_BYTES - MAGAZINE_HEADER_BYTES) / 8 -
			  it->capacity];
}

#endif /* CUBBY__MAGAZINE_H */

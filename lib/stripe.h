/* SPDX-License-Identifier: MIT */
/*
 * LAYER 4: stripe - the blocks of a thread, and the bracket around their use
 *
 * Theory
 *
 * This is the front end where CPUs have no stripes (percpu.h).  A stripe holds
 * one thread's block of every cache.  It is found through one word of
 * thread-local storage, made at the thread's first slow call and given back
 * when the thread exits; stripes are never unmapped.
 *
 *	0       4       8     12         16           64        96
 *	+-------+-------+-----+----------+------------+---------+---------
 *	| busy  | state | tid | n_blocks | magazines  | block 0 | block 1 ...
 *	+-------+-------+-----+----------+------------+---------+---------
 *
 * Bracket.  A thread uses its own blocks with plain loads and stores, between
 * two stores to `busy`:
 *
 *	busy = 1
 *	block = stripe + gate of the cache      (a closed gate leads to block 0)
 *	... at most a few words ...
 *	busy = 0                                (release)
 *
 * Whoever needs all blocks of a cache to stand still closes its gate, makes
 * every thread execute a memory barrier (membarrier), and then waits until it
 * has seen each thread's busy at 0 (acquire).  A bracket that began before the
 * barrier is over then, and what it stored is visible; one that begins later
 * reads a closed gate.  So the owner pays no barrier.  Where there is no
 * membarrier, the bracket begins with a full barrier of its own.
 *
 * Rules:
 *   T1  the gate is read inside the bracket
 *   T2  nothing waits inside a bracket, and no lock is taken there
 *   T3  nobody waits for busy while holding a lock: a signal handler that
 *       finds its own thread inside a bracket takes the slab lock, and the
 *       bracket does not end before the handler does
 *   T4  with a gate closed and all brackets seen to end, the cache's blocks
 *       belong to the holder of its slab lock
 *
 * Locks: one of rank LOCK_RANK_ARRAY, to attach and detach threads and to
 * hand out block numbers.
 */
#ifndef CUBBY__STRIPE_H
#define CUBBY__STRIPE_H

#include "compiler.h"
#include "magazine.h"
#include "plant.h"

#include <sys/types.h>

enum stripe_state {
	STRIPE_UNUSED,
	STRIPE_FREE, /* of a thread that ended; what it left is still there */
	STRIPE_USED
};

struct stripe {
	uint32_t busy;
	uint32_t state; /* enum stripe_state; under the lock */
	int32_t tid;
	uint32_t n_blocks;  /* the blocks that were ever used are below */
	char *magazines;    /* cubby__magazine_base, at hand */
	uint64_t next_free; /* number + 1 of the next FREE one */
	uint64_t reserved[4];
	struct block blocks[];
};

_Static_assert(offsetof(struct stripe, blocks) == 64, "the diagram above");

/*
 * This thread's stripe, NULL until its first slow call and after its exit.
 * Set only where brackets need no barrier of their own: what the fast path
 * reads.
 */
extern __thread struct stripe *cubby__my_stripe
	__attribute__((tls_model("initial-exec")));

/* Do brackets begin with a full barrier? */
#ifdef __SANITIZE_THREAD__
#define STRIPE_FENCED true
#else
extern bool cubby__stripe_fenced;
#define STRIPE_FENCED cubby__stripe_fenced
#endif

/*
 * Choose the front end and reserve its stripes, once, under the registry lock.
 * Failure is no error: then, or with CUBBY_OPTIONS=front=none, there are none.
 * @on_exit: called on a thread that ends, outside of any bracket.
 */
void cubby__stripe_init(void (*on_exit)(struct stripe *stripe));

/* Does this process have stripes, of threads or CPUs? */
bool cubby__stripe_works(void);

/*
 * This thread's stripe, attached if need be; NULL if there is none to be had
 * or the thread is past its exit.
 */
struct stripe *cubby__stripe_mine(void);

/* The same, but NULL instead of attaching. */
struct stripe *cubby__stripe_current(void);

/* A number that this thread has in every front end, also in a fork child. */
uintptr_t cubby__stripe_self(void);

/* A block number for a cache, as an offset in bytes; 0: all are taken. */
uint32_t cubby__stripe_take_block(void);
void cubby__stripe_give_block(uint32_t offset_bytes);

/* Stripes of threads that were ever used, and number i of them. */
uint32_t cubby__stripe_n(void);
uint32_t cubby__stripe_number(const struct stripe *stripe);
struct stripe *cubby__stripe_at(uint32_t i);

/*
 * Wait until every bracket that began before the call has ended: 0, or -EBUSY
 * and the thread that did not end one in 100 ms (5 s if it is not stopped but
 * waits for a processor); at once if it is the calling thread, which then is in
 * a signal handler.  -EPERM if the kernel refuses the barrier.
 */
int cubby__stripe_wait(pid_t *ret_tid);

/*
 * The first half of that: brackets that begin later see what we stored.  false:
 * the kernel refuses.
 */
bool cubby__stripe_fence(void);

/* The second half: is the thread outside of any bracket that began before? */
static inline bool
stripe_is_idle(const struct stripe *stripe)
{
	/* Pairs with the release in stripe_leave(). */
	return __atomic_load_n(&stripe->busy, __ATOMIC_ACQUIRE) == 0;
}

/*
 * For fork.  _alone: there were no other threads.  _child: `bury` what they left,
 * and own it no more.
 */
void cubby__stripe_fork_prepare(void);
void cubby__stripe_fork_done(void);
void cubby__stripe_fork_alone(void);
void cubby__stripe_fork_child(void (*bury)(struct stripe *stripe));

static inline struct block *
stripe_block(struct stripe *stripe, uint32_t offset_bytes)
{
	return (struct block *)((char *)stripe->blocks + offset_bytes);
}

/* Begin a bracket: false if the thread is inside one: this is a handler. */
static inline bool
stripe_enter(struct stripe *stripe)
{
	if (unlikely(__atomic_load_n(&stripe->busy, __ATOMIC_RELAXED)))
		return false;
#ifdef __SANITIZE_THREAD__
	/* Which knows no fences; this is a barrier where it runs. */
	__atomic_exchange_n(&stripe->busy, 1, __ATOMIC_SEQ_CST);
#else
	__atomic_store_n(&stripe->busy, 1, __ATOMIC_RELAXED);
	if (STRIPE_FENCED)
		__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* The compiler's half of the barrier; membarrier is the other. */
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
#endif
	return true;
}

/* The same for cubby__my_stripe, which is NULL where brackets have a barrier. */
static inline bool
stripe_enter_unfenced(struct stripe *stripe)
{
	if (unlikely(__atomic_load_n(&stripe->busy, __ATOMIC_RELAXED)))
		return false;
	__atomic_store_n(&stripe->busy, 1, __ATOMIC_RELAXED);
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	return true;
}

static inline void
stripe_leave(struct stripe *stripe)
{
	__atomic_store_n(&stripe->busy, 0, __ATOMIC_RELEASE);
}

/* ---------------- one word of a block at a time, in a bracket ------------- */

static inline uint64_t
block_get(const uint64_t *word)
{
	return __atomic_load_n(word, __ATOMIC_RELAXED);
}

/* Release: a fork child sees no cursor without the cells and counts below it. */
static inline void
block_set(uint64_t *word, uint64_t cursor)
{
	__atomic_store_n(word, cursor, __ATOMIC_RELEASE);
}

/* Pop a cell: NULL if `loaded` is empty, or the block is block 0. */
static inline void *
block_pop(struct block *block, const char *magazines)
{
	uint64_t cursor = block_get(&block->loaded);
	void *object = *((void *const *)(magazines + cursor) - 1);

	if (likely(object != NULL))
		block_set(&block->loaded, cursor - 8);
	return object;
}

/* Push a cell by a cursor of a block: false if it is full, or of block 0. */
static inline bool
block_push_to(uint64_t *word, char *magazines, uint32_t full_mask,
	      void *object)
{
	uint64_t cursor = block_get(word);

	if (unlikely((cursor & full_mask) == 0))
		return false;
	*(void **)(magazines + cursor) = object;
	block_set(word, cursor + 8);
	return true;
}

static inline bool
block_push(struct block *block, char *magazines, uint32_t full_mask,
	   void *object)
{
	return block_push_to(&block->loaded, magazines, full_mask, object);
}

/* What `loaded` has, at most n, the top first: how many. */
static inline size_t
block_pop_many(struct block *block, size_t n, void **objects)
{
	uint64_t cursor = block_get(&block->loaded);
	void **top = (void **)(cubby__magazine_base + cursor);
	size_t i;

	for (i = 0; i < n && top[-1] != NULL; i++)
		objects[i] = *--top;
	if (i != 0)
		block_set(&block->loaded, cursor - i * sizeof(*top));
	return i;
}

/* Push objects, none of them NULL, until `loaded` is full: how many. */
static inline size_t
block_push_many(struct block *block, size_t n, void *const *objects)
{
	uint64_t cursor = block_get(&block->loaded);
	size_t i;

	for (i = 0; i < n && (cursor & FULL_MASK_OPEN) != 0; i++) {
		*(void **)(cubby__magazine_base + cursor) = objects[i];
		cursor += sizeof(void *);
	}
	if (i != 0)
		block_set(&block->loaded, cursor);
	return i;
}

#endif /* CUBBY__STRIPE_H */

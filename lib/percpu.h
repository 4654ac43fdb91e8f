/* SPDX-License-Identifier: MIT */
/*
 * LAYER 4: percpu - which front end runs, and one stripe for each CPU
 *
 * Theory
 *
 * The choice is made once per process, at its first cache, from what the C
 * library, the kernel and the user say; it is sealed then.
 *
 *	CUBBY_OPTIONS=front=    per CPU, if it can be had, by
 *	  auto, cpu             cpu_id: the number of the CPU
 *	  mmcid                 mm_cid: numbers that the kernel gives to the
 *	                        running threads of this process, the lowest first
 *	  thread, none          not
 *
 * Neither number is ever shared by two threads that run at once.  mm_cid touches
 * no more stripes than there are threads, or CPUs that they may run on.
 *
 * A thread that is not registered (somebody took it off, or made it without the
 * C library) has no sequences: nothing would send it back.  Its cpu_id is -1 or
 * -2.  So the number of the CPU is taken from that field,
 * which elsewhere equals cpu_id_start, and below stripe 0 lie two stripes of
 * zeroes for ever, where such a thread finds nothing and calls the slow path.
 * (To test cpu_id instead costs a tenth of the inline pair.)  mm_cid has no
 * such value: it is 0 there.  That is why it is not the default.
 *
 * In the two other front ends the words of the ABI lead to an area in
 * thread-local storage, and the gates of all caches to a block of zeroes, so
 * that inline code calls the library.  The number in that area is -1: so a copy
 * of the library that has made no cache also finds zeroes when it is given the
 * cache of another copy.
 *
 * All stripes are read-only zeroes at first.  The slow path makes a stripe
 * writable before it gives it its first magazine (R5); as long as the block is
 * zero no fast path writes.  What is never used is never touched, and stripes
 * cover every number that there can be, and 1,024 where there is room.
 *
 * A magazine is in hand while an exchange moves it.  The exchange counts itself
 * in the in_hand word of the block, on the CPU where it began, gated, and off on
 * the CPU where it ends, not gated.  So once the gate is closed and the fence is
 * over the sum over all stripes can only fall, and at 0 no magazine of the
 * cache is in hand.
 */
#ifndef CUBBY__PERCPU_H
#define CUBBY__PERCPU_H

#include "compiler.h"
#include "magazine.h"

#include <cubby/stats.h>

#include <sys/types.h>

/* Do CPUs have the stripes?  Constant after the first cache. */
extern bool cubby__percpu_works __attribute__((visibility("hidden")));

/* The words of the option, in order. */
enum percpu_wish {
	PERCPU_WISH_AUTO,
	PERCPU_WISH_CPU,
	PERCPU_WISH_MM_CID,
	PERCPU_WISH_THREAD,
	PERCPU_WISH_NONE
};

/* What the choice is made from. */
struct percpu_facts {
	uint64_t wish;
	bool built;          /* the library has sequences for this processor */
	bool proven;         /* they have run on real ones */
	bool tsan;           /* ThreadSanitizer watches the program */
	uint32_t rseq_bytes; /* cubby__cpu_rseq_bytes() */
	bool knows_rseq;     /* the C library does */
	int32_t cpu_id;      /* of this thread; negative: not registered */
	bool fences;         /* membarrier(2) does */
	bool fits; /* stripes for all CPUs, into the address budget */
};

/* The choice, as a pure function: an index other than NONE is per CPU. */
enum cubby_front_index
cubby__percpu_choose(const struct percpu_facts *facts,
		     enum cubby_front_reason *ret_reason);

/*
 * Choose, and set the ABI's words.  @take: address space for stripes of
 * n * bytes, or NULL; called only if all else is there.
 */
void cubby__percpu_init(uint64_t wish, char *(*take)(uint64_t bytes),
			uint64_t bytes_max);

/* The gate of the block at this offset; 0: the closed gate. */
uint64_t cubby__percpu_block(uint32_t offset_bytes);

enum cubby_front_index cubby__percpu_index(void);
enum cubby_front_reason cubby__percpu_reason(void);
uint64_t cubby__percpu_n_aborts(void);

/* Stripes that may have been written, and stripe i. */
uint32_t cubby__percpu_n(void);
char *cubby__percpu_stripe(uint32_t i);

/* Their number as the sequences read it. */
extern uint32_t cubby__percpu_n_stripes __attribute__((visibility("hidden")));

/*
 * The stripe of this CPU now; it may be another one's after the call.  Not a
 * number of a stripe if the thread is not registered.
 */
uint32_t cubby__percpu_number(void);

/*
 * A word of the block of this CPU, as it is now; the stripe is writable after
 * it, if that can be had.  0 if not, or if the gate is closed.
 */
uint64_t cubby__percpu_read(const uint64_t *gate, uint64_t word);

/*
 * An exchange that is under way, in the thread's own record.  A handler may fork
 * between the count and the record, whichever comes first.  So the fork does not
 * ask which: it counts every recorded exchange in `rest`, tells the slot so, and
 * sets its limit, which the counting sequences compare with their CPU's number,
 * to 0: they fail from then on.
 */
struct percpu_slot {
	volatile uint64_t word; /* the cache's id, and flags; 0: free */
	volatile uint32_t limit;
};

/*
 * Count an exchange of a cache in, and off.  NULL, and not counted, if its gate
 * is closed, or too many of this thread's are under way, one in the other's
 * handler.
 * @gate: of the cache; @opened: what that is when it is open.
 * @rest: counts those that no stripe can count.
 */
struct percpu_slot *cubby__percpu_enter(const uint64_t *gate, uint32_t cache,
					int64_t *rest);
void cubby__percpu_leave(struct percpu_slot *slot, const uint64_t *opened,
			 int64_t *rest);

/*
 * Could this thread begin an exchange now, as far as it and its CPU go?  Not
 * if it is not registered, all its slots are in use, or its stripe cannot be
 * made writable.
 */
bool cubby__percpu_may_enter(void);

/* Exchanges of the cache that are under way. */
int64_t cubby__percpu_n_in_hand(uint32_t block, const int64_t *rest);

/* Abort all sequences of the process: false if the kernel refuses. */
bool cubby__percpu_fence(void);

/*
 * Wait until no exchange of the cache is under way; its gate is closed.  0, or
 * -EBUSY: at once, and this thread, if it is in a handler and has one of any
 * cache's under way; after 100 ms, and 10 ms for each thread that wants to run,
 * if there is a stopped thread, and that; after 5 s, and 0.  Whose the exchange
 * is that does not end is not known.
 */
int cubby__percpu_wait(uint32_t block, const int64_t *rest, pid_t *ret_tid);

/*
 * In a fork child: the exchanges of the cache that are under way are the
 * forking thread's own.  true if there were others.
 */
bool cubby__percpu_forget(uint32_t cache, uint32_t block, int64_t *rest);

/* In a fork child, before that: this thread is another one for the kernel. */
void cubby__percpu_fork_child(void);

/* Does this thread have any under way? */
bool cubby__percpu_has_any(void);

#endif /* CUBBY__PERCPU_H */

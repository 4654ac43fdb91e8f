/* SPDX-License-Identifier: MIT */
/*
 * LAYER 3: granule - the process's address space, in pieces of 16 MiB
 *
 * Theory
 *
 * Whatever holds cells is aligned to a granule of 16 MiB and a multiple of it
 * long, so that one table with an entry per granule of user space answers
 * "whose is this address?" for every address that exists: shift by 24, one
 * load.  The table is reserved read-only and costs pages only where it was
 * written; an address that is nobody's reads a zero.
 *
 *	owners[address >> 24]    0                nobody
 *	                         id               a cache's own granule
 *	                         SHARED | n       shared granule number n
 *	ordinals[address >> 24]  which chunk of its cache the granule is
 *
 * Address budget.  Reservations are free, addresses are not: a process has
 * 2^47 of them and shares them with its host.  All reservations together stay
 * within a budget, and a cache whose need is unknown gets 1/1024 of what
 * remains.  Never ask for much and halve on failure: that takes the host's own
 * space.
 *
 *	a quarter     of user space, at most 32 TiB: 128 GiB where it is 39 bits
 *	64 GiB        under Valgrind 3.19, which gives a client 122 GiB in all
 *	2 TiB         under ThreadSanitizer, which leaves 3.4 TiB
 *	half of it    where RLIMIT_AS leaves less (all of it for a malloc)
 *	budget=SIZE   in CUBBY_OPTIONS, above all (qemu-user pays 200 MB of
 *	              host memory for each 32 GiB)
 *
 * One part in 64 of the budget is for bookkeeping, so that a cache that has
 * address space does not starve for want of a place for its records.
 *
 * Small budgets.  Under 4 GiB, and when less than 4 GiB are left of a larger
 * one, a granule a cache is too much.  Then new caches take single slabs from
 * shared granules: runs of units of 4 KiB (a page, where pages are larger), and
 * a second table inside the granule's record says whose each unit is.  So do
 * nurseries (host.h), in any budget.  Where the caches are sizes and not types, an
 * empty shared granule goes back, and its record waits for another.
 *
 * Blocks of malloc().  In passthrough objects lie where malloc() puts them, in
 * granules that are not ours.  A record of such a granule says whose each piece
 * of 16 bytes is; it is mapped when the first object is there, and stays.
 *
 * Retired ranges.  The range of a destroyed cache stays reserved and keeps its
 * owner in a FIFO of RETIRED_MAX entries: a late free into it is recognised,
 * and no other type gets the address soon.  When the budget is exhausted the
 * FIFO is emptied.
 *
 * Invariants:
 *   A1  the owner of every granule of a live range is its cache, and of a
 *       retired one too, until its cache's descriptor is used again
 *   A2  used_bytes is the sum of all reservations, and <= budget_bytes unless
 *       the table alone exceeds it; cell_bytes is the part of it that holds
 *       cells, and <= 63/64 of budget_bytes
 *   A3  a unit's bit is set if and only if its owner is not 0
 *   A4  retired_bytes is the sum over the retired ranges, and in used_bytes
 *
 * Locks: one, of rank LOCK_RANK_GRANULE, under every call but _find,
 * _unit_bytes and _budget_bytes; _find reads entries that are written before
 * their addresses are handed out.
 */
#ifndef CUBBY__GRANULE_H
#define CUBBY__GRANULE_H

#include "compiler.h"

#define GRANULE_SHIFT 24
#define GRANULE_BYTES ((uint64_t)1 << GRANULE_SHIFT)

/* Under this budget slabs come from shared granules. */
#define SMALL_BUDGET_BYTES ((uint64_t)4 << 30)

/* An address's owner, and the piece of the owner's that it is in. */
struct granule_owner {
	uint32_t id;      /* never 0 */
	uint32_t ordinal; /* 0 in a first range, else the chunk's number */
};

/*
 * Read the limits and reserve the table, at the first call; later ones repeat
 * its answer: 0 or -ENOMEM (then the next call tries again).
 */
int cubby__granule_init(void);

/* Should a new cache take single slabs from shared granules?  Can it? */
bool cubby__granule_wants_units(void);
bool cubby__granule_has_units(void);

/* For the statistics and tests. */
uint64_t cubby__granule_budget_bytes(void);
uint64_t cubby__granule_used_bytes(void);

/* How long the range of a cache that may grow for ever should be. */
uint64_t cubby__granule_default_range_bytes(void);

/*
 * Reserve whole granules for a cache: 0 and *ret_base, or -ENOMEM.
 * @bytes: a multiple of GRANULE_BYTES.
 */
int cubby__granule_take(uint64_t bytes, struct granule_owner owner,
			char **ret_base);

/* The reverse, at once: nobody's from now on.  Also of granules at its end. */
void cubby__granule_give(char *base, uint64_t bytes);

/* The same, of one granule, from and to malloc(): annotate.h says when. */
int cubby__granule_take_heap(struct granule_owner owner, char **ret_base);
void cubby__granule_give_heap(char *base);

/*
 * A block of malloc() is an object of this owner's, or nobody's if its id is 0:
 * 0, or -ENOMEM, which nobody never meets.  `start` is aligned to 16 bytes.
 */
int cubby__granule_set_block(const void *start, uint64_t bytes,
			     struct granule_owner owner);

/* The cache is gone: drop the pages, keep the addresses for a while. */
void cubby__granule_retire(char *base, uint64_t bytes);

/* Its descriptor gets a new cache: nobody owns its retired ranges now. */
void cubby__granule_forget(uint32_t id);

/* The same for a piece of a shared granule; bytes are rounded up to units. */
int cubby__granule_take_units(uint64_t bytes, struct granule_owner owner,
			      char **ret_base);
void cubby__granule_give_units(char *base, uint64_t bytes);
uint64_t cubby__granule_unit_bytes(void);

/* Address space for bookkeeping: budgeted, without an owner. */
int cubby__granule_take_plain(uint64_t bytes, char **ret_base);
void cubby__granule_give_plain(char *base, uint64_t bytes);

/*
 * The table itself, for who looks up often: a cache's id where the granule is
 * that cache's own; 0, or more than CACHES_MAX, where _find has to say.
 */
extern uint32_t *cubby__granule_table __attribute__((visibility("hidden")));
extern uint64_t cubby__granule_n __attribute__((visibility("hidden")));

/* In that table, and then in the one of the shared granule with this number. */
#define GRANULE_SHARED 0x80000000u
#define GRANULES_SHARED_MAX (SMALL_BUDGET_BYTES / GRANULE_BYTES)

extern struct granule_owner *cubby__granule_units[GRANULES_SHARED_MAX]
	__attribute__((visibility("hidden")));
extern unsigned cubby__granule_unit_shift
	__attribute__((visibility("hidden")));

static inline uint32_t
granule_id(const void *address)
{
	uint64_t i = (uintptr_t)address >> GRANULE_SHIFT;

	if (unlikely(i >=
		     __atomic_load_n(&cubby__granule_n, __ATOMIC_ACQUIRE)))
		return 0;
	return __atomic_load_n(&cubby__granule_table[i], __ATOMIC_ACQUIRE);
}

/* Where that was GRANULE_SHARED and a number: the unit's. */
static inline uint32_t
granule_unit_id(const void *address, uint32_t id)
{
	uint64_t unit = ((uintptr_t)address & (GRANULE_BYTES - 1)) >>
			cubby__granule_unit_shift;

	return __atomic_load_n(
		&cubby__granule_units[id & ~GRANULE_SHARED][unit].id,
		__ATOMIC_ACQUIRE);
}

/* Whose is the address?  false: nobody's.  Async-signal-safe. */
bool cubby__granule_find(const void *address, struct granule_owner *ret_owner);

/* Contradictions to A3 and A4, counted. */
size_t cubby__granule_verify(void);

/* For fork: hold the lock across it. */
void cubby__granule_fork_prepare(void);
void cubby__granule_fork_done(void);

#endif /* CUBBY__GRANULE_H */

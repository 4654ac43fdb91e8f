/* SPDX-License-Identifier: MIT */
/* LAYER 4: percpu - which front end runs, and one stripe for each CPU */
#include "percpu.h"

#include "annotate.h"
#include "bits.h"
#include "check.h"
#include "cpu.h"
#include "lock.h"
#include "os.h"
#include "rseq.h"
#include "task.h"

#include <errno.h>
#include <sched.h>
#include <unistd.h>

#define STRIPE_BYTES ((uint64_t)1 << CUBBY__STRIPE_SHIFT)

/* What a kernel can be built for, where it does not say what it has. */
#define CPUS_MAX 8192

/* A container may be told of fewer CPUs than it runs on. */
#define CPUS_MIN 1024

/* Offsets in the rseq area, which are the kernel's ABI. */
#define RSEQ_OFFSET_CPU_ID 4
#define RSEQ_OFFSET_CS 8
#define RSEQ_OFFSET_MM_CID 24

/* Below stripe 0, for the cpu_id of a thread without sequences: -1 and -2. */
#define GUARD_STRIPES 2

#define WAIT_NS (NS_PER_S / 10)
#define PATIENCE_NS (5 * NS_PER_S)
#define TURN_NS (NS_PER_S / 100) /* for each thread that wants to run */
#define YIELDS 100
#define NAP_NS 50000

/* Writable from the start, or as many as there are CPUs. */
#define STRIPES_FIRST 16

/* Exchanges of one thread at once: its own and those of nested handlers. */
#define HANDS_MAX 4

/* Of a slot's word, beside the cache's id. */
#define SLOT_TOLD ((uint64_t)1 << 32) /* by a fork: `rest` has it */
#define SLOT_OWES ((uint64_t)1 << 33) /* could not count itself off */

#define COUNT_TRIES 64

bool cubby__percpu_works;
uint32_t cubby__percpu_n_stripes;

struct cubby__fast_abi cubby__rseq_abi;
struct cubby__fast_abi cubby__fast_abi_1;

static char *stripes;
static uint32_t n_most;
static enum cubby_front_index index_kind;
static enum cubby_front_reason reason;

/*
 * What inline code reads where CPUs have no stripes, and, in another copy of the
 * library, before its first cache: a number that leads to zeroes from the gate of
 * any cache of any copy.
 */
static __thread struct {
	int64_t id;
	uint64_t rseq_cs;
} no_rseq __attribute__((tls_model("initial-exec"))) = { .id = -1 };

/* A block, and what is before it by one stripe; never touched. */
static uint64_t zeroes[(STRIPE_BYTES + BLOCK_BYTES) / 8];

static __thread struct percpu_slot slots[HANDS_MAX]
	__attribute__((tls_model("initial-exec")));

/* --------------------------------- stripes -------------------------------- */

uint32_t
cubby__percpu_n(void)
{
	return __atomic_load_n(&cubby__percpu_n_stripes, __ATOMIC_ACQUIRE);
}

char *
cubby__percpu_stripe(uint32_t i)
{
	return stripes + i * STRIPE_BYTES;
}

/*
 * Make stripes writable, this one and more (R5): as many as there are twice.
 * Any number of threads may do it at once.
 */
static COLD bool
make_writable(uint32_t number)
{
	uint32_t n = cubby__percpu_n();
	uint32_t wanted = (uint32_t)max_u64(n, 1);

	if (number >= n_most)
		return false;
	while (wanted <= number)
		wanted = 2 * wanted;
	wanted = (uint32_t)min_u64(wanted, n_most);
	if (cubby__os_commit(stripes + n * STRIPE_BYTES,
			     (wanted - n) * STRIPE_BYTES) != 0)
		return false;
	while (n < wanted && !__atomic_compare_exchange_n(
				     &cubby__percpu_n_stripes, &n, wanted,
				     true, __ATOMIC_RELEASE, __ATOMIC_RELAXED))
		;
	return true;
}

/* --------------------------------- choice --------------------------------- */

enum cubby_front_index
cubby__percpu_choose(const struct percpu_facts *facts,
		     enum cubby_front_reason *ret_reason)
{
	bool asked = facts->wish == PERCPU_WISH_CPU ||
		     facts->wish == PERCPU_WISH_MM_CID;
	bool has_mm_cid = facts->rseq_bytes >= RSEQ_BYTES_MM_CID;

	*ret_reason = CUBBY_FRONT_REASON_OPTION;
	if (facts->wish == PERCPU_WISH_THREAD ||
	    facts->wish == PERCPU_WISH_NONE)
		return CUBBY_FRONT_INDEX_NONE;
	if (!facts->built)
		*ret_reason = CUBBY_FRONT_REASON_NOT_BUILT;
	else if (facts->tsan)
		*ret_reason = CUBBY_FRONT_REASON_TSAN;
	else if (!facts->proven && !asked)
		*ret_reason = CUBBY_FRONT_REASON_NOT_PROVEN;
	else if (!facts->knows_rseq)
		*ret_reason = CUBBY_FRONT_REASON_C_LIBRARY;
	else if (facts->rseq_bytes < RSEQ_BYTES_CPU_ID)
		*ret_reason = CUBBY_FRONT_REASON_NO_RSEQ;
	else if (facts->cpu_id < 0)
		*ret_reason = CUBBY_FRONT_REASON_NOT_REGISTERED;
	else if (!facts->fences)
		*ret_reason = CUBBY_FRONT_REASON_NO_MEMBARRIER;
	else if (!facts->fits)
		*ret_reason = CUBBY_FRONT_REASON_CPUS;
	else if (facts->wish == PERCPU_WISH_MM_CID && !has_mm_cid)
		*ret_reason = CUBBY_FRONT_REASON_NO_MM_CID;
	else {
		if (!asked)
			*ret_reason = CUBBY_FRONT_REASON_BEST;
		return facts->wish == PERCPU_WISH_MM_CID ?
			       CUBBY_FRONT_INDEX_MM_CID :
			       CUBBY_FRONT_INDEX_CPU;
	}
	return CUBBY_FRONT_INDEX_NONE;
}

static char *
thread_pointer(void)
{
	char *pointer;

#if defined(__x86_64__)
	__asm__("movq %%fs:0, %0" : "=r"(pointer));
#elif defined(__aarch64__)
	__asm__("mrs %0, tpidr_el0" : "=r"(pointer));
#else
	pointer = NULL;
#endif
	return pointer;
}

static uint32_t
read_rseq(int64_t offset)
{
	return __atomic_load_n((uint32_t *)(thread_pointer() + offset),
			       __ATOMIC_RELAXED);
}

/* Inline code finds a block of zeroes, and NULL below its cursor. */
static void
set_no_rseq(void)
{
	cubby__rseq_abi.cs_offset = (char *)&no_rseq.rseq_cs -
				    thread_pointer();
	cubby__rseq_abi.id_offset = (char *)&no_rseq.id - thread_pointer();
	cubby__rseq_abi.magazines = (char *)&zeroes[1];
	cubby__fast_abi_1 = cubby__rseq_abi;
}

static void
set_rseq(int64_t area_offset)
{
	cubby__rseq_abi.cs_offset = area_offset + RSEQ_OFFSET_CS;
	cubby__rseq_abi.id_offset = area_offset +
				    (index_kind == CUBBY_FRONT_INDEX_MM_CID ?
					     RSEQ_OFFSET_MM_CID :
					     RSEQ_OFFSET_CPU_ID);
	cubby__rseq_abi.magazines = cubby__magazine_base;
	cubby__fast_abi_1 = cubby__rseq_abi;
}

uint64_t
cubby__percpu_block(uint32_t offset_bytes)
{
	return stripes != NULL ? (uintptr_t)stripes + offset_bytes :
				 (uintptr_t)zeroes + STRIPE_BYTES;
}

static bool
is_registered(void)
{
	return (int32_t)read_rseq(cubby__cpu_rseq_offset() +
				  RSEQ_OFFSET_CPU_ID) >= 0;
}

static void
gather_facts(struct percpu_facts *facts)
{
	facts->built = RSEQ_WORKS;
#if defined(__x86_64__)
	facts->proven = true;
#endif
	facts->tsan = cubby__annotate_on_tsan();
	facts->knows_rseq = cubby__cpu_knows_rseq();
	facts->rseq_bytes = cubby__cpu_rseq_bytes();
	facts->cpu_id = -1;
	if (facts->rseq_bytes >= RSEQ_BYTES_CPU_ID)
		facts->cpu_id = (int32_t)read_rseq(cubby__cpu_rseq_offset() +
						   RSEQ_OFFSET_CPU_ID);
	facts->fences = cubby__cpu_rseq_fence_ready();
}

void
cubby__percpu_init(uint64_t wish, char *(*take)(uint64_t bytes),
		   uint64_t bytes_max)
{
	struct percpu_facts facts = { .wish = wish };
	uint32_t n_possible = cubby__cpu_n_possible();
	uint64_t n_fit = bytes_max / STRIPE_BYTES;
	char *taken = NULL;
	uint64_t bytes;

	gather_facts(&facts);
	n_possible = n_possible != 0 ? n_possible : CPUS_MAX;
	facts.fits = n_possible + GUARD_STRIPES <= n_fit;
	n_most = n_possible;
	if (CPUS_MIN + GUARD_STRIPES <= n_fit)
		n_most = (uint32_t)max_u64(n_most, CPUS_MIN);
	bytes = (n_most + GUARD_STRIPES) * STRIPE_BYTES;
	set_no_rseq();
	index_kind = cubby__percpu_choose(&facts, &reason);
	if (index_kind != CUBBY_FRONT_INDEX_NONE) {
		taken = take(bytes);
		stripes = taken + GUARD_STRIPES * STRIPE_BYTES;
		if (taken == NULL ||
		    !make_writable(min_u64(n_possible, STRIPES_FIRST) - 1)) {
			stripes = NULL;
			index_kind = CUBBY_FRONT_INDEX_NONE;
			reason = CUBBY_FRONT_REASON_NO_MEMORY;
		}
	}
	if (index_kind == CUBBY_FRONT_INDEX_NONE)
		return;
	set_rseq(cubby__cpu_rseq_offset());
	cubby__percpu_works = true;
}

/*
 * As it is loaded.  Pinned not at the first cache, as that may be made under a
 * lock of the loader's; but the words may be set already: one was made by a
 * constructor that ran before.
 */
__attribute__((constructor(101))) static void
begin(void)
{
	cubby__inline_pin((const void *)begin);
	if (!cubby__percpu_works)
		set_no_rseq();
}

enum cubby_front_index
cubby__percpu_index(void)
{
	return index_kind;
}

enum cubby_front_reason
cubby__percpu_reason(void)
{
	return reason;
}

uint64_t
cubby__percpu_n_aborts(void)
{
	return __atomic_load_n(&cubby__rseq_abi.n_aborts, __ATOMIC_RELAXED) +
	       __atomic_load_n(&cubby__fast_abi_1.n_aborts, __ATOMIC_RELAXED);
}

uint32_t
cubby__percpu_number(void)
{
	uint32_t number = read_rseq(cubby__rseq_abi.id_offset);

	/* cpu_id itself says so by a negative number. */
	if (unlikely(
		    (int32_t)number < 0 ||
		    (index_kind != CUBBY_FRONT_INDEX_CPU && !is_registered())))
		return UINT32_MAX;
	return number;
}

/* -------------------------------- exchanges ------------------------------- */

#ifdef CUBBY_DEBUG
static __thread pid_t my_tid __attribute__((tls_model("initial-exec")));

/* After vfork, clone(CLONE_VM) or _Fork the rseq area is somebody else's. */
static void
check_thread(void)
{
	pid_t none = 0, seen;
	bool same;

	/* A handler may fork at any step; the child has set it then. */
	__atomic_compare_exchange_n(&my_tid, &none, gettid(), false,
				    __ATOMIC_RELAXED, __ATOMIC_RELAXED);
	do {
		seen = __atomic_load_n(&my_tid, __ATOMIC_RELAXED);
		same = seen == gettid();
	} while (!same && seen != __atomic_load_n(&my_tid, __ATOMIC_RELAXED));
	CHECK_DEBUG(same || cubby__lock_holds_all());
}

void
cubby__percpu_fork_child(void)
{
	__atomic_store_n(&my_tid, gettid(), __ATOMIC_RELAXED);
}
#else
static inline void
check_thread(void)
{
}

void
cubby__percpu_fork_child(void)
{
}
#endif

static inline struct block *
block_of(uint32_t number, uint32_t offset_bytes)
{
	return (struct block *)(cubby__percpu_stripe(number) + offset_bytes);
}

uint64_t
cubby__percpu_read(const uint64_t *gate, uint64_t word)
{
	uint64_t block = __atomic_load_n(gate, __ATOMIC_ACQUIRE);
	uint32_t number = cubby__percpu_number();

	if (unlikely(number >= cubby__percpu_n()) && !make_writable(number))
		return 0;
	block += (uint64_t)number << CUBBY__STRIPE_SHIFT;
	return __atomic_load_n((uint64_t *)(block + word), __ATOMIC_RELAXED);
}

#define WORD_IN_HAND offsetof(struct block, in_hand)

/*
 * Add to the counter on whatever CPU this is: false if the gate is closed, if a
 * fork has told the slot, or if it cannot be.
 */
static bool
count(struct percpu_slot *slot, const uint64_t *gate, uint64_t difference)
{
	const uint64_t closed = (uintptr_t)stripes;

	/* Each further turn is one that was preempted and met another. */
	for (unsigned i = 0; i < COUNT_TRIES; i++) {
		uint64_t seen = cubby__percpu_read(gate, WORD_IN_HAND);
		uint64_t note;

		slot->limit = cubby__percpu_n();
		__atomic_signal_fence(__ATOMIC_SEQ_CST);
		if (slot->word & SLOT_TOLD) {
			slot->limit = 0;
			return false;
		}
		if (rseq_replace(gate, &closed, (uint32_t *)&slot->limit,
				 WORD_IN_HAND, seen, seen + difference, &note))
			return true;
		if (__atomic_load_n(gate, __ATOMIC_RELAXED) == closed)
			return false;
	}
	return false;
}

/*
 * Give a slot back: what a fork, or nobody else, counted is counted off.  That
 * is rare, and two steps: no handler may fork or quiesce between them.
 */
static void
give_slot(struct percpu_slot *slot, int64_t *rest)
{
	uint64_t cache = (uint32_t)slot->word;
	sigset_t saved;

	if (likely(__atomic_compare_exchange_n(&slot->word, &cache, 0, false,
					       __ATOMIC_RELAXED,
					       __ATOMIC_RELAXED)))
		return;
	cubby__lock_block_signals(&saved);
	__atomic_sub_fetch(rest, 1, __ATOMIC_RELEASE);
	slot->word = 0;
	cubby__lock_restore_signals(&saved);
}

bool
cubby__percpu_may_enter(void)
{
	uint32_t number = cubby__percpu_number();

	for (unsigned i = 0; i < HANDS_MAX; i++)
		if (slots[i].word == 0)
			return number < cubby__percpu_n() ||
			       make_writable(number);
	return false;
}

struct percpu_slot *
cubby__percpu_enter(const uint64_t *gate, uint32_t cache, int64_t *rest)
{
	struct percpu_slot *slot = slots;

	check_thread();
	while (slot < slots + HANDS_MAX && slot->word != 0)
		slot++;
	if (unlikely(slot == slots + HANDS_MAX))
		return NULL;
	/* A handler that took the same one meanwhile has given it back. */
	slot->word = cache;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	if (likely(count(slot, gate, 1)) || (slot->word & SLOT_TOLD))
		return slot;
	give_slot(slot, rest);
	return NULL;
}

void
cubby__percpu_leave(struct percpu_slot *slot, const uint64_t *opened,
		    int64_t *rest)
{
	/* A commit is a release: what the exchange did is visible before. */
	if (unlikely(!count(slot, opened, (uint64_t)-1)))
		slot->word |= SLOT_OWES;
	__atomic_signal_fence(__ATOMIC_SEQ_CST);
	give_slot(slot, rest);
}

bool
cubby__percpu_has_any(void)
{
	for (unsigned i = 0; i < HANDS_MAX; i++)
		if (slots[i].word != 0)
			return true;
	return false;
}

int64_t
cubby__percpu_n_in_hand(uint32_t block, const int64_t *rest)
{
	uint32_t n = cubby__percpu_n();
	uint64_t sum = (uint64_t)__atomic_load_n(rest, __ATOMIC_ACQUIRE);

	for (uint32_t i = 0; i < n; i++)
		sum += __atomic_load_n(&block_of(i, block)->in_hand,
				       __ATOMIC_ACQUIRE);
	return (int64_t)sum;
}

bool
cubby__percpu_fence(void)
{
	return cubby__cpu_rseq_fence_all();
}

int
cubby__percpu_wait(uint32_t block, const int64_t *rest, pid_t *ret_tid)
{
	uint64_t now = 0, first_ns = 0;
	uint64_t next_ns = WAIT_NS; /* when to look at the threads */
	unsigned n_yields = 0, n_want_to_run;

	*ret_tid = 0;
	while (cubby__percpu_n_in_hand(block, rest) != 0) {
		/* Who has something in hand may be who the other waits for. */
		if (cubby__percpu_has_any()) {
			*ret_tid = gettid();
			return -EBUSY;
		}
		now = cubby__os_now_ns();
		first_ns = first_ns != 0 ? first_ns : now;
		if (now - first_ns >= next_ns) {
			*ret_tid = cubby__task_find_stopped(&n_want_to_run);
			if (next_ns >= PATIENCE_NS)
				return -EBUSY;
			/* Who is only crowded out has had his turn by then. */
			if (*ret_tid != 0 &&
			    now - first_ns >=
				    WAIT_NS + n_want_to_run * TURN_NS)
				return -EBUSY;
			next_ns = min_u64(next_ns + WAIT_NS, PATIENCE_NS);
		}
		/* A real-time thread must sleep for others to run. */
		if (n_yields++ < YIELDS)
			sched_yield();
		else
			cubby__os_nap(NAP_NS);
	}
	return 0;
}

bool
cubby__percpu_forget(uint32_t cache, uint32_t block, int64_t *rest)
{
	int64_t n_before = cubby__percpu_n_in_hand(block, rest);
	uint32_t n = cubby__percpu_n();

	/* A word that is 0 already stays: no page is copied for it. */
	for (uint32_t i = 0; i < n; i++)
		if (block_of(i, block)->in_hand != 0)
			block_of(i, block)->in_hand = 0;
	*rest = 0;
	for (unsigned i = 0; i < HANDS_MAX; i++) {
		if ((uint32_t)slots[i].word != cache)
			continue;
		/* Whether it has counted itself or not, in or off, we do. */
		slots[i].word |= SLOT_TOLD;
		slots[i].limit = 0;
		++*rest;
	}
	return n_before != *rest;
}

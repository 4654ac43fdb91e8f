/* SPDX-License-Identifier: MIT */
/*
 * Every sequence, run as plain code on blocks of our own: each must do what
 * lib/rseq.h says.  So they can be tried where no kernel restarts them, as under
 * qemu-user.  Memory is taken away in turn, for a fault in the middle of a
 * sequence: the handler does what a kernel does when it preempts.
 */
#define _GNU_SOURCE
#include "rseq.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <ucontext.h>

#define STRIPE_BYTES ((size_t)1 << CUBBY__STRIPE_SHIFT)
#define N_GUARDS 2
#define N_STRIPES 3          /* the last is beyond n_stripes */
#define PAGE ((size_t)65536) /* of any kernel */
#define BLOCK 32             /* offset of the cache's block */
#define DEFERRED offsetof(struct block, deferred)
#define CAPACITY 5
#define FULL_CURSOR ((uint64_t)3 * MAGAZINE_BYTES)

#if defined(__x86_64__)
#define SIGNATURE 0x53053053
#define PC(context) ((context)->uc_mcontext.gregs[REG_RIP])
#define THREAD_POINTER(p) __asm__("movq %%fs:0, %0" : "=r"(p))
#else
#define SIGNATURE 0xd428bc00
#define PC(context) ((context)->uc_mcontext.pc)
#define THREAD_POINTER(p) __asm__("mrs %0, tpidr_el0" : "=r"(p))
#endif

struct descriptor {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

struct cubby__fast_abi cubby__rseq_abi;

static __thread struct {
	int32_t id;
	const struct descriptor *volatile cs;
} area;

static uint64_t *gate; /* a page of its own, as the next three have */
static void **objects;
static char *magazines;
static char *stripes;
static uint64_t closed;
static uint32_t n_stripes = N_STRIPES - 1;
static const uint32_t mask = FULL_MASK_OPEN, no_mask;

/* What is taken away while a sequence runs, until it is missed. */
static struct {
	void *memory;
	int protection;
} less;
static bool is_less;
static unsigned n_restarts;
static unsigned n_cases;

#define EXPECT(condition)                                                     \
	do {                                                                  \
		if (condition)                                                \
			break;                                                \
		printf("not ok - %s:%d: %s\n", __func__, __LINE__,            \
		       #condition);                                           \
		exit(1);                                                      \
	} while (0)

static void
take_away(void)
{
	is_less = less.memory != NULL;
	if (is_less)
		EXPECT(mprotect(less.memory, PAGE, less.protection) == 0);
}

static void
give_back(void)
{
	if (is_less)
		EXPECT(mprotect(less.memory, PAGE, PROT_READ | PROT_WRITE) ==
		       0);
	is_less = false;
}

#define RUN(sequence)                                                         \
	__extension__({                                                       \
		__typeof__(sequence) result_;                                 \
		take_away();                                                  \
		result_ = sequence;                                           \
		give_back();                                                  \
		result_;                                                      \
	})

static void
preempt(int signal UNUSED, siginfo_t *info UNUSED, void *context)
{
	const struct descriptor *cs = area.cs;
	uint64_t pc = (uint64_t)PC((ucontext_t *)context);
	uint32_t signature;

	EXPECT(is_less && cs != NULL);
	EXPECT(cs->version == 0 && cs->flags == 0);
	EXPECT(pc >= cs->start && pc < cs->start + cs->length);
	memcpy(&signature, (const char *)cs->abort - 4, 4);
	EXPECT(signature == SIGNATURE);
	give_back();
	area.cs = NULL;
	n_restarts++;
	PC((ucontext_t *)context) = cs->abort;
}

static void *
pages(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			    0);

	EXPECT(memory != MAP_FAILED);
	return memory;
}

static void
set_up(void)
{
	struct sigaction action = { .sa_sigaction = preempt,
				    .sa_flags = SA_SIGINFO };
	char *pointer;

	THREAD_POINTER(pointer);
	cubby__rseq_abi.cs_offset = (char *)&area.cs - pointer;
	cubby__rseq_abi.id_offset = (char *)&area.id - pointer;
	gate = pages(PAGE);
	objects = pages(PAGE);
	magazines = (char *)pages(2 * PAGE) + PAGE; /* NULL below the base */
	cubby__rseq_abi.magazines = magazines;
	stripes = pages((N_GUARDS + N_STRIPES) * STRIPE_BYTES);
	stripes += N_GUARDS * STRIPE_BYTES;
	closed = (uintptr_t)stripes;
	EXPECT(sigaction(SIGSEGV, &action, NULL) == 0);
}

static uint64_t *
word(int32_t stripe, size_t at)
{
	return (uint64_t *)(stripes + stripe * (int64_t)STRIPE_BYTES + BLOCK +
			    at);
}

/* All stripes zero, the gate open, n cells in a magazine that word has. */
static void
reset(int32_t stripe, size_t at, unsigned n)
{
	memset(stripes - N_GUARDS * STRIPE_BYTES, 0,
	       (N_GUARDS + N_STRIPES) * STRIPE_BYTES);
	memset(magazines, 0, PAGE);
	for (unsigned i = 0; i < PAGE / sizeof(*objects); i++)
		objects[i] = NULL;
	*gate = (uintptr_t)stripes + BLOCK;
	*word(stripe, at) = FULL_CURSOR - 8 * (CAPACITY - n);
	for (uintptr_t i = 0; i < n; i++)
		memcpy(magazines + FULL_CURSOR - 8 * (CAPACITY - i),
		       &(uintptr_t){ 100 + i }, 8);
	area.id = stripe;
	area.cs = NULL;
}

static uintptr_t
cell(unsigned i)
{
	uintptr_t value;

	memcpy(&value, magazines + FULL_CURSOR - 8 * (CAPACITY - i), 8);
	return value;
}

/* How many cells the word says there are. */
static uint64_t
count(int32_t stripe, size_t at)
{
	return CAPACITY - (FULL_CURSOR - *word(stripe, at)) / 8;
}

/* ---------------------------- what they all do ---------------------------- */

static bool
pop(void)
{
	void *object = NULL;
	bool done = RUN(cubby__rseq_pop(gate, &object));

	EXPECT(!done || object == (void *)102);
	EXPECT(!done || count(area.id, 0) == 2);
	return done;
}

static bool
push(void)
{
	bool done = RUN(cubby__rseq_push(gate, &mask, (void *)103));

	EXPECT(!done || (count(area.id, 0) == 4 && cell(3) == 103));
	return done;
}

static bool
push_deferred(void)
{
	bool done;

	*word(area.id >= 0 ? area.id : 0,
	      DEFERRED) = *word(area.id >= 0 ? area.id : 0, 0);
	done = RUN(rseq_push_deferred(gate, &mask, (void *)103));
	EXPECT(!done || (count(area.id, DEFERRED) == 4 && cell(3) == 103 &&
			 count(area.id, 0) == 3));
	return done;
}

static bool
pop_many(void)
{
	size_t n = RUN(rseq_pop_many(gate, 2, objects));

	EXPECT(n == 0 || n == 2);
	EXPECT(n == 0 ||
	       (objects[0] == (void *)102 && objects[1] == (void *)101 &&
		objects[2] == NULL && count(area.id, 0) == 1));
	return n != 0;
}

static bool
push_many(void)
{
	void *more[] = { (void *)103, (void *)104, (void *)105 };
	size_t n = RUN(rseq_push_many(gate, &mask, 3, more));

	EXPECT(n == 0 || n == 2);
	EXPECT(n == 0 || (cell(3) == 103 && cell(4) == 104 &&
			  *word(area.id, 0) == FULL_CURSOR));
	return n != 0;
}

static bool
replace(void)
{
	/* What is there, gate closed or not: not for that must it refuse. */
	uint64_t seen = *(uint64_t *)(*gate + area.id * STRIPE_BYTES);
	uint64_t *note = (uint64_t *)objects;
	bool done = RUN(
		rseq_replace(gate, &closed, &n_stripes, 0, seen, 77, note));

	EXPECT(!done || (*word(area.id, 0) == 77 && *note == seen));
	return done;
}

static const struct {
	const char *name;
	bool (*run)(void);
} all[] = {
	{ "pop", pop },           { "push", push },
	{ "pop_many", pop_many }, { "push_many", push_many },
	{ "replace", replace },   { "push_deferred", push_deferred },
};

static void
try_all(const char *what, int32_t stripe, int32_t id, bool is_open, bool works)
{
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		reset(stripe, 0, 3);
		area.id = id;
		if (!is_open)
			*gate = closed;
		if (all[i].run() != works) {
			printf("not ok - %s %s\n", all[i].name, what);
			exit(1);
		}
		n_cases++;
	}
}

static void
try_restarts(const char *what, void *memory, int protection, unsigned n_wanted)
{
	unsigned n_before = n_restarts;

	less.memory = memory;
	less.protection = protection;
	for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
		reset(1, 0, 3);
		EXPECT(all[i].run());
		n_cases++;
	}
	less.memory = NULL;
	printf("# %s: %u restarts\n", what, n_restarts - n_before);
	EXPECT(n_restarts - n_before == n_wanted);
	EXPECT(cubby__rseq_abi.n_aborts == n_restarts);
}

/* ------------------------- what one of them does -------------------------- */

static void
ends_are_seen(void)
{
	void *object;

	reset(0, 0, 0);
	EXPECT(!cubby__rseq_pop(gate, &object));
	EXPECT(rseq_pop_many(gate, 9, objects) == 0);
	reset(0, 0, 3);
	EXPECT(rseq_pop_many(gate, 9, objects) == 3 && count(0, 0) == 0);
	EXPECT(objects[2] == (void *)100);
	reset(0, 0, CAPACITY);
	EXPECT(!cubby__rseq_push(gate, &mask, &object));
	EXPECT(rseq_push_many(gate, &mask, 1, objects) == 0);
	EXPECT(rseq_pop_many(gate, 0, objects) == 0);
	reset(0, 0, 1);
	EXPECT(!cubby__rseq_push(gate, &no_mask, &object));
	EXPECT(rseq_push_many(gate, &no_mask, 1, objects) == 0);
	EXPECT(count(0, 0) == 1);
	n_cases += 8;
}

static void
replace_compares(void)
{
	uint64_t note = 1;

	reset(1, DEFERRED, 3);
	EXPECT(!rseq_replace(gate, &closed, &n_stripes, DEFERRED, 5, 6,
			     &note));
	EXPECT(note == 1 && count(1, DEFERRED) == 3);
	EXPECT(rseq_replace(gate, &closed, &n_stripes, 8, 0, 6, &note));
	EXPECT(note == 0 && *word(1, 8) == 6 && count(1, DEFERRED) == 3);
	n_cases += 2;
}

int
main(void)
{
	set_up();
	try_all("on stripe 0", 0, 0, true, true);
	try_all("on stripe 1", 1, 1, true, true);
	try_all("with a closed gate", 0, 0, false, false);
	try_all("without rseq", 0, -1, true, false);
	try_all("with rseq refused", 0, -2, true, false);
	ends_are_seen();
	replace_compares();
	reset(N_STRIPES - 1, 0, 3);
	EXPECT(!replace()); /* no such stripe yet */
	try_restarts("no gate", gate, PROT_NONE, 6);
	try_restarts("no cells", magazines, PROT_NONE, 5);
	try_restarts("no block", word(1, 0) - BLOCK / 8, PROT_NONE, 6);
	try_restarts("no commit", word(1, 0) - BLOCK / 8, PROT_READ, 6);
	printf("ok - %u cases, %u restarts\n", n_cases, n_restarts);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 4: rseq - restartable sequences on the blocks of the CPUs
 *
 * Theory
 *
 * Where there are restartable sequences, stripe i belongs to whoever runs on
 * CPU i, and every change of a block is one sequence that ends in one store.
 * If the thread is preempted, migrated or signalled before that store, or
 * fenced by a drainer, the kernel sends it back to the start.  So:
 *
 *   R1  one commit is one store of one word; what a sequence writes before it
 *       is of no meaning unless it commits
 *   R2  the gate is read inside the sequence: a sequence that began before a
 *       drainer's fence has committed or begins again, and sees it closed
 *   R3  no C code edits a block that a sequence may be editing
 *   R4  block 0 is never written: it is where a closed gate leads to.  A
 *       sequence that changes nothing must not commit, and one that cannot
 *       tell by a NULL or "full" tests the gate
 *   R5  a stripe is written only if its number is below n_stripes, which is
 *       read inside as well; before that it is read-only memory of zeroes
 *
 * pop and push are those of <cubby/inline/x86_64.h> or aarch64.h, one text for
 * the library and for programs.  The other sequences are in rseq_x86_64.h and
 * rseq_aarch64.h.  In words:
 *
 * replace(word, seen, with, note)        all the slow steps are this one
 *
 *	number = id field; fail if number >= n_stripes, or negative
 *	gate = *gate_word; fail if it is closed
 *	block = gate + (number << shift)
 *	fail if block->word != seen
 *	*note = seen
 *	commit: block->word = with
 *
 *   take `previous`   replace(previous, seen, 0)
 *   load a magazine   replace(loaded, seen, its cursor)
 *   put into previous replace(previous, 0, its cursor)
 *   enter, leave      replace(in_hand, n, n + 1), replace(in_hand, n, n - 1)
 *
 * pop_many(n, objects)
 *
 *	cursor = block->loaded
 *	copy what is below cursor, top first, until NULL or n are copied
 *	fail if none
 *	commit: block->loaded = cursor - 8 * copied
 *
 * push_many(n, objects)
 *
 *	cursor = block->loaded
 *	copy objects to cursor and up, until (cursor & full_mask) == 0 or n
 *	fail if none
 *	commit: block->loaded = cursor + 8 * copied
 *
 * push_deferred(object): push, into the magazine of the third cursor; for frees
 * that wait for a grace period.
 *
 * A sequence in progress is not a step for anybody else: between two of them
 * anything may happen, a whole allocation in a signal handler, a migration.
 *
 * Source: P. Turner and A. Hunter, Restartable Sequences, Linux Plumbers 2013;
 * M. Desnoyers, rseq(2), 2018.
 */
#ifndef CUBBY__RSEQ_H
#define CUBBY__RSEQ_H

#include "compiler.h"
#include "magazine.h"

/* The library's own copy of cubby__fast_abi_1. */
extern struct cubby__fast_abi cubby__rseq_abi
	__attribute__((visibility("hidden")));

#ifdef CUBBY_RSEQ_DELAY
/* Test builds: so many turns of a loop between any two steps. */
#define RSEQ_TEXT_(x) #x
#define RSEQ_TEXT(x) RSEQ_TEXT_(x)
#if defined(__x86_64__)
#define CUBBY__STEP                                                           \
	"movl $" RSEQ_TEXT(CUBBY_RSEQ_DELAY) ", %%r11d\n"                     \
					     "77:\n\t"                        \
					     "subl $1, %%r11d\n\t"            \
					     "jnz 77b\n\t"
#define CUBBY__STEP_CLOBBER "r11"
#else
#define CUBBY__STEP                                                           \
	"mov w15, #" RSEQ_TEXT(CUBBY_RSEQ_DELAY) "\n"                         \
						 "77:\n\t"                    \
						 "subs w15, w15, #1\n\t"      \
						 "b.ne 77b\n\t"
#define CUBBY__STEP_CLOBBER "x15"
#endif
#endif

#define CUBBY__ABI cubby__rseq_abi
#define CUBBY__WORD(gate, member) (cubby__rseq_abi.member)
#if defined(__SANITIZE_THREAD__)
/* TSan sees neither the sequences nor what they order. */
#define RSEQ_WORKS false
#elif defined(__x86_64__) && defined(__LP64__)
#include <cubby/inline/x86_64.h>
#include "rseq_x86_64.h"
#define RSEQ_WORKS true
#elif defined(__aarch64__) && defined(__LP64__) && defined(__AARCH64EL__)
#include <cubby/inline/aarch64.h>
#include "rseq_aarch64.h"
#define RSEQ_WORKS true
#else
#define RSEQ_WORKS false
#endif

#if !RSEQ_WORKS
/* Never called: percpu.c finds that there are none. */
static inline bool
cubby__rseq_pop(const uint64_t *gate UNUSED, void **ret_object UNUSED)
{
	return false;
}

static inline bool
cubby__rseq_push(const uint64_t *gate UNUSED, const uint32_t *full_mask UNUSED,
		 void *object UNUSED)
{
	return false;
}

static inline bool
rseq_replace(const uint64_t *gate UNUSED, const uint64_t *closed UNUSED,
	     const uint32_t *n_stripes UNUSED, uint64_t word UNUSED,
	     uint64_t seen UNUSED, uint64_t with UNUSED, uint64_t *note UNUSED)
{
	return false;
}

static inline size_t
rseq_pop_many(const uint64_t *gate UNUSED, size_t n UNUSED,
	      void **objects UNUSED)
{
	return 0;
}

static inline size_t
rseq_push_many(const uint64_t *gate UNUSED, const uint32_t *full_mask UNUSED,
	       size_t n UNUSED, void *const *objects UNUSED)
{
	return 0;
}

static inline bool
rseq_push_deferred(const uint64_t *gate UNUSED,
		   const uint32_t *full_mask UNUSED, void *object UNUSED)
{
	return false;
}
#endif

#endif /* CUBBY__RSEQ_H */

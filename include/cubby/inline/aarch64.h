/* SPDX-License-Identifier: MIT */
/*
 * cubby/inline/aarch64.h - pop and push as restartable sequences, for aarch64.
 *
 * What they are is said in x86_64.h; the macros and functions are the same.
 * What differs:
 *
 *   - %[cursor] holds the thread pointer until the block's number is read.  It
 *     is read anew at every start, for code may move between threads
 *   - the abort path counts by exclusive loads and stores, which every aarch64
 *     has; what the sequence computes is dead by then, so it uses that
 *   - a linker may put a veneer between distant sections, which uses x16, x17
 *
 * Order: who is on this CPU sees its stores in order, and so does everybody
 * once the CPU has changed threads or has been fenced by membarrier(2).  Nobody
 * else reads cells.  So the commits of pop and push are plain stores.  A store
 * by which a magazine enters or leaves a block is a release, for others read
 * the word as it is and follow it (rseq_aarch64.h).  A fork child finds of each
 * CPU's stores all before some point of its program, whatever their kind: its
 * parent's threads cannot store past one that faults.
 */
#ifndef CUBBY_INLINE_AARCH64_H
#define CUBBY_INLINE_AARCH64_H

#include <cubby/inline/abi.h>

CUBBY_BEGIN_DECLS

#ifndef CUBBY__ABI
#define CUBBY__ABI cubby__fast_abi_1
#endif

/* A word of the process, a function of any gate: see x86_64.h. */
#ifndef CUBBY__WORD
#define CUBBY__WORD(gate, member)                                             \
	__extension__({                                                       \
		int64_t cubby__word;                                          \
                                                                              \
		__asm__("ldr %[word], [%[abi], %[at]]"                        \
			: [word] "=r"(cubby__word)                            \
			: [abi] "r"(&CUBBY__ABI),                             \
			  "r"((const char *)(gate)-8),                        \
			  [at] "i"(                                           \
				  offsetof(struct cubby__fast_abi, member))); \
		cubby__word;                                                  \
	})
#endif

/* For tests: something to do between the steps, so that they last longer. */
#ifndef CUBBY__STEP
#define CUBBY__STEP ""
#define CUBBY__STEP_CLOBBER "cc"
#endif

/* clang-format off */

/* The descriptor {version, flags, start, length, abort}, and its address. */
#define CUBBY__RSEQ_TABLE                                                     \
	".pushsection __rseq_cs, \"aw?\"\n\t"                                 \
	".balign 32\n"                                                        \
	"9:\n\t"                                                              \
	".long 0, 0\n\t"                                                      \
	".quad 1f, 2f - 1f, 4f\n\t"                                           \
	".popsection\n\t"                                                     \
	".pushsection __rseq_cs_ptr_array, \"aw?\"\n\t"                       \
	".balign 8\n\t"                                                       \
	".quad 9b\n\t"                                                        \
	".popsection\n"

/* Publish the descriptor. */
#define CUBBY__RSEQ_BEGIN                                                     \
	CUBBY__RSEQ_TABLE                                                     \
	"3:\n\t"                                                              \
	"mrs %[cursor], tpidr_el0\n\t"                                        \
	"adrp %[block], 9b\n\t"                                               \
	"add %[block], %[block], :lo12:9b\n\t"                                \
	"str %[block], [%[cursor], %[cs_offset]]\n"                           \
	"1:\n\t" CUBBY__STEP

/* %[block] = gate + (id << shift), both read in the sequence. */
#define CUBBY__RSEQ_BLOCK                                                     \
	"ldrsw %[block], [%[cursor], %[id_offset]]\n\t" CUBBY__STEP           \
	"ldr %[cursor], %[gate]\n\t"                                          \
	"add %[block], %[cursor], %[block], lsl %[shift]\n\t" CUBBY__STEP

/* What follows the commit: its end, and out of line the way back. */
#define CUBBY__RSEQ_END                                                       \
	"2:\n\t"                                                              \
	".pushsection .text.unlikely.cubby__abort, \"ax?\"\n\t"               \
	".inst 0xd428bc00\n" /* brk with this signature */                    \
	"4:\n\t"                                                              \
	"add %[block], %[abi], %[n_aborts]\n"                                 \
	"8:\n\t"                                                              \
	"ldxr %[cursor], [%[block]]\n\t"                                      \
	"add %[cursor], %[cursor], 1\n\t"                                     \
	"stxr w16, %[cursor], [%[block]]\n\t"                                 \
	"cbnz w16, 8b\n\t"                                                    \
	"b 3b\n\t"                                                            \
	".popsection\n"

#define CUBBY__RSEQ_INPUTS(gate_word)                                         \
	[gate] "m"(*(gate_word)),                                             \
		[cs_offset] "r"(CUBBY__WORD(gate_word, cs_offset)),           \
		[id_offset] "r"(CUBBY__WORD(gate_word, id_offset)),           \
		[magazines] "r"(CUBBY__WORD(gate_word, magazines)),           \
		[abi] "r"(&CUBBY__ABI),                                       \
		[n_aborts] "i"(offsetof(struct cubby__fast_abi, n_aborts)),   \
		[shift] "i"(CUBBY__STRIPE_SHIFT)

#define CUBBY__RSEQ_CLOBBERS                                                  \
	"x16", "x17", "memory", "cc", CUBBY__STEP_CLOBBER

/*
 * Pop the top cell of the loaded magazine of this CPU:
 *
 *	cursor = block->loaded
 *	object = word at magazines + cursor - 8
 *	if object is NULL: nothing to pop, or the gate is closed
 *	commit: block->loaded = cursor - 8
 */
static inline __attribute__((__always_inline__)) int
cubby__rseq_pop(const uint64_t *gate, void **ret_object)
{
	void *object;
	uintptr_t block, cursor;

	__asm__ __volatile__ goto(
		CUBBY__RSEQ_BEGIN
		CUBBY__RSEQ_BLOCK
		"ldr %[cursor], [%[block]]\n\t" CUBBY__STEP
		"sub %[cursor], %[cursor], 8\n\t"
		"ldr %[object], [%[magazines], %[cursor]]\n\t" CUBBY__STEP
		"cbz %[object], %l[empty]\n\t"
		"str %[cursor], [%[block]]\n"
		CUBBY__RSEQ_END
		: [block] "=&r"(block), [cursor] "=&r"(cursor),
		  [object] "=&r"(object)
		: CUBBY__RSEQ_INPUTS(gate)
		: CUBBY__RSEQ_CLOBBERS
		: empty);
	if (object == NULL)
		__builtin_unreachable(); /* so callers need not test it again */
	*ret_object = object;
	return 1;
empty:
	return 0;
}

/*
 * Push a cell; `word` is where in the block the cursor is:
 *
 *	cursor = block->word
 *	if (cursor & full_mask) == 0: no room, or the gate is closed
 *	word at magazines + cursor = object     (above the cursor: nobody's)
 *	commit: block->word = cursor + 8
 */
#define CUBBY__RSEQ_PUSH(word, gate_word, mask_word, cell, full)              \
	__asm__ __volatile__ goto(                                            \
		CUBBY__RSEQ_BEGIN                                             \
		CUBBY__RSEQ_BLOCK                                             \
		"ldr %[cursor], [%[block], " word "]\n\t" CUBBY__STEP         \
		"tst %w[cursor], %w[full_mask]\n\t"                           \
		"b.eq %l[" #full "]\n\t"                                      \
		"str %[object], [%[magazines], %[cursor]]\n\t" CUBBY__STEP    \
		"add %[cursor], %[cursor], 8\n\t" CUBBY__STEP                 \
		"str %[cursor], [%[block], " word "]\n"                       \
		CUBBY__RSEQ_END                                               \
		: [block] "=&r"(block), [cursor] "=&r"(cursor)                \
		: CUBBY__RSEQ_INPUTS(gate_word),                              \
		  [full_mask] "r"(*(mask_word)), [object] "r"(cell)           \
		: CUBBY__RSEQ_CLOBBERS                                        \
		: full)

static inline __attribute__((__always_inline__)) int
cubby__rseq_push(const uint64_t *gate, const uint32_t *full_mask, void *object)
{
	uintptr_t block, cursor;

	CUBBY__RSEQ_PUSH("0", gate, full_mask, object, full);
	return 1;
full:
	return 0;
}

/* clang-format on */

CUBBY_END_DECLS

#endif /* CUBBY_INLINE_AARCH64_H */

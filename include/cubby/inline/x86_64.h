/* SPDX-License-Identifier: MIT */
/*
 * cubby/inline/x86_64.h - pop and push as restartable sequences, for x86-64.
 *
 * A restartable sequence (rseq(2), Linux 4.18) is a run of instructions that
 * the kernel sends back to its start if the thread is preempted, migrated or
 * signalled, or fenced by membarrier(2), before the last of them.  That one,
 * the commit, is a single store.  So between start and commit nobody else runs
 * on this CPU, and what was read there is still so when the commit is done.
 *
 * %[block] ends as the address of the block, %[cursor] as the cursor that is to
 * be.  What goes in stays as it is, for the sequence may begin again.
 *
 * An abort goes to label 4, which must follow the signature that glibc
 * registered, and from there back to label 3.
 */
#ifndef CUBBY_INLINE_X86_64_H
#define CUBBY_INLINE_X86_64_H

#include <cubby/inline/abi.h>

CUBBY_BEGIN_DECLS

#ifndef CUBBY__ABI
#define CUBBY__ABI cubby__fast_abi_1
#endif

/*
 * A word of the process.  It is constant as soon as there is a cache, and so a
 * function of any gate, whatever memory the program writes: a compiler that is
 * told so loads it once per function and not once per call.
 */
#ifndef CUBBY__WORD
#define CUBBY__WORD(gate, member)                                             \
	__extension__({                                                       \
		int64_t cubby__word;                                          \
                                                                              \
		__asm__("movq %c[at](%[abi]), %[word]"                        \
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

/*
 * The descriptor {version, flags, start, length, abort}, and its address where
 * debuggers look for it.  "?": in the section group of the code, if that is in
 * one, so that both are dropped together.
 */
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
	"leaq 9b(%%rip), %[block]\n\t"                                        \
	"movq %[block], %%fs:(%[cs_offset])\n"                                \
	"1:\n\t" CUBBY__STEP

/* %[block] = gate + (id << shift), both read in the sequence. */
#define CUBBY__RSEQ_BLOCK                                                     \
	"movslq %%fs:(%[id_offset]), %[block]\n\t" CUBBY__STEP                \
	"shlq %[shift], %[block]\n\t"                                         \
	"addq %[gate], %[block]\n\t" CUBBY__STEP

/*
 * What follows the commit: its end, and out of line the way back.  In a section
 * of its own, for compilers put cold functions into .text.unlikely itself, and
 * there it would stand in the way.
 */
#define CUBBY__RSEQ_END                                                       \
	"2:\n\t"                                                              \
	".pushsection .text.unlikely.cubby__abort, \"ax?\"\n\t"               \
	".byte 0x0f, 0xb9, 0x3d\n\t" /* ud1 with this signature */            \
	".long 0x53053053\n"                                                  \
	"4:\n\t"                                                              \
	"lock incq %[n_aborts]\n\t"                                           \
	"jmp 3b\n\t"                                                          \
	".popsection\n"

#define CUBBY__RSEQ_INPUTS(gate_word)                                         \
	[gate] "m"(*(gate_word)),                                             \
		[cs_offset] "r"(CUBBY__WORD(gate_word, cs_offset)),           \
		[id_offset] "r"(CUBBY__WORD(gate_word, id_offset)),           \
		[magazines] "r"(CUBBY__WORD(gate_word, magazines)),           \
		[n_aborts] "m"(CUBBY__ABI.n_aborts),                          \
		[shift] "i"(CUBBY__STRIPE_SHIFT)

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
		"movq (%[block]), %[cursor]\n\t" CUBBY__STEP
		"movq -8(%[magazines],%[cursor]), %[object]\n\t" CUBBY__STEP
		"testq %[object], %[object]\n\t"
		"jz %l[empty]\n\t"
		"subq $8, %[cursor]\n\t" CUBBY__STEP
		"movq %[cursor], (%[block])\n"
		CUBBY__RSEQ_END
		: [block] "=&r"(block), [cursor] "=&r"(cursor),
		  [object] "=&r"(object)
		: CUBBY__RSEQ_INPUTS(gate)
		: "memory", "cc", CUBBY__STEP_CLOBBER
		: empty);
	/* Known here only: no caller need test it again. */
	if (object == NULL)
		__builtin_unreachable();
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
		"movq " word "(%[block]), %[cursor]\n\t" CUBBY__STEP          \
		"testl %k[cursor], %[full_mask]\n\t"                          \
		"jz %l[" #full "]\n\t"                                        \
		"movq %[object], (%[magazines],%[cursor])\n\t" CUBBY__STEP         \
		"addq $8, %[cursor]\n\t" CUBBY__STEP                          \
		"movq %[cursor], " word "(%[block])\n"                        \
		CUBBY__RSEQ_END                                               \
		: [block] "=&r"(block), [cursor] "=&r"(cursor)                \
		: CUBBY__RSEQ_INPUTS(gate_word),                              \
		  [full_mask] "m"(*(mask_word)), [object] "r"(cell)           \
		: "memory", "cc", CUBBY__STEP_CLOBBER                         \
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

#endif /* CUBBY_INLINE_X86_64_H */

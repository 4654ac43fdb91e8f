/* SPDX-License-Identifier: MIT */
/*
 * LAYER 4: rseq_x86_64 - the sequences of the library alone, for x86-64
 *
 * In words they are in rseq.h; the frame is <cubby/inline/x86_64.h>.
 */
#ifndef CUBBY__RSEQ_X86_64_H
#define CUBBY__RSEQ_X86_64_H

/* clang-format off */

static inline bool
rseq_replace(const uint64_t *gate, const uint64_t *closed,
	     const uint32_t *n_stripes, uint64_t word, uint64_t seen,
	     uint64_t with, uint64_t *note)
{
	uintptr_t block, cursor;

	__asm__ __volatile__ goto(
		CUBBY__RSEQ_BEGIN
		"movslq %%fs:(%[id_offset]), %[block]\n\t" CUBBY__STEP
		"cmpl %[n_stripes], %k[block]\n\t"
		"jae %l[fail]\n\t"
		"shlq %[shift], %[block]\n\t"
		"movq %[gate], %[cursor]\n\t" CUBBY__STEP
		"cmpq %[cursor], %[closed]\n\t"
		"je %l[fail]\n\t"
		"addq %[cursor], %[block]\n\t"
		"addq %[word], %[block]\n\t"
		"cmpq %[seen], (%[block])\n\t"
		"jne %l[fail]\n\t" CUBBY__STEP
		"movq %[seen], (%[note])\n\t" CUBBY__STEP
		"movq %[with], (%[block])\n"
		CUBBY__RSEQ_END
		: [block] "=&r"(block), [cursor] "=&r"(cursor)
		: CUBBY__RSEQ_INPUTS(gate), [n_stripes] "m"(*n_stripes),
		  [closed] "m"(*closed),
		  [word] "r"(word), [seen] "r"(seen), [with] "r"(with),
		  [note] "r"(note)
		: "memory", "cc", CUBBY__STEP_CLOBBER
		: fail);
	return true;
fail:
	return false;
}

static inline size_t
rseq_pop_many(const uint64_t *gate, size_t n, void **objects)
{
	uintptr_t block, cursor;
	size_t i;
	void *object;

	__asm__ __volatile__ goto(
		CUBBY__RSEQ_BEGIN
		CUBBY__RSEQ_BLOCK
		"movq (%[block]), %[cursor]\n\t" CUBBY__STEP
		"addq %[magazines], %[cursor]\n\t"
		"xorl %k[i], %k[i]\n"
		"5:\n\t"
		"cmpq %[n], %[i]\n\t"
		"jae 6f\n\t"
		"movq -8(%[cursor]), %[object]\n\t"
		"testq %[object], %[object]\n\t"
		"jz 6f\n\t"
		"movq %[object], (%[objects],%[i],8)\n\t" CUBBY__STEP
		"subq $8, %[cursor]\n\t"
		"incq %[i]\n\t"
		"jmp 5b\n"
		"6:\n\t"
		"testq %[i], %[i]\n\t"
		"jz %l[none]\n\t"
		"subq %[magazines], %[cursor]\n\t" CUBBY__STEP
		"movq %[cursor], (%[block])\n"
		CUBBY__RSEQ_END
		: [block] "=&r"(block), [cursor] "=&r"(cursor), [i] "=&r"(i),
		  [object] "=&r"(object)
		: CUBBY__RSEQ_INPUTS(gate), [n] "r"(n), [objects] "r"(objects)
		: "memory", "cc", CUBBY__STEP_CLOBBER
		: none);
	return i;
none:
	return 0;
}

static inline size_t
rseq_push_many(const uint64_t *gate, const uint32_t *full_mask, size_t n,
	       void *const *objects)
{
	uintptr_t block, cursor;
	size_t i;
	void *object;

	__asm__ __volatile__ goto(
		CUBBY__RSEQ_BEGIN
		CUBBY__RSEQ_BLOCK
		"movq (%[block]), %[cursor]\n\t" CUBBY__STEP
		"xorl %k[i], %k[i]\n"
		"5:\n\t"
		"cmpq %[n], %[i]\n\t"
		"jae 6f\n\t"
		"testl %k[cursor], %[full_mask]\n\t"
		"jz 6f\n\t"
		"movq (%[objects],%[i],8), %[object]\n\t"
		"movq %[object], (%[magazines],%[cursor])\n\t" CUBBY__STEP
		"addq $8, %[cursor]\n\t"
		"incq %[i]\n\t"
		"jmp 5b\n"
		"6:\n\t"
		"testq %[i], %[i]\n\t"
		"jz %l[none]\n\t" CUBBY__STEP
		"movq %[cursor], (%[block])\n"
		CUBBY__RSEQ_END
		: [block] "=&r"(block), [cursor] "=&r"(cursor),
		  [i] "=&r"(i), [object] "=&r"(object)
		: CUBBY__RSEQ_INPUTS(gate), [full_mask] "m"(*full_mask),
		  [n] "r"(n), [objects] "r"(objects)
		: "memory", "cc", CUBBY__STEP_CLOBBER
		: none);
	return i;
none:
	return 0;
}

static inline bool
rseq_push_deferred(const uint64_t *gate, const uint32_t *full_mask,
		   void *object)
{
	uintptr_t block, cursor;

	CUBBY__RSEQ_PUSH("16", gate, full_mask, object, full);
	return true;
full:
	return false;
}

/* clang-format on */

#endif /* CUBBY__RSEQ_X86_64_H */

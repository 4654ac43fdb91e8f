/* SPDX-License-Identifier: MIT */
/*
 * LAYER 4: rseq_aarch64 - the sequences of the library alone, for aarch64
 *
 * In words they are in rseq.h; the frame is <cubby/inline/aarch64.h>.
 *
 * replace() commits by a release.  Who has migrated reads the word of another
 * CPU's block and then the header of the magazine that it tells
 * (cubby__percpu_read()), and a drainer that finds nothing in hand reads what
 * the exchanges did.  The other commits follow one of replace() on the same CPU
 * and in the same word, and so come after what that one published.
 */
#ifndef CUBBY__RSEQ_AARCH64_H
#define CUBBY__RSEQ_AARCH64_H

/* clang-format off */

static inline bool
rseq_replace(const uint64_t *gate, const uint64_t *closed,
	     const uint32_t *n_stripes, uint64_t word, uint64_t seen,
	     uint64_t with, uint64_t *note)
{
	uintptr_t block, cursor;

	__asm__ __volatile__ goto(
		CUBBY__RSEQ_BEGIN
		"ldrsw %[block], [%[cursor], %[id_offset]]\n\t" CUBBY__STEP
		"ldr %w[cursor], %[n_stripes]\n\t"
		"cmp %w[block], %w[cursor]\n\t"
		"b.hs %l[fail]\n\t"
		"ldr %[cursor], %[gate]\n\t" CUBBY__STEP
		"cmp %[cursor], %[closed]\n\t"
		"b.eq %l[fail]\n\t"
		"add %[block], %[cursor], %[block], lsl %[shift]\n\t"
		"add %[block], %[block], %[word]\n\t"
		"ldr %[cursor], [%[block]]\n\t"
		"cmp %[cursor], %[seen]\n\t"
		"b.ne %l[fail]\n\t" CUBBY__STEP
		"str %[seen], [%[note]]\n\t" CUBBY__STEP
		"stlr %[with], [%[block]]\n"
		CUBBY__RSEQ_END
		: [block] "=&r"(block), [cursor] "=&r"(cursor)
		: CUBBY__RSEQ_INPUTS(gate), [n_stripes] "m"(*n_stripes),
		  [closed] "r"(*closed),
		  [word] "r"(word), [seen] "r"(seen), [with] "r"(with),
		  [note] "r"(note)
		: CUBBY__RSEQ_CLOBBERS
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
		"ldr %[cursor], [%[block]]\n\t" CUBBY__STEP
		"add %[cursor], %[cursor], %[magazines]\n\t"
		"mov %[i], 0\n"
		"5:\n\t"
		"cmp %[i], %[n]\n\t"
		"b.hs 6f\n\t"
		"ldur %[object], [%[cursor], -8]\n\t"
		"cbz %[object], 6f\n\t"
		"str %[object], [%[objects], %[i], lsl 3]\n\t" CUBBY__STEP
		"sub %[cursor], %[cursor], 8\n\t"
		"add %[i], %[i], 1\n\t"
		"b 5b\n"
		"6:\n\t"
		"cbz %[i], %l[none]\n\t"
		"sub %[cursor], %[cursor], %[magazines]\n\t" CUBBY__STEP
		"str %[cursor], [%[block]]\n"
		CUBBY__RSEQ_END
		: [block] "=&r"(block), [cursor] "=&r"(cursor), [i] "=&r"(i),
		  [object] "=&r"(object)
		: CUBBY__RSEQ_INPUTS(gate), [n] "r"(n), [objects] "r"(objects)
		: CUBBY__RSEQ_CLOBBERS
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
		"ldr %[cursor], [%[block]]\n\t" CUBBY__STEP
		"mov %[i], 0\n"
		"5:\n\t"
		"cmp %[i], %[n]\n\t"
		"b.hs 6f\n\t"
		"tst %w[cursor], %w[full_mask]\n\t"
		"b.eq 6f\n\t"
		"ldr %[object], [%[objects], %[i], lsl 3]\n\t"
		"str %[object], [%[magazines], %[cursor]]\n\t" CUBBY__STEP
		"add %[cursor], %[cursor], 8\n\t"
		"add %[i], %[i], 1\n\t"
		"b 5b\n"
		"6:\n\t"
		"cbz %[i], %l[none]\n\t" CUBBY__STEP
		"str %[cursor], [%[block]]\n"
		CUBBY__RSEQ_END
		: [block] "=&r"(block), [cursor] "=&r"(cursor),
		  [i] "=&r"(i), [object] "=&r"(object)
		: CUBBY__RSEQ_INPUTS(gate), [full_mask] "r"(*full_mask),
		  [n] "r"(n), [objects] "r"(objects)
		: CUBBY__RSEQ_CLOBBERS
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

#endif /* CUBBY__RSEQ_AARCH64_H */

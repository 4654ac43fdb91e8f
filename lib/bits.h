/* SPDX-License-Identifier: MIT */
/* LAYER 0: bits - powers of two, and sets of numbers with a fast "lowest" */
#ifndef CUBBY__BITS_H
#define CUBBY__BITS_H

#include "compiler.h"

#define KIB ((uint64_t)1 << 10)
#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)
#define TIB ((uint64_t)1 << 40)

static inline bool
is_pow2(uint64_t x)
{
	return x != 0 && (x & (x - 1)) == 0;
}

/* `align` is a power of two in these two. */
static inline uint64_t
align_up(uint64_t x, uint64_t align)
{
	return (x + align - 1) & ~(align - 1);
}

static inline uint64_t
align_down(uint64_t x, uint64_t align)
{
	return x & ~(align - 1);
}

static inline uint64_t
div_up(uint64_t x, uint64_t y)
{
	return x / y + (x % y != 0);
}

/* Number of the highest and of the lowest set bit; x is not 0. */
static inline unsigned
bit_highest(uint64_t x)
{
	return 63 - (unsigned)__builtin_clzll(x);
}

static inline unsigned
bit_lowest(uint64_t x)
{
	return (unsigned)__builtin_ctzll(x);
}

static inline uint64_t
min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static inline uint64_t
max_u64(uint64_t a, uint64_t b)
{
	return a > b ? a : b;
}

/*
 * A bit tree: sets of small numbers, one set a lane, that answer "the lowest
 * member" and "the highest member" in a step per level.
 *
 * Bit i of a lane is bit i % 64 of word i / 64 of level 0; a bit of a higher
 * level says that the word below it is not 0.  The words of all lanes for one
 * i lie side by side, so that moving a number between lanes touches one cache
 * line a level:
 *
 *	level[l]:  | lane 0 | lane 1 | ... | lane 7 | lane 0 | ...
 *	word         0        0              0        1
 *	byte         0        8              56       64
 *
 * The topmost level is searched word by word: three levels reach 262,144
 * numbers with one top word and 2^25 numbers with 128.
 *
 * Invariant B1: a bit of level l + 1 is set if and only if its word of level
 * l is not 0.
 */
#define BIT_TREE_LEVELS 3
#define BIT_TREE_LANES 8
#define BIT_TREE_NONE UINT64_MAX

struct bit_tree {
	uint64_t *level[BIT_TREE_LEVELS]; /* the owner's memory, zeroed */
	uint64_t n_top_words;             /* per lane */
};

/* Words that one lane of level `level` needs for numbers below n. */
static inline uint64_t
bit_tree_words(uint64_t n, unsigned level)
{
	for (unsigned i = 0; i <= level; i++)
		n = div_up(n, 64);
	return n == 0 ? 1 : n;
}

static inline uint64_t *
bit_tree_word(const struct bit_tree *tree, unsigned level, unsigned lane,
	      uint64_t word)
{
	return &tree->level[level][word * BIT_TREE_LANES + lane];
}

static inline void
bit_tree_set(struct bit_tree *tree, unsigned lane, uint64_t i)
{
	for (unsigned level = 0; level < BIT_TREE_LEVELS; level++) {
		uint64_t *word = bit_tree_word(tree, level, lane, i / 64);
		uint64_t before = *word;

		*word = before | (uint64_t)1 << (i % 64);
		if (before != 0)
			return;
		i /= 64;
	}
}

static inline void
bit_tree_clear(struct bit_tree *tree, unsigned lane, uint64_t i)
{
	for (unsigned level = 0; level < BIT_TREE_LEVELS; level++) {
		uint64_t *word = bit_tree_word(tree, level, lane, i / 64);

		*word &= ~((uint64_t)1 << (i % 64));
		if (*word != 0)
			return;
		i /= 64;
	}
}

static inline bool
bit_tree_test(const struct bit_tree *tree, unsigned lane, uint64_t i)
{
	return *bit_tree_word(tree, 0, lane, i / 64) >> (i % 64) & 1;
}

/* The lowest number of a lane, or BIT_TREE_NONE. */
static inline uint64_t
bit_tree_lowest(const struct bit_tree *tree, unsigned lane)
{
	unsigned level = BIT_TREE_LEVELS - 1;
	uint64_t i = 0;

	while (*bit_tree_word(tree, level, lane, i) == 0)
		if (++i == tree->n_top_words)
			return BIT_TREE_NONE;
	for (;; level--) {
		i = i * 64 + bit_lowest(*bit_tree_word(tree, level, lane, i));
		if (level == 0)
			return i;
	}
}

/* The highest number of a lane, or BIT_TREE_NONE. */
static inline uint64_t
bit_tree_highest(const struct bit_tree *tree, unsigned lane)
{
	unsigned level = BIT_TREE_LEVELS - 1;
	uint64_t i = tree->n_top_words - 1;

	while (*bit_tree_word(tree, level, lane, i) == 0)
		if (i-- == 0)
			return BIT_TREE_NONE;
	for (;; level--) {
		i = i * 64 + bit_highest(*bit_tree_word(tree, level, lane, i));
		if (level == 0)
			return i;
	}
}

/* The same sequence in each run: splitmix64, by S. Vigna. */
static inline uint64_t
hash_u64(uint64_t n)
{
	n *= 0x9e3779b97f4a7c15ull;
	n = (n ^ n >> 30) * 0xbf58476d1ce4e5b9ull;
	n = (n ^ n >> 27) * 0x94d049bb133111ebull;
	return n ^ n >> 31;
}

#endif /* CUBBY__BITS_H */

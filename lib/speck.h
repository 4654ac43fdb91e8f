/* SPDX-License-Identifier: MIT */
/*
 * LAYER 0: speck - Speck64/128, a permutation of 64 bits under 128 bits of key
 *
 * Words of 32 bits, 27 rounds.  A block is { x, y }, x its high half:
 *
 *	round   x = (x >>> 8) + y ^ k      y = (y <<< 3) ^ x
 *
 * The key is { l2, l1, l0, k0 }, k0 the low half of key[0]; the keys of rounds
 * come from the same round, with their number in place of k.
 *
 * Source: R. Beaulieu, D. Shors, J. Smith, S. Treatman-Clark, B. Weeks,
 * L. Wingers, "The SIMON and SPECK Families of Lightweight Block Ciphers",
 * 2013, section 4 and the test vectors of appendix C.
 */
#ifndef CUBBY__SPECK_H
#define CUBBY__SPECK_H

#include "compiler.h"

#define SPECK_ROUNDS 27
#define SPECK_ALPHA 8
#define SPECK_BETA 3

static inline uint32_t
speck_rotate_left(uint32_t word, unsigned n_bits)
{
	return word << n_bits | word >> (32 - n_bits);
}

static inline uint32_t
speck_rotate_right(uint32_t word, unsigned n_bits)
{
	return word >> n_bits | word << (32 - n_bits);
}

static inline void
speck_round(uint32_t *x, uint32_t *y, uint32_t key)
{
	*x = (speck_rotate_right(*x, SPECK_ALPHA) + *y) ^ key;
	*y = speck_rotate_left(*y, SPECK_BETA) ^ *x;
}

static inline void
speck_unround(uint32_t *x, uint32_t *y, uint32_t key)
{
	*y = speck_rotate_right(*y ^ *x, SPECK_BETA);
	*x = speck_rotate_left((*x ^ key) - *y, SPECK_ALPHA);
}

/* The keys of rounds, in order: what makes the next one, and the next one. */
struct speck_schedule {
	uint32_t k, l[3];
};

static inline struct speck_schedule
speck_schedule(const uint64_t key[2])
{
	return (struct speck_schedule){ (uint32_t)key[0],
					{ (uint32_t)(key[0] >> 32),
					  (uint32_t)key[1],
					  (uint32_t)(key[1] >> 32) } };
}

/* After round i; l is a queue. */
static inline void
speck_next_key(struct speck_schedule *keys, uint32_t i)
{
	uint32_t l = keys->l[0];

	speck_round(&l, &keys->k, i);
	keys->l[0] = keys->l[1];
	keys->l[1] = keys->l[2];
	keys->l[2] = l;
}

static inline uint64_t
speck_encrypt(const uint64_t key[2], uint64_t block)
{
	uint32_t x = (uint32_t)(block >> 32), y = (uint32_t)block;
	struct speck_schedule keys = speck_schedule(key);

	for (uint32_t i = 0; i < SPECK_ROUNDS; i++) {
		speck_round(&x, &y, keys.k);
		speck_next_key(&keys, i);
	}
	return (uint64_t)x << 32 | y;
}

static inline uint64_t
speck_decrypt(const uint64_t key[2], uint64_t block)
{
	uint32_t x = (uint32_t)(block >> 32), y = (uint32_t)block;
	struct speck_schedule keys = speck_schedule(key);
	uint32_t k[SPECK_ROUNDS];

	for (uint32_t i = 0; i < SPECK_ROUNDS; i++) {
		k[i] = keys.k;
		speck_next_key(&keys, i);
	}
	for (uint32_t i = SPECK_ROUNDS; i-- > 0;)
		speck_unround(&x, &y, k[i]);
	return (uint64_t)x << 32 | y;
}

#endif /* CUBBY__SPECK_H */

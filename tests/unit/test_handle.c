/* SPDX-License-Identifier: MIT */
/*
 * Handles as numbers: the cipher against its published vector, the seal as a
 * permutation, the hash; and misuse of the calls of lib/handle.c.
 */
#include "unit/with_handles.h"

#include "speck.h"

/* ---------------------------------- seal --------------------------------- */

static void
speck_published_vector_is_met(void **state)
{
	const uint64_t key[2] = { 0x0b0a090803020100, 0x1b1a191813121110 };

	(void)state;
	assert_int_equal(speck_encrypt(key, 0x3b7265747475432d),
			 0x8c6fa548454e028b);
	assert_int_equal(speck_decrypt(key, 0x8c6fa548454e028b),
			 0x3b7265747475432d);
}

static void
speck_decrypt_undoes_encrypt_under_any_key(void **state)
{
	(void)state;
	for (size_t i = 0; i < scaled(100000); i++) {
		const uint64_t key[2] = { random_word(), random_word() };
		uint64_t block = random_word();

		assert_int_equal(speck_decrypt(key, speck_encrypt(key, block)),
				 block);
		assert_int_equal(speck_encrypt(key, speck_decrypt(key, block)),
				 block);
	}
}

static void
seal_null_stays_null(void **state)
{
	(void)state;
	assert_int_equal(cubby_weak_seal(trucks, CUBBY_WEAK_NULL), 0);
	assert_int_equal(cubby_weak_unseal(trucks, 0), CUBBY_WEAK_NULL);
}

static void
seal_is_undone_by_unseal_and_the_reverse(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_OBJECTS; i++) {
		cubby_weak handle = cubby_weak_of(trucks, objects[i]);
		uint64_t sealed = cubby_weak_seal(trucks, handle);

		assert_int_equal(cubby_weak_unseal(trucks, sealed), handle);
		assert_int_not_equal(sealed, 0);
	}
	for (size_t i = 0; i < scaled(200000); i++) {
		uint64_t any = random_word();

		assert_int_equal(cubby_weak_unseal(
					 trucks, cubby_weak_seal(trucks, any)),
				 any);
		assert_int_equal(cubby_weak_seal(trucks, cubby_weak_unseal(
								 trucks, any)),
				 any);
	}
	for (unsigned bit = 0; bit < 64; bit++) {
		uint64_t one = 1ull << bit;

		assert_int_equal(cubby_weak_unseal(
					 trucks, cubby_weak_seal(trucks, one)),
				 one);
		assert_int_equal(cubby_weak_seal(trucks, cubby_weak_unseal(
								 trucks, one)),
				 one);
	}
}

/* The cipher maps one number to 0, and 0 to one: those two go together. */
static void
seal_of_what_the_cipher_maps_to_zero_is_not_null(void **state)
{
	const uint64_t *key = trucks->weak.seal_key;
	uint64_t before = speck_decrypt(key, 0), after = speck_encrypt(key, 0);

	(void)state;
	assert_int_not_equal(after, 0);
	assert_int_equal(cubby_weak_seal(trucks, before), after);
	assert_int_equal(cubby_weak_unseal(trucks, after), before);
}

static void
seal_of_another_cache_is_another(void **state)
{
	struct cubby_cache *other = make_weak_cache("truck");
	size_t n_same = 0;

	(void)state;
	assert_int_not_equal(trucks->weak.seal_key[0], 0);
	assert_int_not_equal(trucks->weak.seal_key[1], 0);
	for (uint64_t i = 1; i <= 1000; i++)
		n_same += cubby_weak_seal(trucks, i) ==
			  cubby_weak_seal(other, i);
	assert_int_equal(n_same, 0);
	drop_cache(other);
}

/* A forged sealed handle is a random one: of no object. */
static void
unseal_of_forged_numbers_names_nobody(void **state)
{
	cubby_weak handle = cubby_weak_of(trucks, objects[0]);
	uint64_t sealed = cubby_weak_seal(trucks, handle);

	(void)state;
	for (unsigned bit = 0; bit < 64; bit++)
		assert_int_equal(
			cubby_weak_is_live(
				trucks, cubby_weak_unseal(
						trucks, sealed ^ 1ull << bit)),
			0);
	assert_int_equal(cubby_weak_is_live(trucks, handle), 1);
}

/* ---------------------------------- hash --------------------------------- */

static uint64_t
hash_of(uint64_t number)
{
	return cubby_weak_hash(number);
}

static uint64_t
seal_of(uint64_t number)
{
	return cubby_weak_seal(trucks, number);
}

/* Turning any bit of a handle turns each bit of the answer half the time. */
static void
assert_avalanche(uint64_t (*function)(uint64_t), size_t n_trials)
{
	for (unsigned in = 0; in < 64; in++) {
		size_t n_turned[64] = { 0 }, n_all = 0;

		for (size_t i = 0; i < n_trials; i++) {
			uint64_t any = random_word();
			uint64_t turned = function(any) ^
					  function(any ^ 1ull << in);

			n_all += (size_t)__builtin_popcountll(turned);
			for (unsigned out = 0; out < 64; out++)
				n_turned[out] += turned >> out & 1;
		}
		/* 6 standard deviations: sqrt(n) / 2 of one bit's count */
		for (unsigned out = 0; out < 64; out++) {
			double off = (double)n_turned[out] -
				     (double)n_trials / 2;

			if (off * off > 9.0 * (double)n_trials)
				fail_msg("bit %u turns bit %u %zu of %zu "
					 "times",
					 in, out, n_turned[out], n_trials);
		}
		assert_in_range(n_all, 31 * n_trials, 33 * n_trials);
	}
}

static void
hash_every_bit_depends_on_every_bit(void **state)
{
	(void)state;
	assert_avalanche(hash_of, 4000);
}

static void
seal_every_bit_depends_on_every_bit(void **state)
{
	(void)state;
	assert_avalanche(seal_of, 1000);
}

/* Source: of the numbers, MurmurHash3's fmix64. */
static void
hash_is_the_published_finaliser(void **state)
{
	(void)state;
	assert_int_equal(cubby_weak_hash(0), 0);
	assert_int_equal(cubby_weak_hash(1), 0xb456bcfc34c2cb2c);
}

/* The low bits of the hashes of neighbours are as good as dice. */
static void
hash_of_neighbours_fills_a_table_evenly(void **state)
{
	enum { N_BUCKETS = 256, N_EACH = 256 };
	static unsigned n[N_BUCKETS];
	double sum = 0;

	(void)state;
	memset(n, 0, sizeof(n));
	for (uint32_t cell = 0; cell < N_BUCKETS * N_EACH; cell++)
		n[cubby_weak_hash(cubby__weak_encode(trucks, cell, 0)) %
		  N_BUCKETS]++;
	for (size_t i = 0; i < N_BUCKETS; i++) {
		double off = (double)n[i] - N_EACH;

		sum += off * off / N_EACH;
	}
	/* chi squared, 255 degrees: 255 +- 22.6; the key is random: 8 sigma */
	if (sum > 436)
		fail_msg("chi squared is %.1f", sum);
}

static void
equal_is_equality(void **state)
{
	(void)state;
	assert_int_equal(cubby_weak_equal(5, 5), 1);
	assert_int_equal(cubby_weak_equal(5, 5 | 1ull << 63), 0);
}

/* --------------------------------- misuse -------------------------------- */

#define UNTOUCHED 0x5a5a5a5a5a5a5a5aull

static void
assert_all_refuse(struct cubby_cache *cache, uint32_t code, int error)
{
	cubby_weak handle = UNTOUCHED;
	char text[64];

	assert_int_equal(cubby_weak_seal(cache, 5), 0);
	assert_one_report(code);
	assert_int_equal(cubby_weak_unseal(cache, 5), 0);
	assert_one_report(code);
	if (cache != NULL) {
		assert_int_equal(cubby_weak_print(cache, 5, text, 64), 23);
		assert_string_equal(text, "weak:0x0000000000000005");
		assert_one_report(code);
		assert_int_equal(cubby_weak_parse(cache, "weak:0", &handle),
				 error);
		assert_one_report(code);
		assert_int_equal(handle, UNTOUCHED);
	}
}

static void
misuse_of_a_cache_is_reported_by_each_call(void **state)
{
	struct cubby_cache *plain = make_cache(24, NULL);
	struct cubby_cache *dead = make_weak_cache("dead");

	(void)state;
	drop_cache(dead);
	begin_misuse();
	assert_all_refuse(NULL, CUBBY_MISUSE_BAD_CACHE, 0);
	assert_all_refuse(dead, CUBBY_MISUSE_DEAD_CACHE, -CUBBY_ENOCACHE);
	assert_all_refuse(plain, CUBBY_MISUSE_WEAK_MODE, -EINVAL);
	assert_string_equal(cubby_error_detail(),
			    "cache 'thing' has no handles: create it with "
			    "attr.weak");
	end_misuse();
	drop_cache(plain);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_TRUCKS(speck_published_vector_is_met),
		WITH_TRUCKS(speck_decrypt_undoes_encrypt_under_any_key),
		WITH_TRUCKS(seal_null_stays_null),
		WITH_TRUCKS(seal_is_undone_by_unseal_and_the_reverse),
		WITH_TRUCKS(seal_of_what_the_cipher_maps_to_zero_is_not_null),
		WITH_TRUCKS(seal_of_another_cache_is_another),
		WITH_TRUCKS(unseal_of_forged_numbers_names_nobody),
		WITH_TRUCKS(hash_every_bit_depends_on_every_bit),
		WITH_TRUCKS(seal_every_bit_depends_on_every_bit),
		WITH_TRUCKS(hash_is_the_published_finaliser),
		WITH_TRUCKS(hash_of_neighbours_fills_a_table_evenly),
		WITH_TRUCKS(equal_is_equality),
		WITH_TRUCKS(misuse_of_a_cache_is_reported_by_each_call),
	};

	return cmocka_run_group_tests_name("handle", tests, NULL, NULL);
}

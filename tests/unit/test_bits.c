/* SPDX-License-Identifier: MIT */
/* Arithmetic and bit trees against models that are too simple to be wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bits.h"

/* splitmix64, the same numbers in each run. */
static uint64_t random_state;

static uint64_t
random_word(void)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

/* In percent of the steps of each random case. */
static unsigned
scaled(unsigned n_steps)
{
	const char *text = getenv("CUBBY_TEST_SCALE");
	unsigned long n = n_steps * (text ? strtoul(text, NULL, 10) : 100);

	return n < 1000 ? 10 : (unsigned)(n / 100);
}

/* ------------------------------- arithmetic ------------------------------ */

static unsigned
naive_count(uint64_t x)
{
	unsigned n = 0;

	for (unsigned i = 0; i < 64; i++)
		n += x >> i & 1;
	return n;
}

static void
is_pow2_agrees_with_counting_bits(void **state)
{
	(void)state;
	for (uint64_t x = 0; x < 70000; x++)
		assert_int_equal(is_pow2(x), naive_count(x) == 1);
	for (unsigned i = 0; i < 64; i++) {
		uint64_t x = (uint64_t)1 << i;

		assert_true(is_pow2(x));
		assert_int_equal(is_pow2(x + 1), i == 0);
		assert_int_equal(is_pow2(x - 1), i == 1);
	}
	assert_false(is_pow2(UINT64_MAX));
}

static void
align_up_and_down_are_the_nearest_multiples(void **state)
{
	(void)state;
	for (uint64_t align = 1; align <= 8192; align *= 2) {
		for (uint64_t x = 0; x < 20000; x += 1 + align / 64) {
			uint64_t down = x - x % align;
			uint64_t up = x == down ? x : down + align;

			assert_int_equal(align_down(x, align), down);
			assert_int_equal(align_up(x, align), up);
		}
	}
}

static void
align_up_and_down_work_at_the_top(void **state)
{
	(void)state;
	for (unsigned i = 0; i < 64; i++) {
		uint64_t align = (uint64_t)1 << i;
		uint64_t top = UINT64_MAX - (align - 1); /* last multiple */

		assert_int_equal(align_down(UINT64_MAX, align), top);
		assert_int_equal(align_down(top, align), top);
		assert_int_equal(align_up(top, align), top);
		assert_int_equal(align_up(1, align), align);
		assert_int_equal(align_up(0, align), 0);
	}
}

static void
div_up_is_the_least_that_covers(void **state)
{
	(void)state;
	for (uint64_t y = 1; y < 130; y++)
		for (uint64_t x = 0; x < 1000; x++) {
			uint64_t n = 0;

			while (n * y < x)
				n++;
			assert_int_equal(div_up(x, y), n);
		}
	assert_int_equal(div_up(UINT64_MAX, 1), UINT64_MAX);
	assert_int_equal(div_up(UINT64_MAX, 2), (uint64_t)1 << 63);
	assert_int_equal(div_up(UINT64_MAX, UINT64_MAX), 1);
	assert_int_equal(div_up(1, UINT64_MAX), 1);
}

static void
bit_highest_and_lowest_agree_with_shifting(void **state)
{
	(void)state;
	for (unsigned high = 0; high < 64; high++)
		for (unsigned low = 0; low <= high; low++) {
			uint64_t ends = (uint64_t)1 << high | (uint64_t)1
								      << low;
			uint64_t span = ((uint64_t)1 << high) -
					((uint64_t)1 << low);
			uint64_t inner = span & random_word();

			assert_int_equal(bit_highest(ends | inner), high);
			assert_int_equal(bit_lowest(ends | inner), low);
		}
}

static void
min_and_max_compare_all_64_bits(void **state)
{
	static const uint64_t values[] = {
		0,         1, UINT32_MAX, (uint64_t)1 << 32, (uint64_t)1 << 63,
		UINT64_MAX
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(values); i++)
		for (size_t j = i; j < ARRAY_SIZE(values); j++) {
			assert_int_equal(min_u64(values[i], values[j]),
					 values[i]);
			assert_int_equal(min_u64(values[j], values[i]),
					 values[i]);
			assert_int_equal(max_u64(values[i], values[j]),
					 values[j]);
			assert_int_equal(max_u64(values[j], values[i]),
					 values[j]);
		}
}

static void
sizes_are_powers_of_1024(void **state)
{
	(void)state;
	assert_int_equal(KIB, 1024);
	assert_int_equal(MIB, 1024 * KIB);
	assert_int_equal(GIB, 1024 * MIB);
	assert_int_equal(TIB, 1024 * GIB);
}

/* -------------------------------- bit trees ------------------------------ */

/*
 * A tree and its model: a byte for each number of each lane.  Each level is an
 * allocation of exactly the size that bit_tree_words() asks for, so that the
 * sanitizers and memcheck see a step beyond.
 */
struct modelled {
	struct bit_tree tree;
	uint64_t n;
	uint8_t *member[BIT_TREE_LANES];
};

static void
modelled_init(struct modelled *m, uint64_t n)
{
	m->n = n;
	m->tree.n_top_words = bit_tree_words(n, BIT_TREE_LEVELS - 1);
	for (unsigned level = 0; level < BIT_TREE_LEVELS; level++) {
		m->tree.level[level] = calloc(bit_tree_words(n, level),
					      BIT_TREE_LANES *
						      sizeof(uint64_t));
		assert_non_null(m->tree.level[level]);
	}
	for (unsigned lane = 0; lane < BIT_TREE_LANES; lane++) {
		m->member[lane] = calloc(n, 1);
		assert_non_null(m->member[lane]);
	}
}

static void
modelled_fini(struct modelled *m)
{
	for (unsigned level = 0; level < BIT_TREE_LEVELS; level++)
		free(m->tree.level[level]);
	for (unsigned lane = 0; lane < BIT_TREE_LANES; lane++)
		free(m->member[lane]);
}

static void
put(struct modelled *m, unsigned lane, uint64_t i, bool member)
{
	m->member[lane][i] = member;
	if (member)
		bit_tree_set(&m->tree, lane, i);
	else
		bit_tree_clear(&m->tree, lane, i);
}

static uint64_t
model_lowest(const struct modelled *m, unsigned lane)
{
	const uint8_t *first = m->member[lane];
	const uint8_t *found = memchr(first, 1, m->n);

	return found ? (uint64_t)(found - first) : BIT_TREE_NONE;
}

static uint64_t
model_highest(const struct modelled *m, unsigned lane)
{
	for (uint64_t i = m->n; i-- > 0;)
		if (m->member[lane][i])
			return i;
	return BIT_TREE_NONE;
}

static void
check_ends(const struct modelled *m, unsigned lane)
{
	assert_int_equal(bit_tree_lowest(&m->tree, lane),
			 model_lowest(m, lane));
	assert_int_equal(bit_tree_highest(&m->tree, lane),
			 model_highest(m, lane));
}

/* Every member, no other, and B1 on every level of every lane. */
static void
check_whole(const struct modelled *m)
{
	for (unsigned lane = 0; lane < BIT_TREE_LANES; lane++) {
		uint64_t n_below = m->n;

		check_ends(m, lane);
		for (uint64_t i = 0; i < m->n; i++)
			if (bit_tree_test(&m->tree, lane, i) !=
			    m->member[lane][i])
				fail_msg("n %lu lane %u: %lu is wrong", m->n,
					 lane, i);
		for (unsigned l = 0; l + 1 < BIT_TREE_LEVELS; l++) {
			n_below = div_up(n_below, 64);
			for (uint64_t i = 0; i < n_below; i++) {
				uint64_t above = *bit_tree_word(
					&m->tree, l + 1, lane, i / 64);
				uint64_t word = *bit_tree_word(&m->tree, l,
							       lane, i);

				if ((above >> (i % 64) & 1) != (word != 0))
					fail_msg("n %lu lane %u level %u word "
						 "%lu: B1",
						 m->n, lane, l, i);
			}
		}
	}
}

static void
bit_tree_words_hold_every_number(void **state)
{
	static const uint64_t reach[BIT_TREE_LEVELS] = { 64, 64 * 64,
							 64 * 64 * 64 };

	(void)state;
	for (unsigned level = 0; level < BIT_TREE_LEVELS; level++) {
		assert_int_equal(bit_tree_words(0, level), 1);
		for (uint64_t n = 1; n < 600000; n += 1 + n / 100) {
			uint64_t words = bit_tree_words(n, level);

			assert_true(words * reach[level] >= n);
			assert_true((words - 1) * reach[level] < n);
		}
	}
	assert_int_equal(bit_tree_words((uint64_t)1 << 25, 2), 128);
}

static void
bit_tree_empty_lane_has_no_ends(void **state)
{
	struct modelled m;

	(void)state;
	modelled_init(&m, 1000000);
	check_whole(&m);
	modelled_fini(&m);
}

/* All pairs: set both, clear in either order, twice each. */
static void
bit_tree_every_pair_of_numbers_is_kept(void **state)
{
	static const uint64_t numbers[] = {
		0,    1,     31,    62,     63,     64,     65,     127,
		128,  4031,  4032,  4095,   4096,   4097,   8191,   8192,
		9999, 65535, 65536, 262143, 262144, 262145, 299999,
	};
	struct modelled m;

	(void)state;
	modelled_init(&m, 300000);
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++)
		for (size_t j = 0; j < ARRAY_SIZE(numbers); j++) {
			unsigned lane = (unsigned)(i + j) % BIT_TREE_LANES;

			put(&m, lane, numbers[i], true);
			put(&m, lane, numbers[j], true);
			put(&m, lane, numbers[j], true);
			check_ends(&m, lane);
			put(&m, lane, numbers[i], false);
			put(&m, lane, numbers[i], false);
			check_ends(&m, lane);
			put(&m, lane, numbers[j], false);
			check_ends(&m, lane);
		}
	check_whole(&m);
	modelled_fini(&m);
}

/*
 * Random sets and clears, clustered so that whole words and whole subtrees
 * fill and empty; each step checks its lane's ends.
 */
static void
churn(uint64_t n, unsigned n_steps)
{
	struct modelled m;

	modelled_init(&m, n);
	for (unsigned step = 0; step < n_steps; step++) {
		unsigned lane = random_word() % BIT_TREE_LANES;
		uint64_t span = (uint64_t)1 << random_word() % 10;
		uint64_t i = random_word() % n;
		bool member = random_word() % 2;

		for (uint64_t end = min_u64(i + span, n); i < end; i++)
			put(&m, lane, i, member);
		check_ends(&m, lane);
		check_ends(&m, (lane + 1) % BIT_TREE_LANES);
	}
	check_whole(&m);
	modelled_fini(&m);
}

static void
bit_tree_random_churn_agrees_with_the_model(void **state)
{
	static const uint64_t sizes[] = { 1,      63,     64,     65,
					  100,    4095,   4096,   4097,
					  50000,  262143, 262144, 262145,
					  300000, 1 << 20 };

	(void)state;
	random_state = 1;
	for (size_t i = 0; i < ARRAY_SIZE(sizes); i++)
		churn(sizes[i], scaled(sizes[i] > 100000 ? 500 : 3000));
}

/* As a free list uses it: lowest first, then highest first, to the end. */
static void
bit_tree_drains_in_order(void **state)
{
	uint64_t n = 5000;
	struct modelled m;

	(void)state;
	modelled_init(&m, n);
	for (uint64_t i = 0; i < n; i++) {
		put(&m, 2, i, true);
		put(&m, 5, i, i % 7 == 0);
	}
	check_whole(&m);
	for (uint64_t i = 0; i < n; i++) {
		assert_int_equal(bit_tree_lowest(&m.tree, 2), i);
		put(&m, 2, i, false);
	}
	for (uint64_t i = (n - 1) / 7 * 7;; i -= 7) {
		assert_int_equal(bit_tree_highest(&m.tree, 5), i);
		put(&m, 5, i, false);
		if (i == 0)
			break;
	}
	check_whole(&m);
	modelled_fini(&m);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(is_pow2_agrees_with_counting_bits),
		cmocka_unit_test(align_up_and_down_are_the_nearest_multiples),
		cmocka_unit_test(align_up_and_down_work_at_the_top),
		cmocka_unit_test(div_up_is_the_least_that_covers),
		cmocka_unit_test(bit_highest_and_lowest_agree_with_shifting),
		cmocka_unit_test(min_and_max_compare_all_64_bits),
		cmocka_unit_test(sizes_are_powers_of_1024),
		cmocka_unit_test(bit_tree_words_hold_every_number),
		cmocka_unit_test(bit_tree_empty_lane_has_no_ends),
		cmocka_unit_test(bit_tree_every_pair_of_numbers_is_kept),
		cmocka_unit_test(bit_tree_random_churn_agrees_with_the_model),
		cmocka_unit_test(bit_tree_drains_in_order),
	};

	return cmocka_run_group_tests_name("bits", tests, NULL, NULL);
}

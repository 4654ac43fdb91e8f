/* SPDX-License-Identifier: MIT */
/* Runs that were freed a moment ago: each has one owner at any time. */
#include "unit.h"

#include "magazine.h"
#include "preload/pages.h"
#include "preload/recent.h"
#include "support/oracle.h"

#include <pthread.h>

enum { N_RUNS = 400, N_THREADS = 7, PAGES_MAX = 256 };

/* By number: 1 where a caller has the run, 0 where it is kept. */
static uint32_t in_hand[N_RUNS];
static uint32_t n_pages_of[N_RUNS];

static void
set_owned(uint32_t number, uint32_t was, uint32_t is)
{
	assert_true(number < N_RUNS);
	assert_int_equal(__atomic_exchange_n(&in_hand[number], is,
					     __ATOMIC_RELAXED),
			 was);
}

static void
put(uint32_t number, uint64_t n_pages_max)
{
	uint32_t gone[RECENT_WORDS];
	unsigned n;

	set_owned(number, 1, 0);
	n = cubby__recent_put(number, n_pages_of[number], n_pages_max, gone);
	assert_true(n <= RECENT_WORDS);
	for (unsigned i = 0; i < n; i++)
		set_owned(gone[i], 0, 1);
}

static uint32_t
take(uint32_t n_pages)
{
	uint32_t number = cubby__recent_take(n_pages);

	if (number == RUN_NONE)
		return RUN_NONE;
	set_owned(number, 0, 1);
	assert_int_equal(n_pages_of[number], n_pages);
	return number;
}

static void
take_all(void)
{
	uint32_t numbers[RECENT_WORDS_ALL];
	unsigned n = cubby__recent_take_all(numbers);
	uint64_t n_pages;

	for (unsigned i = 0; i < n; i++)
		set_owned(numbers[i], 0, 1);
	assert_int_equal(cubby__recent_count(&n_pages), 0);
	assert_int_equal(n_pages, 0);
}

/* All runs are in our hands, with lengths of `from` and so many steps more. */
static void
start(uint32_t from, uint32_t n_steps)
{
	take_all();
	for (uint32_t i = 0; i < N_RUNS; i++) {
		n_pages_of[i] = from + i % n_steps;
		in_hand[i] = 1;
	}
}

static void
what_is_as_long_is_taken(void **state)
{
	(void)state;
	start(80, 1);
	assert_int_equal(take(80), RUN_NONE);
	put(5, PAGES_MAX);
	assert_int_equal(take(81), RUN_NONE);
	assert_int_equal(take(79), RUN_NONE);
	assert_int_equal(take(1), RUN_NONE);
	assert_int_equal(take(80), 5);
	assert_int_equal(take(80), RUN_NONE);
	put(0, PAGES_MAX);
	assert_int_equal(take(80), 0);
}

static void
no_more_is_kept_than_may_be(void **state)
{
	uint64_t n_pages;

	(void)state;
	for (uint32_t n_max = 16; n_max <= PAGES_MAX; n_max *= 2) {
		start(1, 16);
		for (uint32_t i = 0; i < N_RUNS; i++) {
			put(i, n_max);
			assert_int_equal(in_hand[i], 0);
		}
		assert_in_range(cubby__recent_count(&n_pages), 1,
				RECENT_WORDS);
		assert_in_range(n_pages, 1, n_max);
		take_all();
	}
}

/* What comes later is kept rather than what nobody has asked for. */
static void
old_ones_go_for_new_ones(void **state)
{
	(void)state;
	start(10, 2);
	for (uint32_t i = 0; i < 64 * RECENT_WORDS_ALL; i++)
		put(2 * (i % 100), PAGES_MAX); /* of 10 pages */
	for (uint32_t i = 1; i <= 199; i += 2) {
		put(i, PAGES_MAX); /* of 11 */
		assert_int_equal(in_hand[i], 0);
	}
	take_all();
	for (uint32_t i = 0; i < N_RUNS; i++)
		assert_int_equal(in_hand[i], 1);
}

/* A thread is moved at any time. */
static uint32_t
any_shard(void)
{
	static __thread uint32_t n;

	return ++n / 5;
}

static void *
pass_on(void *argument)
{
	uint64_t random = (uintptr_t)argument + 1;
	uint32_t mine[N_RUNS];
	size_t n = 0;

	/* Each begins with runs of its own. */
	for (uint32_t i = (uint32_t)(uintptr_t)argument; i < N_RUNS;
	     i += N_THREADS)
		mine[n++] = i;
	for (uint64_t i = 0; i < test_scaled(300000); i++) {
		uint32_t number, gone[RECENT_WORDS];
		unsigned n_gone;

		if (n < N_RUNS - RECENT_WORDS && test_random(&random) % 2) {
			number = take(1 + (uint32_t)test_random(&random) % 16);
			if (number != RUN_NONE)
				mine[n++] = number;
			continue;
		}
		if (n == 0)
			continue;
		number = mine[--n];
		set_owned(number, 1, 0);
		n_gone = cubby__recent_put(number, n_pages_of[number], 40,
					   gone);
		for (unsigned k = 0; k < n_gone; k++) {
			set_owned(gone[k], 0, 1);
			mine[n++] = gone[k];
		}
	}
	return NULL;
}

static void
each_has_one_owner_among_threads(void **state)
{
	pthread_t threads[N_THREADS];

	(void)state;
	start(1, 16);
	cubby__magazine_shard_fn = any_shard;
	for (uintptr_t i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, pass_on,
						(void *)i),
				 0);
	for (size_t i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	take_all();
	for (uint32_t i = 0; i < N_RUNS; i++)
		assert_int_equal(in_hand[i], 1);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(what_is_as_long_is_taken),
		cmocka_unit_test(no_more_is_kept_than_may_be),
		cmocka_unit_test(old_ones_go_for_new_ones),
		cmocka_unit_test(each_has_one_owner_among_threads),
	};

	return cmocka_run_group_tests_name("recent", tests, NULL, NULL);
}

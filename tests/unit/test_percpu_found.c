/* SPDX-License-Identifier: MIT */
/*
 * What a review found in the per-CPU front end.  A thread that is in the middle
 * of exchanges, as one is whose handler does all this, is made by counting it in.
 */
#include "unit/with_cache.h"

#include "cache.h"
#include "percpu.h"

#include <pthread.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { OBJECT_BYTES = 64, N_DEEP = 4, N_OBJECTS = 1000 };

static struct percpu_slot *slots[N_DEEP];

static bool
is_per_cpu(struct cubby_cache *cache)
{
	if (stats_of(cache).front_end == CUBBY_FRONT_PER_CPU)
		return true;
	drop_cache(cache);
	return false;
}

static size_t
enter(struct cubby_cache *cache, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		slots[i] = cubby__percpu_enter(&cache->front.gate, cache->id,
					       &cache->front.n_in_hand_rest);
		if (slots[i] == NULL)
			return i;
	}
	return n;
}

static void
leave(struct cubby_cache *cache, size_t n)
{
	while (n > 0)
		cubby__percpu_leave(slots[--n], &cache->front.opened,
				    &cache->front.n_in_hand_rest);
}

/* It would never get to what a refill brings: the depot grew at each call. */
static void
alloc_too_deep_in_exchanges_takes_the_lock_and_refills_nothing(void **state)
{
	struct cubby_cache *other = make_cache(OBJECT_BYTES, NULL);
	struct cubby_cache *cache;
	void *objects[N_OBJECTS];
	struct cubby_cache_stats stats;

	(void)state;
	if (!is_per_cpu(other))
		skip();
	cache = make_cache(OBJECT_BYTES, NULL);
	assert_int_equal(enter(other, N_DEEP), N_DEEP);
	assert_null(cubby__percpu_enter(&cache->front.gate, cache->id,
					&cache->front.n_in_hand_rest));
	for (size_t i = 0; i < N_OBJECTS; i++)
		objects[i] = must_alloc(cache);
	for (size_t i = 0; i < N_OBJECTS; i++)
		cubby_free(cache, objects[i]);
	leave(other, N_DEEP);
	stats = stats_of(cache);
	assert_int_equal(stats.n_refills, 0);
	assert_int_equal(stats.n_direct_allocs, N_OBJECTS);
	assert_int_equal(stats.n_idle_in_depot + stats.n_idle_in_blocks, 0);
	drop_cache(cache);
	drop_cache(other);
}

/* Which is at once: nobody else can end it. */
static void
shrink_in_the_middle_of_an_own_exchange_says_so(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);

	(void)state;
	if (!is_per_cpu(cache))
		skip();
	assert_int_equal(enter(cache, 1), 1);
	assert_int_equal(cubby_cache_shrink(cache, NULL), -EBUSY);
	assert_non_null(strstr(cubby_error_detail(), "this thread is itself"));
	leave(cache, 1);
	assert_ok(cubby_cache_shrink(cache, NULL));
	drop_cache(cache);
}

/* Counts go up on one CPU and down on another: only their sum is of meaning. */
static void
counts_of_a_destroyed_cache_leave_its_block_clean(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);

	(void)state;
	if (!is_per_cpu(cache))
		skip();
	cubby_free(cache, must_alloc(cache));
	/* As if it had begun on CPU 0 and ended where there is no stripe. */
	cubby__front_block(cache, 0)->in_hand++;
	cache->front.n_in_hand_rest--;
	assert_ok(cubby_cache_shrink(cache, NULL));
	for (uint32_t i = 0; i < cubby__front_n_blocks(); i++)
		assert_int_equal(cubby__front_block(cache, i)->in_hand, 0);
	assert_int_equal(cache->front.n_in_hand_rest, 0);
	drop_cache(cache);
}

/* @doubts: should the child count its depots anew? */
static void
check_fork_in_the_middle(struct cubby_cache *cache, bool doubts)
{
	int status = -1;
	pid_t child;

	cubby_free(cache, must_alloc(cache));
	assert_int_equal(enter(cache, 1), 1);
	child = fork();
	if (child == 0) {
		bool doubted = cache->front.depot_is_unsure;

		leave(cache, 1);
		_exit(doubted != doubts || cubby_cache_verify(cache) != 0 ||
		      cache->front.depot_is_unsure);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	leave(cache, 1);
}

static void *
do_nothing(void *context)
{
	return context;
}

/*
 * Without other threads the child has all that there was.  Of two exchanges it
 * cannot tell which one was another thread's: then, also if as many were counted
 * as this thread has, it counts its depots anew.
 */
static void
fork_in_the_middle_of_an_exchange_doubts_the_depots(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	pthread_t thread;

	(void)state;
	if (!is_per_cpu(cache))
		skip();
	check_fork_in_the_middle(cache, false);
	assert_int_equal(pthread_create(&thread, NULL, do_nothing, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	check_fork_in_the_middle(cache, true);
	drop_cache(cache);
}

/* In every front end that has blocks. */
static void
cache_beyond_the_last_block_says_that_there_are_too_many(void **state)
{
	static uint32_t taken[8192];
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	size_t n = 0;

	(void)state;
	if (stats_of(cache).front_end == CUBBY_FRONT_NONE) {
		drop_cache(cache);
		skip();
	}
	drop_cache(cache);
	while ((taken[n] = cubby__stripe_take_block()) != 0)
		n++;
	cache = make_cache(OBJECT_BYTES, NULL);
	cubby_free(cache, must_alloc(cache));
	assert_int_equal(stats_of(cache).front_end, CUBBY_FRONT_NONE);
	assert_int_equal(stats_of(cache).front_reason,
			 CUBBY_FRONT_REASON_CACHES);
	drop_cache(cache);
	while (n > 0)
		cubby__stripe_give_block(taken[--n]);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			alloc_too_deep_in_exchanges_takes_the_lock_and_refills_nothing),
		cmocka_unit_test(
			shrink_in_the_middle_of_an_own_exchange_says_so),
		cmocka_unit_test(
			counts_of_a_destroyed_cache_leave_its_block_clean),
		cmocka_unit_test(
			fork_in_the_middle_of_an_exchange_doubts_the_depots),
		cmocka_unit_test(
			cache_beyond_the_last_block_says_that_there_are_too_many),
	};

	return cmocka_run_group_tests_name("percpu_found", tests, NULL, NULL);
}

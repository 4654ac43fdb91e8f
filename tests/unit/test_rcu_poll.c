/* SPDX-License-Identifier: MIT */
/* cubby_rcu_poll(): never blocks, on the thread that calls it, and nothing is lost. */
#include "unit/with_rcu.h"

/* By name, for the Makefile. */
#include "support/flavor.h"

#include <sys/syscall.h>

enum {
	N_FREED = 700,
	N_POLLERS = 3,
	N_ROUNDS = 30,
	/* A poll with nothing to reclaim, on a machine that is busy. */
	SHORT_MS = 500
};

static struct cubby_cache *cache;
static pid_t destructed_by;

static void
note_thread(void *object, void *context)
{
	count_dtor(object, context);
	destructed_by = (pid_t)syscall(SYS_gettid);
}

static void
make_noted(void)
{
	cache = MAKE_RCU_CACHE(.dtor = note_thread);
}

static void
poll_of_a_thread_cache_is_einval(void **state)
{
	(void)state;
	make_noted();
	REQUIRE(cubby_rcu_poll(cache) == -EINVAL);
	REQUIRE(strcmp(cubby_error_detail(),
		       "cache 'thing' was not created with reclaim = "
		       "CUBBY_RECLAIM_POLL") == 0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	cache = make_cache(24, NULL);
	REQUIRE(cubby_rcu_poll(cache) == -EINVAL);
	REQUIRE(cubby_cache_destroy(cache) == 0);
}

static void
poll_with_nothing_deferred_is_0(void **state)
{
	(void)state;
	join_flavor();
	make_noted();
	for (size_t i = 0; i < 100; i++)
		REQUIRE(cubby_rcu_poll(cache) == 0);
	cubby_free(cache, make_thing(cache));
	REQUIRE(cubby_rcu_poll(cache) == 0);
	REQUIRE(look(cache).n_grace_periods == 0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* The numbers that polls return are those of dtor's calls, on this thread. */
static void
poll_returns_how_many_it_reclaimed(void **state)
{
	int64_t n, n_all = 0;

	(void)state;
	join_flavor();
	make_noted();
	free_taken_together(cache, N_FREED);
	for (uint64_t end = now_ms() + SOON_MS;
	     n_all < N_FREED && now_ms() < end; n_all += n) {
		n = cubby_rcu_poll(cache);
		REQUIRE(n >= 0);
		REQUIRE(dtors_between(0, n_things) == (uint64_t)(n_all + n));
		rest_us(500);
	}
	REQUIRE(n_all == N_FREED);
	REQUIRE(destructed_by == (pid_t)syscall(SYS_gettid));
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* Whoever never polls has all waiting, until a barrier. */
static void
nobody_but_who_polls_reclaims(void **state)
{
	(void)state;
	join_flavor();
	make_noted();
	free_taken_together(cache, N_FREED);
	rest_us(200000);
	REQUIRE(dtors_between(0, n_things) == 0);
	REQUIRE(n_deferred(cache) == N_FREED);
	REQUIRE(cubby_rcu_barrier(cache) == 0);
	REQUIRE(n_deferred(cache) == 0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* A reader that stalls: polls go on, and return at once. */
static void
poll_beside_a_stalled_reader_does_not_block(void **state)
{
	struct reader reader;
	uint64_t began_ms;

	(void)state;
	join_flavor();
	make_noted();
	start_reader(&reader);
	free_taken_together(cache, N_FREED);
	began_ms = now_ms();
	for (size_t i = 0; i < 100; i++) {
		REQUIRE(cubby_rcu_poll(cache) == 0);
		test_flavor_quiesce(flavor);
	}
	REQUIRE(now_ms() - began_ms < SHORT_MS);
	rest_us(50000);
	REQUIRE(cubby_rcu_poll(cache) == 0);
	REQUIRE(n_deferred(cache) == N_FREED);
	end_reader(&reader);
	wait_drained(cache);
	REQUIRE(dtors_between(0, n_things) == N_FREED);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* What is freed after a grace period has begun waits for another. */
static void
poll_keeps_what_came_after_its_grace_period_began(void **state)
{
	struct thing *late;
	cubby_weak handle;
	uint64_t end_ms;

	(void)state;
	join_flavor();
	make_noted();
	free_taken_together(cache, N_FREED);
	REQUIRE(cubby_rcu_poll(cache) == 0); /* this begins one */
	late = make_taken(cache, &handle);
	if (flavor->is_qsbr) {
		leave_flavor(); /* this thread's section would hold it up */
		sleep_us(100000);
		join_flavor();
	} else {
		rest_us(100000);
	}
	test_flavor_lock(flavor);
	REQUIRE(cubby_weak_get(cache, handle) == late);
	cubby_free(cache, late);
	/* The first ones may go, but not what is borrowed here. */
	for (end_ms = now_ms() + 30; now_ms() < end_ms;) {
		REQUIRE(cubby_rcu_poll(cache) >= 0);
		REQUIRE(dtors_of(late->number) == 0);
		REQUIRE(late->stamp == ~late->number);
	}
	test_flavor_leave(flavor);
	wait_drained(cache);
	REQUIRE(dtors_between(0, n_things) == N_FREED + 1);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* A barrier reclaims what a poll waits for; the poll then finds nothing. */
static void
barrier_with_a_grace_period_asked_for_reclaims_all(void **state)
{
	(void)state;
	join_flavor();
	make_noted();
	for (size_t i = 0; i < N_ROUNDS; i++) {
		uint64_t first = n_things;

		free_taken_together(cache, N_FREED / 2);
		REQUIRE(cubby_rcu_poll(cache) >= 0);
		free_taken_together(cache, 3);
		REQUIRE(cubby_rcu_barrier(cache) == 0);
		REQUIRE(dtors_between(first, n_things) == n_things - first);
		REQUIRE(n_deferred(cache) == 0);
	}
	free_taken_together(cache, 3);
	wait_drained(cache);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* The cache for which the grace period was begun is no more when it ends. */
static void
destroy_with_a_grace_period_asked_for_leaves_others(void **state)
{
	struct cubby_cache *other;

	(void)state;
	join_flavor();
	other = MAKE_RCU_CACHE(.dtor = count_dtor);
	for (size_t i = 0; i < N_ROUNDS; i++) {
		make_noted();
		free_taken_together(cache, 200);
		free_taken_together(other, 200);
		REQUIRE(cubby_rcu_poll(cache) >= 0);
		REQUIRE(cubby_cache_destroy(cache) == 0);
		REQUIRE(cubby_rcu_poll(other) >= 0);
		test_flavor_quiesce(flavor);
	}
	cache = other;
	wait_drained(cache);
	REQUIRE(dtors_between(0, n_things) == n_things);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* ------------------------------ several pollers -------------------------- */

static uint32_t must_stop;

static void *
keep_polling(void *argument)
{
	int64_t *n_all = argument;

	join_flavor();
	while (!__atomic_load_n(&must_stop, __ATOMIC_RELAXED)) {
		int64_t n = cubby_rcu_poll(cache);

		REQUIRE(n >= 0);
		*n_all += n;
		free_taken(cache, 3);
		rest_us(100);
	}
	leave_flavor();
	return NULL;
}

static void
poll_by_many_threads_reclaims_each_object_once(void **state)
{
	pthread_t threads[N_POLLERS];
	int64_t n[N_POLLERS] = { 0 };
	uint64_t n_all = 0;

	(void)state;
	join_flavor();
	make_noted();
	for (size_t i = 0; i < N_POLLERS; i++)
		threads[i] = start_thread(keep_polling, &n[i]);
	rest_us(200000);
	__atomic_store_n(&must_stop, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < N_POLLERS; i++) {
		join_thread(threads[i]);
		n_all += (uint64_t)n[i];
	}
	REQUIRE(n_all == dtors_between(0, n_things));
	REQUIRE(n_all == look(cache).n_reclaimed);
	REQUIRE(n_all > 0);
	wait_drained(cache);
	REQUIRE(dtors_between(0, n_things) == n_things);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		THREAD_CASE(poll_of_a_thread_cache_is_einval, TEST_MB, "_mb"),
		POLL_CASES(poll_with_nothing_deferred_is_0),
		POLL_CASES(poll_returns_how_many_it_reclaimed),
		POLL_CASES(nobody_but_who_polls_reclaims),
		POLL_CASES(poll_beside_a_stalled_reader_does_not_block),
		POLL_CASES(poll_keeps_what_came_after_its_grace_period_began),
		POLL_CASES(barrier_with_a_grace_period_asked_for_reclaims_all),
		POLL_CASES(
			destroy_with_a_grace_period_asked_for_leaves_others),
		POLL_CASES(poll_by_many_threads_reclaims_each_object_once),
	};

	return cmocka_run_group_tests_name("test_rcu_poll", tests, NULL, NULL);
}

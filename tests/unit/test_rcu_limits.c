/* SPDX-License-Identifier: MIT */
/*
 * Limits: how much may wait beside a reader that stalls, and what an allocation
 * does when all cells are waiting.
 */
#include "unit/with_rcu.h"

/* By name, for the Makefile. */
#include "support/flavor.h"

#include <sched.h>

enum {
	N_SOFT = 1,
	N_HARD = 1000,
	N_HARD_BITS = 20, /* without magazines each free waits */
	N_MOST = 500,     /* max_objects */
	N_BIG = 20000,    /* far above every limit */
	/* Sheaf, magazines of the CPU and in the depot that are used up. */
	N_SLACK = 5 * 120,
	AT_ONCE_MS = 60,
	LATE_MS = 5000
};

static struct cubby_cache *cache;

static void
begin(struct cubby_cache_attr attr)
{
	if (reclaim == CUBBY_RECLAIM_POLL)
		join_flavor();
	cache = make_rcu_cache(attr);
}

static void
end(void)
{
	wait_drained(cache);
	REQUIRE(look(cache).n_live == 0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	if (reclaim == CUBBY_RECLAIM_POLL)
		leave_flavor();
}

/* ------------------------- beside a stalled reader ----------------------- */

/* Other CPUs' magazines may have idle cells, which can be allocated. */
static void
stay_on_this_cpu(void)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(sched_getcpu(), &one);
	REQUIRE(sched_setaffinity(0, sizeof(one), &one) == 0);
}

/* Allocate and free until it is refused: how many. */
static uint64_t
free_until_refused(void)
{
	uint64_t n = 0;

	for (; n < N_BIG; n++) {
		struct thing *thing;

		errno = 0;
		thing = cubby_alloc(cache);
		if (thing == NULL) {
			REQUIRE(errno == ENOMEM);
			break;
		}
		thing->number = 0;
		thing->stamp = ~(uint64_t)0;
		REQUIRE(cubby_weak_of(cache, thing) != CUBBY_WEAK_NULL);
		cubby_free(cache, thing);
	}
	return n;
}

static void
check_refusals(void)
{
	void *objects[10];

	errno = 0;
	REQUIRE(cubby_alloc(cache) == NULL && errno == ENOMEM);
	errno = 0;
	REQUIRE(cubby_zalloc(cache) == NULL && errno == ENOMEM);
	REQUIRE(cubby_alloc_bulk(cache, 10, objects) == -ENOMEM);
	REQUIRE(strstr(cubby_error_detail(), "cache 'thing': no 10 objects") !=
		NULL);
}

static void
stall_until_refused(struct cubby_cache_attr attr, uint64_t n_hard)
{
	struct cubby_cache_stats s;
	struct reader reader;
	uint64_t n;

	begin(attr);
	stay_on_this_cpu();
	start_reader(&reader);
	n = free_until_refused();
	REQUIRE(n > 2 * n_hard);
	REQUIRE(n <= 2 * n_hard + N_SLACK);
	check_refusals();
	s = look(cache);
	REQUIRE(s.n_deferred == n);
	REQUIRE(s.n_overruns > 0);
	end_reader(&reader);
	wait_drained(cache);
	/* As if nothing had been. */
	n = look(cache).n_overruns;
	for (size_t i = 0; i < 10; i++) {
		free_taken_together(cache, n_hard / 2);
		REQUIRE(cubby_rcu_barrier(cache) == 0);
	}
	REQUIRE(look(cache).n_overruns == n);
	end();
}

static void
max_deferred_holds_beside_a_stalled_reader(void **state)
{
	(void)state;
	stall_until_refused(
		(struct cubby_cache_attr){ .max_deferred_objects = N_HARD },
		N_HARD);
	stall_until_refused(
		(struct cubby_cache_attr){
			.max_deferred_bytes = N_HARD * sizeof(struct thing) },
		N_HARD);
	/* The lesser one. */
	stall_until_refused(
		(struct cubby_cache_attr){
			.max_deferred_objects = N_HARD / 2,
			.max_deferred_bytes = N_HARD * sizeof(struct thing) },
		N_HARD / 2);
}

static void
max_deferred_without_magazines_holds(void **state)
{
	(void)state;
	stall_until_refused(
		(struct cubby_cache_attr){
			.flags = CUBBY_CACHE_NO_MAGAZINES,
			.max_deferred_objects = N_HARD_BITS },
		N_HARD_BITS);
}

/* Without a hard limit frees go on, and nothing is refused. */
static void
no_limit_refuses_nothing(void **state)
{
	struct reader reader;

	(void)state;
	begin((struct cubby_cache_attr){ .soft_deferred_objects = N_SOFT });
	start_reader(&reader);
	REQUIRE(free_until_refused() == N_BIG);
	REQUIRE(look(cache).n_overruns == 0);
	REQUIRE(n_deferred(cache) == N_BIG);
	end_reader(&reader);
	end();
}

/* A free in a section must not wait for the reader that it is in. */
static void
free_above_the_limit_in_a_section_goes_on(void **state)
{
	struct thing *things[N_MOST];
	uint64_t began_ms;
	size_t n;

	(void)state;
	join_flavor();
	cache = MAKE_RCU_CACHE(.max_deferred_objects = 10,
			       .magazine_capacity = 4);
	for (size_t i = 0; i < N_MOST; i++)
		things[i] = make_taken(cache, NULL);
	test_flavor_lock(flavor);
	began_ms = now_ms();
	for (size_t i = 0; i < N_MOST; i++)
		cubby_free(cache, things[i]);
	/* 125 magazines of 10 ms each, if it waited. */
	REQUIRE(now_ms() - began_ms < 1000);
	REQUIRE(look(cache).n_overruns > 0);
	/* What is idle is used up first. */
	for (n = 0; n < N_MOST && (things[n] = cubby_alloc(cache)); n++)
		continue;
	REQUIRE(n < N_MOST);
	REQUIRE(now_ms() - began_ms < 1000 + AT_ONCE_MS);
	test_flavor_leave(flavor);
	while (n > 0)
		cubby_free(cache, things[--n]);
	wait_drained(cache);
	free_taken(cache, 1);
	wait_drained(cache);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* ------------------------------- max_objects ----------------------------- */

static void
defer_all(uint64_t flags)
{
	begin((struct cubby_cache_attr){ .max_objects = N_MOST,
					 .flags = flags });
	free_taken_together(cache, N_MOST);
}

/* It waits for the thread that reclaims: each of them, in bulk too. */
static void
alloc_when_all_is_deferred_waits(uint64_t flags)
{
	void *objects[N_MOST];

	defer_all(flags);
	for (size_t round = 0; round < 5; round++) {
		for (size_t i = 0; i < N_MOST; i++) {
			objects[i] = make_taken(cache, NULL);
			REQUIRE(objects[i] != NULL);
		}
		REQUIRE(cubby_alloc(cache) == NULL); /* all live */
		cubby_free_bulk(cache, N_MOST, objects);
		REQUIRE(cubby_alloc_bulk(cache, N_MOST, objects) == 0);
		for (size_t i = 0; i < N_MOST; i++)
			REQUIRE(cubby_weak_of(cache, objects[i]) !=
				CUBBY_WEAK_NULL);
		cubby_free_bulk(cache, N_MOST, objects);
	}
	end();
}

static void
alloc_at_max_objects_waits_for_what_is_deferred(void **state)
{
	(void)state;
	alloc_when_all_is_deferred_waits(0);
	alloc_when_all_is_deferred_waits(CUBBY_CACHE_NO_MAGAZINES);
}

static void
refuse_when_all_is_deferred(uint64_t flags)
{
	uint64_t began_ms;

	join_flavor();
	cache = MAKE_RCU_CACHE(.max_objects = N_MOST, .flags = flags);
	test_flavor_lock(flavor);
	free_taken_together(cache, N_MOST);
	began_ms = now_ms();
	errno = 0;
	REQUIRE(cubby_alloc(cache) == NULL && errno == ENOMEM);
	REQUIRE(now_ms() - began_ms < AT_ONCE_MS);
	REQUIRE(n_deferred(cache) == N_MOST);
	test_flavor_leave(flavor);
	wait_drained(cache);
	free_taken_together(cache, N_MOST);
	wait_drained(cache);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

static void
alloc_at_max_objects_in_a_section_is_enomem_at_once(void **state)
{
	(void)state;
	refuse_when_all_is_deferred(0);
	refuse_when_all_is_deferred(CUBBY_CACHE_NO_MAGAZINES);
}

/* Beside a reader that stalls it gives up after a while. */
static void
alloc_at_max_objects_beside_a_stalled_reader_gives_up(void **state)
{
	struct reader reader;
	uint64_t began_ms;

	(void)state;
	begin((struct cubby_cache_attr){ .max_objects = N_MOST });
	start_reader(&reader);
	free_taken_together(cache, N_MOST);
	began_ms = now_ms();
	errno = 0;
	REQUIRE(cubby_alloc(cache) == NULL && errno == ENOMEM);
	REQUIRE(now_ms() - began_ms < LATE_MS);
	end_reader(&reader);
	wait_drained(cache);
	free_taken_together(cache, N_MOST);
	end();
}

/* Where the program polls, nobody else would come. */
static void
alloc_at_max_objects_of_a_polled_cache_is_enomem(void **state)
{
	uint64_t began_ms;

	(void)state;
	defer_all(0);
	began_ms = now_ms();
	errno = 0;
	REQUIRE(cubby_alloc(cache) == NULL && errno == ENOMEM);
	REQUIRE(now_ms() - began_ms < AT_ONCE_MS);
	wait_drained(cache);
	free_taken_together(cache, N_MOST);
	end();
}

/* Threads share what comes back. */
static void *
take_and_free(void *argument)
{
	uint64_t *n_failed = argument;

	for (size_t i = 0; i < 2000; i++) {
		struct thing *thing = cubby_alloc(cache);

		if (thing == NULL) {
			++*n_failed;
			continue;
		}
		thing->number = 0;
		thing->stamp = ~(uint64_t)0;
		REQUIRE(cubby_weak_of(cache, thing) != CUBBY_WEAK_NULL);
		cubby_free(cache, thing);
	}
	return NULL;
}

static void
alloc_by_threads_at_max_objects_does_not_fail(void **state)
{
	uint64_t n_failed[3] = { 0 };
	pthread_t threads[3];

	(void)state;
	begin((struct cubby_cache_attr){ .max_objects = N_MOST });
	for (size_t i = 0; i < 3; i++)
		threads[i] = start_thread(take_and_free, &n_failed[i]);
	for (size_t i = 0; i < 3; i++)
		join_thread(threads[i]);
	for (size_t i = 0; i < 3; i++)
		REQUIRE(n_failed[i] == 0);
	end();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		SOME_CASES(max_deferred_holds_beside_a_stalled_reader),
		THREAD_CASE(max_deferred_holds_beside_a_stalled_reader,
			    TEST_QSBR, "_qsbr"),
		SOME_CASES(max_deferred_without_magazines_holds),
		SOME_CASES(no_limit_refuses_nothing),
		FRONT_CASES(no_limit_refuses_nothing),
		SOME_CASES(free_above_the_limit_in_a_section_goes_on),
		THREAD_CASE(free_above_the_limit_in_a_section_goes_on,
			    TEST_QSBR, "_qsbr"),
		THREAD_CASES(alloc_at_max_objects_waits_for_what_is_deferred),
		FRONT_CASES(alloc_at_max_objects_waits_for_what_is_deferred),
		THREAD_CASES(
			alloc_at_max_objects_in_a_section_is_enomem_at_once),
		POLL_CASE(alloc_at_max_objects_in_a_section_is_enomem_at_once,
			  TEST_QSBR, "_qsbr"),
		THREAD_CASES(
			alloc_at_max_objects_beside_a_stalled_reader_gives_up),
		POLL_CASE(alloc_at_max_objects_of_a_polled_cache_is_enomem,
			  TEST_MEMB, "_memb"),
		THREAD_CASES(alloc_by_threads_at_max_objects_does_not_fail),
		FRONT_CASES(alloc_by_threads_at_max_objects_does_not_fail),
	};

	return cmocka_run_group_tests_name("test_rcu_limits", tests, NULL,
					   NULL);
}

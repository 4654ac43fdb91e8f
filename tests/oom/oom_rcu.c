/* SPDX-License-Identifier: MIT */
/*
 * Memory, threads and domains run out where objects wait for a grace period.
 *
 * Of each scenario the n-th kernel memory call and all later ones fail, for
 * n = 1, 2, ... until the scenario comes to no failing one.  Whatever n is, what
 * frees never fails and loses nothing: where there is no magazine for a sheaf a
 * bit is set; each object is destructed once; the statistics add up.
 *
 * Barriers are this thread's, so that the calls come in one order.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include <cubby/cubby.h>

#include <urcu/flavor.h>

#include "oom/child.h"
#include "support/flavor.h"
#include "support/sums.h"

enum {
	OBJECT_BYTES = 200,
	N_GROWTH = 3000,
	N_DOMAINS = 8,
	N_RETIRED = 64, /* ranges of destroyed caches that are kept */
	N_MAX = 4000,   /* more kernel calls than any scenario makes */
	NOBODY = 65534
};

static struct cubby_cache *cache;
static void *objects[N_GROWTH];
static cubby_weak handles[N_GROWTH];
static size_t n_objects;
static uint64_t n_freed, n_dtors;
static uint64_t n_refusals;

/* ------------------------------ looking at it ----------------------------- */

static void
check(void)
{
	struct cubby_cache_stats s = { .stats_bytes = sizeof(s) };

	if (cache == NULL)
		return;
	REQUIRE(cubby_cache_stats_snapshot(cache, &s) == 0);
	REQUIRE(s.is_exact == 1);
	REQUIRE(s.n_live == n_objects);
	REQUIRE(s.n_deferred == n_freed - n_dtors);
	REQUIRE(s.n_cells == sum_of_cells(&s));
	REQUIRE(cubby_cache_verify(cache) == 0);
	for (size_t i = 0; i < n_objects; i += 97)
		REQUIRE(cubby_weak_is_live(cache, handles[i]));
}

/* ----------------------------- building blocks ---------------------------- */

static void
count_dtor(void *object, void *context)
{
	(void)object;
	(void)context;
	n_dtors++;
}

static struct cubby_cache_attr
attributes(void)
{
	struct cubby_cache_attr attr;

	cubby_cache_attr_init(&attr);
	attr.weak = CUBBY_WEAK_RCU;
	attr.rcu = test_flavors[TEST_MB].rcu;
	attr.reclaim = CUBBY_RECLAIM_POLL;
	attr.dtor = count_dtor;
	attr.max_objects = 2 * N_GROWTH;
	return attr;
}

static int
create_with(struct cubby_cache_attr attr)
{
	n_freed = 0;
	n_dtors = 0;
	return cubby_cache_create_sized(&cache, "oom", OBJECT_BYTES, 0, &attr);
}

static int
alloc(size_t n)
{
	while (n_objects < n) {
		errno = 0;
		objects[n_objects] = cubby_alloc(cache);
		if (objects[n_objects] == NULL) {
			REQUIRE(errno == ENOMEM);
			return -ENOMEM;
		}
		handles[n_objects] = cubby_weak_of(cache, objects[n_objects]);
		REQUIRE(handles[n_objects] != CUBBY_WEAK_NULL);
		n_objects++;
	}
	return 0;
}

static void
free_down_to(size_t n)
{
	while (n_objects > n) {
		n_objects--;
		REQUIRE(cubby_weak_free(cache, handles[n_objects]) == 0);
		n_freed++;
	}
}

static void
wait_for_all(void)
{
	REQUIRE(cubby_rcu_barrier(cache) == 0);
	REQUIRE(n_dtors == n_freed);
}

/* --------------------------------- scenarios ------------------------------ */

static void
prepare_nothing(void)
{
	cache = NULL;
}

static void
prepare_empty(void)
{
	REQUIRE(create_with(attributes()) == 0);
}

static void
prepare_full(void)
{
	prepare_empty();
	REQUIRE(alloc(N_GROWTH) == 0);
}

static void
prepare_full_strong(void)
{
	struct cubby_cache_attr attr = attributes();

	attr.is_strong = 1;
	REQUIRE(create_with(attr) == 0);
	REQUIRE(alloc(N_GROWTH) == 0);
}

static void
prepare_full_no_magazines(void)
{
	struct cubby_cache_attr attr = attributes();

	attr.flags = CUBBY_CACHE_NO_MAGAZINES;
	REQUIRE(create_with(attr) == 0);
	REQUIRE(alloc(N_GROWTH) == 0);
}

/* A refusal has a detail. */
static int
call_create(void)
{
	int err = create_with(attributes());

	REQUIRE((err == 0) == (cache != NULL));
	REQUIRE(err == 0 || strstr(cubby_error_detail(), "no memory") != NULL);
	return err;
}

static int
call_defer(void)
{
	free_down_to(0);
	check();
	wait_for_all();
	return 0;
}

static int
call_defer_and_alloc(void)
{
	int err;

	free_down_to(N_GROWTH / 2);
	check();
	err = alloc(N_GROWTH);
	check();
	wait_for_all();
	return err;
}

static int
call_defer_under_walk(void)
{
	struct cubby_walk *walk;
	int err = cubby_walk_create(&walk, cache);

	if (err)
		return err;
	free_down_to(N_GROWTH / 2);
	cubby_walk_destroy(walk);
	wait_for_all();
	return 0;
}

static int
call_poll(void)
{
	free_down_to(N_GROWTH / 3);
	for (size_t i = 0; i < 10; i++)
		REQUIRE(cubby_rcu_poll(cache) >= 0);
	free_down_to(0);
	wait_for_all();
	return 0;
}

static int
call_shrink(void)
{
	free_down_to(N_GROWTH / 2);
	REQUIRE(cubby_cache_shrink(cache, NULL) == 0);
	check();
	wait_for_all();
	REQUIRE(cubby_shrink_all(NULL) == 0);
	return 0;
}

static int
call_destroy(void)
{
	free_down_to(0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	REQUIRE(n_dtors == n_freed);
	cache = NULL;
	return 0;
}

static const struct scenario {
	const char *name;
	void (*prepare)(void);
	int (*call)(void);
} scenarios[] = {
	{ "create", prepare_nothing, call_create },
	{ "defer", prepare_full, call_defer },
	{ "defer counted", prepare_full_strong, call_defer },
	{ "defer bits", prepare_full_no_magazines, call_defer },
	{ "defer and alloc", prepare_full, call_defer_and_alloc },
	{ "defer under a walk", prepare_full, call_defer_under_walk },
	{ "poll", prepare_full, call_poll },
	{ "shrink", prepare_full, call_shrink },
	{ "destroy", prepare_full, call_destroy },
};

#define N_SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* False: no call failed, so the scenario is through. */
static bool
fail_once(const struct scenario *scenario)
{
	bool failed;
	int err;

	scenario->prepare();
	check();
	cubby__os_fail_at(scenario_nth);
	err = scenario->call();
	failed = cubby__os_n_calls() >= scenario_nth;
	REQUIRE(err == 0 || err == -ENOMEM);
	REQUIRE(err == 0 || failed);
	check(); /* while the kernel still refuses */
	if (err != 0) {
		cubby__os_fail_at(0);
		REQUIRE(scenario->call() == 0);
		check();
		cubby__os_fail_at(1);
	}
	if (cache != NULL) {
		free_down_to(0);
		wait_for_all();
		REQUIRE(cubby_cache_destroy(cache) == 0);
	}
	cache = NULL;
	cubby__os_fail_at(0);
	return failed;
}

static uint64_t
n_mapped_pages(void)
{
	return cubby__os_read_number("/proc/self/statm", 0);
}

static void
run_scenario(const struct scenario *scenario)
{
	uint64_t n_pages;

	scenario_name = scenario->name;
	scenario_nth = N_MAX;
	for (unsigned i = 0; i < N_RETIRED + 1; i++)
		fail_once(scenario);
	n_pages = n_mapped_pages();
	for (scenario_nth = 1; scenario_nth < N_MAX;) {
		if (!fail_once(scenario))
			break;
		scenario_nth += 1 + scenario_nth / 16;
	}
	REQUIRE(scenario_nth < N_MAX);
	REQUIRE(n_mapped_pages() <= n_pages);
	n_refusals += scenario_nth - 1;
}

/* ------------------------------ what runs out ---------------------------- */

static void
run_scenarios(void)
{
	test_flavor_register(&test_flavors[TEST_MB]);
	for (size_t i = 0; i < N_SCENARIOS; i++)
		run_scenario(&scenarios[i]);
	REQUIRE(n_refusals > N_SCENARIOS);
}

/*
 * No magazine was ever made in this process, and none can be: each object waits
 * as a bit.
 */
static void
run_without_empties(void)
{
	struct cubby_cache_attr attr = attributes();

	scenario_name = "no empties";
	attr.prefault_objects = N_GROWTH;
	REQUIRE(create_with(attr) == 0);
	cubby__os_fail_at(1);
	REQUIRE(alloc(N_GROWTH / 2) == 0);
	for (size_t n = N_GROWTH / 2; n > 0; n /= 2) {
		free_down_to(n / 2);
		check();
		wait_for_all();
		check();
	}
	cubby__os_fail_at(0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
}

/* Limits on processes are not for those who may all. */
static void
forbid_threads(void)
{
	struct rlimit none = { 0, 0 };

	getrlimit(RLIMIT_NPROC, &none);
	none.rlim_cur = 0;
	if (getuid() == 0 && setresuid(NOBODY, NOBODY, NOBODY) != 0)
		_exit(CHILD_SKIPS);
	if (setrlimit(RLIMIT_NPROC, &none) != 0)
		_exit(CHILD_SKIPS);
}

static void
allow_threads(void)
{
	struct rlimit all;

	getrlimit(RLIMIT_NPROC, &all);
	all.rlim_cur = all.rlim_max;
	REQUIRE(setrlimit(RLIMIT_NPROC, &all) == 0);
}

static void
run_without_threads(void)
{
	struct cubby_cache_attr attr = attributes();

	scenario_name = "no threads";
	forbid_threads();
	for (size_t i = 0; i < 50; i++) {
		attr.reclaim = i % 2 == 0 ? CUBBY_RECLAIM_THREAD :
					    CUBBY_RECLAIM_POLL;
		REQUIRE(create_with(attr) == -EAGAIN);
		REQUIRE(strstr(cubby_error_detail(), "RLIMIT_NPROC") != NULL);
	}
	/* Caches without a flavour need none. */
	attr.rcu = NULL;
	attr.reclaim = 0;
	attr.weak = CUBBY_WEAK_STRONG;
	REQUIRE(create_with(attr) == 0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	allow_threads();
	attr = attributes();
	attr.reclaim = CUBBY_RECLAIM_THREAD;
	REQUIRE(create_with(attr) == 0);
	REQUIRE(alloc(100) == 0);
	free_down_to(0);
	wait_for_all();
	REQUIRE(cubby_cache_destroy(cache) == 0);
}

/* A flavour more than there is room for is refused; the others go on. */
static void
run_without_domains(void)
{
	static struct rcu_flavor_struct copies[N_DOMAINS + 1];
	struct cubby_cache_attr attr = attributes();
	struct cubby_cache *caches[N_DOMAINS];

	scenario_name = "no domains";
	for (size_t i = 0; i <= N_DOMAINS; i++) {
		copies[i] = *test_flavors[TEST_MB].rcu;
		attr.rcu = &copies[i];
		if (i == N_DOMAINS)
			break;
		REQUIRE(create_with(attr) == 0);
		caches[i] = cache;
	}
	cache = NULL;
	REQUIRE(create_with(attr) == -E2BIG);
	REQUIRE(cache == NULL);
	REQUIRE(strstr(cubby_error_detail(), "more than 8 flavours") != NULL);
	for (size_t i = 0; i < N_DOMAINS; i++) {
		cache = caches[i];
		REQUIRE(alloc(100) == 0);
		free_down_to(0);
		wait_for_all();
		REQUIRE(cubby_cache_destroy(cache) == 0);
	}
}

#define CASE(name, options, fn)                                               \
	static void name(void **state)                                        \
	{                                                                     \
		(void)state;                                                  \
		in_child(options, fn);                                        \
	}                                                                     \
	struct cubby_cache

CASE(defer_with_failing_memory_loses_nothing, NULL, run_scenarios);
CASE(defer_in_chunks_with_failing_memory_loses_nothing, "chunks",
     run_scenarios);
CASE(defer_per_thread_with_failing_memory_loses_nothing, "front=thread",
     run_scenarios);
CASE(defer_without_empties_sets_bits, NULL, run_without_empties);
CASE(create_without_threads_is_eagain, NULL, run_without_threads);
CASE(create_with_too_many_flavors_is_e2big, NULL, run_without_domains);

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(defer_with_failing_memory_loses_nothing),
		cmocka_unit_test(
			defer_in_chunks_with_failing_memory_loses_nothing),
		cmocka_unit_test(
			defer_per_thread_with_failing_memory_loses_nothing),
		cmocka_unit_test(defer_without_empties_sets_bits),
		cmocka_unit_test(create_without_threads_is_eagain),
		cmocka_unit_test(create_with_too_many_flavors_is_e2big),
	};

	return cmocka_run_group_tests_name("oom_rcu", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out at every place where cells move between threads and slabs:
 * refill, flush, bulk, reserves, the first call of a thread, walks, shrinking.
 *
 * Of each scenario the n-th kernel memory call and all later ones fail, for
 * n = 1, 2, ... until the scenario comes to no failing one.  Whatever n is,
 * each call succeeds or says ENOMEM, what gives back never fails, the
 * statistics add up and are exact, verify() is clean, and in the end no
 * magazine is missing.
 *
 * And a limit: N objects can be allocated, whatever other threads have idle.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cubby/cubby.h>

#include "granule.h"
#include "magazine.h"
#include "oom/child.h"
#include "support/sums.h"

enum {
	OBJECT_BYTES = 200,
	N_GROWTH = 4000, /* objects in 13 slabs, and many magazines */
	N_RESERVED = 500,
	N_STEPS = 60,   /* of the random program */
	N_RETIRED = 64, /* ranges of destroyed caches that are kept */
	N_MAX = 4000,   /* more kernel calls than any scenario makes */
	N_IDLERS = 3,
	N_LIMIT = 1000
};

static struct cubby_cache *cache;
static struct cubby_reserve *reserve;
static void *objects[N_GROWTH];
static size_t n_objects;
static uint64_t seed;
static uint64_t n_refusals; /* that a scenario could meet, in all */

/* ------------------------------ looking at it ----------------------------- */

static size_t
n_reserved(void)
{
	return reserve != NULL ? cubby_reserve_count(reserve) : 0;
}

/* Exact, adding up and clean; needs no memory. */
static void
check(void)
{
	struct cubby_cache_stats s = { .stats_bytes = sizeof(s) };

	if (cache == NULL)
		return;
	REQUIRE(cubby_cache_stats_snapshot(cache, &s) == 0);
	REQUIRE(s.is_exact == 1);
	REQUIRE(s.n_live == n_objects);
	REQUIRE(s.n_reserved == n_reserved());
	REQUIRE(s.n_cells == sum_of_cells(&s));
	REQUIRE(s.reserved_bytes == s.committed_bytes + s.uncommitted_bytes);
	REQUIRE(s.populated_bytes <= s.committed_bytes);
	REQUIRE(s.n_live <= s.n_live_peak);
	REQUIRE(cubby_cache_verify(cache) == 0);
	REQUIRE(cubby__granule_verify() == 0);
}

static void
count_magazine(uint32_t number, void *context)
{
	(void)number;
	++*(uint32_t *)context;
}

/* With no cache left each magazine is on the stack of empties, or dropped. */
static void
check_magazines(void)
{
	uint32_t n_stacked = 0, n_empty = 0;

	if (cubby__magazine_base == NULL)
		return;
	for (uint32_t i = 1; i < cubby__magazine_n_used(); i++) {
		enum magazine_state state = magazine_get_state(magazine(i));

		REQUIRE(state == MAGAZINE_EMPTY || state == MAGAZINE_UNUSED);
		n_empty += state == MAGAZINE_EMPTY;
	}
	cubby__magazine_for_each_empty(count_magazine, &n_stacked);
	REQUIRE(n_stacked == n_empty);
}

/* ----------------------------- building blocks ---------------------------- */

static int
on_init(void *object, void *context)
{
	(void)context;
	memset(object, 1, OBJECT_BYTES);
	return 0;
}

static void
on_fini(void *object, void *context)
{
	(void)context;
	REQUIRE(*(char *)object == 1);
}

static void
create(struct cubby_cache_attr attr)
{
	/* One granule, whatever is left of the addresses. */
	if (attr.max_objects == 0 && attr.max_bytes == 0)
		attr.max_objects = 2 * N_GROWTH;
	REQUIRE(cubby_cache_create_sized(&cache, "oom", OBJECT_BYTES, 0,
					 &attr) == 0);
}

/* As many as there are, up to n: 0 or -ENOMEM. */
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
		REQUIRE(errno == 0);
		n_objects++;
	}
	return 0;
}

/* From anywhere in the cache, so that the depot is full of all sorts. */
static void
free_down_to(size_t n)
{
	while (n_objects > n) {
		size_t i = test_random(&seed) % n_objects;

		cubby_free(cache, objects[i]);
		objects[i] = objects[--n_objects];
	}
}

static void
prepare_plain(void)
{
	create(CUBBY_CACHE_ATTR());
}

static void
prepare_init(void)
{
	create(CUBBY_CACHE_ATTR(.init = on_init, .fini = on_fini));
}

/* Its objects are watched, and some of its free cells kept from reuse. */
static void
prepare_watched(void)
{
	create(CUBBY_CACHE_ATTR(.debug = CUBBY_DEBUG_RED_ZONE |
					 CUBBY_DEBUG_POISON,
				.quarantine_bytes = 8192));
	REQUIRE(alloc(N_GROWTH / 8) == 0);
	free_down_to(N_GROWTH / 16);
}

static int
call_users(void)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int64_t n = cubby_cache_report_users(cache, fd);

	close(fd);
	REQUIRE(n < 0 || (size_t)n == n_objects);
	REQUIRE(cubby_cache_validate(cache) == 0);
	return n < 0 ? (int)n : 0;
}

static void
prepare_full(void)
{
	prepare_plain();
	REQUIRE(alloc(N_GROWTH) == 0);
}

static void
prepare_full_init(void)
{
	prepare_init();
	REQUIRE(alloc(N_GROWTH) == 0);
}

/* Some objects, magazines of this thread and a depot. */
static void
prepare_idle(void)
{
	prepare_full();
	free_down_to(N_GROWTH / 4);
}

static void
prepare_reserve(void)
{
	prepare_idle();
	REQUIRE(cubby_reserve_create(&reserve, cache, N_RESERVED) == 0);
	for (size_t i = 0; i < N_RESERVED / 2; i++)
		cubby_free(cache, cubby_reserve_alloc(reserve));
}

/* --------------------------------- scenarios ------------------------------ */

static int
call_refill(void)
{
	return alloc(N_GROWTH);
}

static int
call_flush(void)
{
	free_down_to(0);
	return 0;
}

static int
call_bulk(void)
{
	int err;

	check();
	err = cubby_alloc_bulk(cache, N_GROWTH - n_objects,
			       objects + n_objects);
	if (err)
		return err;
	n_objects = N_GROWTH;
	return 0;
}

static int
call_free_bulk(void)
{
	size_t n = n_objects;

	n_objects = 0;
	for (size_t i = 0; i < n; i += 37)
		cubby_free_bulk(cache, n - i < 37 ? n - i : 37, objects + i);
	return 0;
}

static int
call_reserve_create(void)
{
	int err = cubby_reserve_create(&reserve, cache, N_RESERVED);

	REQUIRE((err == 0) == (reserve != NULL));
	return err;
}

static int
call_reserve_refill(void)
{
	size_t n_before = n_reserved();
	int err = cubby_reserve_refill(reserve, N_RESERVED);

	REQUIRE(n_reserved() == (err ? n_before : N_RESERVED));
	return err;
}

/* A thread's first call: with a stripe, or by the lock. */
static void *
attach(void *context)
{
	if (n_objects > 0)
		cubby_free(cache, objects[--n_objects]);
	*(int *)context = alloc(n_objects + 10);
	return NULL;
}

static int
call_attach(void)
{
	pthread_t threads[3];
	int err, first_err = 0;

	for (size_t i = 0; i < 3; i++) {
		REQUIRE(pthread_create(&threads[i], NULL, attach, &err) == 0);
		REQUIRE(pthread_join(threads[i], NULL) == 0);
		if (first_err == 0)
			first_err = err;
	}
	return first_err;
}

static int
call_walk(void)
{
	struct cubby_walk *walk;
	struct cubby_run run;
	size_t n = 0;
	int err = cubby_walk_create(&walk, cache);

	if (err)
		return err;
	while (cubby_walk_next(walk, &run))
		n += run.n_objects;
	REQUIRE(n == n_objects);
	/* What dies meanwhile keeps its pages until the end of the walk. */
	free_down_to(n_objects / 2);
	cubby_walk_destroy(walk);
	return 0;
}

static int
call_report(void)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	int err = cubby_cache_report_live(cache, fd);

	close(fd);
	return err;
}

/* Questions and shrinking need no memory. */
static int
call_shrink(void)
{
	for (size_t i = 0; i < n_objects; i += 97)
		REQUIRE(cubby_is_live(cache, objects[i]));
	REQUIRE(cubby_cache_shrink(cache, NULL) == 0);
	return 0;
}

static int
call_shrink_all(void)
{
	REQUIRE(cubby_shrink_all(NULL) == 0);
	check();
	free_down_to(0);
	REQUIRE(cubby_shrink_all(NULL) == 0);
	return 0;
}

static int
call_destroy(void)
{
	free_down_to(0);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	cache = NULL;
	return 0;
}

static void
random_step(void)
{
	size_t target = test_random(&seed) % N_GROWTH;

	switch (test_random(&seed) % 6) {
	case 0:
	case 1:
		alloc(target);
		break;
	case 2:
		free_down_to(target);
		break;
	case 3:
		if (reserve == NULL)
			call_reserve_create();
		else
			call_reserve_refill();
		break;
	case 4:
		cubby_reserve_destroy(reserve);
		reserve = NULL;
		break;
	default:
		REQUIRE(cubby_shrink_all(NULL) == 0);
	}
}

/* Calls of all sorts: each may fail, and after each all must be well. */
static int
call_anything(void)
{
	for (size_t i = 0; i < N_STEPS; i++) {
		random_step();
		check();
	}
	return 0;
}

static const struct scenario {
	const char *name;
	void (*prepare)(void);
	int (*call)(void);
} scenarios[] = {
	{ "refill", prepare_plain, call_refill },
	{ "refill init", prepare_init, call_refill },
	{ "refill from the depot", prepare_idle, call_refill },
	{ "flush", prepare_full, call_flush },
	{ "flush init", prepare_full_init, call_flush },
	{ "bulk", prepare_plain, call_bulk },
	{ "bulk beside idle cells", prepare_idle, call_bulk },
	{ "bulk init", prepare_init, call_bulk },
	{ "bulk free", prepare_full, call_free_bulk },
	{ "reserve", prepare_plain, call_reserve_create },
	{ "reserve init", prepare_init, call_reserve_create },
	{ "reserve beside idle cells", prepare_idle, call_reserve_create },
	{ "reserve refill", prepare_reserve, call_reserve_refill },
	{ "attach", prepare_idle, call_attach },
	{ "walk", prepare_idle, call_walk },
	{ "report_live", prepare_idle, call_report },
	{ "flush watched", prepare_watched, call_flush },
	{ "users", prepare_watched, call_users },
	{ "shrink watched", prepare_watched, call_shrink },
	{ "reserve watched", prepare_watched, call_reserve_create },
	{ "shrink", prepare_idle, call_shrink },
	{ "shrink_all", prepare_idle, call_shrink_all },
	{ "destroy", prepare_idle, call_destroy },
	{ "anything", prepare_plain, call_anything },
	{ "anything init", prepare_init, call_anything },
};

#define N_SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* ---------------------------------- driver -------------------------------- */

static void
finish(void)
{
	cubby_reserve_destroy(reserve);
	reserve = NULL;
	free_down_to(0);
	check();
	if (cache != NULL)
		REQUIRE(cubby_cache_destroy(cache) == 0);
	cache = NULL;
}

/* False: no call failed, so the scenario is through. */
static bool
fail_once(const struct scenario *scenario)
{
	bool failed;
	int err;

	seed = 4711;
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
	finish();
	cubby__os_fail_at(0);
	return failed;
}

/* No scenario leaves a mapping behind. */
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
	/* What is made once for the process, and ranges that are kept. */
	for (unsigned i = 0; i < N_RETIRED + 1; i++)
		fail_once(scenario);
	n_pages = n_mapped_pages();
	for (scenario_nth = 1; scenario_nth < N_MAX;) {
		if (!fail_once(scenario))
			break;
		check_magazines();
		/* Every failure of short calls; ever fewer of long ones. */
		scenario_nth += 1 +
				scenario_nth / (test_scaled(1) > 1 ? 64 : 16);
	}
	REQUIRE(scenario_nth < N_MAX);
	REQUIRE(n_mapped_pages() <= n_pages);
	n_refusals += scenario_nth - 1;
}

static void
run_scenarios(void)
{
	for (size_t i = 0; i < N_SCENARIOS; i++)
		run_scenario(&scenarios[i]);
	REQUIRE(n_refusals > N_SCENARIOS);
}

static void
run_scenarios_charged(void)
{
	cubby__os_pretend_charging(true);
	run_scenarios();
}

/* ---------------------------------- limits -------------------------------- */

/* A thread that holds idle cells until it may end. */
struct idler {
	pthread_t thread;
	sem_t is_idle, may_end;
};

static struct idler idlers[N_IDLERS];

/* Frees that do not overflow the depot stay in the thread's magazines. */
static void *
be_idle(void *argument)
{
	struct idler *idler = argument;
	void *mine[N_LIMIT];
	size_t n = 0;

	while (n < N_LIMIT && (mine[n] = cubby_alloc(cache)) != NULL)
		n++;
	while (n > 0)
		cubby_free(cache, mine[--n]);
	sem_post(&idler->is_idle);
	while (sem_wait(&idler->may_end) != 0)
		continue;
	return NULL;
}

static void
start_idlers(void)
{
	for (size_t i = 0; i < N_IDLERS; i++) {
		sem_init(&idlers[i].is_idle, 0, 0);
		sem_init(&idlers[i].may_end, 0, 0);
		REQUIRE(pthread_create(&idlers[i].thread, NULL, be_idle,
				       &idlers[i]) == 0);
		while (sem_wait(&idlers[i].is_idle) != 0)
			continue;
	}
}

static void
end_idlers(void)
{
	for (size_t i = 0; i < N_IDLERS; i++) {
		sem_post(&idlers[i].may_end);
		REQUIRE(pthread_join(idlers[i].thread, NULL) == 0);
	}
}

static void
use_up_one_by_one(void)
{
	REQUIRE(alloc(N_LIMIT) == 0);
	REQUIRE(alloc(N_LIMIT + 1) == -ENOMEM);
}

static void
use_up_in_bulk(void)
{
	REQUIRE(cubby_alloc_bulk(cache, N_LIMIT + 1, objects) == -ENOMEM);
	REQUIRE(cubby_alloc_bulk(cache, N_LIMIT, objects) == 0);
	n_objects = N_LIMIT;
	REQUIRE(cubby_alloc(cache) == NULL);
}

static void
use_up_by_reserve(void)
{
	struct cubby_reserve *more = NULL;

	REQUIRE(cubby_reserve_create(&reserve, cache, N_LIMIT) == 0);
	REQUIRE(cubby_reserve_create(&more, cache, 1) == -ENOMEM);
	REQUIRE(cubby_alloc(cache) == NULL);
	check();
	for (; n_objects < N_LIMIT; n_objects++)
		objects[n_objects] = cubby_reserve_alloc(reserve);
	cubby_reserve_destroy(reserve);
	reserve = NULL;
}

/* @refuse: the kernel gives nothing any more: there is enough idle. */
static void
run_limit(const char *name, struct cubby_cache_attr attr, void (*use_up)(void),
	  bool refuse)
{
	scenario_name = name;
	create(attr);
	start_idlers();
	check();
	if (refuse)
		cubby__os_fail_at(1);
	use_up();
	check();
	free_down_to(0);
	use_up();
	cubby__os_fail_at(0);
	free_down_to(0);
	end_idlers();
	check();
	REQUIRE(cubby_cache_destroy(cache) == 0);
	cache = NULL;
}

static void
run_limits(void)
{
	static const struct cubby_cache_attr attrs[] = {
		{ .attr_bytes = sizeof(attrs[0]), .max_objects = N_LIMIT },
		{ .attr_bytes = sizeof(attrs[0]),
		  .max_bytes = N_LIMIT * OBJECT_BYTES },
		{ .attr_bytes = sizeof(attrs[0]),
		  .max_objects = N_LIMIT,
		  .init = on_init,
		  .fini = on_fini },
	};

	for (size_t i = 0; i < sizeof(attrs) / sizeof(attrs[0]); i++) {
		run_limit("one by one", attrs[i], use_up_one_by_one, false);
		run_limit("in bulk", attrs[i], use_up_in_bulk, false);
		run_limit("by reserve", attrs[i], use_up_by_reserve, false);
		run_limit("refused", attrs[i], use_up_one_by_one, true);
		run_limit("bulk refused", attrs[i], use_up_in_bulk, true);
	}
}

/* Threads that take their parts of the limit at the same time. */
static void *
take_part(void *argument)
{
	void **part = argument;
	uintptr_t n = 0;

	while (n < N_LIMIT / N_IDLERS &&
	       (part[n] = cubby_alloc(cache)) != NULL)
		n++;
	return (void *)n;
}

/*
 * Each gets its part in full, although the others' magazines hold some of it
 * for a moment.
 */
static void
share_limit(void)
{
	static void *parts[N_IDLERS][N_LIMIT];
	pthread_t threads[N_IDLERS];
	uint64_t n_rounds = test_scaled(300);
	void *n;

	scenario_name = "share";
	create(CUBBY_CACHE_ATTR(.max_objects = N_LIMIT / N_IDLERS * N_IDLERS));
	for (uint64_t round = 0; round < n_rounds; round++) {
		for (size_t i = 0; i < N_IDLERS; i++)
			REQUIRE(pthread_create(&threads[i], NULL, take_part,
					       parts[i]) == 0);
		for (size_t i = 0; i < N_IDLERS; i++) {
			REQUIRE(pthread_join(threads[i], &n) == 0);
			REQUIRE((uintptr_t)n == N_LIMIT / N_IDLERS);
		}
		for (size_t i = 0; i < N_IDLERS; i++)
			cubby_free_bulk(cache, N_LIMIT / N_IDLERS, parts[i]);
	}
	check();
	REQUIRE(cubby_cache_destroy(cache) == 0);
}

#define CASE(name, options, fn)                                               \
	static void name(void **state)                                        \
	{                                                                     \
		(void)state;                                                  \
		in_child(options, fn);                                        \
	}                                                                     \
	struct cubby_cache

CASE(any_call_with_failing_memory_is_whole_or_enomem, NULL, run_scenarios);
CASE(any_call_in_chunks_with_failing_memory_is_whole_or_enomem, "chunks",
     run_scenarios);
CASE(any_call_in_small_budget_with_failing_memory_is_whole_or_enomem,
     "budget=2G", run_scenarios);
CASE(any_call_charged_with_failing_memory_is_whole_or_enomem, NULL,
     run_scenarios_charged);
CASE(alloc_up_to_limit_takes_back_what_others_have_idle, NULL, run_limits);
CASE(alloc_by_threads_shares_the_limit_exactly, NULL, share_limit);

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			any_call_with_failing_memory_is_whole_or_enomem),
		cmocka_unit_test(
			any_call_in_chunks_with_failing_memory_is_whole_or_enomem),
		cmocka_unit_test(
			any_call_in_small_budget_with_failing_memory_is_whole_or_enomem),
		cmocka_unit_test(
			any_call_charged_with_failing_memory_is_whole_or_enomem),
		cmocka_unit_test(
			alloc_up_to_limit_takes_back_what_others_have_idle),
		cmocka_unit_test(alloc_by_threads_shares_the_limit_exactly),
	};

	return cmocka_run_group_tests_name("oom_magazines", tests, NULL, NULL);
}

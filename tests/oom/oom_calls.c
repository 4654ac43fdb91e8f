/* SPDX-License-Identifier: MIT */
/*
 * Memory runs out at every possible place of every call that takes some.
 *
 * Of each scenario the n-th kernel memory call and all later ones fail, for
 * n = 1, 2, ... until the call under test comes to no failing one.  Whatever n
 * is, the call either succeeds or says ENOMEM and has changed nothing; freeing,
 * shrinking and destroying work while the kernel still refuses everything; the
 * address budget is in the end as it was, and the same call succeeds as soon
 * as there is memory again.
 *
 * Each scenario runs in children of its own: with ranges, with chunks, in a
 * small budget, and with a kernel that charges what is committed.
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
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cubby/cubby.h>

#include "granule.h"
#include "oom/child.h"

#define OBJECT_BYTES 200
#define MAX_OBJECTS 80000 /* in one granule: 245 slabs of 64 KiB */
#define N_GROWTH 18000    /* objects in 71 slabs: more than inline records */
#define N_BULK 2000       /* more than the library's batch on the stack */
#define TOUCH_EVERY 200
#define N_RETIRED 64 /* ranges of destroyed caches that are kept */
#define N_MAX 1000   /* a call with more kernel calls than this is ill */

static struct cubby_cache *cache;
static struct cubby_walk *walk;
static void *objects[N_GROWTH];
static size_t n_objects;
static int null_fd;

static uint64_t n_refusals; /* that a scenario could meet, in all */

/* ------------------------------ building blocks -------------------------- */

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

static int
create(struct cubby_cache_attr attr)
{
	struct cubby_cache *made = NULL;
	int err;

	attr.max_objects = MAX_OBJECTS;
	err = cubby_cache_create_sized(&made, "oom", OBJECT_BYTES, 0, &attr);
	REQUIRE((err == 0) == (made != NULL));
	cache = made;
	return err;
}

static void
destroy(void)
{
	REQUIRE(cubby_cache_destroy(cache) == 0);
	cache = NULL;
}

static void
free_objects(void)
{
	for (; n_objects > 0; n_objects--)
		cubby_free(cache, objects[n_objects - 1]);
}

/* What an allocation answered, as a code; errno is 0 on success. */
static int
code_of(const void *object)
{
	return object != NULL ? -errno : errno ? -errno : -1;
}

static int
alloc_one_by_one(size_t n)
{
	while (n_objects < n) {
		errno = 0;
		objects[n_objects] = cubby_alloc(cache);
		if (objects[n_objects] == NULL)
			return code_of(NULL);
		REQUIRE(errno == 0);
		/* Touching all would only take the kernel's time. */
		if (n_objects % TOUCH_EVERY == 0)
			memset(objects[n_objects], 1, OBJECT_BYTES);
		n_objects++;
	}
	return 0;
}

/* -------------------------------- scenarios ------------------------------ */

static void
prepare_nothing(void)
{
}

static void
prepare_plain(void)
{
	REQUIRE(create(CUBBY_CACHE_ATTR()) == 0);
}

static void
prepare_init(void)
{
	REQUIRE(create(CUBBY_CACHE_ATTR(.init = on_init, .fini = on_fini)) ==
		0);
}

static void
prepare_full(void)
{
	prepare_plain();
	REQUIRE(alloc_one_by_one(N_GROWTH) == 0);
}

static void
prepare_returned(void)
{
	prepare_full();
	free_objects();
	REQUIRE(cubby_cache_shrink(cache, NULL) == 0);
}

static int
call_create(void)
{
	return create(CUBBY_CACHE_ATTR());
}

static int
call_create_init(void)
{
	return create(CUBBY_CACHE_ATTR(.init = on_init, .fini = on_fini));
}

static struct cubby_cache_attr
watched(void)
{
	return CUBBY_CACHE_ATTR(.debug = CUBBY_DEBUG_CHECKS |
					 CUBBY_DEBUG_RED_ZONE |
					 CUBBY_DEBUG_POISON | CUBBY_DEBUG_USER,
				.quarantine_bytes = 8192, .dtor = on_fini,
				.ctor = on_init);
}

static int
call_create_watched(void)
{
	return create(watched());
}

static int
call_create_huge(void)
{
	return create(CUBBY_CACHE_ATTR(.flags = CUBBY_CACHE_HUGE_PAGES));
}

static int
call_create_prefault(void)
{
	return create(CUBBY_CACHE_ATTR(.prefault_objects = N_GROWTH));
}

static int
call_create_all(void)
{
	return create(CUBBY_CACHE_ATTR(.flags = CUBBY_CACHE_HUGE_PAGES,
				       .prefault_objects = N_GROWTH,
				       .max_bytes = MAX_OBJECTS * OBJECT_BYTES,
				       .init = on_init, .fini = on_fini));
}

static int
call_alloc(void)
{
	return alloc_one_by_one(1);
}

static int
call_zalloc(void)
{
	errno = 0;
	objects[0] = cubby_zalloc(cache);
	n_objects = objects[0] != NULL;
	return code_of(objects[0]);
}

static int
call_grow(void)
{
	int err = alloc_one_by_one(N_GROWTH);

	if (err)
		free_objects();
	return err;
}

static int
bulk(size_t n)
{
	int err = cubby_alloc_bulk(cache, n, objects);

	n_objects = err ? 0 : n;
	return err;
}

static int
call_bulk(void)
{
	return bulk(N_BULK);
}

static int
call_bulk_grow(void)
{
	return bulk(N_GROWTH);
}

static int
call_walk(void)
{
	walk = NULL;
	return cubby_walk_create(&walk, cache);
}

static int
call_report(void)
{
	return cubby_cache_report_live(cache, null_fd);
}

static void
undo_nothing(void)
{
}

static void
undo_walk(void)
{
	cubby_walk_destroy(walk);
}

static const struct scenario {
	const char *name;
	void (*prepare)(void);
	int (*call)(void);
	void (*undo)(void);
} scenarios[] = {
	{ "create", prepare_nothing, call_create, destroy },
	{ "create init", prepare_nothing, call_create_init, destroy },
	{ "create huge", prepare_nothing, call_create_huge, destroy },
	{ "create watched", prepare_nothing, call_create_watched, destroy },
	{ "create prefault", prepare_nothing, call_create_prefault, destroy },
	{ "create all", prepare_nothing, call_create_all, destroy },
	{ "alloc", prepare_plain, call_alloc, free_objects },
	{ "zalloc", prepare_plain, call_zalloc, free_objects },
	{ "alloc init", prepare_init, call_alloc, free_objects },
	{ "grow", prepare_plain, call_grow, free_objects },
	{ "grow init", prepare_init, call_grow, free_objects },
	{ "grow again", prepare_returned, call_grow, free_objects },
	{ "bulk", prepare_plain, call_bulk, free_objects },
	{ "bulk init", prepare_init, call_bulk, free_objects },
	{ "bulk grow", prepare_plain, call_bulk_grow, free_objects },
	{ "bulk again", prepare_returned, call_bulk_grow, free_objects },
	{ "walk", prepare_full, call_walk, undo_walk },
	{ "report_live", prepare_full, call_report, undo_nothing },
};

#define N_SCENARIOS (sizeof(scenarios) / sizeof(scenarios[0]))

/* --------------------------------- driver -------------------------------- */

/* One more range of a granule among those of destroyed caches. */
static void
retire_one(void)
{
	struct cubby_cache *kept = cache;

	REQUIRE(create(CUBBY_CACHE_ATTR()) == 0);
	REQUIRE(alloc_one_by_one(1) == 0);
	free_objects();
	destroy();
	cache = kept;
}

static void
fill_retired(void)
{
	for (unsigned i = 0; i < N_RETIRED; i++)
		retire_one();
}

/*
 * Nothing leaks: what is reserved is what it was, as soon as there are as many
 * retired ranges as there were.
 */
static void
check_used_bytes(uint64_t expected_bytes)
{
	for (unsigned i = 0; i < N_RETIRED; i++) {
		if (cubby__granule_used_bytes() == expected_bytes)
			return;
		retire_one();
	}
	REQUIRE(cubby__granule_used_bytes() == expected_bytes);
}

static uint64_t
n_live(void)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	if (cache == NULL)
		return 0;
	REQUIRE(cubby_cache_stats_snapshot(cache, &stats) == 0);
	REQUIRE(stats.committed_bytes + stats.uncommitted_bytes ==
		stats.reserved_bytes);
	REQUIRE(stats.populated_bytes <= stats.committed_bytes);
	return stats.n_live;
}

static void
check_unchanged(uint64_t n_live_before)
{
	REQUIRE(n_live() == n_live_before);
	if (cache != NULL)
		REQUIRE(cubby_cache_verify(cache) == 0);
	REQUIRE(cubby__granule_verify() == 0);
}

static void
finish(const struct scenario *scenario)
{
	scenario->undo();
	if (cache == NULL)
		return;
	free_objects();
	REQUIRE(cubby_cache_shrink(cache, NULL) == 0);
	destroy();
}

/* False: no call failed, so the scenario is through. */
static bool
fail_once(const struct scenario *scenario)
{
	uint64_t n_before;
	bool failed;
	int err;

	scenario->prepare();
	n_before = n_live();
	cubby__os_fail_at(scenario_nth);
	err = scenario->call();
	failed = cubby__os_n_calls() >= scenario_nth;
	REQUIRE(err == 0 || err == -ENOMEM);
	REQUIRE(err == 0 || failed);
	if (err != 0) {
		check_unchanged(n_before);
		cubby__os_fail_at(0);
		REQUIRE(scenario->call() == 0);
		cubby__os_fail_at(1);
	}
	/* Giving back must work while everything is refused. */
	finish(scenario);
	cubby__os_fail_at(0);
	return failed;
}

/* Every failure of short calls; ever fewer of long ones, which repeat. */
static uint64_t
next_nth(void)
{
	bool all = test_scaled(1) > 1;

	return scenario_nth + 1 + (all ? 0 : scenario_nth / 16);
}

static void
run_scenario(const struct scenario *scenario)
{
	uint64_t used_bytes = 0;

	scenario_name = scenario->name;
	scenario_nth = N_MAX;
	fail_once(scenario); /* what is made once for the process */
	fill_retired();
	used_bytes = cubby__granule_used_bytes();
	for (scenario_nth = 1; scenario_nth < N_MAX;
	     scenario_nth = next_nth()) {
		bool failed = fail_once(scenario);

		check_used_bytes(used_bytes);
		if (!failed)
			break;
	}
	REQUIRE(scenario_nth < N_MAX);
	/* A bound: the last ones were not all tried. */
	n_refusals += scenario_nth - 1;
}

static void
run_scenarios(void)
{
	for (size_t i = 0; i < N_SCENARIOS; i++)
		run_scenario(&scenarios[i]);
	/* Some calls need no memory in some circumstances, but not most. */
	REQUIRE(n_refusals > 3 * N_SCENARIOS);
}

static void
run_scenarios_charged(void)
{
	cubby__os_pretend_charging(true);
	run_scenarios();
}

/* The process's first cache: the tables are made, or made later. */
static void
run_first_cache(void)
{
	scenario_name = "first cache";
	for (scenario_nth = 1; scenario_nth < N_MAX; scenario_nth++) {
		int status;
		pid_t child = fork();

		if (child == 0) {
			_exit(fail_once(&scenarios[0]) ? 0 : 3);
		}
		status = test_wait_child(child, CHILD_SECONDS);
		if (status == 3)
			return;
		REQUIRE(status == 0);
	}
	REQUIRE(false);
}

/* -------------------------------- the rest ------------------------------- */

static void *
fail_without_a_record(void *context)
{
	struct cubby_cache *none = NULL;
	int err;

	(void)context;
	cubby__os_fail_at(1);
	err = cubby_cache_create_sized(&none, "", 8, 0, NULL);
	REQUIRE(err == -EINVAL && none == NULL);
	REQUIRE(strcmp(cubby_error_detail(), cubby_error_text(-EINVAL)) == 0);
	cubby__os_fail_at(0);
	err = cubby_cache_create_sized(&none, "", 8, 0, NULL);
	REQUIRE(err == -EINVAL);
	REQUIRE(strstr(cubby_error_detail(), "empty") != NULL);
	return NULL;
}

static void
run_error_detail(void)
{
	pthread_t thread;

	scenario_name = "error detail";
	REQUIRE(pthread_create(&thread, NULL, fail_without_a_record, NULL) ==
		0);
	pthread_join(thread, NULL);
}

/* A budget of 96 MiB: until it is used up, twice, with the same yield. */
static size_t
use_up(void **first)
{
	size_t n = 0;
	void **object;

	*first = NULL;
	for (;;) {
		errno = 0;
		object = cubby_alloc(cache);
		if (object == NULL)
			break;
		*object = *first;
		*first = object;
		n++;
	}
	REQUIRE(errno == ENOMEM);
	REQUIRE(cubby_cache_verify(cache) == 0);
	return n;
}

static void
free_list(void *first)
{
	while (first != NULL) {
		void *next = *(void **)first;

		cubby_free(cache, first);
		first = next;
	}
	REQUIRE(cubby_cache_verify(cache) == 0);
}

static void
run_budget_used_up(void)
{
	size_t n, again;
	void *first;

	scenario_name = "budget used up";
	REQUIRE(cubby_cache_create_sized(&cache, "all", 1000, 0, NULL) == 0);
	n = use_up(&first);
	REQUIRE(n > 16000);
	free_list(first);
	again = use_up(&first);
	REQUIRE(again == n);
	free_list(first);
	destroy();
	REQUIRE(cubby_cache_create_sized(&cache, "other", 5000, 0, NULL) == 0);
	n = use_up(&first);
	REQUIRE(n > 3200);
	free_list(first);
	destroy();
}

/*
 * Charged memory: what is returned loses its commitment, group by group, and
 * gets it again before it is used.
 */
static void
charge_and_discharge(void)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	uint64_t full_bytes;

	REQUIRE(cubby_cache_stats_snapshot(cache, &stats) == 0);
	full_bytes = stats.committed_bytes;
	REQUIRE(full_bytes >= (uint64_t)N_GROWTH * OBJECT_BYTES);
	free_objects();
	REQUIRE(cubby_cache_shrink(cache, NULL) == 0);
	REQUIRE(cubby_cache_stats_snapshot(cache, &stats) == 0);
	REQUIRE(stats.n_slabs_returned == stats.n_slabs);
	/* All but the tail of a step, and pages that runs share. */
	REQUIRE(stats.committed_bytes <= full_bytes / 2);
	REQUIRE(cubby_cache_verify(cache) == 0);
	/* A slab in use at the end of each group, and back to nothing. */
	REQUIRE(alloc_one_by_one(N_GROWTH / 3) == 0);
	free_objects();
	REQUIRE(cubby_cache_shrink(cache, NULL) == 0);
	REQUIRE(cubby_cache_stats_snapshot(cache, &stats) == 0);
	REQUIRE(stats.committed_bytes <= full_bytes / 2);
	REQUIRE(alloc_one_by_one(N_GROWTH) == 0);
	REQUIRE(cubby_cache_verify(cache) == 0);
}

static void
run_discharge(void)
{
	scenario_name = "discharge";
	cubby__os_pretend_charging(true);
	prepare_full();
	for (scenario_nth = 1; scenario_nth <= 5; scenario_nth++)
		charge_and_discharge();
	free_objects();
	destroy();
}

#define CASE(name, options, fn)                                               \
	static void name(void **state)                                        \
	{                                                                     \
		(void)state;                                                  \
		in_child(options, fn);                                        \
	}                                                                     \
	struct cubby_cache

CASE(create_first_with_nth_call_failing_is_enomem, "", run_first_cache);
CASE(create_first_in_small_budget_with_nth_call_failing_is_enomem, "budget=2G",
     run_first_cache);
CASE(all_calls_in_ranges_with_nth_call_failing_are_enomem, "", run_scenarios);
CASE(all_calls_in_chunks_with_nth_call_failing_are_enomem, "chunks",
     run_scenarios);
CASE(all_calls_in_small_budget_with_nth_call_failing_are_enomem, "budget=2G",
     run_scenarios);
CASE(all_calls_charged_with_nth_call_failing_are_enomem, "",
     run_scenarios_charged);
CASE(all_calls_charged_in_chunks_with_nth_call_failing_are_enomem, "chunks",
     run_scenarios_charged);
CASE(all_calls_charged_in_small_budget_with_nth_call_failing_are_enomem,
     "budget=2G", run_scenarios_charged);
CASE(error_detail_without_memory_is_the_text_of_the_code, "",
     run_error_detail);
CASE(alloc_until_budget_is_used_up_is_enomem_and_comes_back, "budget=96M",
     run_budget_used_up);
CASE(free_where_memory_is_charged_gives_the_charge_back, "", run_discharge);
CASE(free_in_chunks_where_memory_is_charged_gives_the_charge_back, "chunks",
     run_discharge);
CASE(free_in_small_budget_where_memory_is_charged_gives_the_charge_back,
     "budget=2G", run_discharge);

/* The public way to the same: CUBBY_OPTIONS=fail_map=N. */
static void
run_fail_map(void)
{
	scenario_name = "fail_map";
	REQUIRE(create(CUBBY_CACHE_ATTR()) == -ENOMEM);
	REQUIRE(cubby_error_detail()[0] != '\0');
	cubby__os_fail_at(0);
	REQUIRE(create(CUBBY_CACHE_ATTR()) == 0);
	destroy();
}

CASE(create_with_option_fail_map_is_enomem, "fail_map=1", run_fail_map);

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create_first_with_nth_call_failing_is_enomem),
		cmocka_unit_test(
			create_first_in_small_budget_with_nth_call_failing_is_enomem),
		cmocka_unit_test(
			all_calls_in_ranges_with_nth_call_failing_are_enomem),
		cmocka_unit_test(
			all_calls_in_chunks_with_nth_call_failing_are_enomem),
		cmocka_unit_test(
			all_calls_in_small_budget_with_nth_call_failing_are_enomem),
		cmocka_unit_test(
			all_calls_charged_with_nth_call_failing_are_enomem),
		cmocka_unit_test(
			all_calls_charged_in_chunks_with_nth_call_failing_are_enomem),
		cmocka_unit_test(
			all_calls_charged_in_small_budget_with_nth_call_failing_are_enomem),
		cmocka_unit_test(
			error_detail_without_memory_is_the_text_of_the_code),
		cmocka_unit_test(
			alloc_until_budget_is_used_up_is_enomem_and_comes_back),
		cmocka_unit_test(
			free_where_memory_is_charged_gives_the_charge_back),
		cmocka_unit_test(
			free_in_chunks_where_memory_is_charged_gives_the_charge_back),
		cmocka_unit_test(
			free_in_small_budget_where_memory_is_charged_gives_the_charge_back),
		cmocka_unit_test(create_with_option_fail_map_is_enomem),
	};

	null_fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	return cmocka_run_group_tests_name("oom_calls", tests, NULL, NULL);
}

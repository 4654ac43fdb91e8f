/* SPDX-License-Identifier: MIT */
/*
 * Forks at any moment: some threads fork as fast as they can while others
 * allocate, free, create, destroy, walk and verify.  Every child must find
 * every structure whole and every lock free: it uses all that it inherited,
 * makes and destroys caches of its own, and forks once itself.
 *
 * In the child all can be counted: what the oracle says that somebody owns is
 * live, what other threads had in magazines is idle and can be had, and only
 * what a call had in hand may be lost.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "support/oracle.h"

#define N_SHARED 4  /* caches that all threads use */
#define N_FORKERS 3 /* threads that fork */
#define N_FORKS 40  /* of each of them */
#define HELD 100    /* objects of one thread in one cache */
#define BURST 300   /* objects that come and go, by whole magazines */
#define CHILD_OBJECTS 300
#define CHILD_SECONDS 60
#define CHILD_OWNER 1000

/* Cache number 2 has a limit, well above what the threads hold. */
#define LIMITED 2
#define LIMITED_MAX 4000

static struct oracle oracles[N_SHARED];
static uint64_t n_init; /* live init state in the parent */
static bool done;
static uint64_t seed;

static void
die_unless(bool good, const char *what)
{
	if (!good)
		test_die("%s: %s", what, cubby_error_detail());
}

static bool
is_done(void)
{
	return __atomic_load_n(&done, __ATOMIC_RELAXED);
}

static int
on_init(void *object, void *context)
{
	(void)context;
	*(void **)object = object;
	__atomic_add_fetch(&n_init, 1, __ATOMIC_RELAXED);
	return 0;
}

static void
on_fini(void *object, void *context)
{
	(void)context;
	die_unless(*(void **)object == object, "init's state is gone");
	__atomic_sub_fetch(&n_init, 1, __ATOMIC_RELAXED);
}

/* -------------------------------- the others ----------------------------- */

static void
come_and_go(struct oracle *oracle, unsigned owner)
{
	void *objects[BURST];

	for (unsigned i = 0; i < BURST; i++)
		objects[i] = oracle_alloc(oracle, owner);
	for (unsigned i = 0; i < BURST; i++)
		oracle_free(oracle, owner, objects[i]);
}

static void *
allocate(void *context)
{
	unsigned number = (unsigned)(uintptr_t)context;
	struct oracle *oracle = &oracles[number % N_SHARED];
	uint64_t random = seed + number;
	void *held[HELD] = { NULL };

	for (unsigned i = 0; !is_done(); i++) {
		void **place = &held[test_random(&random) % HELD];

		oracle_free(oracle, number + 1, *place);
		*place = oracle_alloc(oracle, number + 1);
		die_unless(*place != NULL, "no memory");
		if (i % HELD == 0)
			come_and_go(oracle, number + 1);
	}
	oracle_free_bulk(oracle, number + 1, HELD, held);
	return NULL;
}

static void *
create_and_destroy(void *context)
{
	struct cubby_cache *cache;
	void *object;

	(void)context;
	while (!is_done()) {
		struct cubby_cache_attr attr =
			CUBBY_CACHE_ATTR(.init = on_init, .fini = on_fini);
		int err = cubby_cache_create_sized(&cache, "passing", 40, 0,
						   &attr);

		die_unless(err == 0, "no cache");
		object = cubby_alloc(cache);
		die_unless(object != NULL, "no memory");
		cubby_free(cache, object);
		/* for_each in another thread may be at it. */
		while ((err = cubby_cache_destroy(cache)) == -EBUSY)
			usleep(100);
		die_unless(err == 0, "a cache of its own");
	}
	return NULL;
}

static int
look_at(struct cubby_cache *cache, void *context)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	size_t n_faults = cubby_cache_verify(cache);

	/* Only in the child is nobody kept from a core for long. */
	die_unless(n_faults == 0 || context == NULL, "verify");
	die_unless(cubby_cache_stats_snapshot(cache, &stats) == 0, "stats");
	die_unless(stats.is_exact || context == NULL, "stats not exact");
	return 0;
}

static void *
look_and_walk(void *context)
{
	uint64_t random = seed + (uintptr_t)context;

	while (!is_done()) {
		uint64_t choice = test_random(&random);

		oracle_meddle(&oracles[choice % N_SHARED], choice / N_SHARED);
		cubby_cache_for_each(look_at, NULL);
		usleep(200);
	}
	return NULL;
}

/* -------------------------------- the child ------------------------------ */

static uint64_t
n_live(const struct oracle *oracle)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	die_unless(cubby_cache_stats_snapshot(oracle->cache, &stats) == 0 &&
			   stats.is_exact,
		   "statistics of a child");
	return stats.n_live;
}

/* Whatever is not live can be had. */
static void
allocate_all(struct oracle *oracle)
{
	static void *objects[LIMITED_MAX];
	uint64_t n_free = LIMITED_MAX - n_live(oracle);

	for (uint64_t i = 0; i < n_free; i++) {
		objects[i] = oracle_alloc(oracle, CHILD_OWNER);
		die_unless(objects[i] != NULL, "cells are lost in the child");
	}
	die_unless(oracle_alloc(oracle, CHILD_OWNER) == NULL,
		   "an object too many in the child");
	oracle_free_bulk(oracle, CHILD_OWNER, n_free, objects);
}

static void
use(struct oracle *oracle)
{
	static void *objects[CHILD_OBJECTS];
	uint64_t n_busy = oracle->n_busy;
	uint64_t n_bytes;
	int err;

	oracle_meddle_walk(oracle);
	for (unsigned i = 0; i < CHILD_OBJECTS; i++) {
		objects[i] = oracle_alloc(oracle, CHILD_OWNER);
		die_unless(objects[i] != NULL, "no memory in the child");
	}
	oracle_meddle_walk(oracle);
	for (unsigned i = 0; i < CHILD_OBJECTS; i++)
		oracle_free(oracle, CHILD_OWNER, objects[i]);
	die_unless(oracle_alloc_bulk(oracle, CHILD_OWNER, CHILD_OBJECTS,
				     objects),
		   "no bulk in the child");
	oracle_free_bulk(oracle, CHILD_OWNER, CHILD_OBJECTS, objects);
	oracle_meddle_walk(oracle);
	oracle_meddle_stats(oracle);
	die_unless(oracle->n_busy == n_busy, "busy in the child");
	/* A walk that was open in the parent is open here for ever. */
	err = cubby_cache_shrink(oracle->cache, &n_bytes);
	die_unless(err == 0 || err == -EBUSY, "shrink in the child");
}

static void
use_own(void)
{
	struct oracle own;

	if (oracle_init(&own, 56, 0, NULL) != 0)
		test_die("no cache in the child");
	use(&own);
	die_unless(cubby_cache_of(own.cache) == NULL, "a cache is no object");
	oracle_fini(&own);
}

static int
live_as_child(bool fork_again)
{
	pid_t child;

	cubby_cache_for_each(look_at, oracles);
	for (unsigned i = 0; i < N_SHARED; i++)
		use(&oracles[i]);
	allocate_all(&oracles[LIMITED]);
	use_own();
	cubby_cache_for_each(look_at, oracles);
	if (fork_again) {
		child = fork();
		if (child == 0)
			_exit(live_as_child(false));
		die_unless(child > 0 &&
				   test_wait_child(child, CHILD_SECONDS) == 0,
			   "a grandchild");
	}
	return 0;
}

static void *
fork_often(void *context)
{
	uint64_t n_forks = test_scaled(N_FORKS);

	(void)context;
	for (uint64_t i = 0; i < n_forks; i++) {
		pid_t child = fork();

		if (child == 0)
			_exit(live_as_child(i % 8 == 0));
		die_unless(child > 0 &&
				   test_wait_child(child, CHILD_SECONDS) == 0,
			   "a child");
	}
	return NULL;
}

static void
create_shared(void)
{
	for (unsigned i = 0; i < N_SHARED; i++) {
		struct cubby_cache_attr attr = CUBBY_CACHE_ATTR(
				.max_objects = i == LIMITED ? LIMITED_MAX : 0);
		int err = oracle_init(&oracles[i], 24u << i,
				      i % 2 == 0 ? 0 : ORACLE_INIT, &attr);

		assert_int_equal(err, 0);
		/* Children take their time, and all locks are held for each. */
		oracles[i].may_be_busy = true;
	}
}

static void
fork_storm_while_all_is_used_leaves_children_whole(void **state)
{
	void *(*const others[])(
		void *) = { allocate, allocate,           allocate,
			    allocate, create_and_destroy, look_and_walk };
	const size_t n_others = sizeof(others) / sizeof(others[0]);
	pthread_t threads[sizeof(others) / sizeof(others[0]) + N_FORKERS];
	int err;

	(void)state;
	create_shared();
	for (size_t i = 0; i < n_others + N_FORKERS; i++) {
		err = pthread_create(&threads[i], NULL,
				     i < n_others ? others[i] : fork_often,
				     (void *)i);
		assert_int_equal(err, 0);
	}
	for (size_t i = n_others; i < n_others + N_FORKERS; i++)
		pthread_join(threads[i], NULL);
	__atomic_store_n(&done, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < n_others; i++)
		pthread_join(threads[i], NULL);
	for (unsigned i = 0; i < N_SHARED; i++)
		oracle_fini(&oracles[i]);
	assert_int_equal(n_init, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			fork_storm_while_all_is_used_leaves_children_whole),
	};

	seed = test_seed();
	return cmocka_run_group_tests_name("stress_fork", tests, NULL, NULL);
}

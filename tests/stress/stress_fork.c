/* SPDX-License-Identifier: MIT */
/*
 * Forks at any moment: some threads fork as fast as they can while others
 * allocate, free, create, destroy, walk and verify.  Every child must find
 * every structure whole and every lock free: it uses all that it inherited,
 * makes and destroys caches of its own, and forks once itself.
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
#define N_FORKS 60  /* of each of them */
#define HELD 100    /* objects of one thread in one cache */
#define CHILD_OBJECTS 300
#define CHILD_SECONDS 60

static struct cubby_cache *caches[N_SHARED];
static uint64_t n_bad;  /* children and checks that failed */
static uint64_t n_init; /* live init state in the parent */
static bool done;
static uint64_t seed;

static void
bad_unless(bool good)
{
	if (!good)
		__atomic_add_fetch(&n_bad, 1, __ATOMIC_RELAXED);
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
	bad_unless(*(void **)object == object);
	__atomic_sub_fetch(&n_init, 1, __ATOMIC_RELAXED);
}

/* -------------------------------- the others ----------------------------- */

static void *
allocate(void *context)
{
	uint64_t random = seed + (uintptr_t)context;
	void *held[HELD] = { NULL };
	struct cubby_cache *cache = caches[(uintptr_t)context % N_SHARED];

	while (!is_done()) {
		void **place = &held[test_random(&random) % HELD];

		cubby_free(cache, *place);
		*place = cubby_alloc(cache);
		bad_unless(*place != NULL);
	}
	cubby_free_bulk(cache, HELD, held);
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

		bad_unless(err == 0);
		if (err)
			continue;
		object = cubby_alloc(cache);
		bad_unless(object != NULL);
		cubby_free(cache, object);
		/* for_each in another thread may be at it. */
		while ((err = cubby_cache_destroy(cache)) == -EBUSY)
			usleep(100);
		bad_unless(err == 0);
	}
	return NULL;
}

static int
look_at(struct cubby_cache *cache, void *context)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	(void)context;
	bad_unless(cubby_cache_verify(cache) == 0);
	bad_unless(cubby_cache_stats_snapshot(cache, &stats) == 0);
	return 0;
}

static void
walk(struct cubby_cache *cache)
{
	struct cubby_walk *walk;
	struct cubby_run run;

	if (cubby_walk_create(&walk, cache) != 0)
		return;
	while (cubby_walk_next(walk, &run))
		bad_unless(cubby_cache_of(run.first) == cache);
	cubby_walk_destroy(walk);
}

static void *
look_and_walk(void *context)
{
	uint64_t random = seed + (uintptr_t)context;

	while (!is_done()) {
		uint64_t choice = test_random(&random);

		walk(caches[choice % N_SHARED]);
		cubby_cache_for_each(look_at, NULL);
		cubby_cache_shrink(caches[choice / N_SHARED % N_SHARED], NULL);
		usleep(200);
	}
	return NULL;
}

/* -------------------------------- the child ------------------------------ */

static void
use(struct cubby_cache *cache)
{
	static void *objects[CHILD_OBJECTS];
	uint64_t n_bytes;
	int err;

	for (unsigned i = 0; i < CHILD_OBJECTS; i++) {
		objects[i] = cubby_alloc(cache);
		bad_unless(objects[i] != NULL);
	}
	walk(cache);
	for (unsigned i = 0; i < CHILD_OBJECTS; i++)
		cubby_free_any(objects[i]);
	bad_unless(cubby_alloc_bulk(cache, CHILD_OBJECTS, objects) == 0);
	cubby_free_bulk(cache, CHILD_OBJECTS, objects);
	/* A walk that was open in the parent is open here for ever. */
	err = cubby_cache_shrink(cache, &n_bytes);
	bad_unless(err == 0 || err == -EBUSY);
}

static int
live_as_child(bool fork_again)
{
	struct cubby_cache *own;
	pid_t child;
	int err;

	__atomic_store_n(&n_bad, 0, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < N_SHARED; i++)
		use(caches[i]);
	cubby_cache_for_each(look_at, NULL);
	err = cubby_cache_create_sized(&own, "child's", 56, 0, NULL);
	bad_unless(err == 0);
	if (err == 0) {
		use(own);
		bad_unless(cubby_cache_find("child's") == own);
		bad_unless(cubby_cache_destroy(own) == 0);
	}
	if (fork_again) {
		child = fork();
		if (child == 0)
			_exit(live_as_child(false));
		bad_unless(child > 0 &&
			   test_wait_child(child, CHILD_SECONDS) == 0);
	}
	return __atomic_load_n(&n_bad, __ATOMIC_RELAXED) != 0;
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
		bad_unless(child > 0 &&
			   test_wait_child(child, CHILD_SECONDS) == 0);
	}
	return NULL;
}

static void
create_shared(void)
{
	struct cubby_cache_attr with_init = CUBBY_CACHE_ATTR(.init = on_init,
							     .fini = on_fini);

	for (unsigned i = 0; i < N_SHARED; i++) {
		int err = cubby_cache_create_sized(
			&caches[i], "shared", 16u << i, 0,
			i % 2 == 0 ? NULL : &with_init);

		assert_int_equal(err, 0);
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
	for (unsigned i = 0; i < N_SHARED; i++) {
		assert_int_equal(cubby_cache_verify(caches[i]), 0);
		assert_int_equal(cubby_cache_destroy(caches[i]), 0);
	}
	assert_int_equal(n_bad, 0);
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

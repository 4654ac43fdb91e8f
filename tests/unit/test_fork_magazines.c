/* SPDX-License-Identifier: MIT */
/*
 * A fork child takes over what the threads that it does not have had in
 * magazines: its statistics are exact, and no cell is lost.
 */
#include "unit/with_cache.h"

#include <pthread.h>
#include <semaphore.h>

#include "support/oracle.h"
#include "support/sums.h"

enum {
	N_THREADS = 4,
	N_HELD = 100,  /* by each thread */
	N_MOST = 2000, /* max_objects: at most half of them are ever live */
	N_SLOTS = 600,
	N_BURST = 60,
	CHILD_TIMEOUT_S = 60
};

/* cmocka is not at hand in a child. */
#define CHILD_REQUIRE(condition)                                              \
	do {                                                                  \
		if (!(condition)) {                                           \
			fprintf(stderr, "%s:%d: in a child: !(%s); %s\n",     \
				__FILE__, __LINE__, #condition,               \
				cubby_error_detail());                        \
			_exit(1);                                             \
		}                                                             \
	} while (0)

static struct cubby_cache *cache;

/* ------------------------------ looking at it ----------------------------- */

static struct cubby_cache_stats
snapshot(void)
{
	struct cubby_cache_stats s = { .stats_bytes = sizeof(s) };

	CHILD_REQUIRE(cubby_cache_stats_snapshot(cache, &s) == 0);
	CHILD_REQUIRE(s.is_exact == 1);
	CHILD_REQUIRE(s.n_cells == sum_of_cells(&s));
	CHILD_REQUIRE(s.n_live <= s.n_live_peak);
	CHILD_REQUIRE(cubby_cache_verify(cache) == 0);
	return s;
}

static size_t
walk_count(void)
{
	struct cubby_walk *walk;
	struct cubby_run run;
	size_t n = 0;

	CHILD_REQUIRE(cubby_walk_create(&walk, cache) == 0);
	while (cubby_walk_next(walk, &run))
		n += run.n_objects;
	cubby_walk_destroy(walk);
	return n;
}

/* Every cell that is not live can be allocated, and no other. */
static void
use_up(size_t n_in_use)
{
	static void *objects[N_MOST];
	size_t n = 0;

	while (n < N_MOST && (objects[n] = cubby_alloc(cache)) != NULL)
		n++;
	CHILD_REQUIRE(n == N_MOST - n_in_use);
	CHILD_REQUIRE(snapshot().n_free == 0);
	cubby_free_bulk(cache, n, objects);
}

static unsigned n_failed; /* children; asserted when no thread is left */

static void
in_child(void (*fn)(void *), void *argument)
{
	pid_t child = fork();

	if (child == 0) {
		fn(argument);
		_exit(0);
	}
	n_failed += child < 0 || test_wait_child(child, CHILD_TIMEOUT_S) != 0;
}

/* ------------------------------- idle threads ----------------------------- */

/* A thread that holds objects, idle cells and a reserve, until it may go. */
struct holder {
	pthread_t thread;
	sem_t holds, may_go;
	void *held[N_HELD];
	struct cubby_reserve *reserve;
	bool failed;
};

static struct holder holders[N_THREADS];

static void *
hold(void *argument)
{
	struct holder *holder = argument;
	void *idle[N_HELD];

	for (size_t i = 0; i < N_HELD; i++) {
		holder->held[i] = cubby_alloc(cache);
		idle[i] = cubby_alloc(cache);
		holder->failed |= holder->held[i] == NULL || idle[i] == NULL;
	}
	for (size_t i = 0; i < N_HELD; i++)
		cubby_free(cache, idle[i]);
	holder->failed |= cubby_reserve_create(&holder->reserve, cache, 7) !=
			  0;
	sem_post(&holder->holds);
	while (sem_wait(&holder->may_go) != 0)
		continue;
	cubby_free_bulk(cache, N_HELD, holder->held);
	cubby_reserve_destroy(holder->reserve);
	return NULL;
}

static void
start_holders(void)
{
	memset(holders, 0, sizeof(holders));
	for (size_t i = 0; i < N_THREADS; i++) {
		struct holder *holder = &holders[i];

		sem_init(&holder->holds, 0, 0);
		sem_init(&holder->may_go, 0, 0);
		assert_int_equal(pthread_create(&holder->thread, NULL, hold,
						holder),
				 0);
		while (sem_wait(&holder->holds) != 0)
			continue;
		assert_false(holder->failed);
	}
}

static void
end_holders(void)
{
	for (size_t i = 0; i < N_THREADS; i++) {
		sem_post(&holders[i].may_go);
		pthread_join(holders[i].thread, NULL);
	}
	assert_int_equal(n_failed, 0);
	assert_int_equal(snapshot().n_live, 0);
	assert_int_equal(snapshot().n_reserved, 0);
	drop_cache(cache);
}

static void
look_at_holders(void)
{
	struct cubby_cache_stats s = snapshot();

	CHILD_REQUIRE(s.n_live == N_THREADS * N_HELD);
	CHILD_REQUIRE(s.n_reserved == N_THREADS * 7);
	CHILD_REQUIRE(walk_count() == N_THREADS * N_HELD);
	for (size_t i = 0; i < N_THREADS; i++)
		for (size_t k = 0; k < N_HELD; k++)
			CHILD_REQUIRE(
				cubby_is_live(cache, holders[i].held[k]));
}

static void
inherit(void *argument)
{
	(void)argument;
	look_at_holders();
	use_up(N_THREADS * (N_HELD + 7));
	for (size_t i = 0; i < N_THREADS; i++) {
		cubby_free_bulk(cache, N_HELD, holders[i].held);
		CHILD_REQUIRE(cubby_reserve_count(holders[i].reserve) == 7);
		cubby_free(cache, cubby_reserve_alloc(holders[i].reserve));
		cubby_reserve_destroy(holders[i].reserve);
	}
	use_up(0);
	CHILD_REQUIRE(snapshot().n_live == 0);
	CHILD_REQUIRE(snapshot().n_reserved == 0);
	CHILD_REQUIRE(cubby_cache_shrink(cache, NULL) == 0);
	CHILD_REQUIRE(cubby_cache_destroy(cache) == 0);
}

static void
fork_beside_idle_threads_takes_all_over(void **state)
{
	(void)state;
	cache = make_cache(64, &CUBBY_CACHE_ATTR(.max_objects = N_MOST));
	start_holders();
	for (size_t i = 0; i < scaled(5); i++)
		in_child(inherit, NULL);
	end_holders();
}

/* The child's own thread has magazines too, and goes on with them. */
static void
fork_with_magazines_of_its_own_keeps_them(void **state)
{
	(void)state;
	cache = make_cache(64, &CUBBY_CACHE_ATTR(.max_objects = N_MOST));
	start_holders();
	use_up(N_THREADS * (N_HELD + 7));
	in_child(inherit, NULL);
	end_holders();
}

static void *
use_in_a_thread(void *argument)
{
	struct cubby_cache_stats s;
	void *objects[N_HELD];

	CHILD_REQUIRE(cubby_alloc_bulk(cache, N_HELD, objects) == 0);
	s = snapshot();
	CHILD_REQUIRE(s.n_live == N_THREADS * N_HELD + N_HELD);
	for (size_t i = 0; i < N_HELD; i++)
		cubby_free(cache, objects[i]);
	return argument;
}

/* Threads that the child starts get the stripes of those that are gone. */
static void
start_threads_and_inherit(void *argument)
{
	pthread_t thread;

	for (size_t i = 0; i < 2 * N_THREADS; i++) {
		CHILD_REQUIRE(pthread_create(&thread, NULL, use_in_a_thread,
					     NULL) == 0);
		CHILD_REQUIRE(pthread_join(thread, NULL) == 0);
	}
	inherit(argument);
}

static void
fork_child_starts_threads_of_its_own(void **state)
{
	(void)state;
	if (test_on_tsan())
		skip(); /* it refuses threads after a fork with threads */
	cache = make_cache(64, &CUBBY_CACHE_ATTR(.max_objects = N_MOST));
	start_holders();
	in_child(start_threads_and_inherit, NULL);
	end_holders();
}

static void
inherit_twice(void *argument)
{
	look_at_holders();
	cubby_free(cache, cubby_alloc(cache));
	in_child(inherit, argument);
	CHILD_REQUIRE(n_failed == 0);
	inherit(argument);
}

static void
fork_in_a_child_takes_all_over_again(void **state)
{
	(void)state;
	cache = make_cache(64, &CUBBY_CACHE_ATTR(.max_objects = N_MOST));
	start_holders();
	in_child(inherit_twice, NULL);
	end_holders();
}

static void
use_up_all(void *argument)
{
	(void)argument;
	use_up(0);
}

/* Threads that ended before the fork left what they had. */
static void
fork_after_threads_ended_loses_nothing(void **state)
{
	(void)state;
	cache = make_cache(64, &CUBBY_CACHE_ATTR(.max_objects = N_MOST));
	start_holders();
	for (size_t i = 0; i < N_THREADS; i++) {
		sem_post(&holders[i].may_go);
		pthread_join(holders[i].thread, NULL);
	}
	in_child(use_up_all, NULL);
	assert_int_equal(n_failed, 0);
	assert_int_equal(snapshot().n_live, 0);
	drop_cache(cache);
}

/* ------------------------------- busy threads ----------------------------- */

/*
 * A slot is set after the allocation has returned and cleared before the
 * object is freed: in a child what it holds is live.  What is live and in no
 * slot, a thread had in its hands.
 */
static void *slots[N_SLOTS];
static uint32_t stop;

static void *
churn(void *argument)
{
	uint64_t seed = (uintptr_t)argument;
	void *objects[N_BURST];

	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		size_t n = 1 + random_below(&seed, N_BURST);
		size_t first = random_below(&seed, N_SLOTS - n);
		bool fill = random_below(&seed, 2);

		for (size_t i = 0; i < n; i++) {
			objects[i] = fill ? cubby_alloc(cache) : NULL;
			objects[i] = __atomic_exchange_n(&slots[first + i],
							 objects[i],
							 __ATOMIC_ACQ_REL);
		}
		if (random_below(&seed, 4) == 0)
			cubby_free_bulk(cache, n, objects);
		else
			for (size_t i = 0; i < n; i++)
				cubby_free(cache, objects[i]);
	}
	return NULL;
}

static void
clean_up(void *argument)
{
	size_t n_held = 0, n_live = snapshot().n_live;

	(void)argument;
	for (size_t i = 0; i < N_SLOTS; i++) {
		n_held += slots[i] != NULL;
		CHILD_REQUIRE(slots[i] == NULL ||
			      cubby_is_live(cache, slots[i]));
	}
	CHILD_REQUIRE(n_live >= n_held);
	CHILD_REQUIRE(n_live <= n_held + N_THREADS * (N_BURST + 1));
	CHILD_REQUIRE(walk_count() == n_live);
	use_up(n_live);
	cubby_free_bulk(cache, N_SLOTS, slots);
	CHILD_REQUIRE(snapshot().n_live == n_live - n_held);
	use_up(n_live - n_held);
	CHILD_REQUIRE(cubby_cache_destroy_force(cache) == 0);
}

static void
run_churn(size_t object_bytes, size_t n_forks)
{
	pthread_t threads[N_THREADS];

	cache = make_cache(object_bytes,
			   &CUBBY_CACHE_ATTR(.max_objects = N_MOST));
	memset(slots, 0, sizeof(slots));
	stop = 0;
	for (uintptr_t i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn,
						(void *)(i + 1)),
				 0);
	for (size_t i = 0; i < n_forks && n_failed == 0; i++)
		in_child(clean_up, NULL);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(n_failed, 0);
	clean_up(NULL);
}

static void
fork_beside_busy_threads_loses_nothing(void **state)
{
	(void)state;
	run_churn(64, scaled(100));
	run_churn(3000, scaled(50));
}

static int
reset(void **state)
{
	(void)state;
	n_failed = 0;
	return 0;
}

#define CASE(name) cmocka_unit_test_setup(name, reset)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(fork_beside_idle_threads_takes_all_over),
		CASE(fork_with_magazines_of_its_own_keeps_them),
		CASE(fork_child_starts_threads_of_its_own),
		CASE(fork_in_a_child_takes_all_over_again),
		CASE(fork_after_threads_ended_loses_nothing),
		CASE(fork_beside_busy_threads_loses_nothing),
	};

	return cmocka_run_group_tests_name("test_fork_magazines", tests, NULL,
					   NULL);
}

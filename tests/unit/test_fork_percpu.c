/* SPDX-License-Identifier: MIT */
/*
 * Forks at any instant of eight threads that allocate and free, in both front
 * ends: beside them, in a handler that interrupts one of them (the child then
 * goes on with the interrupted call), in the child again, and vfork.
 *
 * A slot is set after the allocation has returned and cleared before the
 * object is freed: in a child what it holds is live.  What is live and in no
 * slot, a thread had in its hands.
 */
#define CUBBY_INLINE /* both paths: what finds nothing inline calls */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "percpu.h"
#include "stripe.h"
#include "support/in_mode.h"
#include "support/light.h"

enum {
	OBJECT_BYTES = 64,
	N_THREADS = 8,
	N_SLOTS = 600,
	N_BURST = 60,
	N_MOST = 3000, /* max_objects: far more than is ever live */
	DEPTH = 3,     /* a child forks, whose child forks */
	N_FORKS = 30,
	N_HANDLED_FORKS = 20,
	N_VFORKS = 100,
	IN_HAND_MAX = 2 * 120, /* cells of magazines in one thread's hands */
	CHILD_SECONDS = 60
};

#define CHILD_REQUIRE(condition)                                              \
	((condition) ? (void)0 :                                              \
		       test_die("%s:%d: in a child: !(%s); %s", __FILE__,     \
				__LINE__, #condition, cubby_error_detail()))

static struct light light = { .last = OBJECT_BYTES / 8 - 1 };
static void *slots[N_SLOTS];
static bool done;

/* --------------------------------- threads -------------------------------- */

/* Objects come into some slots, or leave them. */
static void
exchange_some(uint64_t *random, uint64_t ticket)
{
	size_t n = 1 + test_random(random) % N_BURST;
	size_t first = test_random(random) % (N_SLOTS - N_BURST);
	bool fill = test_random(random) % 2;

	for (size_t i = 0; i < n; i++) {
		void *object = fill ? light_alloc(&light, ticket) : NULL;

		object = __atomic_exchange_n(&slots[first + i], object,
					     __ATOMIC_ACQ_REL);
		if (object != NULL)
			light_free(&light, object);
	}
}

static pid_t first_process;

static bool
is_child(void)
{
	return getpid() != first_process;
}

static void live_as_child(uint64_t depth, uint64_t n_lost_max);

static void *
churn(void *context)
{
	uint64_t random = (uintptr_t)context;

	while (!__atomic_load_n(&done, __ATOMIC_RELAXED)) {
		exchange_some(&random, (uintptr_t)context + 1);
		if (!is_child())
			continue;
		/* A handler forked, and others' exchanges are lost. */
		alarm(0);
		live_as_child(1, N_THREADS * IN_HAND_MAX);
		_exit(0);
	}
	return NULL;
}

static void
make_cache(void)
{
	first_process = getpid();
	light.cache = mode_make_cache(
		OBJECT_BYTES, &CUBBY_CACHE_ATTR(.max_objects = N_MOST));
}

static void
start(pthread_t *threads)
{
	for (uintptr_t i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn,
						(void *)i),
				 0);
}

static void
join(const pthread_t *threads)
{
	__atomic_store_n(&done, true, __ATOMIC_RELAXED);
	for (size_t i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	/* The parent is as if nobody had forked. */
	live_as_child(0, 0);
	for (size_t i = 0; i < N_SLOTS; i++)
		if (slots[i] != NULL)
			light_free(&light, slots[i]);
	assert_int_equal(cubby_cache_destroy(light.cache), 0);
}

/* ---------------------------------- child --------------------------------- */

static struct cubby_cache_stats
snapshot(void)
{
	struct cubby_cache_stats s = { .stats_bytes = sizeof(s) };

	CHILD_REQUIRE(cubby_cache_stats_snapshot(light.cache, &s) == 0);
	CHILD_REQUIRE(s.is_exact == 1);
	CHILD_REQUIRE(cubby_cache_verify(light.cache) == 0);
	return s;
}

static uint64_t
walk_count(void)
{
	struct cubby_walk *walk;
	struct cubby_run run;
	uint64_t n = 0;

	CHILD_REQUIRE(cubby_walk_create(&walk, light.cache) == 0);
	while (cubby_walk_next(walk, &run))
		n += run.n_objects;
	cubby_walk_destroy(walk);
	return n;
}

/* Every cell that is not live can be allocated, and no other. */
static void
use_up(uint64_t n_live)
{
	static void *objects[N_MOST];
	size_t n = 0;

	while (n < N_MOST && (objects[n] = cubby_alloc(light.cache)) != NULL)
		light_take(&light, objects[n++], N_MOST);
	CHILD_REQUIRE(n == N_MOST - n_live);
	while (n > 0)
		light_free(&light, objects[--n]);
}

static void
fork_again(uint64_t depth)
{
	pid_t child = fork();

	if (child == 0) {
		live_as_child(depth - 1, 0);
		_exit(0);
	}
	CHILD_REQUIRE(child > 0 && test_wait_child(child, CHILD_SECONDS) == 0);
}

/* @n_lost_max: cells that a handler's child does not find again. */
static void
live_as_child(uint64_t depth, uint64_t n_lost_max)
{
	static uint64_t n_lost_before;
	uint64_t n_live = snapshot().n_live, n_held = 0;

	for (size_t i = 0; i < N_SLOTS; i++) {
		n_held += slots[i] != NULL;
		CHILD_REQUIRE(slots[i] == NULL ||
			      cubby_is_live(light.cache, slots[i]) == 1);
	}
	n_lost_before += n_lost_max;
	CHILD_REQUIRE(n_live >= n_held);
	/* One that is on its way to its slot, or to be freed, of each thread. */
	CHILD_REQUIRE(n_live - n_held <=
		      (is_child() ? 2 * N_THREADS : 0) + n_lost_before);
	CHILD_REQUIRE(walk_count() == n_live);
	use_up(n_live);
	CHILD_REQUIRE(walk_count() == n_live);
	CHILD_REQUIRE(cubby_cache_shrink(light.cache, NULL) == 0);
	CHILD_REQUIRE(snapshot().n_live == n_live);
	if (depth == 0)
		return;
	fork_again(depth);
	for (size_t i = 0; i < N_SLOTS; i++) {
		if (slots[i] != NULL)
			light_free(&light, slots[i]);
		slots[i] = NULL;
	}
	use_up(n_live - n_held);
	CHILD_REQUIRE(cubby_cache_destroy_force(light.cache) == 0);
}

/* ---------------------------------- cases --------------------------------- */

static void
fork_beside_churn_leaves_children_whole(void **state)
{
	uint64_t n_forks = test_scaled(N_FORKS);
	pthread_t threads[N_THREADS];
	unsigned n_failed = 0;

	(void)state;
	make_cache();
	start(threads);
	for (uint64_t i = 0; i < n_forks; i++) {
		pid_t child;

		usleep(i % 8 * 100);
		child = fork();
		if (child == 0) {
			live_as_child(i % 8 == 0 ? DEPTH : 0, 0);
			_exit(0);
		}
		n_failed += child < 0 ||
			    test_wait_child(child, CHILD_SECONDS) != 0;
	}
	join(threads);
	assert_int_equal(n_failed, 0);
}

static pid_t forked; /* by a handler; -1: none could be */
static bool may_fork;
static bool only_in_exchange;

static bool
is_in_exchange(void)
{
	const struct stripe *stripe = cubby__stripe_current();

	if (cubby__percpu_works)
		return cubby__percpu_has_any();
	return stripe != NULL && stripe->busy != 0;
}

static void
fork_in_handler(int number)
{
	int saved = errno;
	pid_t child;

	(void)number;
	if (__atomic_load_n(&only_in_exchange, __ATOMIC_RELAXED) &&
	    !is_in_exchange())
		return;
	if (!__atomic_exchange_n(&may_fork, false, __ATOMIC_RELAXED))
		return;
	child = fork();
	if (child != 0)
		__atomic_store_n(&forked, child, __ATOMIC_RELEASE);
	errno = saved;
}

/* Every other time in an exchange, which the child then finishes. */
static pid_t
let_a_handler_fork(pthread_t thread, bool in_exchange)
{
	pid_t child;

	__atomic_store_n(&only_in_exchange, in_exchange, __ATOMIC_RELAXED);
	__atomic_store_n(&forked, 0, __ATOMIC_RELAXED);
	__atomic_store_n(&may_fork, true, __ATOMIC_RELAXED);
	do {
		pthread_kill(thread, SIGUSR1);
		usleep(50);
		child = __atomic_load_n(&forked, __ATOMIC_ACQUIRE);
	} while (child == 0);
	return child;
}

/* The child returns from the handler into the call that it interrupted. */
static void
fork_in_handler_at_any_instant_leaves_children_whole(void **state)
{
	struct sigaction action = { .sa_handler = fork_in_handler };
	uint64_t n_forks = test_scaled(N_HANDLED_FORKS);
	pthread_t threads[N_THREADS];
	unsigned n_failed = 0;

	(void)state;
	if (test_on_tsan())
		mode_skip("its run-time has locks of its own");
	make_cache();
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	start(threads);
	for (uint64_t i = 0; i < n_forks; i++) {
		pid_t child;

		usleep(i % 8 * 100);
		child = let_a_handler_fork(threads[i % N_THREADS], i % 2);
		n_failed += child < 0 ||
			    test_wait_child(child, CHILD_SECONDS) != 0;
	}
	join(threads);
	assert_int_equal(n_failed, 0);
}

/* The child is in the parent's memory until it execs. */
static void
vfork_and_exec_beside_churn_leaves_the_parent_whole(void **state)
{
	uint64_t n_forks = test_scaled(N_VFORKS);
	pthread_t threads[N_THREADS];
	unsigned n_failed = 0;

	(void)state;
	make_cache();
	start(threads);
	for (uint64_t i = 0; i < n_forks; i++) {
		pid_t child = vfork();

		if (child == 0) {
			execl("/bin/true", "true", (char *)NULL);
			_exit(1);
		}
		n_failed += child < 0 ||
			    test_wait_child(child, CHILD_SECONDS) != 0;
	}
	join(threads);
	assert_int_equal(n_failed, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_CASES(fork_beside_churn_leaves_children_whole),
		BOTH_CASES(
			fork_in_handler_at_any_instant_leaves_children_whole),
		BOTH_CASES(
			vfork_and_exec_beside_churn_leaves_the_parent_whole),
	};

	return cmocka_run_group_tests_name("test_fork_percpu", tests, NULL,
					   NULL);
}

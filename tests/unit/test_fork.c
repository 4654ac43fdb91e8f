/* SPDX-License-Identifier: MIT */
/*
 * After fork() parent and child go on as if nothing had happened, whatever
 * other threads were doing in Cubby at that moment.
 */
#include "unit/with_cache.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/wait.h>

enum { CHILD_TIMEOUT_S = 60, N_LIMIT = 1000 };

static struct cubby_cache *cache;
static int stop;

/* Run `fn` in a child; what it returns must be 0. */
static void
in_child(int (*fn)(void *), void *argument)
{
	int status = -1;
	pid_t pid = fork();

	if (pid == 0) {
		alarm(CHILD_TIMEOUT_S); /* a lock that nobody lets go */
		_exit(fn(argument));
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

/* Everything works: the number of the first step that does not. */
static int
use_everything(void *object)
{
	struct cubby_cache *created = NULL;
	struct cubby_walk *walk;
	struct cubby_run run;
	size_t n = 0;
	void *objects[100];

	if (cubby_cache_verify(cache) != 0)
		return 1;
	if (!cubby_is_live(cache, object) || *(int *)object != 4711)
		return 2;
	if (cubby_alloc_bulk(cache, 100, objects) != 0)
		return 3;
	if (cubby_walk_create(&walk, cache) != 0)
		return 4;
	while (cubby_walk_next(walk, &run))
		n += run.n_objects;
	cubby_walk_destroy(walk);
	if (n < 101)
		return 5;
	cubby_free_bulk(cache, 100, objects);
	cubby_free(cache, object);
	if (cubby_cache_create_sized(&created, "child", 8, 0, NULL) != 0 ||
	    cubby_cache_find("child") != created)
		return 6;
	cubby_free_any(cubby_alloc(created));
	if (cubby_cache_destroy(created) != 0)
		return 7;
	if (cubby_cache_shrink(cache, NULL) != 0 ||
	    cubby_cache_destroy_force(cache) != 0)
		return 8;
	return 0;
}

static void
fork_child_uses_and_destroys_its_own_copy(void **state)
{
	int *object;

	(void)state;
	cache = make_cache(64, NULL);
	object = must_alloc(cache);
	*object = 4711;
	in_child(use_everything, object);
	assert_int_equal(*object, 4711);
	assert_int_equal(cubby_is_live(cache, object), 1);
	assert_int_equal(stats_of(cache).n_live, 1);
	assert_int_equal(stats_of(cache).n_live_peak, 1);
	assert_null(cubby_cache_find("child"));
	cubby_free(cache, object);
	drop_cache(cache);
}

/* The first signal whose place in the mask differs, else 0. */
static int
other_mask(void *expected)
{
	sigset_t mask;

	sigemptyset(&mask);
	pthread_sigmask(SIG_BLOCK, NULL, &mask);
	for (int signal = 1; signal <= SIGRTMAX; signal++)
		if (sigismember(&mask, signal) !=
		    sigismember(expected, signal))
			return signal;
	return 0;
}

static void
fork_leaves_signal_masks_alone(void **state)
{
	sigset_t set;

	(void)state;
	cache = make_cache(64, NULL);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR2);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	pthread_sigmask(SIG_BLOCK, NULL, &set);
	assert_int_equal(sigismember(&set, SIGUSR2), 1);
	assert_int_equal(sigismember(&set, SIGTERM), 0);
	in_child(other_mask, &set);
	assert_int_equal(other_mask(&set), 0);
	drop_cache(cache);
}

static int
nested(void *object)
{
	int status = 1;
	pid_t pid = fork();

	if (pid == 0)
		_exit(use_everything(object));
	if (waitpid(pid, &status, 0) != pid || status != 0)
		return 99;
	return use_everything(object);
}

static void
fork_in_a_child_works_again(void **state)
{
	int *object;

	(void)state;
	cache = make_cache(64, NULL);
	object = must_alloc(cache);
	*object = 4711;
	in_child(nested, object);
	cubby_free(cache, object);
	drop_cache(cache);
}

static void *
churn(void *nothing)
{
	while (!__atomic_load_n(&stop, __ATOMIC_RELAXED)) {
		struct cubby_cache *mine = NULL;
		void *objects[300];

		assert_int_equal(cubby_alloc_bulk(cache, 300, objects), 0);
		cubby_free_bulk(cache, 300, objects);
		assert_int_equal(cubby_cache_create_sized(&mine, "mine", 32, 0,
							  NULL),
				 0);
		assert_int_equal(cubby_cache_destroy(mine), 0);
	}
	return nothing;
}

/* Locks are taken and let go all the time in other threads. */
static void
fork_amid_busy_threads_finds_everything_whole(void **state)
{
	pthread_t threads[2];
	int *object;

	(void)state;
	cache = make_cache(1000, NULL);
	object = must_alloc(cache);
	*object = 4711;
	stop = 0;
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, churn, NULL), 0);
	for (size_t i = 0; i < scaled(50); i++)
		in_child(use_everything, object);
	__atomic_store_n(&stop, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < 2; i++)
		assert_int_equal(pthread_join(threads[i], NULL), 0);
	assert_int_equal(stats_of(cache).n_live, 1);
	cubby_free(cache, object);
	drop_cache(cache);
}

static sem_t fini_entered, fini_may_go;
static int fini_will_stop;

static int
init(void *object, void *context)
{
	(void)context;
	*(uint64_t *)object = 0x1717;
	return 0;
}

static void
fini(void *object, void *context)
{
	(void)object;
	(void)context;
	if (!__atomic_exchange_n(&fini_will_stop, 0, __ATOMIC_SEQ_CST))
		return;
	sem_post(&fini_entered);
	while (sem_wait(&fini_may_go) != 0)
		continue;
}

static void *
shrink(void *nothing)
{
	cubby_cache_shrink(cache, NULL);
	return nothing;
}

/* The number of the first step that fails, as in use_everything(). */
static int
use_all_cells(void *nothing)
{
	static void *objects[N_LIMIT];

	(void)nothing;
	if (cubby_cache_verify(cache) != 0)
		return 1;
	if (cubby_alloc_bulk(cache, N_LIMIT, objects) != 0)
		return 2;
	for (size_t i = 0; i < N_LIMIT; i++)
		if (*(uint64_t *)objects[i] != 0x1717)
			return 3;
	if (cubby_alloc(cache) != NULL)
		return 4;
	cubby_free_bulk(cache, N_LIMIT, objects);
	if (cubby_cache_shrink(cache, NULL) != 0 ||
	    cubby_cache_verify(cache) != 0)
		return 5;
	return cubby_cache_destroy(cache) == 0 ? 0 : 6;
}

/* The thread that runs fini is not in the child; its cells are. */
static void
fork_while_fini_runs_child_can_use_every_cell(void **state)
{
	pthread_t thread;

	(void)state;
	sem_init(&fini_entered, 0, 0);
	sem_init(&fini_may_go, 0, 0);
	cache = make_cache(64, &CUBBY_CACHE_ATTR(.max_objects = N_LIMIT,
						 .init = init, .fini = fini));
	cubby_free(cache, must_alloc(cache));
	fini_will_stop = 1;
	assert_int_equal(pthread_create(&thread, NULL, shrink, NULL), 0);
	while (sem_wait(&fini_entered) != 0)
		continue;
	in_child(use_all_cells, NULL);
	sem_post(&fini_may_go);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(use_all_cells(NULL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fork_child_uses_and_destroys_its_own_copy),
		cmocka_unit_test(fork_leaves_signal_masks_alone),
		cmocka_unit_test(fork_in_a_child_works_again),
		cmocka_unit_test(
			fork_amid_busy_threads_finds_everything_whole),
		cmocka_unit_test(
			fork_while_fini_runs_child_can_use_every_cell),
	};

	return cmocka_run_group_tests_name("fork", tests, NULL, NULL);
}

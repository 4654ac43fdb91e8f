/* SPDX-License-Identifier: MIT */
/* Watched caches beside threads and forks: nothing is reported of who errs not. */
#include "unit/with_watch.h"

/* ---------------------------------- threads ------------------------------ */

#define N_THREADS 6

static void *
churn(void *argument)
{
	uint64_t seed = (uintptr_t)argument;
	char *mine[32] = { NULL };

	for (size_t i = 0; i < scaled(4000); i++) {
		size_t which = random_below(&seed, 32);

		if (mine[which] != NULL) {
			for (size_t j = 8; j < OBJECT_BYTES; j++)
				if (mine[which][j] !=
				    (char)(uintptr_t)argument)
					abort();
			cubby_free(cache, mine[which]);
			mine[which] = NULL;
			continue;
		}
		mine[which] = cubby_alloc(cache);
		if (mine[which] != NULL)
			memset(mine[which], (int)(uintptr_t)argument,
			       OBJECT_BYTES);
		if (i % 512 == 0 && cubby_cache_validate(cache) > 0)
			abort();
	}
	for (size_t i = 0; i < 32; i++)
		cubby_free(cache, mine[i]);
	return NULL;
}

static void
threads_that_do_nothing_wrong_are_not_reported(void **state)
{
	pthread_t threads[N_THREADS];

	begin(*state, FZPU, 4096);
	for (size_t i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL, churn,
						(void *)(i + 1)),
				 0);
	for (size_t i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_int_equal(stats_of(cache).n_live, 0);
	end();
}

static void
child_of_a_fork_goes_on(void **state)
{
	char *objects[N_OBJECTS];
	pid_t pid;

	begin(*state, FZPU, 4096);
	for (size_t i = 0; i < N_OBJECTS; i++)
		objects[i] = must_alloc(cache);
	for (size_t i = 0; i < N_OBJECTS / 2; i++)
		cubby_free(cache, objects[i]);
	fflush(NULL);
	pid = fork();
	for (size_t i = N_OBJECTS / 2; i < N_OBJECTS; i++)
		cubby_free(cache, objects[i]);
	if (pid == 0) {
		fake_begin(0);
		if (cubby_rcu_barrier(cache) != 0 ||
		    cubby_cache_validate(cache) != 0 || n_reports() != 0 ||
		    cubby_cache_destroy(cache) != 0)
			_exit(1);
		_exit(0);
	}
	assert_int_equal(test_wait_child(pid, 20), 0);
	end();
}

static unsigned is_ending, may_end;

static void
take_long(void *object, void *context)
{
	(void)object, (void)context;
	__atomic_store_n(&is_ending, 1, __ATOMIC_RELEASE);
	while (!__atomic_load_n(&may_end, __ATOMIC_ACQUIRE))
		usleep(100);
}

static void *
wait_for_all(void *unused)
{
	(void)unused;
	if (cubby_rcu_barrier(cache) != 0)
		abort();
	return NULL;
}

/* Its dtor runs, on another thread: it waits no more, and nobody has it. */
static void
object_that_ends_is_not_live(void **state)
{
	struct sort sort = *(const struct sort *)*state;
	struct cubby_cache_stats stats;
	pthread_t thread;

	if (sort.attr.reclaim != CUBBY_RECLAIM_POLL)
		skip();
	sort.attr.dtor = take_long;
	is_ending = may_end = 0;
	begin(&sort, FZPU, 0);
	cubby_free_rcu(cache, must_alloc(cache));
	assert_int_equal(pthread_create(&thread, NULL, wait_for_all, NULL), 0);
	while (!__atomic_load_n(&is_ending, __ATOMIC_ACQUIRE))
		usleep(100);
	stats = stats_of(cache);
	__atomic_store_n(&may_end, 1, __ATOMIC_RELEASE);
	pthread_join(thread, NULL);
	assert_int_equal(stats.n_live, 0);
	assert_int_equal(stats.n_deferred, 1);
	end();
}

static unsigned is_over;

static void *
alloc_and_free(void *unused)
{
	void *held[64];

	(void)unused;
	while (!__atomic_load_n(&is_over, __ATOMIC_RELAXED)) {
		size_t n = cubby_alloc_bulk(cache, 64, held) == 0 ? 64 : 0;

		while (n > 0)
			cubby_free(cache, held[--n]);
		cubby_cache_shrink(cache, NULL);
	}
	return NULL;
}

/* What another thread was filling, the child does not know. */
static void
child_of_a_fork_beside_a_busy_thread_ends_all(void **state)
{
	pthread_t thread;
	uint64_t seed = 3;

	(void)state;
	n_reports();
	/* Large ones, so that mostly one is being filled. */
	cache = make_cache(3000, &CUBBY_CACHE_ATTR(.debug = FZP));
	is_over = 0;
	assert_int_equal(pthread_create(&thread, NULL, alloc_and_free, NULL),
			 0);
	for (size_t i = 0; i < scaled(60); i++) {
		pid_t pid;

		usleep((useconds_t)random_below(&seed, 2000));
		fflush(NULL);
		pid = fork();
		if (pid == 0)
			_exit(cubby_cache_destroy_force(cache) != 0 ||
			      n_reports() != 0);
		assert_int_equal(test_wait_child(pid, 20), 0);
	}
	__atomic_store_n(&is_over, 1, __ATOMIC_RELAXED);
	pthread_join(thread, NULL);
	end();
}

int
main(void)
{
	static struct CMUnitTest tests[100];
	static char names[100][96];
	size_t n = 0;

	add_options("misuse=continue");
	cubby_misuse_set_hook(keep_report, NULL);
	IN_SORTS(threads_that_do_nothing_wrong_are_not_reported);
	IN_SORTS(child_of_a_fork_goes_on);
	IN_SORTS(object_that_ends_is_not_live);
	if (!test_on_tsan()) { /* which allows no such child */
		tests[n++] = (struct CMUnitTest){
			"child_of_a_fork_beside_a_busy_thread_ends_all",
			child_of_a_fork_beside_a_busy_thread_ends_all, NULL,
			NULL, (void *)&sorts[0]
		};
	}
	return _cmocka_run_group_tests("debug_threads", tests, n, NULL, NULL);
}

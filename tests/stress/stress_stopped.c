/* SPDX-License-Identifier: MIT */
/*
 * A thread that is stopped in the middle of an allocation or a free: it stays
 * in its bracket, so nobody can make its cache stand still.  Who asks is told
 * within about 100 ms, by name of the thread; everybody else goes on.
 *
 * The thread is stopped by a signal handler that finds it inside its bracket.
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
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "stripe.h"
#include "support/oracle.h"

#define N_ROUNDS 6
#define N_TRIES 20000
#define TRY_NS 200000
#define VICTIM_BURST 150
#define N_HELD 100
#define OTHERS_WORK 5000
#define CHILD_SECONDS 60

static struct cubby_cache *cache;
static void *held[N_HELD];
static sem_t stopped;
static int go_on[2]; /* a pipe; a byte lets the victim go on */
static pid_t victim_tid;
static bool victim_may_end;
static bool wanted; /* stopped: once, whatever signals are under way */

static void
stop_in_bracket(int number)
{
	const struct stripe *stripe = cubby__stripe_current();
	int saved_errno = errno;
	char byte;

	(void)number;
	if (stripe != NULL &&
	    __atomic_load_n(&stripe->busy, __ATOMIC_RELAXED) &&
	    __atomic_exchange_n(&wanted, false, __ATOMIC_RELAXED)) {
		sem_post(&stopped);
		while (read(go_on[0], &byte, 1) < 0 && errno == EINTR)
			;
	}
	errno = saved_errno;
}

static void *
be_victim(void *context)
{
	void *objects[VICTIM_BURST];

	(void)context;
	__atomic_store_n(&victim_tid, gettid(), __ATOMIC_RELEASE);
	while (!__atomic_load_n(&victim_may_end, __ATOMIC_RELAXED)) {
		for (unsigned i = 0; i < VICTIM_BURST; i++)
			objects[i] = cubby_alloc(cache);
		for (unsigned i = 0; i < VICTIM_BURST; i++)
			cubby_free(cache, objects[i]);
	}
	return NULL;
}

/* false: it was never met inside its bracket. */
static bool
stop(pthread_t victim)
{
	__atomic_store_n(&wanted, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < N_TRIES; i++) {
		struct timespec until;

		pthread_kill(victim, SIGUSR1);
		clock_gettime(CLOCK_REALTIME, &until);
		until.tv_nsec += TRY_NS;
		if (until.tv_nsec >= 1000000000) {
			until.tv_nsec -= 1000000000;
			until.tv_sec++;
		}
		if (sem_timedwait(&stopped, &until) == 0)
			return true;
	}
	/* It may have been met in this moment. */
	return !__atomic_exchange_n(&wanted, false, __ATOMIC_RELAXED) &&
	       sem_wait(&stopped) == 0;
}

/* ---------------------------- while it is stopped ------------------------- */

static double longest_ms;

static double
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void
expect_busy(int err, double began_ms)
{
	double took_ms = now_ms() - began_ms;
	char name[32];

	longest_ms = took_ms > longest_ms ? took_ms : longest_ms;
	assert_int_equal(err, -EBUSY);
	snprintf(name, sizeof(name), "thread %d ", (int)victim_tid);
	if (strstr(cubby_error_detail(), name) == NULL)
		fail_msg("'%s' does not name %s", cubby_error_detail(), name);
}

#define EXPECT_BUSY(call)                                                     \
	do {                                                                  \
		double began_ms = now_ms();                                   \
		expect_busy((call), began_ms);                                \
	} while (0)

static void
calls_that_need_all_threads_are_busy(void)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	struct cubby_walk *walk;

	EXPECT_BUSY(cubby_walk_create(&walk, cache));
	EXPECT_BUSY(cubby_is_live(cache, held[0]));
	EXPECT_BUSY(cubby_cache_report_live(cache, fd));
	EXPECT_BUSY(cubby_cache_shrink(cache, NULL));
	EXPECT_BUSY(cubby_shrink_all(NULL));
	EXPECT_BUSY(cubby_cache_destroy(cache));
	EXPECT_BUSY(cubby_cache_destroy_force(cache));
	close(fd);
}

static void
check_stats(bool exact)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	assert_int_equal(cubby_cache_stats_snapshot(cache, &stats), 0);
	assert_int_equal(stats.is_exact, exact);
	assert_int_equal(stats.n_cells,
			 stats.n_live + stats.n_idle_in_blocks +
				 stats.n_idle_in_depot + stats.n_reserved +
				 stats.n_free + stats.n_returned +
				 stats.n_retired);
	assert_int_equal(stats.reserved_bytes,
			 stats.committed_bytes + stats.uncommitted_bytes);
	assert_true(stats.populated_bytes <= stats.committed_bytes);
	assert_true(stats.n_live <= stats.n_live_peak);
}

static void *
alloc_and_free(void *context)
{
	void *objects[VICTIM_BURST];

	for (unsigned n = 0; n < OTHERS_WORK; n += VICTIM_BURST) {
		for (unsigned i = 0; i < VICTIM_BURST; i++) {
			objects[i] = cubby_alloc(cache);
			if (objects[i] == NULL)
				return context;
			memset(objects[i], 1, 24);
		}
		for (unsigned i = 0; i < VICTIM_BURST; i++)
			cubby_free(cache, objects[i]);
	}
	return NULL;
}

/* This thread and one that comes and goes. */
static void
others_go_on(void)
{
	pthread_t other;
	void *failed;
	int err = pthread_create(&other, NULL, alloc_and_free, &cache);

	assert_int_equal(err, 0);
	assert_null(alloc_and_free(&cache));
	pthread_join(other, &failed);
	assert_null(failed);
}

/* How many objects a walk visits; SIZE_MAX: there was none. */
static size_t
count_by_walk(void)
{
	struct cubby_walk *walk;
	struct cubby_run run;
	size_t n = 0;

	if (cubby_walk_create(&walk, cache) != 0)
		return SIZE_MAX;
	while (cubby_walk_next(walk, &run))
		n += run.n_objects;
	cubby_walk_destroy(walk);
	return n;
}

/* The stopped thread is not in the child; what it held is live. */
static int
live_as_child(void)
{
	size_t n = count_by_walk();

	if (n < N_HELD || n > N_HELD + VICTIM_BURST)
		return 1;
	if (alloc_and_free(&cache) != NULL || count_by_walk() != n)
		return 2;
	for (unsigned i = 0; i < N_HELD; i++)
		cubby_free(cache, held[i]);
	if (cubby_cache_verify(cache) != 0 || count_by_walk() != n - N_HELD)
		return 3;
	return cubby_cache_shrink(cache, NULL) != 0 ||
			       cubby_cache_destroy_force(cache) != 0 ?
		       4 :
		       0;
}

static void
fork_goes_on(void)
{
	pid_t child = fork();

	if (child == 0)
		_exit(live_as_child());
	assert_true(child > 0);
	assert_int_equal(test_wait_child(child, CHILD_SECONDS), 0);
}

/* ----------------------------------- cases -------------------------------- */

static void
check_all_works_again(void)
{
	assert_int_equal(cubby_is_live(cache, held[0]), 1);
	assert_int_equal(cubby_cache_shrink(cache, NULL), 0);
	check_stats(true);
	assert_int_equal(count_by_walk(), N_HELD);
	assert_int_equal(cubby_cache_verify(cache), 0);
}

static void
let_go_on(pthread_t victim)
{
	ssize_t n;

	__atomic_store_n(&victim_may_end, true, __ATOMIC_RELAXED);
	n = write(go_on[1], "", 1);
	assert_int_equal(n, 1);
	pthread_join(victim, NULL);
}

static void
stop_once(void)
{
	pthread_t victim;
	int err;

	victim_may_end = false;
	err = pthread_create(&victim, NULL, be_victim, NULL);
	assert_int_equal(err, 0);
	if (!stop(victim)) {
		__atomic_store_n(&victim_may_end, true, __ATOMIC_RELAXED);
		pthread_join(victim, NULL);
		if (!test_is_slow())
			fail_msg("never met inside its bracket");
		skip(); /* where handlers run at chosen places only */
	}
	others_go_on();
	calls_that_need_all_threads_are_busy();
	check_stats(false);
	others_go_on();
	fork_goes_on();
	let_go_on(victim);
	check_all_works_again();
}

static void
thread_stopped_in_its_bracket_is_named_and_others_go_on(void **state)
{
	uint64_t n_rounds = test_scaled(N_ROUNDS);
	struct sigaction action = { .sa_handler = stop_in_bracket };
	int err = cubby_cache_create_sized(&cache, "stopped", 24, 0, NULL);

	(void)state;
	assert_int_equal(err, 0);
	if (!cubby__stripe_works())
		skip(); /* front=none */
	sem_init(&stopped, 0, 0);
	err = pipe2(go_on, O_CLOEXEC);
	assert_int_equal(err, 0);
	err = sigaction(SIGUSR1, &action, NULL);
	assert_int_equal(err, 0);
	for (unsigned i = 0; i < N_HELD; i++)
		held[i] = cubby_alloc(cache);
	for (uint64_t i = 0; i < n_rounds; i++)
		stop_once();
	printf("# longest answer: %.1f ms\n", longest_ms);
	for (unsigned i = 0; i < N_HELD; i++)
		cubby_free(cache, held[i]);
	assert_int_equal(cubby_cache_destroy(cache), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			thread_stopped_in_its_bracket_is_named_and_others_go_on),
	};

	test_seed();
	return cmocka_run_group_tests_name("stress_stopped", tests, NULL,
					   NULL);
}

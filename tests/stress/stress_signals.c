/* SPDX-License-Identifier: MIT */
/*
 * Signal handlers that allocate and free on the caches that the interrupted
 * threads are using.  Two signals, so that handlers interrupt handlers; the
 * oracle watches every object, also those that only handlers own.
 *
 * A deadlock would leave the test hanging: alarm() ends it.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "support/oracle.h"

#define N_WORKERS 4
#define N_OPERATIONS 40000 /* of each worker and cache */
#define N_HANDLED_MIN 20
#define N_OPERATIONS_MAX 10000000
#define WORKER_HELD 50
#define HANDLER_HELD 8 /* objects a handler leaves for the next */
#define SIGNAL_PAUSE_NS 20000
#define TIMER_US 500
#define DEADLOCK_SECONDS 250
#define ODD_ERRNO 4711 /* what the interrupted code has in errno */

/* The oracle knows handlers by other numbers than their threads. */
#define HANDLER_OWNER 1000
#define NESTED_OWNER 2000

static struct oracle oracle;
static unsigned n_finished;
static uint64_t n_handled;
static uint64_t n_errno_spoilt;
static uint64_t seed;

/* Initial-exec in a program, so that handlers may use them. */
static __thread unsigned self;
static __thread void *held_by_handler[HANDLER_HELD];
static __thread void *held_by_nested[HANDLER_HELD];
static __thread unsigned n_by_handler;
static __thread unsigned n_by_nested;

static void
handle_with(unsigned owner, void **held, unsigned *n_visits)
{
	void **place = &held[(*n_visits)++ % HANDLER_HELD];
	int saved = errno;

	errno = ODD_ERRNO;
	oracle_free(&oracle, owner, *place);
	*place = oracle_alloc(&oracle, owner);
	if (*place == NULL || cubby_cache_of(*place) != oracle.cache)
		oracle_fault(&oracle, ORACLE_COUNT, *place,
			     "no object in a handler");
	if (errno != ODD_ERRNO)
		__atomic_add_fetch(&n_errno_spoilt, 1, __ATOMIC_RELAXED);
	errno = saved;
	__atomic_add_fetch(&n_handled, 1, __ATOMIC_RELAXED);
}

static void
on_signal(int number)
{
	if (self == 0)
		return; /* main and the signaller do not play */
	if (number == SIGUSR2)
		handle_with(NESTED_OWNER + self, held_by_nested, &n_by_nested);
	else
		handle_with(HANDLER_OWNER + self, held_by_handler,
			    &n_by_handler);
}

static void
block(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigaddset(&set, SIGUSR2);
	sigaddset(&set, SIGPROF);
	pthread_sigmask(how, &set, NULL);
}

/* Where threads take turns, short work may end before any signal came. */
static bool
is_too_quiet(uint64_t n_operations)
{
	return __atomic_load_n(&n_handled, __ATOMIC_RELAXED) < N_HANDLED_MIN &&
	       n_operations < N_OPERATIONS_MAX;
}

static void *
work(void *context)
{
	uint64_t random = seed + (uintptr_t)context;
	void *held[WORKER_HELD] = { NULL };
	uint64_t n = test_scaled(N_OPERATIONS);

	self = (unsigned)(uintptr_t)context;
	block(SIG_UNBLOCK);
	for (uint64_t i = 0; i < n || is_too_quiet(i); i++) {
		void **place = &held[test_random(&random) % WORKER_HELD];

		oracle_free(&oracle, self, *place);
		*place = oracle_alloc(&oracle, self);
	}
	block(SIG_BLOCK);
	__atomic_add_fetch(&n_finished, 1, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < WORKER_HELD; i++)
		oracle_free(&oracle, self, held[i]);
	for (unsigned i = 0; i < HANDLER_HELD; i++) {
		oracle_free(&oracle, HANDLER_OWNER + self, held_by_handler[i]);
		oracle_free(&oracle, NESTED_OWNER + self, held_by_nested[i]);
	}
	return NULL;
}

/*
 * Aim at single threads, until the first of them ends; the process-wide timer
 * hits whichever runs.
 */
static void *
send_signals(void *context)
{
	pthread_t *workers = context;
	struct timespec pause = { 0, SIGNAL_PAUSE_NS };
	uint64_t random = seed;

	while (__atomic_load_n(&n_finished, __ATOMIC_RELAXED) == 0) {
		uint64_t choice = test_random(&random);

		pthread_kill(workers[choice / 2 % N_WORKERS],
			     choice % 2 ? SIGUSR1 : SIGUSR2);
		if (choice % 64 == 0)
			oracle_meddle(&oracle, choice / 64);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

static void
start_timer(long period_us)
{
	struct itimerval timer = { { 0, period_us }, { 0, period_us } };
	int err = setitimer(ITIMER_PROF, &timer, NULL);

	assert_int_equal(err, 0);
}

static void
install(int number)
{
	struct sigaction action = { .sa_handler = on_signal,
				    .sa_flags = SA_RESTART };
	int err;

	/* These two share what they hold; only SIGUSR2 nests. */
	if (number != SIGUSR2) {
		sigaddset(&action.sa_mask, SIGUSR1);
		sigaddset(&action.sa_mask, SIGPROF);
	}
	err = sigaction(number, &action, NULL);
	assert_int_equal(err, 0);
}

static void
run(size_t object_bytes, unsigned callbacks)
{
	pthread_t workers[N_WORKERS], signaller;
	int err = oracle_init(&oracle, object_bytes, callbacks, NULL);

	assert_int_equal(err, 0);
	n_finished = 0;
	n_handled = 0;
	block(SIG_BLOCK); /* threads begin so; workers unblock */
	for (uintptr_t i = 0; i < N_WORKERS; i++) {
		err = pthread_create(&workers[i], NULL, work, (void *)(i + 1));
		assert_int_equal(err, 0);
	}
	err = pthread_create(&signaller, NULL, send_signals, workers);
	assert_int_equal(err, 0);
	start_timer(TIMER_US);
	pthread_join(signaller, NULL);
	for (unsigned i = 0; i < N_WORKERS; i++)
		pthread_join(workers[i], NULL);
	start_timer(0);
	oracle_fini(&oracle);
	if (oracle_n_faults(&oracle) != 0)
		fail_msg("%s", oracle.first_fault);
	assert_true(n_handled > 0);
	assert_int_equal(n_errno_spoilt, 0);
}

static void
handler_that_allocates_on_plain_cache_is_safe(void **state)
{
	(void)state;
	run(24, 0);
}

static void
handler_that_allocates_on_cache_with_callbacks_is_safe(void **state)
{
	(void)state;
	run(200, ORACLE_INIT | ORACLE_CTOR);
}

static void
handler_that_allocates_large_objects_is_safe(void **state)
{
	(void)state;
	run(9000, ORACLE_INIT);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			handler_that_allocates_on_plain_cache_is_safe),
		cmocka_unit_test(
			handler_that_allocates_on_cache_with_callbacks_is_safe),
		cmocka_unit_test(handler_that_allocates_large_objects_is_safe),
	};

	seed = test_seed();
	install(SIGUSR1);
	install(SIGUSR2);
	install(SIGPROF);
	alarm(DEADLOCK_SECONDS);
	return cmocka_run_group_tests_name("stress_signals", tests, NULL,
					   NULL);
}

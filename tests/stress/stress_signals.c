/* SPDX-License-Identifier: MIT */
/*
 * Signal handlers that allocate, free and fork on the caches that the
 * interrupted threads are using.  Two signals, so that handlers interrupt
 * handlers; an oracle watches every object, also those that only handlers own.
 *
 * A deadlock would leave the test hanging: alarm() ends it.  One that ends by
 * itself after 100 ms shows as -EBUSY, which must stay rare.
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
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "support/light.h"

#define N_WORKERS 4
#define N_OPERATIONS 40000 /* of each worker and cache */
#define N_HANDLED_MIN 20
#define N_OPERATIONS_MAX 100000000
#define WORKER_HELD 50
#define HANDLER_HELD 8 /* objects a handler leaves for the next */
#define SIGNAL_PAUSE_NS 20000
#define TIMER_US 500
#define DEADLOCK_SECONDS 250
#define ODD_ERRNO 4711 /* what the interrupted code has in errno */
#define WORKER_BULK 100
#define WORKER_BULK_BYTES 20000
#define BULK_EVERY 64
#define FORK_EVERY 16 /* handlers */
#define N_FORKS 150
#define CHILD_OBJECTS 200

/* At full speed: operations of each worker, and looks at the cache. */
#define N_LIGHT_OPERATIONS 2000000
#define N_LIGHT_HANDLED_MIN 3000
#define N_BUSY_MAX 3
#define LIGHT_BYTES 24

/* The oracle knows handlers by other numbers than their threads. */
#define HANDLER_OWNER 1000
#define NESTED_OWNER 2000

static struct oracle oracle;
static struct light light; /* its cache is NULL: the oracle is used */
static unsigned n_finished;
static uint64_t n_handled;
static uint64_t n_handled_min;
static uint64_t n_errno_spoilt;
static int64_t n_forks_left; /* below 0 by those that met */
static uint64_t n_children;  /* that were not waited for yet */
static uint64_t seed;

/* Initial-exec in a program, so that handlers may use them. */
static __thread unsigned self;
static __thread void *held_by_handler[HANDLER_HELD];
static __thread void *held_by_nested[HANDLER_HELD];
static __thread unsigned n_by_handler;
static __thread unsigned n_by_nested;

static void
replace(unsigned owner, void **place)
{
	if (light.cache == NULL) {
		oracle_free(&oracle, owner, *place);
		*place = oracle_alloc(&oracle, owner);
		if (*place == NULL || cubby_cache_of(*place) != oracle.cache)
			oracle_fault(&oracle, ORACLE_COUNT, *place,
				     "no object");
		return;
	}
	if (*place != NULL)
		light_free(&light, *place);
	*place = light_alloc(&light, owner);
}

static void
release(unsigned owner, size_t n, void **held)
{
	for (size_t i = 0; i < n; i++) {
		if (light.cache == NULL)
			oracle_free(&oracle, owner, held[i]);
		else if (held[i] != NULL)
			light_free(&light, held[i]);
	}
}

/*
 * In a child that a handler forked.  Where the interrupted code was inside its
 * bracket the caches cannot stand still, for it waits for this handler.
 */
static int
live_as_child(unsigned owner)
{
	void *objects[CHILD_OBJECTS];

	oracle.may_be_busy = true;
	for (unsigned i = 0; i < CHILD_OBJECTS; i++)
		objects[i] = oracle_alloc(&oracle, owner);
	oracle_meddle_walk(&oracle);
	oracle_meddle_stats(&oracle);
	release(owner, CHILD_OBJECTS, objects);
	return 0;
}

static void
fork_now(unsigned owner)
{
	pid_t child;

	if (__atomic_load_n(&n_forks_left, __ATOMIC_RELAXED) <= 0)
		return;
	child = fork();
	if (child == 0)
		_exit(live_as_child(owner));
	if (child < 0)
		test_die("no child");
	__atomic_sub_fetch(&n_forks_left, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&n_children, 1, __ATOMIC_RELAXED);
}

static void
handle_with(unsigned owner, void **held, unsigned *n_visits)
{
	int saved = errno;

	errno = ODD_ERRNO;
	replace(owner, &held[(*n_visits)++ % HANDLER_HELD]);
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
	if (number != SIGUSR2) {
		handle_with(HANDLER_OWNER + self, held_by_handler,
			    &n_by_handler);
		return;
	}
	handle_with(NESTED_OWNER + self, held_by_nested, &n_by_nested);
	/* Here only: the C library cannot have a fork inside a fork. */
	if (n_by_nested % FORK_EVERY == 0)
		fork_now(NESTED_OWNER + self);
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
	return (__atomic_load_n(&n_handled, __ATOMIC_RELAXED) <
			n_handled_min ||
		__atomic_load_n(&n_forks_left, __ATOMIC_RELAXED) > 0) &&
	       n_operations < N_OPERATIONS_MAX;
}

static void
use_bulk(void)
{
	void *objects[WORKER_BULK];
	size_t n;

	if (light.cache != NULL) {
		if (cubby_alloc_bulk(light.cache, WORKER_BULK, objects) != 0)
			test_die("no memory for a bulk");
		for (unsigned i = 0; i < WORKER_BULK; i++)
			light_take(&light, objects[i], self);
		for (unsigned i = 0; i < WORKER_BULK; i++)
			light_give(&light, objects[i]);
		cubby_free_bulk(light.cache, WORKER_BULK, objects);
		return;
	}
	n = WORKER_BULK_BYTES / oracle.object_bytes;
	n = n < WORKER_BULK ? n : WORKER_BULK;
	if (!oracle_alloc_bulk(&oracle, self, n, objects))
		test_die("no memory for a bulk");
	oracle_free_bulk(&oracle, self, n, objects);
}

static void *
work(void *context)
{
	uint64_t random = seed + (uintptr_t)context;
	void *held[WORKER_HELD] = { NULL };
	uint64_t n = test_scaled(light.cache != NULL ? N_LIGHT_OPERATIONS :
						       N_OPERATIONS);
	uint64_t i;

	self = (unsigned)(uintptr_t)context;
	block(SIG_UNBLOCK);
	for (i = 0; i < n || is_too_quiet(i); i += 2) {
		replace(self, &held[test_random(&random) % WORKER_HELD]);
		if (i % BULK_EVERY == 0)
			use_bulk();
	}
	block(SIG_BLOCK);
	if (light.cache != NULL) /* the oracle counts by itself */
		test_count_operations(i + i / BULK_EVERY * 2 * WORKER_BULK);
	__atomic_add_fetch(&n_finished, 1, __ATOMIC_RELAXED);
	release(self, WORKER_HELD, held);
	release(HANDLER_OWNER + self, HANDLER_HELD, held_by_handler);
	release(NESTED_OWNER + self, HANDLER_HELD, held_by_nested);
	return NULL;
}

static void
reap(int how)
{
	int status;

	while (__atomic_load_n(&n_children, __ATOMIC_RELAXED) > 0 &&
	       waitpid(-1, &status, how) > 0) {
		__atomic_sub_fetch(&n_children, 1, __ATOMIC_RELAXED);
		if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
			test_die("a child of a handler: status %d", status);
	}
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
		if (choice % 64 == 0 && light.cache == NULL)
			oracle_meddle(&oracle, choice / 64);
		reap(WNOHANG);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* Make the cache stand still as often as possible. */
static void *
look_often(void *context)
{
	unsigned n_busy = 0;

	(void)context;
	while (__atomic_load_n(&n_finished, __ATOMIC_RELAXED) == 0) {
		int err = cubby_cache_shrink(light.cache, NULL);

		if (err == -EBUSY)
			n_busy++;
		else if (err != 0)
			test_die("%s", cubby_error_detail());
		if (n_busy >= N_BUSY_MAX && !test_is_slow())
			test_die("busy: %s", cubby_error_detail());
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

/* A storm over workers, and another thread beside them, if any. */
static void
storm(void *(*other)(void *context))
{
	pthread_t workers[N_WORKERS], signaller, other_thread;
	int err;

	n_finished = 0;
	n_handled = 0;
	n_handled_min = light.cache != NULL && !test_is_slow() ?
				N_LIGHT_HANDLED_MIN :
				N_HANDLED_MIN;
	block(SIG_BLOCK); /* threads begin so; workers unblock */
	for (uintptr_t i = 0; i < N_WORKERS; i++) {
		err = pthread_create(&workers[i], NULL, work, (void *)(i + 1));
		assert_int_equal(err, 0);
	}
	err = pthread_create(&signaller, NULL, send_signals, workers);
	assert_int_equal(err, 0);
	if (other != NULL) {
		err = pthread_create(&other_thread, NULL, other, NULL);
		assert_int_equal(err, 0);
	}
	start_timer(TIMER_US);
	pthread_join(signaller, NULL);
	if (other != NULL)
		pthread_join(other_thread, NULL);
	for (unsigned i = 0; i < N_WORKERS; i++)
		pthread_join(workers[i], NULL);
	start_timer(0);
	reap(0);
	assert_true(n_handled > 0);
	assert_int_equal(n_errno_spoilt, 0);
}

static void
run(size_t object_bytes, unsigned callbacks)
{
	light.cache = NULL;
	assert_int_equal(oracle_init(&oracle, object_bytes, callbacks, NULL),
			 0);
	oracle.may_be_busy = test_is_slow();
	storm(NULL);
	oracle_fini(&oracle);
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

static void
handler_that_forks_leaves_child_whole(void **state)
{
	(void)state;
	if (test_on_tsan())
		skip(); /* its run-time has locks of its own */
	n_forks_left = (int64_t)test_scaled(N_FORKS);
	run(24, ORACLE_INIT);
	n_forks_left = 0;
}

/*
 * A handler in the middle of a bracket waits for the slab lock: whoever waits
 * for the bracket must not hold it.
 */
static void
handler_inside_bracket_beside_shrink_is_safe(void **state)
{
	int err = cubby_cache_create_sized(&light.cache, "light", LIGHT_BYTES,
					   0, NULL);

	(void)state;
	assert_int_equal(err, 0);
	light.last = LIGHT_BYTES / sizeof(uint64_t) - 1;
	storm(look_often);
	assert_int_equal(cubby_cache_verify(light.cache), 0);
	assert_int_equal(cubby_cache_destroy(light.cache), 0);
	light.cache = NULL;
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handler_inside_bracket_beside_shrink_is_safe),
		cmocka_unit_test(
			handler_that_allocates_on_plain_cache_is_safe),
		cmocka_unit_test(
			handler_that_allocates_on_cache_with_callbacks_is_safe),
		cmocka_unit_test(handler_that_allocates_large_objects_is_safe),
		cmocka_unit_test(handler_that_forks_leaves_child_whole),
	};

	seed = test_seed();
	install(SIGUSR1);
	install(SIGUSR2);
	install(SIGPROF);
	alarm(DEADLOCK_SECONDS);
	return cmocka_run_group_tests_name("stress_signals", tests, NULL,
					   NULL);
}

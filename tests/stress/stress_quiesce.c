/* SPDX-License-Identifier: MIT */
/*
 * A cache is made to stand still as often as can be, while many threads and
 * their signal handlers allocate and free, one by one and in bulk.
 *
 * Some objects live from beginning to end: every walk sees each of them, and
 * once.  What else it sees is counted, and cannot be more than the threads
 * hold, for what is idle is not seen.  The objects that threads hold at the end
 * are counted exactly.
 *
 * The single calls are compiled in (CUBBY_INLINE); every other thread calls the
 * library.  Counters prove that the fast path was used, that sequences were
 * aborted, and that magazines went to and fro.
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
#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#ifdef CUBBY_RSEQ_DELAY
#include "rseq.h" /* the delays, in what is compiled in as well */
#endif
#define CUBBY_INLINE
#include "support/light.h"
#include "support/oracle.h"
#include "support/sums.h"

#define THREADS_MAX 128
#define OBJECT_BYTES 40
#define N_ANCHORS 1000
#define HELD_MAX 400  /* of a thread */
#define HANDLED_MAX 8 /* of its handler */
#define BULK 50
#define BURST 300
#define RUN_MS 1500
#define LOOK_PAUSE_NS 20000
#define TIMER_US 200
#define N_LOOKERS 3
#define CAPACITY 16 /* of a magazine: exchanges are frequent */

enum { ANCHOR = 1, FIRST_TICKET };

static struct light light;
static void *anchors[N_ANCHORS];
static pthread_t workers[THREADS_MAX];
static unsigned n_workers;
static uint64_t n_in_handlers, n_walks, n_busy, n_lives, n_calls;
static bool done;
static uint64_t seed;

static __thread unsigned self;
static __thread void *handled[HANDLED_MAX];
static __thread unsigned n_handled;

static bool
is_done(void)
{
	return __atomic_load_n(&done, __ATOMIC_RELAXED);
}

static void
count(uint64_t *counter, uint64_t n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

/* --------------------------------- workers -------------------------------- */

static void *
take(void)
{
	void *object;

	if (self % 2 == 0)
		return light_alloc(&light, FIRST_TICKET + self);
	object = (cubby_alloc)(light.cache);
	if (object == NULL)
		test_die("no memory for an object");
	light_take(&light, object, FIRST_TICKET + self);
	return object;
}

static void
give(void *object)
{
	if (self % 2 == 0) {
		light_free(&light, object);
		return;
	}
	light_give(&light, object);
	(cubby_free)(light.cache, object);
}

/* A worker's: its objects are its thread's. */
static void
on_alarm(int number)
{
	int saved = errno;
	void **place = &handled[n_handled++ % HANDLED_MAX];

	(void)number;
	if (self == 0)
		return;
	if (*place != NULL)
		give(*place);
	*place = n_handled % 3 != 0 ? take() : NULL;
	count(&n_in_handlers, 1);
	errno = saved;
}

static void
block_alarm(int how)
{
	sigset_t set;

	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	sigaddset(&set, SIGUSR1);
	pthread_sigmask(how, &set, NULL);
}

static void
use_bulk(void **held)
{
	if (cubby_alloc_bulk(light.cache, BULK, held) != 0)
		test_die("no memory for a bulk");
	for (unsigned i = 0; i < BULK; i++)
		light_take(&light, held[i], FIRST_TICKET + self);
	for (unsigned i = 0; i < BULK; i++)
		light_give(&light, held[i]);
	cubby_free_bulk(light.cache, BULK, held);
}

/* In and out by random numbers, so that every boundary is crossed. */
static void *
work(void *context)
{
	void *held[HELD_MAX];
	unsigned n_held = 0;
	uint64_t random, n = 0;

	self = (unsigned)(uintptr_t)context;
	random = seed + self;
	block_alarm(SIG_UNBLOCK);
	while (!is_done()) {
		unsigned n_wanted = test_random(&random) % (HELD_MAX - BULK);

		for (; n_held < n_wanted; n++)
			held[n_held++] = take();
		for (; n_held > n_wanted; n++)
			give(held[--n_held]);
		use_bulk(held + n_held);
	}
	block_alarm(SIG_BLOCK);
	while (n_held > 0)
		give(held[--n_held]);
	for (unsigned i = 0; i < HANDLED_MAX; i++)
		if (handled[i] != NULL)
			give(handled[i]);
	count(&n_calls, n);
	test_count_operations(n);
	return NULL;
}

/* --------------------------------- lookers -------------------------------- */

/* -EBUSY is an answer where a thread waits long for a processor; no other. */
static bool
was_busy(int err)
{
	if (err != 0 && err != -EBUSY)
		test_die("%s", cubby_error_detail());
	count(&n_busy, err != 0);
	return err != 0;
}

static int
compare(const void *a, const void *b)
{
	uintptr_t left = *(const uintptr_t *)a, right = *(const uintptr_t *)b;

	return left < right ? -1 : left > right;
}

static bool
is_anchor(const void *object)
{
	return bsearch(&object, anchors, N_ANCHORS, sizeof(anchors[0]),
		       compare) != NULL;
}

static void
walk(void)
{
	uint64_t most = n_workers * (uint64_t)(HELD_MAX + HANDLED_MAX + 2);
	unsigned n_anchors = 0;
	uint64_t n_others = 0;
	struct cubby_walk *it;
	struct cubby_run run;
	const void *object;

	if (was_busy(cubby_walk_create(&it, light.cache)))
		return;
	while (cubby_walk_next(it, &run))
		CUBBY_RUN_FOR_EACH (object, &run)
			is_anchor(object) ? n_anchors++ : n_others++;
	cubby_walk_destroy(it);
	if (n_anchors != N_ANCHORS)
		test_die("a walk saw %u of %u objects", n_anchors, N_ANCHORS);
	if (n_others > most)
		test_die("a walk saw %llu objects more than there are",
			 (unsigned long long)(n_others - most));
	count(&n_walks, 1);
}

static void
verify(struct cubby_cache *cache)
{
	if (cubby_cache_verify(cache) == 0)
		return;
	if (strstr(cubby_error_detail(), "let it go on") == NULL &&
	    strstr(cubby_error_detail(), "does not go on") == NULL)
		test_die("verify: %s", cubby_error_detail());
	count(&n_busy, 1);
}

static void
sum_up(void)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	if (cubby_cache_stats_snapshot(light.cache, &stats) != 0)
		test_die("no statistics");
	if (stats.n_cells != sum_of_cells(&stats))
		test_die("cells do not add up");
	if (stats.is_exact && stats.n_live < N_ANCHORS)
		test_die("only %llu are live",
			 (unsigned long long)stats.n_live);
}

/* A cache lives, is used by one thread's handlers too, and dies. */
static void
live_and_die(void)
{
	struct cubby_cache *cache;
	void *objects[BURST];

	if (cubby_cache_create_sized(&cache, "passing", 24, 0, NULL) != 0)
		test_die("no cache");
	for (unsigned i = 0; i < BURST; i++)
		objects[i] = cubby_alloc(cache);
	for (unsigned i = 0; i < BURST; i++)
		cubby_free(cache, objects[i]);
	verify(cache);
	/* for_each and shrink_all of another thread may be at it. */
	while (was_busy(cubby_cache_destroy(cache)))
		usleep(100);
	count(&n_lives, 1);
}

static void *
look(void *context)
{
	struct timespec pause = { 0, LOOK_PAUSE_NS };
	uint64_t random = seed * 3 + (uintptr_t)context;

	while (!is_done()) {
		switch (test_random(&random) % 6) {
		case 0:
			walk();
			break;
		case 1:
			was_busy(cubby_cache_shrink(light.cache, NULL));
			break;
		case 2:
			verify(light.cache);
			break;
		case 3:
			sum_up();
			break;
		case 4:
			was_busy(cubby_shrink_all(NULL));
			break;
		default:
			live_and_die();
		}
		pthread_kill(workers[test_random(&random) % n_workers],
			     SIGUSR1);
		nanosleep(&pause, NULL);
	}
	return NULL;
}

/* ---------------------------------- runs ---------------------------------- */

static void
start(pthread_t *thread, void *(*fn)(void *context), uintptr_t number)
{
	int err = pthread_create(thread, NULL, fn, (void *)number);

	assert_int_equal(err, 0);
}

static void
set_timer(long period_us)
{
	struct itimerval timer = { { 0, period_us }, { 0, period_us } };

	assert_int_equal(setitimer(ITIMER_REAL, &timer, NULL), 0);
}

static void
make_cache(void)
{
	struct cubby_cache_attr attr =
		CUBBY_CACHE_ATTR(.magazine_capacity = CAPACITY);
	int err = cubby_cache_create_sized(&light.cache, "light", OBJECT_BYTES,
					   0, &attr);

	assert_int_equal(err, 0);
	light.last = OBJECT_BYTES / sizeof(uint64_t) - 1;
	for (unsigned i = 0; i < N_ANCHORS; i++)
		anchors[i] = light_alloc(&light, ANCHOR);
	qsort(anchors, N_ANCHORS, sizeof(anchors[0]), compare);
}

/* What is left is what this thread has, exactly. */
static void
check_end(const struct cubby_cache_stats *before)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	assert_int_equal(cubby_cache_verify(light.cache), 0);
	assert_int_equal(cubby_cache_stats_snapshot(light.cache, &stats), 0);
	assert_true(stats.is_exact);
	assert_int_equal(stats.n_live, N_ANCHORS);
	printf("# %llu calls, %llu in handlers, %llu walks, %llu busy, %llu "
	       "aborts, %llu direct\n",
	       (unsigned long long)n_calls, (unsigned long long)n_in_handlers,
	       (unsigned long long)n_walks, (unsigned long long)n_busy,
	       (unsigned long long)(stats.n_aborts - before->n_aborts),
	       (unsigned long long)(stats.n_direct_allocs +
				    stats.n_direct_frees));
	if (stats.front_end != CUBBY_FRONT_NONE) {
		assert_true(stats.n_depot_puts > 0 && stats.n_depot_gets > 0);
#ifndef CUBBY_RSEQ_DELAY /* then all is slow but the meddling */
		/* On a busy machine what is slow with TSan stays closed long. */
		assert_true(stats.n_direct_allocs + stats.n_direct_frees <
			    (test_on_tsan() ? n_calls * 3 / 4 : n_calls / 4));
#endif
	}
	if (stats.front_end == CUBBY_FRONT_PER_CPU)
		assert_true(stats.n_aborts > before->n_aborts);
	for (unsigned i = 0; i < N_ANCHORS; i++)
		light_free(&light, anchors[i]);
	assert_int_equal(cubby_cache_destroy(light.cache), 0);
}

/* Where threads take turns, a short time may be too short. */
static bool
has_seen_all(void)
{
	return __atomic_load_n(&n_in_handlers, __ATOMIC_RELAXED) > 0 &&
	       __atomic_load_n(&n_walks, __ATOMIC_RELAXED) > 0 &&
	       __atomic_load_n(&n_lives, __ATOMIC_RELAXED) > 0;
}

static void
run(unsigned threads_per_core)
{
	struct cubby_cache_stats before = { .stats_bytes = sizeof(before) };
	pthread_t lookers[N_LOOKERS];

	n_in_handlers = n_walks = n_busy = n_lives = n_calls = 0;
	done = false;
	make_cache();
	assert_int_equal(cubby_cache_stats_snapshot(light.cache, &before), 0);
	n_workers = threads_per_core * test_n_cores();
	n_workers = n_workers < THREADS_MAX ? n_workers : THREADS_MAX;
	block_alarm(SIG_BLOCK); /* threads begin so; workers unblock */
	for (unsigned i = 0; i < n_workers; i++)
		start(&workers[i], work, i + 1);
	for (unsigned i = 0; i < N_LOOKERS; i++)
		start(&lookers[i], look, i);
	set_timer(TIMER_US);
	usleep((useconds_t)(test_scaled(RUN_MS) * 1000));
	while (!has_seen_all())
		usleep(1000);
	__atomic_store_n(&done, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < N_LOOKERS; i++)
		pthread_join(lookers[i], NULL);
	for (unsigned i = 0; i < n_workers; i++)
		pthread_join(workers[i], NULL);
	set_timer(0);
	check_end(&before);
}

static void
quiesce_beside_2_threads_a_core_is_exact(void **state)
{
	(void)state;
	run(2);
}

static void
quiesce_beside_8_threads_a_core_is_exact(void **state)
{
	(void)state;
	run(8);
}

static void
install(int number)
{
	struct sigaction action = { .sa_handler = on_alarm,
				    .sa_flags = SA_RESTART };

	sigaddset(&action.sa_mask, SIGALRM);
	sigaddset(&action.sa_mask, SIGUSR1);
	if (sigaction(number, &action, NULL) != 0)
		test_die("no handler");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(quiesce_beside_2_threads_a_core_is_exact),
		cmocka_unit_test(quiesce_beside_8_threads_a_core_is_exact),
	};

	seed = test_seed();
	install(SIGALRM);
	install(SIGUSR1);
	return cmocka_run_group_tests_name("stress_quiesce", tests, NULL,
					   NULL);
}

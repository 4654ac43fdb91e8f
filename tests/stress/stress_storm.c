/* SPDX-License-Identifier: MIT */
/*
 * Storms of the process's own making, in both front ends: threads that come and
 * go by the thousand, CPUs that are taken away and given back, timers whose
 * handlers allocate and look, threads that get no CPU for long.
 *
 * A light oracle watches every object; a watcher sees that idle cells stay
 * within their bounds all the time; counters prove that there was a storm.
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
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "cpu.h"
#include "magazine.h"
#include "stripe.h"
#include "support/in_mode.h"
#include "support/light.h"

#define OBJECT_BYTES 48
#define N_CACHES 2
#define N_WORKERS 8
#define BURST 300 /* more than a block holds */
#define N_SLOTS 128
#define HANDLER_TICKET 1000
#define SAMPLE_US 500

/* Of an idle cell, with its part of a magazine. */
#define IDLE_CELL_BYTES (OBJECT_BYTES + MAGAZINE_BYTES / MAGAZINE_CAPACITY_MAX)
#define BLOCK_CELLS (2 * MAGAZINE_CAPACITY_MAX)
#define MAX_IDLE_BYTES (64 << 10)

static struct light lights[N_CACHES];
static void *slots[N_CACHES][N_SLOTS]; /* objects that anybody may free */
static bool done;
static uint64_t n_operations;
static uint64_t seed;

static bool
is_done(void)
{
	return __atomic_load_n(&done, __ATOMIC_RELAXED);
}

static void
count(uint64_t *counter)
{
	__atomic_add_fetch(counter, 1, __ATOMIC_RELAXED);
}

static uint64_t
counted(const uint64_t *counter)
{
	return __atomic_load_n(counter, __ATOMIC_RELAXED);
}

/* --------------------------------- the work ------------------------------- */

static void
make_caches(void)
{
	struct cubby_cache_attr attr =
		CUBBY_CACHE_ATTR(.max_idle_bytes = MAX_IDLE_BYTES);

	seed = test_seed();
	for (unsigned i = 0; i < N_CACHES; i++) {
		lights[i].cache = mode_make_cache(OBJECT_BYTES, &attr);
		lights[i].last = OBJECT_BYTES / sizeof(uint64_t) - 1;
	}
}

/* Put an object where others find it, and free what was there. */
static void
exchange_slot(const struct light *light, uint64_t ticket, uint64_t choice)
{
	void **slot = &slots[light - lights][choice % N_SLOTS];
	void *object = __atomic_exchange_n(slot, light_alloc(light, ticket),
					   __ATOMIC_ACQ_REL);

	if (object != NULL)
		light_free(light, object);
}

static void
burst(const struct light *light, uint64_t ticket, uint64_t *random)
{
	void *objects[BURST];
	size_t n = 1 + test_random(random) % BURST;

	for (size_t i = 0; i < n; i++)
		objects[i] = light_alloc(light, ticket);
	for (size_t i = 0; i < n; i++)
		light_free(light, objects[i]);
	exchange_slot(light, ticket, test_random(random));
	__atomic_add_fetch(&n_operations, 2 * n, __ATOMIC_RELAXED);
}

static pid_t tids[N_WORKERS];
static uint64_t n_started;

static void *
work(void *context)
{
	uintptr_t number = (uintptr_t)context;
	uint64_t random = seed + number;

	tids[number] = gettid();
	__atomic_add_fetch(&n_started, 1, __ATOMIC_RELEASE);
	while (!is_done())
		burst(&lights[test_random(&random) % N_CACHES], number + 1,
		      &random);
	return NULL;
}

static pthread_t
start(void *(*fn)(void *), uintptr_t context)
{
	pthread_t thread;
	int err = pthread_create(&thread, NULL, fn, (void *)context);

	assert_int_equal(err, 0);
	return thread;
}

static void
start_workers(pthread_t *threads, void *(*fn)(void *))
{
	for (uintptr_t i = 0; i < N_WORKERS; i++)
		threads[i] = start(fn, i);
	while (__atomic_load_n(&n_started, __ATOMIC_ACQUIRE) < N_WORKERS)
		usleep(SAMPLE_US);
}

static void
join_workers(const pthread_t *threads)
{
	__atomic_store_n(&done, true, __ATOMIC_RELAXED);
	for (unsigned i = 0; i < N_WORKERS; i++)
		pthread_join(threads[i], NULL);
}

static void
end_caches(void)
{
	for (unsigned i = 0; i < N_CACHES; i++) {
		for (unsigned k = 0; k < N_SLOTS; k++)
			if (slots[i][k] != NULL)
				light_free(&lights[i], slots[i][k]);
		assert_int_equal(cubby_cache_verify(lights[i].cache), 0);
		assert_int_equal(cubby_cache_destroy(lights[i].cache), 0);
	}
	test_count_operations(n_operations);
}

/* ------------------------------- the watcher ------------------------------ */

static struct cubby_cache_stats
snapshot(struct cubby_cache *cache)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	assert_int_equal(cubby_cache_stats_snapshot(cache, &stats), 0);
	return stats;
}

/* Who has blocks: CPUs, or threads that are alive. */
static uint64_t
n_blocks(uint64_t n_threads)
{
	uint32_t n_cpus = cubby__cpu_n_possible();

	if (mode_front_end == CUBBY_FRONT_PER_THREAD)
		return n_threads + 1;
	return n_cpus != 0 ? n_cpus : (uint64_t)sysconf(_SC_NPROCESSORS_CONF);
}

/* A thread may be about to flush, with a magazine that it has just put. */
static void
check_idle(uint64_t n_threads)
{
	const uint64_t most = MAX_IDLE_BYTES / IDLE_CELL_BYTES +
			      (n_threads + 1) * MAGAZINE_CAPACITY_MAX;

	for (unsigned i = 0; i < N_CACHES; i++) {
		struct cubby_cache_stats stats = snapshot(lights[i].cache);

		assert_true(stats.n_idle_in_depot <= most);
		assert_true(stats.n_idle_in_blocks <=
			    n_blocks(n_threads) * BLOCK_CELLS);
	}
}

static uint64_t
n_aborts(void)
{
	return snapshot(lights[0].cache).n_aborts;
}

/* Sequences that began again: none per thread. */
static void
check_aborts(void)
{
	assert_true((n_aborts() > 0) ==
		    (mode_front_end == CUBBY_FRONT_PER_CPU));
}

/* Go on until there was enough of it, and more where that was luck. */
static bool
is_enough(uint64_t n, uint64_t n_wanted, bool all_seen)
{
	enum { PATIENCE = 100 };

	n_wanted = test_scaled(n_wanted);
	if (mode_front_end == CUBBY_FRONT_PER_CPU)
		all_seen &= n_aborts() > 0;
	return n >= n_wanted && (all_seen || n >= PATIENCE * n_wanted);
}

/* ------------------------------ many threads ------------------------------ */

#define N_THREADS 10000
#define N_ALIVE 64
#define N_OF_THREAD 40

static void *
live_shortly(void *context)
{
	uint64_t ticket = (uintptr_t)context + 1;
	uint64_t random = seed + ticket;

	for (unsigned i = 0; i < N_CACHES; i++) {
		void *objects[N_OF_THREAD];

		for (unsigned k = 0; k < N_OF_THREAD; k++)
			objects[k] = light_alloc(&lights[i], ticket);
		for (unsigned k = 0; k < N_OF_THREAD; k++)
			light_free(&lights[i], objects[k]);
		exchange_slot(&lights[i], ticket, test_random(&random));
	}
	__atomic_add_fetch(&n_operations, 2 * N_CACHES * N_OF_THREAD,
			   __ATOMIC_RELAXED);
	return NULL;
}

static uint64_t
resident_bytes(void)
{
	unsigned long n_pages = 0;
	FILE *file = fopen("/proc/self/statm", "re");

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%*u %lu", &n_pages), 1);
	fclose(file);
	return n_pages * (uint64_t)sysconf(_SC_PAGESIZE);
}

/* What all threads that were ever alive at once may have had, twice. */
static void
check_nothing_is_left(uint64_t before_bytes)
{
	enum { GROWTH_MAX = 8 << 20 };
	const uint64_t most = 2 * (N_ALIVE * (N_OF_THREAD + BLOCK_CELLS) +
				   N_SLOTS + MAX_IDLE_BYTES / OBJECT_BYTES);

	for (unsigned i = 0; i < N_CACHES; i++) {
		struct cubby_cache_stats stats = snapshot(lights[i].cache);

		assert_int_equal(stats.is_exact, 1);
		assert_true(stats.n_live <= N_SLOTS);
		assert_true(stats.n_cells <= most);
		assert_true(stats.resident_bytes <= most * OBJECT_BYTES);
	}
	/* A snapshot closes gates; who ends then leaves its cells with its stripe. */
	check_idle(N_ALIVE);
	if (mode_front_end == CUBBY_FRONT_PER_CPU)
		assert_int_equal(cubby__stripe_n(), 0);
	else
		assert_true(cubby__stripe_n() <= N_ALIVE + 2);
	if (!test_is_slow())
		assert_true(resident_bytes() < before_bytes + GROWTH_MAX);
}

static void
thread_storm_leaves_nothing_per_thread(void **state)
{
	uint64_t n = test_scaled(N_THREADS);
	pthread_t threads[N_ALIVE];
	uint64_t before_bytes = 0;

	(void)state;
	make_caches();
	for (uint64_t i = 0; i < n + N_ALIVE; i++) {
		if (i >= N_ALIVE)
			pthread_join(threads[i % N_ALIVE], NULL);
		if (i < n)
			threads[i % N_ALIVE] = start(live_shortly, i);
		if (i % 256 == 0)
			check_idle(N_ALIVE);
		if (i == 4 * N_ALIVE) /* the C library has its stacks */
			before_bytes = resident_bytes();
	}
	if (before_bytes == 0)
		before_bytes = resident_bytes();
	check_nothing_is_left(before_bytes);
	end_caches();
}

/* ---------------------------- CPUs come and go ---------------------------- */

#define N_MOVES 1000

/* One CPU of those that this process may use. */
static void
choose_cpu(cpu_set_t *set, uint64_t choice)
{
	int cpu = 0;

	for (uint64_t n = choice % (uint64_t)CPU_COUNT(set);; cpu++)
		if (CPU_ISSET(cpu, set) && n-- == 0)
			break;
	CPU_ZERO(set);
	CPU_SET(cpu, set);
}

/* One thread or all of them, to one CPU or to all. */
static void
move(uint64_t choice, const cpu_set_t *all)
{
	cpu_set_t set = *all;
	unsigned first = (unsigned)(choice % N_WORKERS);
	unsigned n = choice >> 8 & 15 ? 1 : N_WORKERS;

	if (choice >> 12 & 3)
		choose_cpu(&set, choice >> 16);
	for (unsigned i = 0; i < n; i++)
		assert_int_equal(
			sched_setaffinity(tids[(first + i) % N_WORKERS],
					  sizeof(set), &set),
			0);
}

static void
look(uint64_t choice)
{
	struct cubby_cache *cache = lights[choice % N_CACHES].cache;
	struct cubby_walk *walk;

	check_idle(N_WORKERS);
	assert_int_equal(cubby_cache_verify(cache), 0);
	assert_int_equal(cubby_walk_create(&walk, cache), 0);
	cubby_walk_destroy(walk);
	assert_int_equal(cubby_cache_shrink(cache, NULL), 0);
}

static void
affinity_that_changes_keeps_owners(void **state)
{
	pthread_t threads[N_WORKERS];
	uint64_t random, n = 0;
	cpu_set_t all;

	(void)state;
	make_caches();
	random = seed;
	assert_int_equal(sched_getaffinity(0, sizeof(all), &all), 0);
	start_workers(threads, work);
	while (!is_enough(n, N_MOVES, true)) {
		move(test_random(&random), &all);
		if (n++ % 32 == 0)
			look(n / 32);
		usleep(SAMPLE_US / 5);
	}
	join_workers(threads);
	check_aborts();
	end_caches();
}

/* --------------------------------- timers --------------------------------- */

#define N_TIMED 4 /* workers; the others are not interrupted */
#define TIMER_NS 150000
#define N_HANDLED 10000
#define N_HANDLER_HELD 8
#define LOOK_EVERY 32

static uint64_t n_handled, n_looks, n_busy;
static __thread void *handler_held[N_CACHES][N_HANDLER_HELD];
static __thread uint64_t n_visits;
static __thread uint64_t my_ticket; /* 0: not a worker */

/* At any instant of the interrupted thread: there is an answer. */
static void
look_in_handler(struct cubby_cache *cache)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	struct cubby_walk *walk;
	int err = cubby_walk_create(&walk, cache);

	if (err == 0)
		cubby_walk_destroy(walk);
	else if (err == -EBUSY)
		count(&n_busy);
	else
		test_die("walk in a handler: %s", cubby_error_detail());
	if (cubby_cache_stats_snapshot(cache, &stats) != 0)
		test_die("statistics in a handler: %s", cubby_error_detail());
	count(&n_looks);
}

static void
on_timer(int number)
{
	const struct light *light = &lights[n_visits % N_CACHES];
	void **place = &handler_held[n_visits % N_CACHES]
				    [n_visits / 2 % N_HANDLER_HELD];
	int saved = errno;

	(void)number;
	n_visits++;
	if (*place != NULL)
		light_free(light, *place);
	*place = light_alloc(light, HANDLER_TICKET + my_ticket);
	exchange_slot(light, HANDLER_TICKET + my_ticket, n_visits);
	if (n_visits % LOOK_EVERY == 0)
		look_in_handler(
			lights[n_visits / LOOK_EVERY % N_CACHES].cache);
	count(&n_handled);
	errno = saved;
}

static timer_t
start_timer(void)
{
	struct itimerspec period = { { 0, TIMER_NS }, { 0, TIMER_NS } };
	struct sigevent event = { .sigev_notify = SIGEV_THREAD_ID,
				  .sigev_signo = SIGALRM };
	timer_t timer;

	event._sigev_un._tid = gettid();
	if (timer_create(CLOCK_MONOTONIC, &event, &timer) != 0 ||
	    timer_settime(timer, 0, &period, NULL) != 0)
		test_die("no timer");
	return timer;
}

static void *
work_with_timer(void *context)
{
	sigset_t set;
	timer_t timer;

	my_ticket = (uintptr_t)context + 1;
	if (my_ticket > N_TIMED)
		return work(context);
	timer = start_timer();
	work(context);
	timer_delete(timer);
	sigemptyset(&set);
	sigaddset(&set, SIGALRM);
	pthread_sigmask(SIG_BLOCK, &set, NULL);
	for (unsigned i = 0; i < N_CACHES; i++)
		for (unsigned k = 0; k < N_HANDLER_HELD; k++)
			if (handler_held[i][k] != NULL)
				light_free(&lights[i], handler_held[i][k]);
	return NULL;
}

static void
timers_whose_handlers_allocate_and_look_keep_owners(void **state)
{
	struct sigaction action = { .sa_handler = on_timer,
				    .sa_flags = SA_RESTART };
	pthread_t threads[N_WORKERS];

	(void)state;
	make_caches();
	assert_int_equal(sigaction(SIGALRM, &action, NULL), 0);
	start_workers(threads, work_with_timer);
	while (!is_enough(counted(&n_handled), N_HANDLED,
			  counted(&n_busy) > 0)) {
		check_idle(2 * N_WORKERS);
		usleep(SAMPLE_US);
	}
	join_workers(threads);
	check_aborts();
	assert_true(n_looks > 0);
	printf("# %llu handlers, %llu looks, %llu of them busy\n",
	       (unsigned long long)n_handled, (unsigned long long)n_looks,
	       (unsigned long long)n_busy);
	end_caches();
}

/* ------------------------------ no CPU for long --------------------------- */

#define N_LOOKS 20
#define NICEST 19

/* Half of the workers run only where the others leave a CPU idle. */
static void *
work_with_low_priority(void *context)
{
	uintptr_t number = (uintptr_t)context;
	struct sched_param none = { 0 };

	if (number % 4 == 1)
		sched_setscheduler(gettid(), SCHED_IDLE, &none);
	else if (number % 4 == 3)
		setpriority(PRIO_PROCESS, (id_t)gettid(), NICEST);
	return work(context);
}

static void
threads_that_get_no_cpu_hold_nobody_up(void **state)
{
	pthread_t threads[N_WORKERS];
	uint64_t before, n = 0;

	(void)state;
	make_caches();
	start_workers(threads, work_with_low_priority);
	before = counted(&n_operations);
	while (!is_enough(n, N_LOOKS, counted(&n_operations) > before)) {
		struct cubby_walk *walk;
		int err = cubby_walk_create(&walk, lights[n % N_CACHES].cache);

		assert_true(err == 0 || err == -EBUSY);
		if (err == 0)
			cubby_walk_destroy(walk);
		check_idle(N_WORKERS);
		usleep(SAMPLE_US);
		n++;
	}
	assert_true(counted(&n_operations) > before);
	join_workers(threads);
	end_caches();
}

/* ------------------------------- many depots ------------------------------ */

#define N_DEPOTS 32
#define N_DEPOT_LOOKS 40
#define DEPOT_BURST 2000 /* more than a depot may hold */
#define IDLE_OPTION "idle=96K"
#define IDLE_OPTION_BYTES (96 << 10)
#define BOUND_MIN_BYTES (16 << 10) /* of a depot, however full others are */

static struct cubby_cache *depots[N_DEPOTS];

static void *
fill_depots(void *context)
{
	uint64_t random = seed + (uintptr_t)context;

	__atomic_add_fetch(&n_started, 1, __ATOMIC_RELEASE);
	while (!is_done()) {
		void *objects[DEPOT_BURST];
		struct light light = lights[0];

		light.cache = depots[test_random(&random) % N_DEPOTS];
		for (unsigned i = 0; i < DEPOT_BURST; i++)
			objects[i] = light_alloc(&light, 1);
		for (unsigned i = 0; i < DEPOT_BURST; i++)
			light_free(&light, objects[i]);
		__atomic_add_fetch(&n_operations, 2 * DEPOT_BURST,
				   __ATOMIC_RELAXED);
	}
	return NULL;
}

/* What a depot got since it was last counted is not in the sum: one a thread. */
static void
depots_of_many_caches_stay_within_the_option(void **state)
{
	const uint64_t most = IDLE_OPTION_BYTES + N_DEPOTS * BOUND_MIN_BYTES +
			      N_WORKERS * MAX_IDLE_BYTES;
	struct cubby_cache_attr attr =
		CUBBY_CACHE_ATTR(.max_idle_bytes = MAX_IDLE_BYTES);
	uint64_t n_looks_wanted = test_scaled(N_DEPOT_LOOKS);
	pthread_t threads[N_WORKERS];

	(void)state;
	mode_add_options(IDLE_OPTION);
	make_caches();
	for (unsigned i = 0; i < N_DEPOTS; i++)
		depots[i] = mode_make_cache(OBJECT_BYTES, &attr);
	start_workers(threads, fill_depots);
	for (uint64_t n = 0; n < n_looks_wanted; n++) {
		uint64_t sum_bytes = 0;

		usleep(20 * SAMPLE_US);
		for (unsigned i = 0; i < N_DEPOTS; i++)
			sum_bytes += snapshot(depots[i]).n_idle_in_depot *
				     IDLE_CELL_BYTES;
		assert_true(sum_bytes <= most);
	}
	join_workers(threads);
	for (unsigned i = 0; i < N_DEPOTS; i++)
		assert_int_equal(cubby_cache_destroy(depots[i]), 0);
	end_caches();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_CASES(thread_storm_leaves_nothing_per_thread),
		BOTH_CASES(affinity_that_changes_keeps_owners),
		MM_CID_CASE(thread_storm_leaves_nothing_per_thread),
		MM_CID_CASE(affinity_that_changes_keeps_owners),
		BOTH_CASES(
			timers_whose_handlers_allocate_and_look_keep_owners),
		BOTH_CASES(threads_that_get_no_cpu_hold_nobody_up),
		BOTH_CASES(depots_of_many_caches_stay_within_the_option),
	};

	return cmocka_run_group_tests_name("stress_storm", tests, NULL, NULL);
}

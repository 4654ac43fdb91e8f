/* SPDX-License-Identifier: MIT */
/*
 * A thread that is stopped in the middle of an allocation or a free: what it
 * has in hand is nobody's, so its cache cannot be made to stand still.  Who asks
 * is told within about 100 ms, by name of the thread; everybody else goes on.
 *
 * That it is in an exchange is no accident: the magazines are made read-only,
 * and while a thread only allocates, its first write to one is inside an
 * exchange.  Other stops are at any instant.  Either way a signal handler, where
 * no lock is held, waits there to be stopped by a tracer.
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
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "cache.h"
#include "percpu.h"
#include "support/in_mode.h"
#include "support/sums.h"

#define N_ROUNDS 3
#define N_INSTANTS 20
#define INSTANT_US_MAX 2000
#define VICTIM_BURST 150
#define VICTIM_MOST 1500
#define N_HELD 100
#define N_WARM 2000 /* objects whose magazines go to the depot */
#define OTHERS_WORK 5000
#define CHILD_SECONDS 60
#define PAGE_BYTES ((size_t)sysconf(_SC_PAGESIZE))

static struct cubby_cache *cache;
static void *held[N_HELD];
static void *warm[N_WARM];
static sem_t parked;
static int go_on[2]; /* a pipe; a byte lets the victim go on */
static pid_t victim_tid;
static bool victim_may_end;
static bool in_exchange; /* the victim, where it was met */

/* ------------------------------- the tracer ------------------------------- */

/* Another process stops a thread as it is told, and lets it go on at 0. */
static int orders[2], answers[2];

static int
stop_thread(pid_t tid)
{
	int status;

	if (ptrace(PTRACE_SEIZE, tid, NULL, NULL) != 0)
		return errno;
	if (ptrace(PTRACE_INTERRUPT, tid, NULL, NULL) != 0 ||
	    waitpid(tid, &status, __WALL) != tid || !WIFSTOPPED(status))
		test_die("thread %d does not stop", (int)tid);
	return 0;
}

static void
be_tracer(void)
{
	pid_t tid, traced = 0;
	int answer = 0;

	close(orders[1]);
	while (read(orders[0], &tid, sizeof(tid)) == sizeof(tid)) {
		if (tid != 0)
			answer = stop_thread(traced = tid);
		else
			ptrace(PTRACE_DETACH, traced, NULL, NULL);
		if (write(answers[1], &answer, sizeof(answer)) < 0)
			break;
	}
	_exit(0);
}

/* Before the first cache, and before there are threads. */
static void
start_tracer(void)
{
	pid_t tracer;

	assert_int_equal(pipe2(orders, O_CLOEXEC), 0);
	assert_int_equal(pipe2(answers, O_CLOEXEC), 0);
	tracer = fork();
	if (tracer == 0)
		be_tracer();
	assert_true(tracer > 0);
	prctl(PR_SET_PTRACER, tracer, 0, 0, 0); /* where Yama is asked */
}

static void
order(pid_t tid)
{
	int answer;

	assert_int_equal(write(orders[1], &tid, sizeof(tid)), sizeof(tid));
	assert_int_equal(read(answers[0], &answer, sizeof(answer)),
			 sizeof(answer));
	if (answer != 0)
		mode_skip("no thread can be traced");
}

/* ------------------------------- the victim ------------------------------- */

/* Nobody else is in one. */
static bool
victim_is_in_exchange(void)
{
	const struct stripe *stripe = cubby__stripe_current();

	if (!cubby__percpu_works)
		return stripe != NULL && stripe->busy;
	return cubby__percpu_n_in_hand(cache->front.block,
				       &cache->front.n_in_hand_rest) != 0;
}

static void
park(int number)
{
	int saved_errno = errno;
	char byte;

	(void)number;
	victim_tid = gettid();
	in_exchange = victim_is_in_exchange();
	sem_post(&parked);
	while (read(go_on[0], &byte, 1) < 0 && errno == EINTR)
		;
	errno = saved_errno;
}

/* What a handler does where it has met an exchange. */
static void (*meet)(int number) = park;

static size_t
magazines_bytes(void)
{
	size_t bytes = (size_t)cubby__magazine_n_used() * MAGAZINE_BYTES;

	return (bytes + PAGE_BYTES - 1) & ~(PAGE_BYTES - 1);
}

/* From here a thread that only allocates is met in an exchange. */
static void
protect_magazines(int protection)
{
	if (mprotect(cubby__magazine_base, magazines_bytes(), protection) != 0)
		test_die("the magazines cannot be protected");
}

static void
on_write(int number, siginfo_t *info, void *context)
{
	(void)context;
	if ((uintptr_t)info->si_addr - (uintptr_t)cubby__magazine_base >=
	    magazines_bytes()) {
		signal(number, SIG_DFL); /* not ours: again, and the end */
		return;
	}
	protect_magazines(PROT_READ | PROT_WRITE);
	meet(number);
}

static bool
may_end(void)
{
	return __atomic_load_n(&victim_may_end, __ATOMIC_RELAXED);
}

static void *
alloc_until_parked(void *context)
{
	static void *objects[VICTIM_MOST];
	unsigned n = 0;

	protect_magazines(PROT_READ);
	while (n < VICTIM_MOST && !may_end())
		objects[n++] = cubby_alloc(cache);
	for (unsigned i = 0; i < n; i++)
		cubby_free(cache, objects[i]);
	return context;
}

static void *
come_and_go(void *context)
{
	void *objects[VICTIM_BURST];

	while (!may_end()) {
		for (unsigned i = 0; i < VICTIM_BURST; i++)
			objects[i] = cubby_alloc(cache);
		for (unsigned i = 0; i < VICTIM_BURST; i++)
			cubby_free(cache, objects[i]);
	}
	return context;
}

static pthread_t
start_victim(void *(*fn)(void *))
{
	pthread_t victim;
	int err;

	victim_may_end = false;
	err = pthread_create(&victim, NULL, fn, NULL);
	assert_int_equal(err, 0);
	return victim;
}

static void
wait_until_parked(void)
{
	while (sem_wait(&parked) != 0)
		;
}

static void
let_go_on(void)
{
	assert_int_equal(write(go_on[1], "", 1), 1);
}

static void
end_victim(pthread_t victim)
{
	__atomic_store_n(&victim_may_end, true, __ATOMIC_RELAXED);
	let_go_on();
	pthread_join(victim, NULL);
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
	assert_int_equal(stats.n_cells, sum_of_cells(&stats));
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

	if (n < N_HELD || n > N_HELD + VICTIM_MOST)
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

/* The depot has magazines, so that an alloc exchanges one, and no refill. */
static void
fill_depot(void)
{
	for (unsigned i = 0; i < N_WARM; i++) {
		warm[i] = cubby_alloc(cache);
		assert_non_null(warm[i]);
	}
	for (unsigned i = 0; i < N_WARM; i++)
		cubby_free(cache, warm[i]);
}

enum how { TRACES = 1, PROTECTS = 2 };

static void
begin(unsigned how)
{
	struct sigaction action = { .sa_handler = park };

	if (how & PROTECTS && test_is_slow() && !test_on_tsan() &&
	    !test_on_asan())
		mode_skip("memcheck takes each fault for an error");
	if (how & TRACES)
		start_tracer();
	cache = mode_make_cache(24, NULL);
	sem_init(&parked, 0, 0);
	assert_int_equal(pipe2(go_on, O_CLOEXEC), 0);
	assert_int_equal(sigaction(SIGUSR1, &action, NULL), 0);
	action.sa_sigaction = on_write;
	action.sa_flags = SA_SIGINFO;
	assert_int_equal(sigaction(SIGSEGV, &action, NULL), 0);
	for (unsigned i = 0; i < N_HELD; i++)
		held[i] = cubby_alloc(cache);
}

static void
end(void)
{
	for (unsigned i = 0; i < N_HELD; i++)
		cubby_free(cache, held[i]);
	assert_int_equal(cubby_cache_destroy(cache), 0);
}

static void
thread_stopped_in_an_exchange_is_named_and_others_go_on(void **state)
{
	uint64_t n_rounds = test_scaled(N_ROUNDS);

	(void)state;
	begin(TRACES | PROTECTS);
	for (uint64_t i = 0; i < n_rounds; i++) {
		pthread_t victim;

		fill_depot();
		victim = start_victim(alloc_until_parked);
		wait_until_parked();
		assert_true(in_exchange);
		order(victim_tid);
		others_go_on();
		calls_that_need_all_threads_are_busy();
		check_stats(false);
		others_go_on();
		fork_goes_on();
		order(0);
		end_victim(victim);
		check_all_works_again();
	}
	printf("# longest answer: %.1f ms\n", longest_ms);
	end();
}

/* In an exchange or not: a walk is refused, or there is one. */
static void
look_at_any_instant(void)
{
	struct cubby_walk *walk;

	if (in_exchange) {
		EXPECT_BUSY(cubby_walk_create(&walk, cache));
		return;
	}
	assert_int_equal(cubby_walk_create(&walk, cache), 0);
	cubby_walk_destroy(walk);
	assert_int_equal(cubby_cache_shrink(cache, NULL), 0);
	check_stats(true);
}

static void
thread_stopped_at_any_instant_lets_others_go_on(void **state)
{
	uint64_t n_rounds = test_scaled(N_INSTANTS);
	uint64_t random = test_seed();
	unsigned n_in_exchange = 0;
	pthread_t victim;

	(void)state;
	begin(TRACES);
	victim = start_victim(come_and_go);
	for (uint64_t i = 0; i < n_rounds; i++) {
		usleep(test_random(&random) % INSTANT_US_MAX);
		pthread_kill(victim, SIGUSR1);
		wait_until_parked();
		n_in_exchange += in_exchange;
		order(victim_tid);
		others_go_on();
		look_at_any_instant();
		others_go_on();
		order(0);
		let_go_on();
	}
	end_victim(victim);
	check_all_works_again();
	printf("# %u of %u stops were in an exchange\n", n_in_exchange,
	       (unsigned)n_rounds);
	end();
}

/* It is not stopped, as far as the kernel knows: that takes longer to see. */
static void
handler_that_does_not_return_is_said_to_others(void **state)
{
	struct cubby_walk *walk;
	pthread_t victim;

	(void)state;
	begin(PROTECTS);
	fill_depot();
	victim = start_victim(alloc_until_parked);
	wait_until_parked();
	assert_true(in_exchange);
	assert_int_equal(cubby_walk_create(&walk, cache), -EBUSY);
	assert_string_equal(
		cubby_error_detail(),
		"cache 'mode': a thread is in the middle of an allocation or a "
		"free, and does not go on; is there a signal handler that does "
		"not return?");
	others_go_on();
	end_victim(victim);
	check_all_works_again();
	end();
}

/* ------------------------- handlers that look crosswise ------------------- */

/* Who waited to the end, for a thread that waits for it, waited so long. */
#define CROSSED_MS_MAX 3000

static struct cubby_cache *crossed[2];
static pthread_barrier_t both_met;
static __thread unsigned side;
static int crossed_answers[2];

static void
look_crosswise(int number)
{
	struct cubby_walk *walk;

	(void)number;
	sem_post(&parked);
	pthread_barrier_wait(&both_met);
	crossed_answers[side] = cubby_walk_create(&walk, crossed[!side]);
	pthread_barrier_wait(&both_met);
}

static void *
alloc_on_a_side(void *context)
{
	void *objects[VICTIM_BURST];

	side = (unsigned)(uintptr_t)context;
	protect_magazines(PROT_READ);
	for (unsigned i = 0; i < VICTIM_BURST; i++)
		objects[i] = cubby_alloc(crossed[side]);
	for (unsigned i = 0; i < VICTIM_BURST; i++)
		cubby_free(crossed[side], objects[i]);
	return NULL;
}

/* Each is in an exchange of one cache, and wants the other to stand still. */
static void
handlers_in_exchanges_do_not_wait_for_each_other(void **state)
{
	pthread_t threads[2];
	double began_ms;

	(void)state;
	begin(PROTECTS);
	meet = look_crosswise;
	pthread_barrier_init(&both_met, NULL, 2);
	for (uintptr_t i = 0; i < 2; i++) {
		crossed[i] = cache = mode_make_cache(24, NULL);
		fill_depot();
	}
	for (uintptr_t i = 0; i < 2; i++) {
		assert_int_equal(pthread_create(&threads[i], NULL,
						alloc_on_a_side, (void *)i),
				 0);
		wait_until_parked();
	}
	began_ms = now_ms();
	for (unsigned i = 0; i < 2; i++)
		pthread_join(threads[i], NULL);
	assert_true(now_ms() - began_ms < CROSSED_MS_MAX);
	for (unsigned i = 0; i < 2; i++) {
		assert_int_equal(crossed_answers[i], -EBUSY);
		assert_int_equal(cubby_cache_destroy(crossed[i]), 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		BOTH_CASES(
			thread_stopped_in_an_exchange_is_named_and_others_go_on),
		BOTH_CASES(thread_stopped_at_any_instant_lets_others_go_on),
		BOTH_CASES(handlers_in_exchanges_do_not_wait_for_each_other),
		PER_CPU_CASE(handler_that_does_not_return_is_said_to_others),
	};

	return cmocka_run_group_tests_name("stress_stopped", tests, NULL,
					   NULL);
}

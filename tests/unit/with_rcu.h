/* SPDX-License-Identifier: MIT */
/*
 * What the tests of deferral share: cases that run in each flavour and back end,
 * objects whose dtor is counted, and waiting that is waiting in every flavour.
 *
 * Each case has a process of its own, as domains, their threads and what liburcu
 * knows of threads are for ever; so one that hangs is killed, and said to hang.
 */
#ifndef WITH_RCU_H
#define WITH_RCU_H

#include "unit/with_cache.h"

#include "support/flavor.h"
#include "support/oracle.h"

#include <pthread.h>
#include <semaphore.h>
#include <signal.h>
#include <time.h>

#define CASE_SECONDS 30
#define EXIT_SKIPS 77

/* Longer than any wait of a case that ends well, on a busy machine. */
#define SOON_MS 10000

#define NS_PER_MS ((uint64_t)1000000)

/* ----------------------------------- cases ------------------------------- */

struct rcu_case {
	const char *name;
	CMUnitTestFunction function;
	unsigned flavor; /* TEST_MEMB ... */
	uint64_t reclaim;
	const char *options; /* more of CUBBY_OPTIONS, or NULL */
};

/* What the process of this case is to use. */
static const struct test_flavor *flavor __attribute__((unused));
static uint64_t reclaim __attribute__((unused));

/* In any thread of any child. */
#define REQUIRE(condition) require(condition, #condition, __FILE__, __LINE__)

static inline void
require(bool holds, const char *condition, const char *file, int line)
{
	if (holds)
		return;
	fprintf(stderr, "%s:%d: !(%s); %s\n", file, line, condition,
		cubby_error_detail());
	fflush(NULL);
	_exit(1);
}

static inline void __attribute__((noreturn)) skip_case(const char *why)
{
	fprintf(stderr, "# SKIP: %s\n", why);
	fflush(NULL);
	_exit(EXIT_SKIPS);
}

static inline void
run_rcu_case(void **state)
{
	const struct rcu_case *it = *state;
	struct CMUnitTest test = { it->name, it->function, NULL, NULL, NULL };
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		flavor = &test_flavors[it->flavor];
		reclaim = it->reclaim;
		if (it->options != NULL)
			add_options(it->options);
		status = _cmocka_run_group_tests("in a child", &test, 1, NULL,
						 NULL);
		fflush(NULL);
		_exit(status != 0);
	}
	status = test_wait_child(pid, CASE_SECONDS);
	if (status == EXIT_SKIPS)
		skip();
	assert_int_equal(status, 0);
}

#define RCU_CASE(function, suffix, number, reclaim, options)                  \
	{                                                                     \
#function suffix, run_rcu_case, NULL, NULL,                   \
			&(struct rcu_case)                                    \
		{                                                             \
#function suffix, function, number, reclaim, options  \
		}                                                             \
	}
#define THREAD_CASE(function, number, suffix)                                 \
	RCU_CASE(function, suffix, number, CUBBY_RECLAIM_THREAD, NULL)
#define POLL_CASE(function, number, suffix)                                   \
	RCU_CASE(function, suffix "_poll", number, CUBBY_RECLAIM_POLL, NULL)
#define THREAD_CASES(function)                                                \
	THREAD_CASE(function, TEST_MEMB, "_memb"),                            \
		THREAD_CASE(function, TEST_MB, "_mb"),                        \
		THREAD_CASE(function, TEST_QSBR, "_qsbr"),                    \
		THREAD_CASE(function, TEST_BP, "_bp")
#define POLL_CASES(function)                                                  \
	POLL_CASE(function, TEST_MEMB, "_memb"),                              \
		POLL_CASE(function, TEST_MB, "_mb"),                          \
		POLL_CASE(function, TEST_QSBR, "_qsbr"),                      \
		POLL_CASE(function, TEST_BP, "_bp")
#define ALL_CASES(function) THREAD_CASES(function), POLL_CASES(function)

/* Where the flavour and the back end matter less. */
#define SOME_CASES(function)                                                  \
	THREAD_CASE(function, TEST_MEMB, "_memb"),                            \
		THREAD_CASE(function, TEST_BP, "_bp"),                        \
		POLL_CASE(function, TEST_QSBR, "_qsbr")

/* Other front ends: one flavour each is enough. */
#define FRONT_CASES(function)                                                 \
	RCU_CASE(function, "_per_thread", TEST_MEMB, CUBBY_RECLAIM_THREAD,    \
		 "front=thread"),                                             \
		RCU_CASE(function, "_without_front", TEST_MB,                 \
			 CUBBY_RECLAIM_THREAD, "front=none")

/* ------------------------------ this thread ------------------------------ */

static __thread bool is_registered __attribute__((unused));

static inline void
join_flavor(void)
{
	test_flavor_register(flavor);
	is_registered = true;
}

static inline void
leave_flavor(void)
{
	test_flavor_unregister(flavor);
	is_registered = false;
}

static inline uint64_t
now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / NS_PER_MS;
}

static inline void
sleep_us(uint64_t us)
{
	struct timespec left = { (time_t)(us / 1000000),
				 (long)(us % 1000000) * 1000 };

	while (nanosleep(&left, &left) != 0)
		continue;
}

/* Not in a read section in between. */
static inline void
rest_us(uint64_t us)
{
	if (is_registered)
		test_flavor_offline(flavor);
	sleep_us(us);
	if (is_registered)
		test_flavor_online(flavor);
}

/* A moment of the life of a program that does what its back end asks for. */
static inline void
turn(struct cubby_cache *cache)
{
	if (reclaim == CUBBY_RECLAIM_POLL)
		REQUIRE(cubby_rcu_poll(cache) >= 0);
	rest_us(500);
}

#define WAIT_UNTIL(cache, condition)                                          \
	do {                                                                  \
		uint64_t until_ms = now_ms() + SOON_MS;                       \
		while (!(condition) && now_ms() < until_ms)                   \
			turn(cache);                                          \
		REQUIRE(condition);                                           \
	} while (0)

static inline void
wait_sem(sem_t *semaphore)
{
	while (sem_wait(semaphore) != 0)
		continue;
}

/* --------------------------------- objects ------------------------------- */

#define N_THINGS 65536

struct thing {
	uint64_t number;
	uint64_t stamp;
};

/* Of each life: its dtor's calls. */
static uint32_t n_dtors[N_THINGS] __attribute__((unused));
static uint64_t n_things __attribute__((unused));

static inline void
count_dtor(void *object, void *context)
{
	struct thing *thing = object;

	(void)context;
	REQUIRE(thing->number < N_THINGS);
	REQUIRE(thing->stamp == ~thing->number);
	__atomic_add_fetch(&n_dtors[thing->number], 1, __ATOMIC_SEQ_CST);
}

static inline uint32_t
dtors_of(uint64_t number)
{
	return __atomic_load_n(&n_dtors[number], __ATOMIC_SEQ_CST);
}

/* Of these numbers. */
static inline uint64_t
dtors_between(uint64_t first, uint64_t end)
{
	uint64_t n = 0;

	for (uint64_t i = first; i < end; i++) {
		REQUIRE(dtors_of(i) <= 1);
		n += dtors_of(i);
	}
	return n;
}

static inline struct cubby_cache *
make_rcu_cache(struct cubby_cache_attr attr)
{
	struct cubby_cache *cache;

	attr.attr_bytes = sizeof(attr);
	if (attr.weak == CUBBY_WEAK_NONE)
		attr.weak = CUBBY_WEAK_RCU;
	attr.rcu = flavor->rcu;
	attr.reclaim = reclaim;
	REQUIRE(cubby_cache_create_sized(&cache, "thing", sizeof(struct thing),
					 0, &attr) == 0);
	return cache;
}

#define MAKE_RCU_CACHE(...)                                                   \
	make_rcu_cache((struct cubby_cache_attr){ __VA_ARGS__ })

static inline struct thing *
make_thing(struct cubby_cache *cache)
{
	struct thing *thing = cubby_alloc(cache);
	uint64_t number = __atomic_fetch_add(&n_things, 1, __ATOMIC_RELAXED) %
			  N_THINGS;

	REQUIRE(thing != NULL);
	thing->number = number;
	thing->stamp = ~number;
	return thing;
}

/* One whose free waits for a grace period. */
static inline struct thing *
make_taken(struct cubby_cache *cache, cubby_weak *ret_handle)
{
	struct thing *thing = make_thing(cache);
	cubby_weak handle = cubby_weak_of(cache, thing);

	REQUIRE(handle != CUBBY_WEAK_NULL);
	if (ret_handle != NULL)
		*ret_handle = handle;
	return thing;
}

static inline void
free_taken(struct cubby_cache *cache, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cubby_free(cache, make_taken(cache, NULL));
}

/* So many are freed after they all have lived at once. */
static inline void
free_taken_together(struct cubby_cache *cache, size_t n)
{
	struct thing **things = malloc(n * sizeof(struct thing *));

	REQUIRE(things != NULL);
	for (size_t i = 0; i < n; i++)
		things[i] = make_taken(cache, NULL);
	for (size_t i = 0; i < n; i++)
		cubby_free(cache, things[i]);
	free(things);
}

/* -------------------------------- questions ------------------------------ */

/* Exact, adding up, and the cache verifies. */
static inline struct cubby_cache_stats
look(struct cubby_cache *cache)
{
	struct cubby_cache_stats s = { .stats_bytes = sizeof(s) };

	REQUIRE(cubby_cache_stats_snapshot(cache, &s) == 0);
	REQUIRE(s.is_exact == 1);
	REQUIRE(s.n_cells == sum_of_cells(&s));
	REQUIRE(cubby_cache_verify(cache) == 0);
	return s;
}

static inline uint64_t
n_deferred(struct cubby_cache *cache)
{
	return look(cache).n_deferred;
}

static inline void
wait_drained(struct cubby_cache *cache)
{
	WAIT_UNTIL(cache, n_deferred(cache) == 0);
}

/* In a section of its own, if the thread may have one. */
static inline bool
reads_as(struct cubby_cache *cache, cubby_weak handle, const void *object)
{
	bool same = cubby_weak_is_live(cache, handle) == (object != NULL);

	if (!is_registered && flavor->needs_registration)
		return same;
	test_flavor_lock(flavor);
	same = same && cubby_weak_get(cache, handle) == object;
	test_flavor_unlock(flavor);
	return same;
}

/* ------------------------------- other threads --------------------------- */

static inline pthread_t
start_thread(void *(*run)(void *), void *argument)
{
	pthread_t thread;

	REQUIRE(pthread_create(&thread, NULL, run, argument) == 0);
	return thread;
}

static inline void
join_thread(pthread_t thread)
{
	if (is_registered)
		test_flavor_offline(flavor);
	REQUIRE(pthread_join(thread, NULL) == 0);
	if (is_registered)
		test_flavor_online(flavor);
}

/* One that stays in a read section until it may leave. */
struct reader {
	pthread_t thread;
	sem_t is_in, may_leave;
	unsigned n_nested;
};

static inline void *
stay_in_section(void *argument)
{
	struct reader *reader = argument;

	join_flavor();
	for (unsigned i = 0; i < reader->n_nested; i++)
		test_flavor_lock(flavor);
	for (unsigned i = 1; i < reader->n_nested; i++)
		test_flavor_unlock(flavor); /* only the outermost counts */
	sem_post(&reader->is_in);
	wait_sem(&reader->may_leave);
	test_flavor_leave(flavor);
	leave_flavor();
	return NULL;
}

static inline void
start_reader(struct reader *reader)
{
	sem_init(&reader->is_in, 0, 0);
	sem_init(&reader->may_leave, 0, 0);
	reader->n_nested = 3;
	reader->thread = start_thread(stay_in_section, reader);
	wait_sem(&reader->is_in);
}

static inline void
end_reader(struct reader *reader)
{
	sem_post(&reader->may_leave);
	join_thread(reader->thread);
}

#endif /* WITH_RCU_H */

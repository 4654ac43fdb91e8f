/* SPDX-License-Identifier: MIT */
/*
 * Reserves: each sentence of reserve.h.
 */
#include "unit/with_cache.h"

#include <pthread.h>
#include <sched.h>
#include <semaphore.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "annotate.h"
#include "os.h"
#include "support/oracle.h"
#include "support/sums.h"

enum {
	N_RESERVED = 200, /* more than the library gets at a time */
	N_MANY = 1000,    /* in more slabs than a cache keeps empty */
	N_THREADS = 4,
	CHILD_TIMEOUT_S = 60
};

/* -------------------------------- helpers --------------------------------- */

static struct cubby_reserve *
make_reserve(struct cubby_cache *cache, size_t n)
{
	struct cubby_reserve *reserve = NULL;

	assert_ok(cubby_reserve_create(&reserve, cache, n));
	assert_non_null(reserve);
	assert_int_equal(cubby_reserve_count(reserve), n);
	return reserve;
}

/* What the cache says, consistent, with so many of each. */
static void
check_levels(struct cubby_cache *cache, size_t n_live, size_t n_reserved)
{
	struct cubby_cache_stats s = { .stats_bytes = sizeof(s) };

	assert_ok(cubby_cache_stats_snapshot(cache, &s));
	assert_int_equal(s.is_exact, 1);
	assert_int_equal(s.n_live, n_live);
	assert_int_equal(s.n_reserved, n_reserved);
	assert_int_equal(s.n_cells, sum_of_cells(&s));
	if (cubby_cache_verify(cache) != 0)
		fail_msg("%s", cubby_error_detail());
}

static size_t
walk_count(struct cubby_cache *cache)
{
	struct cubby_walk *walk;
	struct cubby_run run;
	size_t n = 0;

	assert_ok(cubby_walk_create(&walk, cache));
	while (cubby_walk_next(walk, &run))
		n += run.n_objects;
	cubby_walk_destroy(walk);
	return n;
}

static void
take(struct cubby_reserve *reserve, size_t n, void **objects)
{
	for (size_t i = 0; i < n; i++) {
		size_t count = cubby_reserve_count(reserve);

		objects[i] = cubby_reserve_alloc(reserve);
		assert_non_null(objects[i]);
		assert_int_equal(cubby_reserve_count(reserve), count - 1);
	}
}

static int
compare(const void *a, const void *b)
{
	uintptr_t x = (uintptr_t) * (void *const *)a;
	uintptr_t y = (uintptr_t) * (void *const *)b;

	return (x > y) - (x < y);
}

static bool
are_distinct(void **objects, size_t n)
{
	qsort(objects, n, sizeof(*objects), compare);
	for (size_t i = 1; i < n; i++)
		if (objects[i - 1] == objects[i])
			return false;
	return true;
}

/* --------------------------------- basics --------------------------------- */

static void
alloc_gives_all_then_null(void **state)
{
	struct cubby_cache *cache = make_cache(40, NULL);
	struct cubby_reserve *reserve = make_reserve(cache, N_RESERVED);
	void *objects[N_RESERVED];

	(void)state;
	check_levels(cache, 0, N_RESERVED);
	take(reserve, N_RESERVED / 2, objects);
	check_levels(cache, N_RESERVED / 2, N_RESERVED / 2);
	take(reserve, N_RESERVED / 2, objects + N_RESERVED / 2);
	check_levels(cache, N_RESERVED, 0);
	for (int i = 0; i < 3; i++)
		assert_null(cubby_reserve_alloc(reserve));
	assert_true(are_distinct(objects, N_RESERVED));
	for (size_t i = 0; i < N_RESERVED; i++)
		assert_true(cubby_is_live(cache, objects[i]));
	/* They are freed like any other, before the reserve goes or after. */
	cubby_free(cache, objects[0]);
	cubby_free_any(objects[1]);
	cubby_reserve_destroy(reserve);
	cubby_free_bulk(cache, N_RESERVED - 2, objects + 2);
	check_levels(cache, 0, 0);
	drop_cache(cache);
}

static void
create_wrong_arguments_are_refused(void **state)
{
	struct cubby_cache *cache = make_cache(40, NULL);
	struct cubby_reserve *untouched = (void *)cache;
	struct cubby_reserve *reserve = untouched;

	(void)state;
	assert_refused(cubby_reserve_create(NULL, cache, 1), -EINVAL,
		       "ret_reserve is NULL");
	assert_refused(cubby_reserve_create(&reserve, cache, 0), -EINVAL,
		       "n_objects is 0: a reserve holds 1 to 2147483648");
	assert_int_equal(cubby_reserve_create(&reserve, cache, SIZE_MAX),
			 -EINVAL);
	assert_ptr_equal(reserve, untouched);
	cubby_reserve_destroy(NULL);
	check_levels(cache, 0, 0);
	drop_cache(cache);
}

static void
destroy_gives_back_what_is_left(void **state)
{
	struct cubby_cache *cache = make_cache(
		40, &CUBBY_CACHE_ATTR(.max_objects = N_RESERVED));
	void *objects[N_RESERVED];

	(void)state;
	for (size_t n_taken = 0; n_taken <= 100; n_taken += 50) {
		struct cubby_reserve *reserve = make_reserve(cache, 100);

		take(reserve, n_taken, objects);
		cubby_reserve_destroy(reserve);
		check_levels(cache, n_taken, 0);
		cubby_free_bulk(cache, n_taken, objects);
	}
	assert_ok(cubby_alloc_bulk(cache, N_RESERVED, objects));
	cubby_free_bulk(cache, N_RESERVED, objects);
	drop_cache(cache);
}

static void
cache_destroy_with_open_reserve_is_busy(void **state)
{
	struct cubby_cache *cache = make_cache(40, NULL);
	struct cubby_reserve *reserves[2] = { make_reserve(cache, 3),
					      make_reserve(cache, 1) };
	void *object = cubby_reserve_alloc(reserves[1]);

	(void)state;
	for (int i = 0; i < 2; i++) { /* the second is empty, and counts */
		assert_refused(cubby_cache_destroy(cache), -EBUSY,
			       "cache 'thing': a reserve of it is open");
		assert_refused(cubby_cache_destroy_force(cache), -EBUSY,
			       "cache 'thing': a reserve of it is open");
		check_levels(cache, 1, i ? 0 : 3);
		cubby_reserve_destroy(reserves[i]);
	}
	assert_int_equal(cubby_cache_destroy(cache), -CUBBY_ELIVE);
	cubby_free(cache, object);
	drop_cache(cache);
}

/* --------------------------------- limits --------------------------------- */

static void
check_limit(const struct cubby_cache_attr *attr)
{
	struct cubby_cache *cache = make_cache(64, attr);
	struct cubby_reserve *reserve = make_reserve(cache, 60);
	struct cubby_reserve *second = NULL;
	void *objects[100];

	for (size_t i = 0; i < 40; i++)
		objects[i] = must_alloc(cache);
	assert_null(cubby_alloc(cache));
	assert_int_equal(errno, ENOMEM);
	assert_refused(cubby_reserve_create(&second, cache, 1), -ENOMEM,
		       "cache 'thing': 1 objects cannot be set aside: no "
		       "memory, a limit was reached, or init refused");
	assert_null(second);
	check_levels(cache, 40, 60);
	take(reserve, 60, objects + 40);
	assert_true(are_distinct(objects, 100));
	cubby_reserve_destroy(reserve);
	cubby_free_bulk(cache, 100, objects);
	drop_cache(cache);
}

static void
create_counts_against_limits(void **state)
{
	(void)state;
	check_limit(&CUBBY_CACHE_ATTR(.max_objects = 100));
	check_limit(&CUBBY_CACHE_ATTR(.max_bytes = 6400));
}

/* ---------------------------------- refill -------------------------------- */

static void
refill_fills_up_to_its_size(void **state)
{
	struct cubby_cache *cache = make_cache(40, NULL);
	struct cubby_reserve *reserve = make_reserve(cache, N_RESERVED);
	void *objects[2 * N_RESERVED];

	(void)state;
	take(reserve, N_RESERVED, objects);
	assert_refused(cubby_reserve_refill(reserve, N_RESERVED + 1), -EINVAL,
		       "a reserve that was created for 200 objects cannot "
		       "hold 201");
	assert_int_equal(cubby_reserve_count(reserve), 0);
	assert_ok(cubby_reserve_refill(reserve, 0));
	assert_int_equal(cubby_reserve_count(reserve), 0);
	assert_ok(cubby_reserve_refill(reserve, 3));
	assert_int_equal(cubby_reserve_count(reserve), 3);
	assert_ok(cubby_reserve_refill(reserve, 2)); /* has more already */
	assert_int_equal(cubby_reserve_count(reserve), 3);
	assert_ok(cubby_reserve_refill(reserve, N_RESERVED));
	assert_int_equal(cubby_reserve_count(reserve), N_RESERVED);
	check_levels(cache, N_RESERVED, N_RESERVED);
	take(reserve, N_RESERVED, objects + N_RESERVED);
	assert_true(are_distinct(objects, 2 * N_RESERVED));
	cubby_free_bulk(cache, 2 * N_RESERVED, objects);
	cubby_reserve_destroy(reserve);
	drop_cache(cache);
}

/* The last of several batches meets the limit. */
static void
refill_over_limit_leaves_what_it_holds(void **state)
{
	struct cubby_cache *cache = make_cache(
		64, &CUBBY_CACHE_ATTR(.max_objects = N_RESERVED + 10));
	struct cubby_reserve *reserve = make_reserve(cache, N_RESERVED);
	void *objects[N_RESERVED];

	(void)state;
	take(reserve, N_RESERVED - 7, objects);
	for (int i = 0; i < 2; i++)
		assert_refused(
			cubby_reserve_refill(reserve, N_RESERVED), -ENOMEM,
			"cache 'thing': 200 objects cannot be set "
			"aside: no memory, a limit was reached, or init "
			"refused");
	assert_int_equal(cubby_reserve_count(reserve), 7);
	check_levels(cache, N_RESERVED - 7, 7);
	assert_ok(cubby_reserve_refill(reserve, 17));
	take(reserve, 7, objects + N_RESERVED - 7);
	assert_true(are_distinct(objects, N_RESERVED));
	cubby_free_bulk(cache, N_RESERVED, objects);
	cubby_reserve_destroy(reserve);
	drop_cache(cache);
}

/* -------------------------------- callbacks ------------------------------- */

static struct {
	size_t n_init, n_fini, n_ctor, n_dtor;
	size_t n_init_until_refusal;
	bool ctor_refuses;
} calls;

static int
on_init(void *object, void *context)
{
	(void)context;
	if (calls.n_init_until_refusal > 0 &&
	    --calls.n_init_until_refusal == 0)
		return -1;
	calls.n_init++;
	*(int *)object = 4711;
	return 0;
}

static void
on_fini(void *object, void *context)
{
	(void)context;
	(void)object;
	calls.n_fini++;
}

static int
on_ctor(void *object, void *context)
{
	(void)context;
	if (calls.ctor_refuses)
		return -1;
	calls.n_ctor++;
	((int *)object)[1] = 815;
	return 0;
}

static void
on_dtor(void *object, void *context)
{
	(void)context;
	(void)object;
	calls.n_dtor++;
}

static int
reset_calls(void **state)
{
	(void)state;
	memset(&calls, 0, sizeof(calls));
	return 0;
}

static void
init_runs_at_create_and_not_at_alloc(void **state)
{
	struct cubby_cache *cache = make_cache(
		40, &CUBBY_CACHE_ATTR(.init = on_init, .fini = on_fini));
	struct cubby_reserve *reserve = make_reserve(cache, N_RESERVED);
	void *objects[N_RESERVED];

	(void)state;
	assert_true(calls.n_init >= N_RESERVED);
	calls.n_init = 0;
	take(reserve, N_RESERVED / 2, objects);
	for (size_t i = 0; i < N_RESERVED / 2; i++)
		assert_int_equal(*(int *)objects[i], 4711);
	assert_int_equal(calls.n_init, 0);
	cubby_reserve_destroy(reserve);
	cubby_free_bulk(cache, N_RESERVED / 2, objects);
	/* What was freed is idle; what was given back is as it was. */
	reserve = make_reserve(cache, N_RESERVED / 2);
	assert_int_equal(calls.n_init, 0);
	assert_int_equal(calls.n_fini, 0);
	cubby_reserve_destroy(reserve);
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_true(calls.n_fini >= N_RESERVED);
	drop_cache(cache);
}

static void
init_refusing_sets_nothing_aside(void **state)
{
	struct cubby_cache *cache = make_cache(
		40, &CUBBY_CACHE_ATTR(.init = on_init, .fini = on_fini));
	struct cubby_reserve *reserve = NULL;

	(void)state;
	for (size_t n = 1; n < N_RESERVED; n += 50) {
		calls.n_init_until_refusal = n;
		assert_int_equal(cubby_reserve_create(&reserve, cache,
						      N_RESERVED),
				 -ENOMEM);
		assert_null(reserve);
		check_levels(cache, 0, 0);
		assert_ok(cubby_cache_shrink(cache, NULL));
		assert_int_equal(calls.n_init, calls.n_fini);
	}
	calls.n_init_until_refusal = 0;
	cubby_reserve_destroy(make_reserve(cache, N_RESERVED));
	drop_cache(cache);
}

static void
ctor_refusing_keeps_the_object_in(void **state)
{
	struct cubby_cache *cache = make_cache(
		40, &CUBBY_CACHE_ATTR(.ctor = on_ctor, .dtor = on_dtor));
	struct cubby_reserve *reserve = make_reserve(cache, 3);
	void *objects[3];

	(void)state;
	assert_int_equal(calls.n_ctor, 0); /* at alloc, not before */
	objects[0] = cubby_reserve_alloc(reserve);
	assert_int_equal(((int *)objects[0])[1], 815);
	calls.ctor_refuses = true;
	for (int i = 0; i < 3; i++) {
		assert_null(cubby_reserve_alloc(reserve));
		assert_int_equal(cubby_reserve_count(reserve), 2);
		check_levels(cache, 1, 2);
	}
	calls.ctor_refuses = false;
	take(reserve, 2, objects + 1);
	assert_int_equal(calls.n_ctor, 3);
	cubby_free_bulk(cache, 2, objects);
	assert_ok(cubby_reserve_refill(reserve, 3));
	cubby_reserve_destroy(reserve);
	assert_int_equal(calls.n_dtor, 2); /* not for what was reserved */
	cubby_free(cache, objects[2]);
	drop_cache(cache);
	assert_int_equal(calls.n_dtor, 3);
}

/* ------------------------------ who looks at it --------------------------- */

static void
walk_does_not_visit_what_is_reserved(void **state)
{
	struct cubby_cache *cache = make_cache(40, NULL);
	struct cubby_reserve *reserve = make_reserve(cache, 10);
	void *objects[11];

	(void)state;
	assert_int_equal(walk_count(cache), 0);
	objects[10] = must_alloc(cache);
	assert_int_equal(walk_count(cache), 1);
	for (size_t i = 0; i < 10; i++) {
		objects[i] = cubby_reserve_alloc(reserve);
		assert_true(cubby_is_live(cache, objects[i]));
		assert_int_equal(walk_count(cache), i + 2);
	}
	cubby_free_bulk(cache, 11, objects);
	assert_ok(cubby_reserve_refill(reserve, 10));
	for (size_t i = 0; i < 11; i++)
		assert_false(cubby_is_live(cache, objects[i]));
	assert_int_equal(walk_count(cache), 0);
	cubby_reserve_destroy(reserve);
	drop_cache(cache);
}

/* --------------------------------- no memory ------------------------------ */

static long
n_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_THREAD, &usage);
	return usage.ru_minflt + usage.ru_majflt;
}

/* Nothing of the program's may be touched for the first time in here. */
static long
faults_of_taking(struct cubby_reserve *reserve, size_t n, void **objects,
		 size_t object_bytes)
{
	long before = n_faults();

	for (size_t i = 0; i < n; i++) {
		objects[i] = cubby_reserve_alloc(reserve);
		if (objects[i] == NULL)
			return -1;
		memset(objects[i], 0x5a, object_bytes);
	}
	return n_faults() - before;
}

static void
check_faults(size_t object_bytes, size_t n, bool used_before)
{
	struct cubby_cache *cache = make_cache(object_bytes, NULL);
	void **objects = calloc(n, sizeof(*objects));
	struct cubby_reserve *reserve;

	memset(objects, 1, n * sizeof(*objects));
	if (used_before) {
		assert_ok(cubby_alloc_bulk(cache, n, objects));
		cubby_free_bulk(cache, n, objects);
		assert_ok(cubby_cache_shrink(cache, NULL));
	}
	reserve = make_reserve(cache, n);
	assert_int_equal(faults_of_taking(reserve, n, objects, object_bytes),
			 0);
	/* Others free what lies around them, and their pages go. */
	for (size_t i = 0; i < n; i += 2)
		cubby_free(cache, objects[i]);
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_ok(cubby_reserve_refill(reserve, n / 2));
	assert_int_equal(
		faults_of_taking(reserve, n / 2, objects, object_bytes), 0);
	cubby_reserve_destroy(reserve);
	assert_ok(cubby_cache_destroy_force(cache));
	free(objects);
}

static void
alloc_meets_no_page_fault(void **state)
{
	static const size_t sizes[] = { 8, 40, 1000, 4096, 5000, 70000 };

	(void)state;
	if (cubby__annotate_on_valgrind() || test_on_asan() || test_on_tsan())
		skip();
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (int used = 0; used < 2; used++)
			check_faults(sizes[i],
				     2 + (size_t)(8 << 20) / sizes[i] / 4,
				     used);
	check_faults(40, 1, false);
}

static void
alloc_needs_no_memory_from_the_kernel(void **state)
{
	struct cubby_cache *cache = make_cache(3000, NULL);
	struct cubby_reserve *reserve = make_reserve(cache, N_RESERVED);
	void *objects[N_RESERVED];

	(void)state;
	cubby__os_fail_at(1);
	for (size_t i = 0; i < N_RESERVED; i++)
		objects[i] = cubby_reserve_alloc(reserve);
	assert_int_equal(cubby__os_n_calls(), 0);
	cubby_reserve_destroy(reserve);
	cubby_free_bulk(cache, N_RESERVED, objects);
	cubby__os_fail_at(0);
	assert_true(are_distinct(objects, N_RESERVED));
	assert_non_null(objects[0]);
	check_levels(cache, 0, 0);
	drop_cache(cache);
}

/* ----------------------------- signals and fork --------------------------- */

static struct {
	struct cubby_reserve *reserve;
	void *objects[N_RESERVED];
	size_t n;
	int is_empty;
} handler;

static void
on_signal(int signal)
{
	void *object = cubby_reserve_alloc(handler.reserve);

	(void)signal;
	if (object == NULL)
		__atomic_store_n(&handler.is_empty, 1, __ATOMIC_RELEASE);
	else
		handler.objects[handler.n++] = object;
}

static void *
send_signals(void *argument)
{
	const pthread_t *to = argument;

	while (!__atomic_load_n(&handler.is_empty, __ATOMIC_ACQUIRE)) {
		pthread_kill(*to, SIGUSR1);
		sched_yield();
	}
	return NULL;
}

/* The interrupted thread uses the same cache all the time, but not this. */
static void
alloc_in_a_signal_handler_works(void **state)
{
	struct cubby_cache *cache = make_cache(40, NULL);
	struct sigaction action = { .sa_handler = on_signal };
	pthread_t me = pthread_self(), thread;
	void *objects[300];

	(void)state;
	memset(&handler, 0, sizeof(handler));
	handler.reserve = make_reserve(cache, N_RESERVED);
	sigaction(SIGUSR1, &action, NULL);
	assert_int_equal(pthread_create(&thread, NULL, send_signals, &me), 0);
	while (!__atomic_load_n(&handler.is_empty, __ATOMIC_ACQUIRE)) {
		for (size_t i = 0; i < 300; i++)
			objects[i] = must_alloc(cache);
		for (size_t i = 0; i < 300; i++)
			cubby_free(cache, objects[i]);
	}
	pthread_join(thread, NULL);
	action.sa_handler = SIG_IGN;
	sigaction(SIGUSR1, &action, NULL);
	assert_int_equal(handler.n, N_RESERVED);
	assert_true(are_distinct(handler.objects, N_RESERVED));
	check_levels(cache, N_RESERVED, 0);
	cubby_free_bulk(cache, N_RESERVED, handler.objects);
	cubby_reserve_destroy(handler.reserve);
	drop_cache(cache);
}

static int
use_in_child(struct cubby_cache *cache, struct cubby_reserve *reserve)
{
	struct cubby_cache_stats s = { .stats_bytes = sizeof(s) };
	void *objects[N_RESERVED];

	if (cubby_reserve_count(reserve) != N_RESERVED)
		return 1;
	for (size_t i = 0; i < N_RESERVED; i++)
		objects[i] = cubby_reserve_alloc(reserve);
	if (objects[0] == NULL || !are_distinct(objects, N_RESERVED))
		return 2;
	if (cubby_cache_stats_snapshot(cache, &s) != 0 ||
	    s.n_live != N_RESERVED || s.n_reserved != 0)
		return 3;
	cubby_free_bulk(cache, N_RESERVED, objects);
	if (cubby_reserve_refill(reserve, N_RESERVED) != 0)
		return 4;
	cubby_reserve_destroy(reserve);
	return cubby_cache_verify(cache) != 0 ||
	       cubby_cache_destroy(cache) != 0;
}

static void
fork_gives_child_its_own_reserve(void **state)
{
	struct cubby_cache *cache = make_cache(40, NULL);
	struct cubby_reserve *reserve = make_reserve(cache, N_RESERVED);
	pid_t child = fork();

	(void)state;
	if (child == 0)
		_exit(use_in_child(cache, reserve));
	assert_int_equal(test_wait_child(child, CHILD_TIMEOUT_S), 0);
	check_levels(cache, 0, N_RESERVED);
	assert_int_equal(use_in_child(cache, reserve), 0);
}

/* --------------------------------- threads -------------------------------- */

/* Fill, take some, free them, give the rest back: did all go well? */
static bool
one_round(struct cubby_cache *cache, uint64_t *seed)
{
	size_t n = 1 + random_below(seed, 150);
	size_t n_taken = random_below(seed, n + 1);
	struct cubby_reserve *reserve;
	void **objects[150];
	bool good = true;

	if (cubby_reserve_create(&reserve, cache, n) != 0)
		return false;
	for (size_t i = 0; i < n_taken; i++) {
		objects[i] = cubby_reserve_alloc(reserve);
		if (objects[i] == NULL)
			return false;
		*objects[i] = objects[i];
	}
	good &= cubby_reserve_refill(reserve, n / 2) == 0;
	for (size_t i = 0; i < n_taken; i++)
		good &= *objects[i] == objects[i];
	cubby_free_bulk(cache, n_taken, (void **)objects);
	cubby_reserve_destroy(reserve);
	return good;
}

/* Returns the cache if all went well. */
static void *
use_reserves(void *cache)
{
	uint64_t seed = (uintptr_t)&seed;

	for (size_t i = 0; i < scaled(500); i++)
		if (!one_round(cache, &seed))
			return NULL;
	return cache;
}

static void
threads_with_a_reserve_each_do_not_meet(void **state)
{
	struct cubby_cache *cache = make_cache(40, NULL);
	pthread_t threads[N_THREADS];
	void *result;

	(void)state;
	for (uintptr_t i = 0; i < N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						use_reserves, cache),
				 0);
	for (size_t i = 0; i < scaled(100); i++)
		if (cubby_cache_verify(cache) != 0)
			fail_msg("%s", cubby_error_detail());
	for (size_t i = 0; i < N_THREADS; i++) {
		pthread_join(threads[i], &result);
		assert_ptr_equal(result, cache);
	}
	check_levels(cache, 0, 0);
	drop_cache(cache);
}

static struct {
	sem_t entered, may_go;
	bool entered_once;
} gate;

static void
stop_in_fini(void *object, void *context)
{
	(void)object;
	(void)context;
	if (gate.entered_once)
		return;
	gate.entered_once = true;
	sem_post(&gate.entered);
	while (sem_wait(&gate.may_go) != 0)
		continue;
}

static void *
create_one_too_many(void *argument)
{
	struct cubby_reserve *reserve;

	return cubby_reserve_create(&reserve, argument, N_MANY + 1) ==
			       -ENOMEM ?
		       NULL :
		       argument;
}

/*
 * What a failed create or refill gives back is not reserved any more by the
 * time that it can be allocated: fini of the first slab that empties shows it.
 */
static void
create_in_vain_keeps_the_books(void **state)
{
	struct cubby_cache *cache = make_cache(
		1000, &CUBBY_CACHE_ATTR(.max_objects = N_MANY,
					.fini = stop_in_fini));
	struct cubby_cache_stats s = { .stats_bytes = sizeof(s) };
	size_t n_walked, n_contradictions;
	void *result, *object;
	pthread_t thread;

	(void)state;
	sem_init(&gate.entered, 0, 0);
	sem_init(&gate.may_go, 0, 0);
	assert_int_equal(
		pthread_create(&thread, NULL, create_one_too_many, cache), 0);
	while (sem_wait(&gate.entered) != 0)
		continue;
	object = must_alloc(cache);
	n_walked = walk_count(cache);
	n_contradictions = cubby_cache_verify(cache);
	assert_ok(cubby_cache_stats_snapshot(cache, &s));
	sem_post(&gate.may_go);
	pthread_join(thread, &result);
	assert_null(result);
	assert_int_equal(n_contradictions, 0);
	assert_int_equal(n_walked, 1);
	assert_int_equal(s.n_live, 1);
	assert_int_equal(s.n_reserved, 0);
	cubby_free(cache, object);
	check_levels(cache, 0, 0);
	drop_cache(cache);
}

#define WITH_CALLS(test) cmocka_unit_test_setup(test, reset_calls)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alloc_gives_all_then_null),
		cmocka_unit_test(create_wrong_arguments_are_refused),
		cmocka_unit_test(destroy_gives_back_what_is_left),
		cmocka_unit_test(cache_destroy_with_open_reserve_is_busy),
		cmocka_unit_test(create_counts_against_limits),
		cmocka_unit_test(refill_fills_up_to_its_size),
		cmocka_unit_test(refill_over_limit_leaves_what_it_holds),
		WITH_CALLS(init_runs_at_create_and_not_at_alloc),
		WITH_CALLS(init_refusing_sets_nothing_aside),
		WITH_CALLS(ctor_refusing_keeps_the_object_in),
		cmocka_unit_test(walk_does_not_visit_what_is_reserved),
		cmocka_unit_test(alloc_meets_no_page_fault),
		cmocka_unit_test(alloc_needs_no_memory_from_the_kernel),
		cmocka_unit_test(alloc_in_a_signal_handler_works),
		cmocka_unit_test(fork_gives_child_its_own_reserve),
		cmocka_unit_test(threads_with_a_reserve_each_do_not_meet),
		cmocka_unit_test(create_in_vain_keeps_the_books),
	};

	return cmocka_run_group_tests_name("test_reserve", tests, NULL, NULL);
}

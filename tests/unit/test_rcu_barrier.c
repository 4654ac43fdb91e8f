/* SPDX-License-Identifier: MIT */
/*
 * Barriers, destruction and walks: the calls that wait for a grace period, and
 * those that must not.
 */
#include "unit/with_rcu.h"

/* By name, for the Makefile. */
#include "support/flavor.h"

enum {
	N_FREED = 1000, /* some full sheaves, and a partial one */
	N_LIVE = 300,
	N_CYCLES = 1000, /* of creation and destruction */
	N_FREERS = 3
};

static struct cubby_cache *cache;

static void
make_counted(uint64_t flags)
{
	cache = MAKE_RCU_CACHE(.dtor = count_dtor, .flags = flags);
}

/* --------------------------------- barrier ------------------------------- */

static void
free_and_wait(uint64_t flags)
{
	join_flavor();
	make_counted(flags);
	for (size_t n = 1; n <= N_FREED; n *= 3) {
		uint64_t first = n_things;

		free_taken_together(cache, n);
		REQUIRE(cubby_rcu_barrier(cache) == 0);
		REQUIRE(dtors_between(first, n_things) == n);
		REQUIRE(n_deferred(cache) == 0);
	}
	REQUIRE(look(cache).n_live == 0);
	REQUIRE(look(cache).n_reclaimed == n_things);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

static void
barrier_after_frees_has_them_destructed(void **state)
{
	(void)state;
	free_and_wait(0);
}

static void
barrier_without_magazines_has_them_destructed(void **state)
{
	(void)state;
	free_and_wait(CUBBY_CACHE_NO_MAGAZINES);
}

/* By a thread that liburcu does not know, and may not know. */
static void
barrier_by_unknown_thread_works(void **state)
{
	(void)state;
	make_counted(0);
	free_taken_together(cache, N_FREED);
	REQUIRE(cubby_rcu_barrier(cache) == 0);
	REQUIRE(dtors_between(0, n_things) == N_FREED);
	REQUIRE(cubby_cache_destroy(cache) == 0);
}

static void
barrier_without_flavor_is_nothing(void **state)
{
	struct cubby_cache *plain;

	(void)state;
	plain = make_cache(24, NULL);
	REQUIRE(cubby_rcu_barrier(plain) == 0);
	REQUIRE(cubby_cache_destroy(plain) == 0);
}

static void
barrier_in_section_is_edeadlk(void **state)
{
	uint64_t first = n_things;

	(void)state;
	join_flavor();
	make_counted(0);
	free_taken(cache, 10);
	for (unsigned n = 1; n <= 3; n++) {
		for (unsigned i = 0; i < n; i++)
			test_flavor_lock(flavor);
		REQUIRE(cubby_rcu_barrier(cache) == -EDEADLK);
		REQUIRE(strstr(cubby_error_detail(), "in a read section"));
		REQUIRE(cubby_cache_destroy(cache) == -EDEADLK);
		REQUIRE(cubby_cache_destroy_force(cache) == -EDEADLK);
		/* Only the outermost end counts. */
		for (unsigned i = 1; i < n; i++)
			test_flavor_unlock(flavor);
		REQUIRE(cubby_rcu_barrier(cache) == -EDEADLK);
		test_flavor_unlock(flavor);
	}
	REQUIRE(cubby_rcu_barrier(cache) == 0);
	REQUIRE(dtors_between(first, n_things) == 10);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* In QSBR an online thread passes a quiescent state instead. */
static void
barrier_online_passes_a_quiescent_state(void **state)
{
	struct thing *borrowed;
	cubby_weak handle;

	(void)state;
	join_flavor();
	make_counted(0);
	cubby_free(cache, make_taken(cache, &handle));
	REQUIRE(test_flavor_is_reading(flavor));
	REQUIRE(cubby_rcu_barrier(cache) == 0);
	REQUIRE(test_flavor_is_reading(flavor));
	REQUIRE(dtors_of(0) == 1);
	borrowed = make_taken(cache, &handle);
	REQUIRE(cubby_weak_get(cache, handle) == borrowed);
	cubby_free(cache, borrowed);
	test_flavor_offline(flavor);
	REQUIRE(cubby_rcu_barrier(cache) == 0);
	REQUIRE(!test_flavor_is_reading(flavor));
	REQUIRE(dtors_of(1) == 1);
	test_flavor_online(flavor);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* ------------------------------ from callbacks --------------------------- */

static int in_dtor[3];

static void
wait_in_dtor(void *object, void *context)
{
	(void)object;
	(void)context;
	if (in_dtor[0] != 0)
		return;
	in_dtor[0] = cubby_rcu_barrier(cache);
	in_dtor[1] = cubby_cache_destroy(cache);
	in_dtor[2] = reclaim == CUBBY_RECLAIM_POLL ?
			     (int)cubby_rcu_poll(cache) :
			     0;
}

static void
barrier_in_dtor_is_edeadlk(void **state)
{
	(void)state;
	join_flavor();
	cache = MAKE_RCU_CACHE(.dtor = wait_in_dtor);
	/* On the thread that reclaims, then on this one. */
	for (int i = 0; i < 2; i++) {
		memset(in_dtor, 0, sizeof(in_dtor));
		free_taken(cache, 10);
		if (i == 0)
			wait_drained(cache);
		else
			REQUIRE(cubby_rcu_barrier(cache) == 0);
		REQUIRE(in_dtor[0] == -EDEADLK);
		REQUIRE(in_dtor[1] == -EDEADLK);
		REQUIRE(in_dtor[2] == 0);
	}
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* ------------------------------ beside others ---------------------------- */

static uint32_t must_stop;

static void *
keep_freeing(void *argument)
{
	(void)argument;
	/* Not as fast as they can, for nothing limits what waits. */
	while (!__atomic_load_n(&must_stop, __ATOMIC_RELAXED)) {
		free_taken(cache, 50);
		sleep_us(100);
	}
	return NULL;
}

static void
barrier_beside_frees_waits_for_earlier_ones(void **state)
{
	pthread_t threads[N_FREERS];
	struct thing *mine[20];
	uint64_t numbers[20];

	(void)state;
	join_flavor();
	cache = MAKE_RCU_CACHE(.dtor = count_dtor);
	n_things = 0;
	for (size_t i = 0; i < N_FREERS; i++)
		threads[i] = start_thread(keep_freeing, NULL);
	/* Numbers are used again: this is how often each was destructed. */
	for (size_t round = 0; round < scaled(20); round++) {
		uint64_t n_before = look(cache).n_reclaimed;

		for (size_t i = 0; i < 20; i++) {
			mine[i] = make_taken(cache, NULL);
			numbers[i] = mine[i]->number;
			__atomic_store_n(&n_dtors[numbers[i]], 0,
					 __ATOMIC_SEQ_CST);
		}
		for (size_t i = 0; i < 20; i++)
			cubby_free(cache, mine[i]);
		REQUIRE(cubby_rcu_barrier(cache) == 0);
		for (size_t i = 0; i < 20; i++)
			REQUIRE(dtors_of(numbers[i]) >= 1);
		REQUIRE(look(cache).n_reclaimed >= n_before + 20);
	}
	__atomic_store_n(&must_stop, 1, __ATOMIC_RELAXED);
	for (size_t i = 0; i < N_FREERS; i++)
		join_thread(threads[i]);
	REQUIRE(cubby_cache_destroy(cache) == 0);
	leave_flavor();
}

/* -------------------------------- destruction ---------------------------- */

static void
destroy_with_deferred_objects_waits(void **state)
{
	uint64_t first;

	(void)state;
	join_flavor();
	for (uint64_t n = 1; n <= N_FREED; n *= 10) {
		make_counted(n == 10 ? CUBBY_CACHE_NO_MAGAZINES : 0);
		first = n_things;
		free_taken_together(cache, n);
		REQUIRE(cubby_cache_destroy(cache) == 0);
		REQUIRE(dtors_between(first, n_things) == n);
	}
	leave_flavor();
}

static void
destroy_with_live_objects_is_refused(void **state)
{
	struct thing *live;
	cubby_weak handle;

	(void)state;
	join_flavor();
	make_counted(0);
	live = make_taken(cache, &handle);
	free_taken_together(cache, N_FREED);
	REQUIRE(cubby_cache_destroy(cache) == -CUBBY_ELIVE);
	REQUIRE(reads_as(cache, handle, live));
	REQUIRE(look(cache).n_live == 1);
	cubby_free(cache, live);
	REQUIRE(reads_as(cache, handle, NULL));
	REQUIRE(cubby_cache_destroy(cache) == 0);
	REQUIRE(dtors_between(0, n_things) == N_FREED + 1);
	leave_flavor();
}

static uint64_t n_finalized, n_expired, n_out_of_order;

static void
finalize(struct cubby_cache *of, void *object, uint64_t handle, void *context)
{
	struct thing *thing = object;

	REQUIRE(of == cache && handle != CUBBY_WEAK_NULL);
	/* Before its dtor, once. */
	REQUIRE(thing->number == (uintptr_t)context);
	n_out_of_order += dtors_of(thing->number) != 0;
	n_finalized++;
}

static void
expire(struct cubby_cache *of, void *object, uint64_t handle, void *context)
{
	(void)of;
	(void)object;
	(void)handle;
	(void)context;
	n_expired++;
}

/* Live with a watch, live without, dead and waiting, each a third. */
static void
destroy_force_ends_each_object_once(void **state)
{
	struct thing *things[3 * N_LIVE];
	cubby_watch watch;
	cubby_weak handle;

	(void)state;
	join_flavor();
	make_counted(0);
	for (size_t i = 0; i < 3 * N_LIVE; i++) {
		things[i] = make_taken(cache, &handle);
		if (i % 3 != 0)
			continue;
		REQUIRE(cubby_weak_watch(cache, handle, finalize,
					 (void *)(uintptr_t)things[i]->number,
					 CUBBY_WATCH_FINALIZER, &watch) == 0);
		REQUIRE(cubby_weak_watch(cache, handle, expire, NULL, 0,
					 &watch) == 0);
	}
	for (size_t i = 2; i < 3 * N_LIVE; i += 3)
		cubby_free(cache, things[i]);
	REQUIRE(cubby_cache_destroy_force(cache) == 0);
	REQUIRE(n_finalized == N_LIVE);
	REQUIRE(n_expired == 0 && n_out_of_order == 0);
	REQUIRE(dtors_between(0, n_things) == 3 * N_LIVE);
	leave_flavor();
}

/* One cache is destroyed by force while the reclaimer has work in another. */
static void
destroy_beside_other_caches_leaves_them(void **state)
{
	struct cubby_cache *other;
	uint64_t n = 0;

	(void)state;
	join_flavor();
	other = MAKE_RCU_CACHE(.dtor = count_dtor);
	for (size_t i = 0; i < 20; i++) {
		make_counted(0);
		free_taken_together(other, 200);
		free_taken_together(cache, 100);
		make_taken(cache, NULL);
		REQUIRE(cubby_cache_destroy_force(cache) == 0);
		n += 301;
	}
	wait_drained(other);
	REQUIRE(dtors_between(0, n_things) == n);
	REQUIRE(cubby_cache_destroy(other) == 0);
	leave_flavor();
}

static uint64_t
number_in_proc(const char *file, const char *key)
{
	unsigned long long value = 0;
	char line[256];
	FILE *stream = fopen(file, "r");

	REQUIRE(stream != NULL);
	while (fgets(line, sizeof(line), stream) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			value = strtoull(line + strlen(key), NULL, 10);
	fclose(stream);
	return value;
}

static void
create_and_destroy(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		make_counted(i % 10 == 0 ? CUBBY_CACHE_NO_MAGAZINES : 0);
		n_things = 0;
		memset(n_dtors, 0, 16 * sizeof(n_dtors[0]));
		free_taken_together(cache, 1 + i % 3);
		REQUIRE(cubby_cache_destroy(cache) == 0);
		REQUIRE(dtors_between(0, n_things) == n_things);
	}
}

static void
create_and_destroy_in_a_loop_leaks_nothing(void **state)
{
	const char *status = "/proc/self/status";
	int64_t kib, grown_kib = INT64_MAX;
	uint64_t n_threads;

	(void)state;
	join_flavor();
	/* Descriptors and ranges of so many dead caches are kept. */
	create_and_destroy(N_CYCLES + 500);
	n_threads = number_in_proc(status, "Threads:");
	/* A leak is in each round; TSan's clocks come 512 KiB at a time. */
	for (int i = 0; i < 4 && grown_kib > 256; i++) {
		kib = (int64_t)number_in_proc(status, "VmRSS:");
		create_and_destroy(scaled(N_CYCLES));
		grown_kib = (int64_t)number_in_proc(status, "VmRSS:") - kib;
	}
	REQUIRE(grown_kib <= 256);
	REQUIRE(number_in_proc(status, "Threads:") == n_threads);
	leave_flavor();
}

/* ----------------------------------- walks ------------------------------- */

static bool
walk_sees(struct cubby_walk *walk, const void *object)
{
	struct cubby_run run;
	bool seen = false;

	while (cubby_walk_next(walk, &run)) {
		const char *first = run.first;
		uint64_t bytes = (const char *)object - first;

		seen |= (const char *)object >= first &&
			bytes < run.n_objects * run.stride_bytes;
	}
	return seen;
}

/* Freed by another thread, so that nothing is this thread's. */
static void *
free_it(void *object)
{
	cubby_free(cache, object);
	return NULL;
}

static void *
wait_for_all(void *argument)
{
	(void)argument;
	REQUIRE(cubby_rcu_barrier(cache) == 0);
	return NULL;
}

/*
 * An object that nobody has a handle of is freed while a walk is open: within
 * the walker's section it stays as it is.
 */
static void
free_under_walk(struct cubby_cache_attr attr)
{
	struct thing *thing, *later;
	struct cubby_walk *walk;
	pthread_t waiter;

	cache = make_rcu_cache(attr);
	thing = make_thing(cache);
	later = make_thing(cache);
	test_flavor_lock(flavor);
	REQUIRE(cubby_walk_create(&walk, cache) == 0);
	/* A QSBR thread that is joined stays online. */
	REQUIRE(pthread_join(start_thread(free_it, thing), NULL) == 0);
	waiter = start_thread(wait_for_all, NULL);
	sleep_us(20000); /* more than its round would take */
	REQUIRE(dtors_of(thing->number) == 0);
	REQUIRE(thing->stamp == ~thing->number);
	for (size_t i = 0; i < 500; i++)
		REQUIRE(make_thing(cache) != thing);
	REQUIRE(walk_sees(walk, thing));
	cubby_free(cache, later);
	REQUIRE(later->stamp == ~later->number);
	test_flavor_leave(flavor);
	join_thread(waiter);
	cubby_walk_destroy(walk);
	REQUIRE(cubby_rcu_barrier(cache) == 0);
	if (attr.dtor != NULL)
		REQUIRE(dtors_between(0, 2) == 2);
	REQUIRE(look(cache).n_live == 500);
	REQUIRE(cubby_cache_destroy_force(cache) == 0);
	memset(n_dtors, 0, sizeof(n_dtors));
	n_things = 0;
}

static void
free_under_walk_waits_for_the_walkers_section(void **state)
{
	static const uint64_t flags[] = { 0, CUBBY_CACHE_NO_MAGAZINES };

	(void)state;
	join_flavor();
	for (size_t i = 0; i < 2; i++) {
		free_under_walk((struct cubby_cache_attr){
			.dtor = count_dtor, .flags = flags[i] });
		free_under_walk(
			(struct cubby_cache_attr){ .flags = flags[i] });
		free_under_walk(
			(struct cubby_cache_attr){ .is_strong = 1,
						   .dtor = count_dtor,
						   .flags = flags[i] });
	}
	leave_flavor();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		ALL_CASES(barrier_after_frees_has_them_destructed),
		FRONT_CASES(barrier_after_frees_has_them_destructed),
		ALL_CASES(barrier_without_magazines_has_them_destructed),
		ALL_CASES(barrier_by_unknown_thread_works),
		THREAD_CASE(barrier_without_flavor_is_nothing, TEST_MB, "_mb"),
		THREAD_CASE(barrier_in_section_is_edeadlk, TEST_MEMB, "_memb"),
		THREAD_CASE(barrier_in_section_is_edeadlk, TEST_MB, "_mb"),
		THREAD_CASE(barrier_in_section_is_edeadlk, TEST_BP, "_bp"),
		POLL_CASE(barrier_in_section_is_edeadlk, TEST_MEMB, "_memb"),
		THREAD_CASE(barrier_online_passes_a_quiescent_state, TEST_QSBR,
			    "_qsbr"),
		POLL_CASE(barrier_online_passes_a_quiescent_state, TEST_QSBR,
			  "_qsbr"),
		ALL_CASES(barrier_in_dtor_is_edeadlk),
		THREAD_CASES(barrier_beside_frees_waits_for_earlier_ones),
		FRONT_CASES(barrier_beside_frees_waits_for_earlier_ones),
		ALL_CASES(destroy_with_deferred_objects_waits),
		FRONT_CASES(destroy_with_deferred_objects_waits),
		ALL_CASES(destroy_with_live_objects_is_refused),
		ALL_CASES(destroy_force_ends_each_object_once),
		ALL_CASES(destroy_beside_other_caches_leaves_them),
		THREAD_CASE(create_and_destroy_in_a_loop_leaks_nothing,
			    TEST_MEMB, "_memb"),
		POLL_CASE(create_and_destroy_in_a_loop_leaks_nothing,
			  TEST_QSBR, "_qsbr"),
		THREAD_CASES(free_under_walk_waits_for_the_walkers_section),
		FRONT_CASES(free_under_walk_waits_for_the_walkers_section),
	};

	return cmocka_run_group_tests_name("test_rcu_barrier", tests, NULL,
					   NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * What the depot and the stripes do when there are many threads, and when
 * traffic falls: found missing by breaking the library on purpose.
 */
#include "unit/with_cache.h"

#include "annotate.h"
#include "cache.h"
#include "os.h"
#include "stripe.h"

#include <limits.h>
#include <pthread.h>
#include <semaphore.h>

enum {
	OBJECT_BYTES = 64,
	N_IDLERS = 8,
	N_CROWD = 64,
	N_LATE = 300,
	N_MAX = 200000,
	N_GROWN = 30000
};

static void *objects[N_MAX];

static void
alloc_each(struct cubby_cache *cache, size_t n)
{
	for (size_t i = 0; i < n; i++)
		objects[i] = must_alloc(cache);
}

static void
free_each(struct cubby_cache *cache, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cubby_free(cache, objects[i]);
}

/* Threads that each have idle cells, and wait. */
struct idlers {
	struct cubby_cache *cache;
	size_t n;
	pthread_t threads[N_CROWD];
	sem_t ready, may_go;
};

static void *
idle(void *argument)
{
	struct idlers *idlers = argument;
	void *mine[300];

	for (size_t i = 0; i < 300; i++)
		mine[i] = cubby_alloc(idlers->cache);
	for (size_t i = 0; i < 300; i++)
		cubby_free(idlers->cache, mine[i]);
	sem_post(&idlers->ready);
	while (sem_wait(&idlers->may_go) != 0)
		;
	return NULL;
}

static void
start_idlers(struct idlers *idlers, struct cubby_cache *cache, size_t n)
{
	idlers->cache = cache;
	idlers->n = n;
	sem_init(&idlers->ready, 0, 0);
	sem_init(&idlers->may_go, 0, 0);
	for (size_t i = 0; i < n; i++)
		assert_int_equal(pthread_create(&idlers->threads[i], NULL,
						idle, idlers),
				 0);
	for (size_t i = 0; i < n; i++)
		while (sem_wait(&idlers->ready) != 0)
			;
}

static void
end_idlers(struct idlers *idlers)
{
	for (size_t i = 0; i < idlers->n; i++)
		sem_post(&idlers->may_go);
	for (size_t i = 0; i < idlers->n; i++)
		pthread_join(idlers->threads[i], NULL);
	sem_destroy(&idlers->ready);
	sem_destroy(&idlers->may_go);
}

static void
free_only_sweeps_what_idle_threads_hold(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	struct idlers idlers;

	(void)state;
	start_idlers(&idlers, cache, N_IDLERS);
	assert_true(stats_of(cache).n_idle_in_blocks > N_IDLERS * 60);
	alloc_each(cache, 20000);
	free_each(cache, 20000);
	/* What is left is this thread's. */
	assert_in_range(stats_of(cache).n_idle_in_blocks, 0, 240);
	end_idlers(&idlers);
	drop_cache(cache);
}

/* Bursts that make the bound grow, then frees of more than 16 of it. */
static void
bound_halves_after_many_frees_without_a_refill(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	uint64_t start = stats_of(cache).depot_bound;
	uint64_t grown = start;

	(void)state;
	for (size_t i = 0; grown == start; i++) {
		assert_true(i < 10000);
		alloc_each(cache, 2 * start);
		grown = stats_of(cache).depot_bound;
		free_each(cache, 2 * start);
	}
	alloc_each(cache, N_MAX);
	assert_true(N_MAX > 20 * grown);
	free_each(cache, N_MAX);
	alloc_each(cache, 1000);
	assert_in_range(stats_of(cache).depot_bound, 1, grown / 2);
	free_each(cache, 1000);
	drop_cache(cache);
}

static void
capacity_is_fair_among_many_threads(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	struct idlers idlers;

	(void)state;
	start_idlers(&idlers, cache, N_CROWD);
	end_idlers(&idlers);
	alloc_each(cache, 20000);
	assert_int_equal(stats_of(cache).magazine_capacity, 64);
	free_each(cache, 20000);
	drop_cache(cache);
}

/* --------------------------------- stripes -------------------------------- */

static pthread_key_t late_key;
static struct cubby_cache *late_cache;

/* Allocates in the last round only, when ours has run for the last time. */
static void
late(void *round)
{
	if ((uintptr_t)round < PTHREAD_DESTRUCTOR_ITERATIONS)
		pthread_setspecific(late_key, (char *)round + 1);
	else
		cubby_free(late_cache, cubby_alloc(late_cache));
}

static void *
end_late(void *argument)
{
	pthread_setspecific(late_key, (void *)1);
	return argument;
}

static void
stripes_of_threads_that_came_too_late_are_used_again(void **state)
{
	uint32_t n_before;

	(void)state;
	/* Its run-time has left a thread by the last round. */
	if (cubby__annotate_on_tsan())
		skip();
	late_cache = make_cache(OBJECT_BYTES, NULL);
	cubby_free(late_cache, must_alloc(late_cache));
	assert_int_equal(pthread_key_create(&late_key, late), 0);
	n_before = cubby__stripe_n();
	for (size_t i = 0; i < N_LATE; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, end_late, NULL),
				 0);
		pthread_join(thread, NULL);
	}
	assert_true(cubby__stripe_n() < n_before + N_LATE / 2);
	pthread_key_delete(late_key);
	drop_cache(late_cache);
}

/* Stays in its bracket; `spins`: on a processor, else asleep. */
struct lingerer {
	sem_t entered, may_go;
	bool spins;
};

static void *
linger(void *argument)
{
	struct lingerer *lingerer = argument;
	struct stripe *stripe = cubby__stripe_mine();
	uint64_t end_ns = cubby__os_now_ns() + 3 * NS_PER_S / 10;

	assert_true(stripe_enter(stripe));
	sem_post(&lingerer->entered);
	while (lingerer->spins && cubby__os_now_ns() < end_ns)
		;
	while (!lingerer->spins && sem_wait(&lingerer->may_go) != 0)
		;
	stripe_leave(stripe);
	return NULL;
}

static pthread_t
start_lingerer(struct lingerer *lingerer, bool spins)
{
	pthread_t thread;

	lingerer->spins = spins;
	sem_init(&lingerer->entered, 0, 0);
	sem_init(&lingerer->may_go, 0, 0);
	assert_int_equal(pthread_create(&thread, NULL, linger, lingerer), 0);
	while (sem_wait(&lingerer->entered) != 0)
		;
	return thread;
}

static void
wait_outlasts_a_thread_that_runs(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	struct lingerer lingerer;
	pthread_t thread;
	pid_t tid;

	(void)state;
	/* It lets one thread run, and the others sleep. */
	if (cubby__annotate_on_valgrind())
		skip();
	cubby_free(cache, must_alloc(cache));
	thread = start_lingerer(&lingerer, true);
	assert_int_equal(cubby__stripe_wait(&tid), 0);
	pthread_join(thread, NULL);
	drop_cache(cache);
}

/* As if a handler inside our bracket forked, beside one in another's. */
static void
fork_in_a_bracket_counts_the_depot_anew(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	struct lingerer lingerer;
	pthread_t thread;
	int status = -1;
	pid_t child;

	(void)state;
	alloc_each(cache, 2000);
	free_each(cache, 2000);
	thread = start_lingerer(&lingerer, false);
	assert_true(stripe_enter(cubby__stripe_mine()));
	/* The other had counted a magazine that it did not put any more. */
	cache->front.n_aged += 5;
	child = fork();
	if (child == 0) {
		stripe_leave(cubby__stripe_mine());
		_exit(cubby_cache_verify(cache) != 0);
	}
	cache->front.n_aged -= 5;
	stripe_leave(cubby__stripe_mine());
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_int_equal(status, 0);
	sem_post(&lingerer.may_go);
	pthread_join(thread, NULL);
	drop_cache(cache);
}

/* What neighbouring caches hand out first stands in different lines. */
static void
alloc_of_new_caches_begins_at_different_cells(void **state)
{
	struct cubby_cache *caches[8];
	size_t n_different = 0;
	uintptr_t offsets[8];

	(void)state;
	for (size_t i = 0; i < 8; i++) {
		caches[i] = make_cache(OBJECT_BYTES, NULL);
		objects[i] = must_alloc(caches[i]);
		offsets[i] = (uintptr_t)objects[i] % 4096;
		assert_true(offsets[i] < 16 * OBJECT_BYTES); /* a refill */
		n_different += i > 0 && offsets[i] != offsets[i - 1];
	}
	assert_true(n_different >= 3);
	for (size_t i = 0; i < 8; i++) {
		cubby_free(caches[i], objects[i]);
		drop_cache(caches[i]);
	}
}

/* Flushes by one thread and refills by another are a flow, and no waves. */
static void *
free_all(void *argument)
{
	free_each(argument, N_MAX);
	return NULL;
}

static void
bound_of_a_flow_between_threads_stays(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	uint64_t bound = stats_of(cache).depot_bound;
	pthread_t thread;

	(void)state;
	for (int i = 0; i < 20; i++) {
		alloc_each(cache, N_MAX);
		pthread_create(&thread, NULL, free_all, cache);
		pthread_join(thread, NULL);
	}
	alloc_each(cache, N_MAX); /* ends what frees alone have lowered */
	assert_true(stats_of(cache).n_flushes > 20);
	assert_int_equal(stats_of(cache).depot_bound, bound);
	free_each(cache, N_MAX);
	drop_cache(cache);
}

/* Where the cache only frees, a visit brings back four magazines, not two. */
static void
free_only_visits_seldom(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	uint64_t before, capacity;

	(void)state;
	alloc_each(cache, N_MAX);
	capacity = cache->front.capacity_max;
	before = stats_of(cache).n_flushes;
	/* Not to the end: few cells in use have small magazines. */
	free_each(cache, N_MAX / 2);
	assert_in_range(stats_of(cache).n_flushes - before, 1,
			N_MAX / 2 / (3 * capacity));
	for (size_t i = N_MAX / 2; i < N_MAX; i++)
		cubby_free(cache, objects[i]);
	assert_int_equal(stats_of(cache).n_live, 0);
	drop_cache(cache);
}

/* How many of the first n objects, one a page, are resident, in percent. */
static unsigned
percent_resident(size_t n, size_t object_bytes)
{
	const size_t step = object_bytes < 4096 ? 4096 / object_bytes : 1;
	size_t n_pages = 0, n_resident = 0;

	for (size_t i = 0; i < n; i += step, n_pages++)
		n_resident += cubby__os_resident_bytes(objects[i], 1) != 0;
	return (unsigned)(100 * n_resident / n_pages);
}

static bool
kernel_populates(void)
{
	void *page;
	bool does;

	assert_ok(cubby__os_map(4096, &page));
	cubby__os_populate_soon(page, 4096);
	does = cubby__os_resident_bytes(page, 1) != 0;
	cubby__os_unmap(page, 4096);
	return does;
}

/* Nobody writes to these objects; only a cache with many has pages for them. */
static void
growth_asks_for_pages_by_slabs(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);

	(void)state;
	if (!kernel_populates() || cache->front.block == 0) {
		drop_cache(cache);
		skip();
	}
	/* Of whose batches one is as large as they get, and eight slabs in use. */
	alloc_each(cache, 8000);
	assert_true(percent_resident(8000, OBJECT_BYTES) <= 10);
	free_each(cache, 8000);
	drop_cache(cache);
	cache = make_cache(OBJECT_BYTES, NULL);
	alloc_each(cache, N_MAX);
	assert_true(percent_resident(N_MAX, OBJECT_BYTES) >= 75);
	free_each(cache, N_MAX);
	drop_cache(cache);
}

/* Programs use the first bytes of large buffers: the rest is not asked for. */
static void
growth_of_large_objects_asks_for_no_pages(void **state)
{
	const size_t sizes[] = { 4104, 16384, 65536 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct cubby_cache *cache = make_cache(sizes[i], NULL);
		size_t n = ((size_t)32 << 20) / sizes[i];

		alloc_each(cache, n);
		assert_true(percent_resident(n, sizes[i]) <= 10);
		free_each(cache, n);
		drop_cache(cache);
	}
}

static uint64_t n_grown;

static void *
grow(void *cache)
{
	for (uint64_t i = 0; i < N_GROWN; i++) {
		objects[i] = cubby_alloc(cache);
		if (objects[i] == NULL)
			abort();
		__atomic_store_n(&n_grown, i + 1, __ATOMIC_SEQ_CST);
	}
	return NULL;
}

/* What a refill has in its hands while the kernel is asked is no object (F5). */
static void
growth_hands_out_nothing_while_it_asks(void **state)
{
	(void)state;
	if (!kernel_populates())
		skip();
	for (size_t i = 0; i < scaled(50); i++) {
		struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
		pthread_t thread;
		uint64_t n = 0;

		n_grown = 0;
		assert_ok(pthread_create(&thread, NULL, grow, cache));
		while (n < N_GROWN) {
			struct cubby_cache_stats stats = stats_of(cache);

			n = __atomic_load_n(&n_grown, __ATOMIC_SEQ_CST);
			/* One may have been allocated, and not counted yet. */
			assert_in_range(stats.n_live, 0, n + 1);
			assert_int_equal(cubby_cache_verify(cache), 0);
		}
		pthread_join(thread, NULL);
		free_each(cache, N_GROWN);
		drop_cache(cache);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(growth_asks_for_pages_by_slabs),
		cmocka_unit_test(growth_hands_out_nothing_while_it_asks),
		cmocka_unit_test(growth_of_large_objects_asks_for_no_pages),
		cmocka_unit_test(free_only_visits_seldom),
		cmocka_unit_test(free_only_sweeps_what_idle_threads_hold),
		cmocka_unit_test(
			bound_halves_after_many_frees_without_a_refill),
		cmocka_unit_test(wait_outlasts_a_thread_that_runs),
		cmocka_unit_test(fork_in_a_bracket_counts_the_depot_anew),
		cmocka_unit_test(
			stripes_of_threads_that_came_too_late_are_used_again),
		cmocka_unit_test(capacity_is_fair_among_many_threads),
		cmocka_unit_test(
			alloc_of_new_caches_begins_at_different_cells),
		cmocka_unit_test(bound_of_a_flow_between_threads_stays),
	};

	add_options("front=thread"); /* wins over what was given */
	return cmocka_run_group_tests_name("depot", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Magazines as the statistics show them: what an exchange moves, what follows
 * traffic, what a flush keeps, limits, bulk calls, callbacks.
 */
#include "unit/with_cache.h"

#include <pthread.h>
#include <semaphore.h>

enum {
	OBJECT_BYTES = 64,
	CAPACITY_MAX = 120,
	N_OF_TWO = 2 * CAPACITY_MAX, /* what a block holds */
	IDLE_BYTES = OBJECT_BYTES + 1024 / CAPACITY_MAX, /* of a cell */
	BOUND_START = (256 << 10) / IDLE_BYTES,
	BOUND_MIN = (16 << 10) / IDLE_BYTES,
	N_MAX = 200000
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

static uint64_t
n_idle(struct cubby_cache *cache)
{
	struct cubby_cache_stats stats = stats_of(cache);

	return stats.n_idle_in_blocks + stats.n_idle_in_depot;
}

/* A cache that has magazines of full capacity, and this thread's are full. */
static struct cubby_cache *
make_warm(const struct cubby_cache_attr *attr)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, attr);

	alloc_each(cache, 2000);
	free_each(cache, 2000);
	assert_int_equal(stats_of(cache).magazine_capacity, CAPACITY_MAX);
	assert_in_range(stats_of(cache).n_idle_in_blocks, CAPACITY_MAX,
			N_OF_TWO);
	return cache;
}

/* -------------------------------- exchanges ------------------------------- */

/* A refill brings several magazines: the lowest is used first. */
static void
allocated_in_turn_lies_in_turn(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	size_t n = 20000, n_jumps = 0;

	(void)state;
	alloc_each(cache, n);
	for (size_t i = 1; i < n; i++)
		n_jumps += (char *)objects[i] !=
			   (char *)objects[i - 1] + OBJECT_BYTES;
	assert_in_range(n_jumps, 0, n / CAPACITY_MAX / 8);
	free_each(cache, n);
	drop_cache(cache);
}

/* Whoever goes to and fro around a boundary does not go to the depot. */
static void
exchange_around_a_boundary_stays_in_the_block(void **state)
{
	struct cubby_cache *cache = make_warm(NULL);
	struct cubby_cache_stats before, after;

	(void)state;
	alloc_each(cache, CAPACITY_MAX);
	free_each(cache, CAPACITY_MAX);
	before = stats_of(cache);
	for (size_t i = 0; i < 1000; i++) {
		size_t n = 1 + i % CAPACITY_MAX;

		alloc_each(cache, n);
		free_each(cache, n);
	}
	after = stats_of(cache);
	assert_in_range(after.n_depot_puts, before.n_depot_puts,
			before.n_depot_puts + 1);
	assert_in_range(after.n_depot_gets, before.n_depot_gets,
			before.n_depot_gets + 1);
	assert_int_equal(after.n_refills, before.n_refills);
	assert_int_equal(after.n_flushes, before.n_flushes);
	drop_cache(cache);
}

/* More than two magazines go through the depot, whole, and to no slab. */
static void
exchange_of_a_burst_goes_through_the_depot(void **state)
{
	enum { N = 1800 };
	struct cubby_cache *cache = make_warm(NULL);
	struct cubby_cache_stats full = stats_of(cache), empty, again;

	(void)state;
	assert_int_equal(full.n_idle_in_blocks + full.n_idle_in_depot,
			 full.n_cells - full.n_free - full.n_returned);
	alloc_each(cache, N);
	empty = stats_of(cache);
	assert_int_equal(empty.n_live, N);
	assert_int_equal(empty.n_refills, full.n_refills);
	assert_in_range(empty.n_depot_gets - full.n_depot_gets,
			(N - N_OF_TWO) / CAPACITY_MAX, N / CAPACITY_MAX + 20);
	free_each(cache, N);
	again = stats_of(cache);
	assert_int_equal(again.n_live, 0);
	assert_in_range(again.n_depot_puts - empty.n_depot_puts,
			(N - N_OF_TWO) / CAPACITY_MAX, N / CAPACITY_MAX + 1);
	assert_int_equal(again.n_flushes, full.n_flushes);
	assert_int_equal(again.n_free, full.n_free);
	assert_int_equal(again.n_direct_allocs + again.n_direct_frees, 0);
	drop_cache(cache);
}

struct visitor {
	struct cubby_cache *cache;
	sem_t reached, may_go;
	size_t n;
};

static void *
free_some_and_stay(void *argument)
{
	struct visitor *visitor = argument;

	for (size_t i = 0; i < visitor->n; i++)
		cubby_free(visitor->cache, objects[i]);
	sem_post(&visitor->reached);
	while (sem_wait(&visitor->may_go) != 0)
		continue;
	return NULL;
}

static pthread_t
start(struct visitor *visitor, struct cubby_cache *cache, size_t n)
{
	pthread_t thread;

	*visitor = (struct visitor){ .cache = cache, .n = n };
	sem_init(&visitor->reached, 0, 0);
	sem_init(&visitor->may_go, 0, 0);
	assert_int_equal(
		pthread_create(&thread, NULL, free_some_and_stay, visitor), 0);
	while (sem_wait(&visitor->reached) != 0)
		continue;
	return thread;
}

static void
thread_exit_leaves_its_magazines_to_the_depot(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	struct visitor visitor;
	pthread_t thread;

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 10, objects));
	thread = start(&visitor, cache, 10);
	assert_int_equal(stats_of(cache).n_idle_in_blocks, 10);
	sem_post(&visitor.may_go);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(stats_of(cache).n_idle_in_blocks, 0);
	assert_int_equal(stats_of(cache).n_idle_in_depot, 10);
	alloc_each(cache, 10); /* another thread's cells, not the slabs' */
	assert_int_equal(n_idle(cache), 0);
	assert_int_equal(stats_of(cache).n_refills, 0);
	free_each(cache, 10);
	drop_cache(cache);
}

/* --------------------------- what follows traffic ------------------------- */

static void
capacity_doubles_at_each_refill_up_to_the_most(void **state)
{
	static const uint64_t capacities[] = { 64, 120, 120, 120, 120 };
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	size_t n = 0, n_refills = 0;

	(void)state;
	while (n_refills < 5) {
		struct cubby_cache_stats stats;

		objects[n++] = must_alloc(cache);
		stats = stats_of(cache);
		if (stats.n_refills == n_refills)
			continue;
		assert_int_equal(stats.n_refills, ++n_refills);
		assert_int_equal(stats.magazine_capacity,
				 capacities[n_refills - 1]);
		/* One visit takes four magazines' cells at most. */
		assert_in_range(n_idle(cache), 1, 4 * CAPACITY_MAX);
	}
	free_each(cache, n);
	drop_cache(cache);
}

/* Large cells: few of them idle; very large ones: none. */
static void
capacity_of_large_cells_is_bounded_in_bytes(void **state)
{
	struct cubby_cache *cache = make_cache(8000, NULL);

	(void)state;
	alloc_each(cache, 100);
	assert_int_equal(stats_of(cache).magazine_capacity, 65536 / 8000);
	free_each(cache, 100);
	assert_true(n_idle(cache) * 8000 <= (256 + 4 * 64) << 10);
	drop_cache(cache);
	cache = make_cache(100000, NULL);
	assert_int_equal(stats_of(cache).front_end, CUBBY_FRONT_NONE);
	assert_int_equal(stats_of(cache).front_reason,
			 CUBBY_FRONT_REASON_CELLS);
	alloc_each(cache, 3);
	free_each(cache, 3);
	assert_int_equal(n_idle(cache), 0);
	assert_int_equal(stats_of(cache).n_direct_frees, 3);
	drop_cache(cache);
}

/* A cache that only frees ends with little, whatever it began with. */
static void
free_only_ends_with_a_small_depot(void **state)
{
	struct cubby_cache *cache = make_warm(NULL);
	struct cubby_cache_stats stats;

	(void)state;
	assert_int_equal(stats_of(cache).depot_bound, BOUND_START);
	assert_ok(cubby_alloc_bulk(cache, N_MAX, objects));
	free_each(cache, N_MAX);
	stats = stats_of(cache);
	assert_true(stats.n_flushes > 0);
	assert_true(stats.depot_bound <= BOUND_MIN);
	assert_true(stats.magazine_capacity <= 16);
	assert_true(n_idle(cache) <= BOUND_MIN + N_OF_TWO);
	/* With the next burst both come back. */
	alloc_each(cache, BOUND_START);
	stats = stats_of(cache);
	assert_int_equal(stats.depot_bound, BOUND_START);
	assert_int_equal(stats.magazine_capacity, CAPACITY_MAX);
	free_each(cache, BOUND_START);
	drop_cache(cache);
}

/* Flushes that refills follow at once were mistakes: the bound doubles. */
static void
refills_soon_after_flushes_double_the_bound(void **state)
{
	struct cubby_cache *cache = make_warm(NULL);
	uint64_t bound = BOUND_START;

	(void)state;
	/* "Soon" is 100 ms: a stalled machine may take another round. */
	for (int i = 0; i < 1000 && bound == BOUND_START; i++) {
		alloc_each(cache, 2 * BOUND_START);
		free_each(cache, 2 * BOUND_START);
		bound = stats_of(cache).depot_bound;
	}
	assert_int_equal(bound, 2 * BOUND_START);
	for (int i = 0; i < 1000 && bound < 4 * BOUND_START; i++) {
		alloc_each(cache, 4 * BOUND_START);
		free_each(cache, 4 * BOUND_START);
		bound = stats_of(cache).depot_bound;
	}
	assert_true(bound >= 4 * BOUND_START);
	drop_cache(cache);
}

/* ---------------------------------- flush --------------------------------- */

static void
shuffle(size_t n)
{
	uint64_t seed = 3;

	for (size_t i = n; i > 1; i--) {
		size_t j = random_below(&seed, i);
		void *swap = objects[i - 1];

		objects[i - 1] = objects[j];
		objects[j] = swap;
	}
}

/* What is idle wanders down: the slabs at the top empty and go back. */
static void
flush_keeps_the_lowest_cells(void **state)
{
	enum { N = 20000 };
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	struct cubby_cache_stats stats;

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, N, objects));
	shuffle(N);
	free_each(cache, N);
	for (int i = 0; i < 100; i++) {
		alloc_each(cache, 2 * BOUND_START);
		shuffle(2 * BOUND_START);
		free_each(cache, 2 * BOUND_START);
	}
	stats = stats_of(cache);
	/* The idle cells pin the slabs that they fill, and a few. */
	assert_true(stats.n_slabs - stats.n_slabs_returned <=
		    n_idle(cache) / stats.cells_per_slab + 4);
	drop_cache(cache);
}

static void
shrink_takes_back_what_all_threads_hold(void **state)
{
	struct cubby_cache *cache = make_warm(NULL);
	struct visitor visitor;
	pthread_t thread;
	uint64_t bytes = 0;

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 200, objects));
	thread = start(&visitor, cache, 200);
	assert_true(n_idle(cache) > 0);
	assert_ok(cubby_cache_shrink(cache, &bytes));
	assert_true(bytes > 0);
	assert_int_equal(n_idle(cache), 0);
	assert_int_equal(stats_of(cache).populated_bytes, 0);
	sem_post(&visitor.may_go);
	assert_int_equal(pthread_join(thread, NULL), 0);
	drop_cache(cache);
}

/* ---------------------------------- limits -------------------------------- */

/* Cells that are idle elsewhere count as free: exactly N, then none. */
static void
max_objects_counts_idle_cells_as_free(void **state)
{
	static const size_t limits[] = { 1, 2, 100, 1000 };

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		size_t n = limits[i], n_theirs = (n + 1) / 2;
		struct cubby_cache *cache = make_cache(
			OBJECT_BYTES, &CUBBY_CACHE_ATTR(.max_objects = n));
		struct visitor visitor;
		pthread_t thread;

		assert_ok(cubby_alloc_bulk(cache, n_theirs, objects));
		thread = start(&visitor, cache, n_theirs);
		assert_int_equal(n_idle(cache), n_theirs);
		alloc_each(cache, n);
		errno = 0;
		assert_null(cubby_alloc(cache));
		assert_int_equal(errno, ENOMEM);
		assert_int_equal(stats_of(cache).n_live, n);
		assert_int_equal(stats_of(cache).n_cells, n);
		assert_int_equal(stats_of(cache).n_limit_hits, 1);
		cubby_free(cache, objects[n / 2]);
		objects[n / 2] = must_alloc(cache);
		free_each(cache, n);
		sem_post(&visitor.may_go);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_int_equal(stats_of(cache).n_live_peak, n);
		drop_cache(cache);
	}
}

/* ----------------------------------- bulk --------------------------------- */

static void
bulk_takes_from_magazines_and_fills_them(void **state)
{
	struct cubby_cache *cache = make_warm(NULL);
	struct cubby_cache_stats before = stats_of(cache), after;
	uint64_t n = before.n_idle_in_blocks + before.n_idle_in_depot;

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, n, objects));
	after = stats_of(cache);
	assert_int_equal(after.n_live, n);
	assert_int_equal(after.n_free, before.n_free); /* none of a slab */
	cubby_free_bulk(cache, n, objects);
	after = stats_of(cache);
	assert_int_equal(after.n_live, 0);
	assert_int_equal(after.n_free, before.n_free);
	/* One more than there are: the rest comes from the slabs. */
	assert_ok(cubby_alloc_bulk(cache, n + 1, objects));
	assert_int_equal(stats_of(cache).n_free, before.n_free - 1);
	cubby_free_bulk(cache, n + 1, objects);
	drop_cache(cache);
}

/* More than the depot may hold would be flushed: to the slabs at once. */
static void
bulk_free_beyond_the_bound_goes_to_the_slabs(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, BOUND_START + 1, objects));
	cubby_free_bulk(cache, BOUND_START + 1, objects);
	assert_int_equal(n_idle(cache), 0);
	assert_int_equal(stats_of(cache).n_live, 0);
	drop_cache(cache);
}

/* -------------------------------- callbacks ------------------------------- */

static struct {
	size_t n_init, n_fini;
	size_t refuse_at; /* from 1; 0: never */
} calls;

static int
init(void *object, void *context)
{
	(void)context;
	if (calls.n_init + 1 == calls.refuse_at) {
		calls.refuse_at = 0;
		return -1;
	}
	calls.n_init++;
	*(uint64_t *)object = 0x1717;
	return 0;
}

static void
fini(void *object, void *context)
{
	(void)context;
	calls.n_fini++;
	assert_int_equal(*(uint64_t *)object, 0x1717);
}

/* At whichever cell of a magazine: nothing is lost, and set up once only. */
static void
refill_with_init_refused_loses_nothing(void **state)
{
	(void)state;
	for (size_t k = 1; k <= 50; k++) {
		struct cubby_cache *cache;
		size_t n = 0;

		memset(&calls, 0, sizeof(calls));
		cache = make_cache(OBJECT_BYTES,
				   &CUBBY_CACHE_ATTR(.init = init,
						     .fini = fini));
		calls.refuse_at = k;
		while (n < 100) {
			objects[n] = cubby_alloc(cache);
			if (objects[n] != NULL)
				assert_int_equal(*(uint64_t *)objects[n++],
						 0x1717);
			assert_int_equal(stats_of(cache).n_live, n);
		}
		assert_int_equal(calls.refuse_at, 0);
		assert_true(stats_of(cache).n_alloc_failures <= 1);
		assert_true(calls.n_init <=
			    n + n_idle(cache) + stats_of(cache).n_free);
		free_each(cache, n);
		assert_ok(cubby_cache_shrink(cache, NULL));
		assert_int_equal(calls.n_fini, calls.n_init);
		drop_cache(cache);
		assert_int_equal(calls.n_fini, calls.n_init);
	}
}

static void
idle_cells_are_not_live_for_any_question(void **state)
{
	struct cubby_cache *cache = make_warm(NULL);
	struct cubby_walk *walk = NULL;
	struct cubby_run run;
	void *object = must_alloc(cache);

	(void)state;
	assert_int_equal(cubby_is_live(cache, object), 1);
	assert_ok(cubby_walk_create(&walk, cache));
	assert_int_equal(cubby_walk_next(walk, &run), 1);
	assert_ptr_equal(run.first, object);
	assert_int_equal(run.n_objects, 1);
	assert_int_equal(cubby_walk_next(walk, &run), 0);
	cubby_walk_destroy(walk);
	cubby_free(cache, object);
	assert_int_equal(cubby_is_live(cache, object), 0);
	drop_cache(cache);
}

/* --------------------------------- thinning ------------------------------- */

/* All but one of many objects freed, past the magazines. */
static uint64_t
n_thinned(const struct cubby_cache_attr *attr, bool walk)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, attr);
	struct cubby_walk *open = NULL;
	uint64_t n;

	assert_ok(cubby_alloc_bulk(cache, 1000, objects));
	if (walk)
		assert_ok(cubby_walk_create(&open, cache));
	free_each(cache, 999);
	if (!walk)
		assert_ok(cubby_cache_shrink(cache, NULL));
	cubby_free_bulk(cache, 0, NULL);
	n = stats_of(cache).n_thinned;
	cubby_walk_destroy(open);
	cubby_free(cache, objects[999]);
	drop_cache(cache);
	return n;
}

static void
thinning_spares_what_is_set_up_or_was_asked_for(void **state)
{
	memset(&calls, 0, sizeof(calls));
	(void)state;
	assert_true(n_thinned(NULL, false) > 0);
	assert_int_equal(n_thinned(NULL, true), 0);
	assert_int_equal(n_thinned(&CUBBY_CACHE_ATTR(.init = init), false), 0);
	assert_int_equal(n_thinned(&CUBBY_CACHE_ATTR(.prefault_objects = 1000),
				   false),
			 0);
}

/* ------------------------------- attributes ------------------------------- */

static void
magazine_capacity_is_what_was_asked_for(void **state)
{
	static const uint64_t capacities[] = { 1, 2, 7, 64, CAPACITY_MAX };

	(void)state;
	for (size_t i = 0; i < 5; i++) {
		struct cubby_cache *cache = make_cache(
			OBJECT_BYTES,
			&CUBBY_CACHE_ATTR(.magazine_capacity = capacities[i]));

		alloc_each(cache, 2000);
		free_each(cache, 2000);
		assert_int_equal(stats_of(cache).magazine_capacity,
				 capacities[i]);
		assert_in_range(stats_of(cache).n_idle_in_blocks, 1,
				2 * capacities[i]);
		drop_cache(cache);
	}
}

static void
magazine_capacity_beyond_the_most_is_refused(void **state)
{
	struct cubby_cache *cache = NULL;

	(void)state;
	assert_refused(
		cubby_cache_create_sized(
			&cache, "thing", 8, 0,
			&CUBBY_CACHE_ATTR(.magazine_capacity = 121)),
		-EINVAL,
		"magazine_capacity is 121: a magazine holds at most 120 "
		"cells");
	assert_null(cache);
}

static void
max_idle_bytes_bounds_the_depot(void **state)
{
	static const uint64_t bytes[] = { 1, OBJECT_BYTES, 64 << 10 };

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct cubby_cache *cache = make_cache(
			OBJECT_BYTES,
			&CUBBY_CACHE_ATTR(.max_idle_bytes = bytes[i]));

		for (size_t round = 0; round < 200; round++) {
			alloc_each(cache, 3000);
			free_each(cache, 3000);
			/* One magazine more makes it flush. */
			assert_in_range(stats_of(cache).n_idle_in_depot, 0,
					bytes[i] / OBJECT_BYTES +
						CAPACITY_MAX);
		}
		drop_cache(cache);
	}
}

static void
no_magazines_leaves_nothing_idle(void **state)
{
	struct cubby_cache *cache = make_cache(
		OBJECT_BYTES,
		&CUBBY_CACHE_ATTR(.flags = CUBBY_CACHE_NO_MAGAZINES));
	struct cubby_cache_stats stats;

	(void)state;
	alloc_each(cache, 100);
	free_each(cache, 100);
	stats = stats_of(cache);
	assert_int_equal(stats.front_end, CUBBY_FRONT_NONE);
	assert_int_equal(stats.front_reason, CUBBY_FRONT_REASON_FLAG);
	assert_int_equal(stats.front_index, CUBBY_FRONT_INDEX_NONE);
	assert_int_equal(stats.is_fast, 0);
	assert_int_equal(stats.n_idle_in_blocks + stats.n_idle_in_depot, 0);
	assert_int_equal(stats.n_direct_allocs, 100);
	assert_int_equal(stats.n_direct_frees, 100);
	assert_int_equal(stats.n_live_peak, 100);
	drop_cache(cache);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(allocated_in_turn_lies_in_turn),
		cmocka_unit_test(
			exchange_around_a_boundary_stays_in_the_block),
		cmocka_unit_test(exchange_of_a_burst_goes_through_the_depot),
		cmocka_unit_test(
			thread_exit_leaves_its_magazines_to_the_depot),
		cmocka_unit_test(
			capacity_doubles_at_each_refill_up_to_the_most),
		cmocka_unit_test(capacity_of_large_cells_is_bounded_in_bytes),
		cmocka_unit_test(free_only_ends_with_a_small_depot),
		cmocka_unit_test(refills_soon_after_flushes_double_the_bound),
		cmocka_unit_test(flush_keeps_the_lowest_cells),
		cmocka_unit_test(shrink_takes_back_what_all_threads_hold),
		cmocka_unit_test(max_objects_counts_idle_cells_as_free),
		cmocka_unit_test(bulk_takes_from_magazines_and_fills_them),
		cmocka_unit_test(bulk_free_beyond_the_bound_goes_to_the_slabs),
		cmocka_unit_test(refill_with_init_refused_loses_nothing),
		cmocka_unit_test(idle_cells_are_not_live_for_any_question),
		cmocka_unit_test(
			thinning_spares_what_is_set_up_or_was_asked_for),
		cmocka_unit_test(magazine_capacity_is_what_was_asked_for),
		cmocka_unit_test(magazine_capacity_beyond_the_most_is_refused),
		cmocka_unit_test(max_idle_bytes_bounds_the_depot),
		cmocka_unit_test(no_magazines_leaves_nothing_idle),
	};

	add_options("front=thread"); /* wins over what was given */
	return cmocka_run_group_tests_name("front", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Allocation and free while a callback of another thread runs on the same
 * cells; and requests that can never be met, which must change nothing.  That
 * an object is freed while its dtor runs is told without magazines only.
 *
 * Misuse is counted here and does not end the process.
 */
#include "unit/with_cache.h"

#include <pthread.h>
#include <semaphore.h>

enum {
	FINI_US = 5000, /* well under the 100 ms that alloc waits */
	N_LIMIT = 1000
};

#define GIANT_BYTES ((size_t)1 << 20)
#define MORE_THAN_ADDRESSES ((size_t)1 << 26) /* 64 TiB of giants */

/* A callback that stops at its first call, if told to, until it may go on. */
static struct {
	sem_t entered;
	sem_t may_go;
	int will_stop;
	size_t n_dtor;
	size_t n_fini;
} calls;

static void
stop_once(void)
{
	if (!__atomic_exchange_n(&calls.will_stop, 0, __ATOMIC_SEQ_CST))
		return;
	sem_post(&calls.entered);
	while (sem_wait(&calls.may_go) != 0)
		continue;
}

static void
dtor(void *object, void *context)
{
	(void)object;
	(void)context;
	__atomic_add_fetch(&calls.n_dtor, 1, __ATOMIC_SEQ_CST);
	stop_once();
}

static int
init(void *object, void *context)
{
	(void)object;
	(void)context;
	return 0;
}

static void
fini(void *object, void *context)
{
	(void)object;
	(void)context;
	__atomic_add_fetch(&calls.n_fini, 1, __ATOMIC_SEQ_CST);
	stop_once();
}

static int
setup(void **state)
{
	(void)state;
	memset(&calls, 0, sizeof(calls));
	sem_init(&calls.entered, 0, 0);
	sem_init(&calls.may_go, 0, 0);
	return 0;
}

static pthread_t
start(void *(*body)(void *), void *argument)
{
	pthread_t thread;

	calls.will_stop = 1;
	assert_int_equal(pthread_create(&thread, NULL, body, argument), 0);
	while (sem_wait(&calls.entered) != 0)
		continue;
	return thread;
}

static void
go_on_and_join(pthread_t thread)
{
	sem_post(&calls.may_go);
	assert_int_equal(pthread_join(thread, NULL), 0);
}

/* ------------------------------- double free ----------------------------- */

static void *
free_it(void *object)
{
	cubby_free_any(object);
	return NULL;
}

static void
free_while_dtor_runs_is_one_double_free(void **state)
{
	struct cubby_cache *cache = make_cache(
		64, &CUBBY_CACHE_ATTR(.dtor = dtor));
	void *object = must_alloc(cache);
	uint64_t n_before = cubby_misuse_count();
	pthread_t thread;

	(void)state;
	thread = start(free_it, object);
	assert_int_equal(cubby_is_live(cache, object), 0);
	cubby_free(cache, object);
	assert_int_equal(cubby_misuse_count(), n_before + 1);
	assert_int_equal(calls.n_dtor, 1);
	assert_int_equal(stats_of(cache).n_live, 1); /* until dtor ends */
	assert_ptr_not_equal(must_alloc(cache), object);
	go_on_and_join(thread);
	assert_int_equal(cubby_misuse_count(), n_before + 1);
	assert_int_equal(calls.n_dtor, 1);
	assert_int_equal(stats_of(cache).n_live, 1);
	assert_int_equal(cubby_is_live(cache, object), 0);
	assert_ptr_equal(must_alloc(cache), object);
	assert_int_equal(cubby_is_live(cache, object), 1);
	assert_ok(cubby_cache_destroy_force(cache));
	assert_int_equal(calls.n_dtor, 3);
}

static void
free_bulk_while_dtor_runs_frees_the_others(void **state)
{
	struct cubby_cache *cache = make_cache(
		64, &CUBBY_CACHE_ATTR(.dtor = dtor));
	uint64_t n_before = cubby_misuse_count();
	void *objects[3];
	pthread_t thread;

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 3, objects));
	thread = start(free_it, objects[1]);
	cubby_free_bulk(cache, 3, objects);
	assert_int_equal(cubby_misuse_count(), n_before + 1);
	assert_int_equal(calls.n_dtor, 3);
	go_on_and_join(thread);
	assert_int_equal(stats_of(cache).n_live, 0);
	assert_int_equal(calls.n_dtor, 3);
	drop_cache(cache);
}

static void
free_bulk_of_the_same_twice_runs_dtor_once(void **state)
{
	struct cubby_cache *cache = make_cache(
		64, &CUBBY_CACHE_ATTR(.dtor = dtor));
	uint64_t n_before = cubby_misuse_count();
	void *objects[3], *pointers[6];

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 3, objects));
	pointers[0] = objects[0];
	pointers[1] = objects[1];
	pointers[2] = objects[0];
	pointers[3] = NULL;
	pointers[4] = objects[2];
	pointers[5] = NULL;
	cubby_free_bulk(cache, 6, pointers);
	assert_int_equal(cubby_misuse_count(), n_before + 1);
	assert_int_equal(calls.n_dtor, 3);
	assert_int_equal(stats_of(cache).n_live, 0);
	drop_cache(cache);
}

/* -------------------------- the last cells in fini ----------------------- */

static void *
shrink_it(void *cache)
{
	cubby_cache_shrink(cache, NULL);
	return NULL;
}

static void *
let_go_soon(void *nothing)
{
	usleep(FINI_US);
	sem_post(&calls.may_go);
	return nothing;
}

static struct cubby_cache *
make_cache_with_fini(uint64_t max_objects)
{
	struct cubby_cache *cache = make_cache(
		64, &CUBBY_CACHE_ATTR(.max_objects = max_objects, .init = init,
				      .fini = fini));

	cubby_free(cache, must_alloc(cache));
	return cache;
}

static void
alloc_last_cell_in_fini_waits_and_succeeds(void **state)
{
	struct cubby_cache *cache = make_cache_with_fini(1);
	pthread_t thread, helper;
	void *object;

	(void)state;
	thread = start(shrink_it, cache);
	assert_int_equal(pthread_create(&helper, NULL, let_go_soon, NULL), 0);
	object = must_alloc(cache);
	assert_int_equal(pthread_join(helper, NULL), 0);
	assert_int_equal(pthread_join(thread, NULL), 0);
	assert_int_equal(calls.n_fini, 1);
	assert_int_equal(stats_of(cache).n_limit_hits, 0);
	assert_int_equal(stats_of(cache).n_alloc_failures, 0);
	cubby_free(cache, object);
	drop_cache(cache);
}

static void
alloc_last_cell_in_a_fini_without_end_fails(void **state)
{
	struct cubby_cache *cache = make_cache_with_fini(1);
	pthread_t thread = start(shrink_it, cache);

	(void)state;
	assert_null(cubby_alloc(cache));
	assert_int_equal(errno, ENOMEM);
	assert_int_equal(stats_of(cache).n_limit_hits, 1);
	assert_int_equal(stats_of(cache).n_alloc_failures, 1);
	go_on_and_join(thread);
	cubby_free(cache, must_alloc(cache));
	drop_cache(cache);
}

/* ------------------------ requests that cannot be met -------------------- */

static void
alloc_bulk_over_max_objects_opens_no_slab(void **state)
{
	struct cubby_cache *cache = make_cache(
		1000, &CUBBY_CACHE_ATTR(.max_objects = N_LIMIT));
	struct cubby_cache_stats before, after;
	void *objects[N_LIMIT + 1];

	(void)state;
	objects[N_LIMIT] = must_alloc(cache);
	before = stats_of(cache);
	assert_int_equal(cubby_alloc_bulk(cache, N_LIMIT, objects), -ENOMEM);
	assert_int_equal(cubby_alloc_bulk(cache, N_LIMIT + 1, objects),
			 -ENOMEM);
	after = stats_of(cache);
	assert_int_equal(after.n_slabs, before.n_slabs);
	assert_int_equal(after.n_slabs_opened, before.n_slabs_opened);
	assert_int_equal(after.n_live, 1);
	assert_int_equal(after.n_live_peak, 1);
	assert_int_equal(after.n_limit_hits, 2);
	assert_int_equal(after.n_alloc_failures, 2);
	assert_ok(cubby_alloc_bulk(cache, N_LIMIT - 1, objects));
	assert_ok(cubby_cache_destroy_force(cache));
}

static void
alloc_bulk_over_the_address_space_opens_no_slab(void **state)
{
	struct cubby_cache *cache = make_cache(GIANT_BYTES, NULL);
	struct cubby_cache_stats before, after;
	void *objects[1] = { NULL };

	(void)state;
	cubby_free(cache, must_alloc(cache));
	before = stats_of(cache);
	assert_int_equal(cubby_alloc_bulk(cache, MORE_THAN_ADDRESSES, objects),
			 -ENOMEM);
	assert_null(objects[0]);
	after = stats_of(cache);
	assert_int_equal(after.n_slabs, before.n_slabs);
	assert_int_equal(after.n_slabs_opened, before.n_slabs_opened);
	assert_int_equal(after.n_limit_hits, 0);
	assert_int_equal(after.n_alloc_failures, 1);
	drop_cache(cache);
}

int
main(void)
{
	const struct CMUnitTest dtor_tests[] = {
		cmocka_unit_test_setup(free_while_dtor_runs_is_one_double_free,
				       setup),
		cmocka_unit_test_setup(
			free_bulk_while_dtor_runs_frees_the_others, setup),
		cmocka_unit_test_setup(
			free_bulk_of_the_same_twice_runs_dtor_once, setup),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup(
			alloc_last_cell_in_fini_waits_and_succeeds, setup),
		cmocka_unit_test_setup(
			alloc_last_cell_in_a_fini_without_end_fails, setup),
		cmocka_unit_test(alloc_bulk_over_max_objects_opens_no_slab),
		cmocka_unit_test(
			alloc_bulk_over_the_address_space_opens_no_slab),
	};

	int n_failed;

	add_options("misuse=continue");
	n_failed = RUN_WITHOUT_MAGAZINES("free amid dtor", dtor_tests);
	return n_failed +
	       cmocka_run_group_tests_name("alloc_threads", tests, NULL, NULL);
}

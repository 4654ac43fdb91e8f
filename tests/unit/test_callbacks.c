/* SPDX-License-Identifier: MIT */
/*
 * init, fini, ctor and dtor: how often, in which order, and what is left when
 * one of them refuses, at every place where it can; and clearing.
 */
#include "unit/with_cache.h"

/* One cache's calls so far; refuse_at: which call of ctor or init says no. */
struct calls {
	size_t n_init, n_fini, n_ctor, n_dtor;
	size_t refuse_init_at, refuse_ctor_at; /* from 1; 0: never */
	char trace[64];                        /* the first calls, by letter */
	size_t n_traced;
	void *last;
};

static void
trace(struct calls *calls, char letter, void *object)
{
	if (calls->n_traced < sizeof(calls->trace) - 1)
		calls->trace[calls->n_traced++] = letter;
	calls->last = object;
}

static int
init(void *object, void *context)
{
	struct calls *calls = context;

	trace(calls, 'i', object);
	if (++calls->n_init == calls->refuse_init_at) {
		calls->n_init--;
		calls->refuse_init_at = 0;
		return -1;
	}
	*(uint64_t *)object = 0x1717;
	return 0;
}

static void
fini(void *object, void *context)
{
	struct calls *calls = context;

	trace(calls, 'f', object);
	calls->n_fini++;
	assert_int_equal(*(uint64_t *)object, 0x1717);
}

static int
ctor(void *object, void *context)
{
	struct calls *calls = context;

	trace(calls, 'c', object);
	if (++calls->n_ctor == calls->refuse_ctor_at) {
		calls->n_ctor--;
		calls->refuse_ctor_at = 0;
		return 1;
	}
	return 0;
}

static void
dtor(void *object, void *context)
{
	struct calls *calls = context;

	trace(calls, 'd', object);
	calls->n_dtor++;
}

static struct cubby_cache *
make(struct calls *calls, size_t object_bytes)
{
	memset(calls, 0, sizeof(*calls));
	return make_cache(object_bytes,
			  &CUBBY_CACHE_ATTR(.init = init, .fini = fini,
					    .ctor = ctor, .dtor = dtor,
					    .context = calls));
}

static void
callbacks_run_once_per_cell_and_once_per_object(void **state)
{
	struct calls calls;
	struct cubby_cache *cache = make(&calls, 64);
	void *objects[2];

	(void)state;
	assert_string_equal(calls.trace, "");
	objects[0] = must_alloc(cache);
	assert_ptr_equal(calls.last, objects[0]);
	assert_string_equal(calls.trace, "ic");
	cubby_free(cache, objects[0]);
	assert_string_equal(calls.trace, "icd");
	assert_ptr_equal(must_alloc(cache), objects[0]);
	assert_string_equal(calls.trace, "icdc"); /* the cell is set up */
	objects[1] = must_alloc(cache);
	assert_string_equal(calls.trace, "icdcic");
	cubby_free_bulk(cache, 2, objects);
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_string_equal(calls.trace, "icdcicddff");
	assert_ptr_equal(must_alloc(cache), objects[0]);
	cubby_free_any(objects[0]);
	drop_cache(cache);
	assert_string_equal(calls.trace, "icdcicddfficdf");
}

static void
callbacks_balance_over_many_slabs(void **state)
{
	struct calls calls;
	struct cubby_cache *cache = make(&calls, 1000);
	struct cubby_cache_stats stats;
	size_t n = 1000;
	void **objects = calloc(n, sizeof(*objects));

	(void)state;
	for (int round = 0; round < 3; round++) {
		assert_ok(cubby_alloc_bulk(cache, n, objects));
		assert_in_range(calls.n_init - calls.n_fini, n,
				stats_of(cache).n_cells);
		assert_int_equal(calls.n_ctor - calls.n_dtor, n);
		cubby_free_bulk(cache, n, objects);
		assert_int_equal(calls.n_ctor, calls.n_dtor);
		/* What is set up lies in slabs that have pages. */
		stats = stats_of(cache);
		assert_in_range(calls.n_init - calls.n_fini, 0,
				stats.n_cells - stats.n_returned);
	}
	free(objects);
	drop_cache(cache);
	assert_int_equal(calls.n_init, calls.n_fini);
}

/* prefault populates pages but sets no cell up before it is used. */
static void
init_of_prefaulted_cells_runs_before_use(void **state)
{
	struct calls calls = { .n_init = 0 };
	struct cubby_cache *cache = make_cache(
		64,
		&CUBBY_CACHE_ATTR(.init = init, .fini = fini,
				  .context = &calls, .prefault_objects = 100));
	uint64_t *object = must_alloc(cache);

	(void)state;
	assert_int_equal(*object, 0x1717);
	cubby_free(cache, object);
	drop_cache(cache);
	assert_int_equal(calls.n_init, calls.n_fini);
	assert_true(calls.n_init >= 1);
}

static void
init_without_fini_runs_again_after_return(void **state)
{
	struct calls calls = { .n_init = 0 };
	struct cubby_cache *cache = make_cache(
		64, &CUBBY_CACHE_ATTR(.init = init, .context = &calls));
	size_t n_init;

	(void)state;
	cubby_free(cache, must_alloc(cache));
	n_init = calls.n_init; /* of the first magazine */
	assert_true(n_init >= 1);
	cubby_free(cache, must_alloc(cache));
	assert_int_equal(calls.n_init, n_init);
	assert_ok(cubby_cache_shrink(cache, NULL));
	cubby_free(cache, must_alloc(cache));
	assert_true(calls.n_init > n_init);
	drop_cache(cache);
}

static void
fini_without_init_runs_for_used_cells(void **state)
{
	struct calls calls = { .n_init = 0 };
	struct cubby_cache *cache = make_cache(
		64, &CUBBY_CACHE_ATTR(.fini = fini, .context = &calls));
	uint64_t *object = must_alloc(cache);

	(void)state;
	*object = 0x1717; /* what fini here asks for */
	cubby_free(cache, object);
	drop_cache(cache);
	assert_int_equal(calls.n_fini, 1);
}

/* -------------------------------- refusals ------------------------------- */

static void
init_refusing_leaves_the_cell_free(void **state)
{
	struct calls calls;
	struct cubby_cache *cache = make(&calls, 64);
	void *object;

	(void)state;
	calls.refuse_init_at = 1;
	errno = 0;
	assert_null(cubby_alloc(cache));
	assert_int_equal(errno, ENOMEM);
	object = calls.last;
	assert_string_equal(calls.trace, "i"); /* no ctor, no dtor, no fini */
	assert_int_equal(stats_of(cache).n_live, 0);
	assert_int_equal(stats_of(cache).n_alloc_failures, 1);
	assert_ptr_equal(must_alloc(cache), object);
	assert_string_equal(calls.trace, "iic");
	cubby_free(cache, object);
	drop_cache(cache);
	assert_int_equal(calls.n_init, calls.n_fini);
}

static void
ctor_refusing_leaves_the_cell_set_up(void **state)
{
	struct calls calls;
	struct cubby_cache *cache = make(&calls, 64);
	void *object;

	(void)state;
	calls.refuse_ctor_at = 1;
	errno = 0;
	assert_null(cubby_alloc(cache));
	assert_int_equal(errno, ENOMEM);
	object = calls.last;
	assert_ptr_equal(must_alloc(cache), object);
	assert_string_equal(calls.trace, "icc");
	cubby_free(cache, object);
	drop_cache(cache);
	assert_int_equal(calls.n_init, calls.n_fini);
	assert_int_equal(calls.n_ctor, calls.n_dtor);
}

/* Bulk: whichever object is refused, nothing is left of the others. */
static void
check_bulk(size_t n, size_t k, bool by_init)
{
	struct calls calls;
	struct cubby_cache *cache = make(&calls, 504);
	void **objects = calloc(n, sizeof(*objects));

	if (by_init)
		calls.refuse_init_at = k;
	else
		calls.refuse_ctor_at = k;
	assert_int_equal(cubby_alloc_bulk(cache, n, objects), -ENOMEM);
	assert_int_equal(calls.n_ctor, by_init ? 0 : k - 1);
	assert_int_equal(calls.n_dtor, calls.n_ctor);
	assert_int_equal(stats_of(cache).n_live, 0);
	assert_ok(cubby_alloc_bulk(cache, n, objects));
	assert_int_equal(calls.n_init - calls.n_fini, n);
	cubby_free_bulk(cache, n, objects);
	free(objects);
	drop_cache(cache);
	assert_int_equal(calls.n_init, calls.n_fini);
	assert_int_equal(calls.n_ctor, calls.n_dtor);
}

static void
bulk_refused_at_every_place_is_all_or_nothing(void **state)
{
	size_t n = 60;

	(void)state;
	for (size_t k = 1; k <= n; k++) {
		check_bulk(n, k, true);
		check_bulk(n, k, false);
	}
	/* Over several slabs, some of which go back at once. */
	check_bulk(1000, 1, true);
	check_bulk(1000, 700, true);
	check_bulk(1000, 700, false);
	check_bulk(1000, 1000, false);
}

/* -------------------------------- clearing ------------------------------- */

struct is_zero {
	size_t n_bytes;
	size_t n_calls;
};

/* A ctor that finds its object all zero. */
static int
expect_zeroes(void *object, void *context)
{
	struct is_zero *expect = context;
	unsigned char *bytes = object;

	for (size_t i = 0; i < expect->n_bytes; i++)
		assert_int_equal(bytes[i], 0);
	expect->n_calls++;
	memset(bytes, 0xff, expect->n_bytes);
	return 0;
}

static void
zero_clears_every_object_before_ctor(void **state)
{
	struct is_zero expect = { .n_bytes = 100 };
	struct cubby_cache *cache = make_cache(
		100,
		&CUBBY_CACHE_ATTR(.flags = CUBBY_CACHE_ZERO,
				  .ctor = expect_zeroes, .context = &expect));
	void *objects[20];

	(void)state;
	cubby_free(cache, must_alloc(cache));
	cubby_free(cache, must_alloc(cache));
	assert_ok(cubby_alloc_bulk(cache, 20, objects));
	cubby_free_bulk(cache, 20, objects);
	assert_int_equal(expect.n_calls, 22);
	drop_cache(cache);
}

static void
zalloc_clears_this_object_before_ctor(void **state)
{
	struct is_zero expect = { .n_bytes = 100 };
	struct cubby_cache *cache = make_cache(
		100,
		&CUBBY_CACHE_ATTR(.ctor = expect_zeroes, .context = &expect));
	void *object = cubby_zalloc(cache);

	(void)state;
	cubby_free(cache, object);
	assert_ptr_equal(cubby_zalloc(cache), object);
	assert_int_equal(expect.n_calls, 2);
	cubby_free(cache, object);
	drop_cache(cache);
}

static void
zalloc_leaves_the_neighbours_alone(void **state)
{
	struct cubby_cache *cache = make_cache(13, NULL);
	unsigned char *objects[3];

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 3, (void **)objects));
	for (size_t i = 0; i < 3; i++)
		memset(objects[i], 0xff, 13);
	cubby_free(cache, objects[1]);
	assert_ptr_equal(cubby_zalloc(cache), objects[1]);
	for (size_t i = 0; i < 13; i++) {
		assert_int_equal(objects[0][i], 0xff);
		assert_int_equal(objects[1][i], 0);
		assert_int_equal(objects[2][i], 0xff);
	}
	cubby_free_bulk(cache, 3, (void **)objects);
	drop_cache(cache);
}

int
main(void)
{
	/* Cell by cell: with magazines, init runs for many of them at once. */
	const struct CMUnitTest cell_tests[] = {
		cmocka_unit_test(
			callbacks_run_once_per_cell_and_once_per_object),
		cmocka_unit_test(fini_without_init_runs_for_used_cells),
		cmocka_unit_test(init_refusing_leaves_the_cell_free),
		cmocka_unit_test(ctor_refusing_leaves_the_cell_set_up),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(callbacks_balance_over_many_slabs),
		cmocka_unit_test(init_of_prefaulted_cells_runs_before_use),
		cmocka_unit_test(init_without_fini_runs_again_after_return),
		cmocka_unit_test(
			bulk_refused_at_every_place_is_all_or_nothing),
		cmocka_unit_test(zero_clears_every_object_before_ctor),
		cmocka_unit_test(zalloc_clears_this_object_before_ctor),
		cmocka_unit_test(zalloc_leaves_the_neighbours_alone),
	};

	int n_failed = RUN_WITHOUT_MAGAZINES("callbacks of cells", cell_tests);

	return n_failed +
	       cmocka_run_group_tests_name("callbacks", tests, NULL, NULL);
}

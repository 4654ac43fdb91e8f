/* SPDX-License-Identifier: MIT */
/*
 * Objects: exact fit, order of refill, limits, callbacks and the way of pages
 * back to the kernel, as cache.h states them.
 */
#include "unit/with_cache.h"

/* ------------------------------- exact fit ------------------------------- */

/* All objects of `n` hold what was written to them and nothing else. */
static void
check_pattern(char *const *objects, size_t n, size_t object_bytes)
{
	for (size_t i = 0; i < n; i++)
		for (size_t j = 0; j < object_bytes; j++)
			if (objects[i][j] != (char)(i * 7 + 1))
				fail_msg("%zu bytes: object %zu, byte %zu",
					 object_bytes, i, j);
}

static void
check_fit(size_t object_bytes)
{
	struct cubby_cache *cache = make_cache(object_bytes, NULL);
	size_t n = stats_of(cache).cells_per_slab;
	char *objects[40];

	if (n > 40)
		n = 40;
	assert_ok(cubby_alloc_bulk(cache, n, (void **)objects));
	for (size_t i = 0; i < n; i++) {
		assert_ptr_equal(objects[i], objects[0] + i * object_bytes);
		memset(objects[i], (int)(i * 7 + 1), object_bytes);
	}
	check_pattern(objects, n, object_bytes);
	/* Free touches nothing, where the page holds other objects. */
	cubby_free(cache, objects[n / 2]);
	check_pattern(objects, n, object_bytes);
	objects[n / 2] = NULL;
	cubby_free_bulk(cache, n, (void **)objects);
	drop_cache(cache);
}

static void
alloc_every_size_fits_exactly(void **state)
{
	size_t step = 2040 / scaled(2040) + 1;

	(void)state;
	if (scaled(2040) > 2040)
		step = 1;
	for (size_t object_bytes = 8; object_bytes <= 2048;
	     object_bytes += step)
		check_fit(object_bytes);
}

/* Across slabs and, if there is a range, without any gap. */
static void
alloc_100000_objects_are_one_array(void **state)
{
	bool chunks = in_chunks();
	struct cubby_cache *cache = make_cache(24, NULL);
	size_t n = 100000;
	char **objects = calloc(n, sizeof(*objects));

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, n, (void **)objects));
	for (size_t i = 1; i < n && !chunks; i++)
		assert_ptr_equal(objects[i], objects[0] + i * 24);
	assert_int_equal(stats_of(cache).n_live, n);
	cubby_free_bulk(cache, n, (void **)objects);
	free(objects);
	drop_cache(cache);
	if (chunks)
		print_message("in chunks: no gap was looked for\n");
}

static void
alloc_refills_the_lowest_cell_first(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	size_t n = stats_of(cache).cells_per_slab;
	char **objects = calloc(n, sizeof(*objects));
	static const size_t holes[] = { 700, 3, 64, 511, 63 };
	static const size_t sorted[] = { 3, 63, 64, 511, 700 };

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, n, (void **)objects));
	for (size_t i = 0; i < 5; i++)
		cubby_free(cache, objects[holes[i]]);
	assert_ok(cubby_cache_shrink(cache, NULL)); /* out of magazines */
	for (size_t i = 0; i < 5; i++)
		assert_ptr_equal(must_alloc(cache), objects[sorted[i]]);
	cubby_free_bulk(cache, n, (void **)objects);
	free(objects);
	drop_cache(cache);
}

static void
alloc_prefers_the_fullest_slab(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	size_t n = stats_of(cache).cells_per_slab;
	char **objects = calloc(2 * n, sizeof(*objects));

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 2 * n, (void **)objects));
	cubby_free_bulk(cache, n - 1, (void **)objects);
	cubby_free(cache, objects[2 * n - 1]);
	assert_ok(cubby_cache_shrink(cache, NULL)); /* out of magazines */
	assert_ptr_equal(must_alloc(cache), objects[2 * n - 1]);
	assert_ptr_equal(must_alloc(cache), objects[0]);
	cubby_free(cache, objects[0]);
	cubby_free_bulk(cache, n + 1, (void **)objects + n - 1);
	free(objects);
	drop_cache(cache);
}

static void
alloc_keeps_errno_and_content(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	char zeroes[64] = { 0 };
	char *object;

	(void)state;
	errno = EXDEV;
	object = must_alloc(cache);
	assert_memory_equal(object, zeroes, 64); /* the first time */
	memset(object, 0x5a, 64);
	cubby_free(cache, object);
	assert_ptr_equal(must_alloc(cache), object);
	assert_int_equal(object[63], 0x5a);
	cubby_free_any(object);
	cubby_free(cache, NULL);
	assert_int_equal(errno, EXDEV);
	drop_cache(cache);
}

/* ---------------------------------- bulk --------------------------------- */

static void
bulk_writes_addresses_in_order(void **state)
{
	struct cubby_cache *cache = make_cache(40, NULL);
	void *few[3], *same;
	void **many = calloc(3000, sizeof(*many));

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 0, NULL));
	same = few;
	assert_ok(cubby_alloc_bulk(cache, 0, &same));
	assert_ptr_equal(same, few);
	assert_ok(cubby_alloc_bulk(cache, 3, few));
	assert_true(few[0] < few[1] && few[1] < few[2]);
	cubby_free(cache, few[1]);
	assert_ok(cubby_alloc_bulk(cache, 1000, many));
	assert_ptr_equal(many[0], few[1]);
	for (size_t i = 1; i < 1000; i++)
		assert_true(many[i - 1] < many[i]);
	cubby_free_bulk(cache, 1000, many);
	assert_int_equal(stats_of(cache).n_live, 2);
	few[1] = NULL;
	cubby_free_bulk(cache, 3, few);
	free(many);
	drop_cache(cache);
}

static void
bulk_absurd_count_fails_with_nothing_changed(void **state)
{
	struct cubby_cache *cache = make_cache(40, NULL);
	void *untouched = cache;

	(void)state;
	errno = EXDEV;
	assert_int_equal(cubby_alloc_bulk(cache, SIZE_MAX, &untouched),
			 -ENOMEM);
	assert_int_equal(errno, EXDEV);
	assert_ptr_equal(untouched, cache);
	assert_int_equal(stats_of(cache).n_live, 0);
	assert_int_equal(stats_of(cache).n_alloc_failures, 1);
	drop_cache(cache);
}

/* --------------------------------- limits -------------------------------- */

static void
max_objects_is_exact(void **state)
{
	static const size_t limits[] = { 1, 2, 63, 64, 65, 1000, 5000 };

	(void)state;
	for (size_t i = 0; i < sizeof(limits) / sizeof(limits[0]); i++) {
		size_t n = limits[i];
		struct cubby_cache *cache = make_cache(
			100, &CUBBY_CACHE_ATTR(.max_objects = n));
		void **objects = calloc(n + 1, sizeof(*objects));

		assert_int_equal(cubby_alloc_bulk(cache, n + 1, objects),
				 -ENOMEM);
		assert_string_equal(cubby_error_name(-ENOMEM), "ENOMEM");
		assert_int_equal(stats_of(cache).n_live, 0);
		assert_ok(cubby_alloc_bulk(cache, n, objects));
		errno = 0;
		assert_null(cubby_alloc(cache));
		assert_int_equal(errno, ENOMEM);
		cubby_free(cache, objects[n / 2]);
		assert_ptr_equal(must_alloc(cache), objects[n / 2]);
		assert_int_equal(stats_of(cache).n_cells, n);
		assert_int_equal(stats_of(cache).n_limit_hits, 2);
		assert_int_equal(stats_of(cache).max_cells, n);
		cubby_free_bulk(cache, n, objects);
		free(objects);
		drop_cache(cache);
	}
}

static void
max_bytes_allows_whole_cells(void **state)
{
	struct cubby_cache *cache = make_cache(
		100, &CUBBY_CACHE_ATTR(.max_bytes = 1099));
	void *objects[11];

	(void)state;
	assert_int_equal(stats_of(cache).max_cells, 10);
	assert_int_equal(cubby_alloc_bulk(cache, 11, objects), -ENOMEM);
	assert_string_equal(cubby_error_detail(),
			    "cache 'thing': no 11 objects at once: no memory, "
			    "a limit was reached, or init or ctor refused");
	assert_ok(cubby_alloc_bulk(cache, 10, objects));
	cubby_free_bulk(cache, 10, objects);
	drop_cache(cache);
	cache = make_cache(100, &CUBBY_CACHE_ATTR(.max_bytes = 1000,
						  .max_objects = 3));
	assert_int_equal(stats_of(cache).max_cells, 3);
	drop_cache(cache);
	cache = make_cache(100, &CUBBY_CACHE_ATTR(.max_bytes = 100));
	assert_int_equal(stats_of(cache).max_cells, 1);
	drop_cache(cache);
}

struct limit {
	int n_calls;
	void *to_free;
	int answer;
};

static int
on_limit(struct cubby_cache *cache, void *context)
{
	struct limit *limit = context;

	limit->n_calls++;
	cubby_free(cache, limit->to_free);
	limit->to_free = NULL;
	return limit->answer;
}

static void
on_limit_decides_whether_to_try_once_more(void **state)
{
	struct limit limit = { .answer = 1 };
	struct cubby_cache *cache = make_cache(
		100, &CUBBY_CACHE_ATTR(.max_objects = 3, .on_limit = on_limit,
				       .context = &limit));
	void *objects[4];

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 3, objects));
	assert_int_equal(limit.n_calls, 0);
	assert_null(cubby_alloc(cache)); /* tried once more, in vain */
	assert_int_equal(limit.n_calls, 1);
	limit.to_free = objects[1];
	assert_ptr_equal(cubby_alloc(cache), objects[1]);
	assert_int_equal(limit.n_calls, 2);
	limit.answer = 0;
	limit.to_free = objects[1];
	assert_null(cubby_alloc(cache)); /* a cell is free, but 0 is 0 */
	assert_int_equal(limit.n_calls, 3);
	assert_int_equal(cubby_alloc_bulk(cache, 2, objects + 1), -ENOMEM);
	assert_int_equal(limit.n_calls, 4);
	assert_int_equal(stats_of(cache).n_live, 2);
	assert_int_equal(stats_of(cache).n_alloc_failures, 3);
	cubby_free(cache, objects[0]);
	cubby_free(cache, objects[2]);
	drop_cache(cache);
}

/* ---------------------------------- pages -------------------------------- */

/* Objects that fill `n_slabs` slabs, every byte written. */
static char **
fill_slabs(struct cubby_cache *cache, size_t n_slabs, size_t *ret_n)
{
	size_t n = n_slabs * stats_of(cache).cells_per_slab;
	char **objects = calloc(n, sizeof(*objects));

	assert_ok(cubby_alloc_bulk(cache, n, (void **)objects));
	for (size_t i = 0; i < n; i++)
		memset(objects[i], 1, cubby_cache_cell_bytes(cache));
	*ret_n = n;
	return objects;
}

static size_t
n_resident(char *const *objects, size_t n)
{
	size_t n_found = 0;

	for (size_t i = 0; i < n; i++)
		n_found += is_resident(objects[i]);
	return n_found;
}

static void
free_in_random_order_gives_pages_back(void **state)
{
	struct cubby_cache *cache = make_cache(1000, NULL);
	size_t n, n_slabs = 20;
	char **objects = fill_slabs(cache, n_slabs, &n);
	struct cubby_cache_stats stats;
	uint64_t seed = 1, bytes = 0;

	(void)state;
	assert_int_equal(n_resident(objects, n), n);
	for (size_t i = n; i > 1; i--) {
		size_t j = random_below(&seed, i);
		char *swap = objects[i - 1];

		objects[i - 1] = objects[j];
		objects[j] = swap;
	}
	for (size_t i = 0; i < n; i++)
		cubby_free(cache, objects[i]);
	stats = stats_of(cache);
	assert_int_equal(stats.n_slabs_empty, 2); /* "up to two" are kept */
	assert_int_equal(stats.n_slabs_returned, n_slabs - 2);
	assert_int_equal(stats.n_slabs_closed, n_slabs - 2);
	/* Three slabs' worth: the third for pages that two share. */
	assert_true(n_resident(objects, n) <= 3 * stats.cells_per_slab);
	assert_ok(cubby_cache_shrink(cache, &bytes));
	assert_true(bytes >= stats.cells_per_slab * 1000);
	assert_int_equal(stats_of(cache).populated_bytes, 0);
	assert_int_equal(n_resident(objects, n), 0);
	assert_ok(cubby_cache_shrink(cache, &bytes));
	assert_int_equal(bytes, 0);
	assert_ok(cubby_cache_shrink(cache, NULL));
	free(objects);
	drop_cache(cache);
}

static void
shrink_keeps_pages_that_hold_an_object(void **state)
{
	struct cubby_cache *cache = make_cache(1000, NULL);
	size_t n, kept;
	char **objects = fill_slabs(cache, 5, &n);

	(void)state;
	kept = 2 * (n / 5) + 7; /* in the third slab */
	for (size_t i = 0; i < n; i++)
		if (i != kept)
			cubby_free(cache, objects[i]);
	assert_ok(cubby_cache_shrink(cache, NULL));
	for (size_t i = 0; i < 1000; i++)
		assert_int_equal(objects[kept][i], 1);
	assert_int_equal(stats_of(cache).n_slabs_returned, 4);
	assert_int_equal(stats_of(cache).n_slabs_partial, 1);
	/* Used again, the slab is served from its lowest cell, then the first,
	 * whose pages are new and zero. */
	assert_ptr_equal(must_alloc(cache), objects[2 * (n / 5)]);
	cubby_free(cache, objects[2 * (n / 5)]);
	cubby_free(cache, objects[kept]);
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_ptr_equal(must_alloc(cache), objects[0]);
	assert_int_equal(objects[0][0], 0);
	assert_int_equal(stats_of(cache).n_slabs_opened, 6);
	cubby_free(cache, objects[0]);
	free(objects);
	drop_cache(cache);
}

static void
prefaulted_slabs_stay_until_shrink(void **state)
{
	struct cubby_cache *cache = make_cache(
		1000, &CUBBY_CACHE_ATTR(.prefault_objects = 500));
	struct cubby_cache_stats before = stats_of(cache);
	size_t n;
	char **objects = fill_slabs(cache, 20, &n);

	(void)state;
	cubby_free_bulk(cache, n, (void **)objects);
	assert_int_equal(stats_of(cache).n_slabs_empty, before.n_slabs_empty);
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_int_equal(stats_of(cache).n_slabs_empty, 0);
	free(objects);
	drop_cache(cache);
}

static void
huge_pages_are_accepted(void **state)
{
	struct cubby_cache *cache = make_cache(
		1000, &CUBBY_CACHE_ATTR(.flags = CUBBY_CACHE_HUGE_PAGES));
	size_t n;
	char **objects = fill_slabs(cache, 40, &n);

	(void)state;
	assert_int_equal(stats_of(cache).n_live, n);
	cubby_free_bulk(cache, n, (void **)objects);
	free(objects);
	drop_cache(cache);
}

/* ------------------------------ random program --------------------------- */

/* Every step of a random program leaves numbers that add up. */
static void
random_program_adds_up_after_each_step(void **state)
{
	enum { N_MAX = 400 };
	struct cubby_cache *cache = make_cache(
		3000, &CUBBY_CACHE_ATTR(.max_objects = 350));
	uint64_t seed = 7, n_failed = 0, peak = 0;
	unsigned char *held[N_MAX];
	size_t n = 0, n_steps = scaled(20000);

	(void)state;
	for (size_t step = 0; step < n_steps; step++) {
		bool grow = random_below(&seed, 1000) <
			    (step / 1000 % 2 ? 300 : 700);
		struct cubby_cache_stats stats;

		if (grow && n < N_MAX) {
			unsigned char *object = cubby_alloc(cache);

			assert_true((object != NULL) == (n < 350));
			if (object != NULL) {
				object[0] = object[2999] = (unsigned char)n;
				held[n++] = object;
			} else {
				n_failed++;
			}
		} else if (n > 0) {
			size_t i = random_below(&seed, n);

			assert_int_equal(held[i][0], held[i][2999]);
			cubby_free(cache, held[i]);
			held[i] = held[--n];
		}
		if (random_below(&seed, 500) == 0)
			assert_ok(cubby_cache_shrink(cache, NULL));
		peak = n > peak ? n : peak;
		stats = stats_of(cache);
		assert_int_equal(stats.n_live, n);
		/* What was idle on another CPU counts. */
		assert_in_range(stats.n_live_peak, peak, 350);
		assert_int_equal(stats.n_alloc_failures, n_failed);
		assert_int_equal(stats.n_slabs_opened - stats.n_slabs_closed,
				 stats.n_slabs - stats.n_slabs_returned);
	}
	cubby_free_bulk(cache, n, (void **)held);
	drop_cache(cache);
}

int
main(void)
{
	const struct CMUnitTest slab_tests[] = {
		cmocka_unit_test(free_in_random_order_gives_pages_back),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(alloc_every_size_fits_exactly),
		cmocka_unit_test(alloc_100000_objects_are_one_array),
		cmocka_unit_test(alloc_refills_the_lowest_cell_first),
		cmocka_unit_test(alloc_prefers_the_fullest_slab),
		cmocka_unit_test(alloc_keeps_errno_and_content),
		cmocka_unit_test(bulk_writes_addresses_in_order),
		cmocka_unit_test(bulk_absurd_count_fails_with_nothing_changed),
		cmocka_unit_test(max_objects_is_exact),
		cmocka_unit_test(max_bytes_allows_whole_cells),
		cmocka_unit_test(on_limit_decides_whether_to_try_once_more),
		cmocka_unit_test(shrink_keeps_pages_that_hold_an_object),
		cmocka_unit_test(prefaulted_slabs_stay_until_shrink),
		cmocka_unit_test(huge_pages_are_accepted),
		cmocka_unit_test(random_program_adds_up_after_each_step),
	};

	int n_failed = RUN_WITHOUT_MAGAZINES("alloc from slabs", slab_tests);

	return n_failed +
	       cmocka_run_group_tests_name("alloc", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * The snapshot: each field where its value is known, the struct that may be
 * shorter or longer than the library's, and the table of columns.
 */
#include "unit/with_cache.h"

static void
snapshot_new_cache_shows_its_constants(void **state)
{
	struct cubby_cache *cache = NULL;
	struct cubby_cache_stats stats;

	(void)state;
	assert_ok(cubby_cache_create_sized(
		&cache, "t", 13, 8, &CUBBY_CACHE_ATTR(.max_objects = 10)));
	stats = stats_of(cache);
	assert_int_equal(stats.object_bytes, 13);
	assert_int_equal(stats.cell_bytes, 16);
	assert_int_equal(stats.align_bytes, 8);
	assert_int_equal(stats.cells_per_slab, 4096);
	assert_int_equal(stats.max_cells, 10);
	assert_int_equal(stats.n_cells, 0);
	assert_int_equal(stats.n_slabs, 0);
	assert_int_equal(stats.n_chunks, 0);
	drop_cache(cache);
}

static void
snapshot_follows_slabs_through_their_lanes(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	size_t n = stats_of(cache).cells_per_slab;
	void **objects = calloc(3 * n, sizeof(*objects));
	struct cubby_cache_stats stats;

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 2 * n + 1, objects));
	stats = stats_of(cache);
	assert_int_equal(stats.n_slabs, 3);
	assert_int_equal(stats.n_slabs_full, 2);
	assert_int_equal(stats.n_slabs_partial, 1);
	assert_int_equal(stats.n_cells, 3 * n);
	assert_int_equal(stats.n_free, n - 1);
	assert_int_equal(stats.populated_bytes, 3 * n * 64);
	assert_int_equal(stats.n_slabs_opened, 3);
	cubby_free_bulk(cache, 2 * n + 1, objects);
	stats = stats_of(cache);
	assert_int_equal(stats.n_live, 0);
	assert_int_equal(stats.n_live_peak, 2 * n + 1);
	assert_int_equal(stats.n_slabs_empty, 2);
	assert_int_equal(stats.n_slabs_returned, 1);
	assert_int_equal(stats.n_returned, n);
	assert_int_equal(stats.populated_bytes, 2 * n * 64);
	assert_int_equal(stats.n_slabs_closed, 1);
	assert_true(stats.bookkeeping_bytes >= 2048);
	free(objects);
	drop_cache(cache);
}

/* The last slab of a limited cache is as small as the limit makes it. */
static void
snapshot_counts_only_cells_that_may_be_used(void **state)
{
	struct cubby_cache *cache = make_cache(
		64, &CUBBY_CACHE_ATTR(.max_objects = 1030));
	void **objects = calloc(1030, sizeof(*objects));

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 1030, objects));
	assert_int_equal(stats_of(cache).n_cells, 1030);
	assert_int_equal(stats_of(cache).n_slabs_full, 2);
	cubby_free_bulk(cache, 1030, objects);
	free(objects);
	drop_cache(cache);
}

static void
snapshot_short_buffer_is_not_overrun(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	struct cubby_cache_stats whole = stats_of(cache), untouched;

	(void)state;
	memset(&untouched, 0x5a, sizeof(untouched));
	assert_ok(cubby_cache_stats_snapshot(cache, &whole));
	for (size_t bytes = 8; bytes <= sizeof(whole); bytes += 8) {
		struct cubby_cache_stats part = untouched;

		part.stats_bytes = bytes;
		assert_ok(cubby_cache_stats_snapshot(cache, &part));
		assert_int_equal(part.stats_bytes, bytes);
		/* Each snapshot makes the cache stand still once. */
		whole.n_quiesces++;
		assert_memory_equal((char *)&part + 8, (char *)&whole + 8,
				    bytes - 8);
		assert_memory_equal((char *)&part + bytes,
				    (char *)&untouched + bytes,
				    sizeof(part) - bytes);
	}
	drop_cache(cache);
}

static void
snapshot_longer_buffer_is_told_what_was_written(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	struct {
		struct cubby_cache_stats known;
		uint64_t from_the_future;
	} stats = { .known.stats_bytes = sizeof(stats),
		    .from_the_future = 0x5a };

	(void)state;
	assert_ok(cubby_cache_stats_snapshot(cache, &stats.known));
	assert_int_equal(stats.known.stats_bytes, sizeof(stats.known));
	assert_int_equal(stats.from_the_future, 0x5a);
	drop_cache(cache);
}

static void
snapshot_without_a_size_is_refused(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	struct cubby_cache_stats stats = { .stats_bytes = 7, .n_live = 99 };

	(void)state;
	assert_refused(cubby_cache_stats_snapshot(cache, &stats), -EINVAL,
		       "stats_bytes is 7: set it to sizeof(struct "
		       "cubby_cache_stats) before the call");
	assert_int_equal(stats.n_live, 99);
	assert_refused(cubby_cache_stats_snapshot(cache, NULL), -EINVAL,
		       "ret_stats is NULL");
	drop_cache(cache);
}

static void
columns_cover_the_struct_in_order(void **state)
{
	size_t n = 0;
	const struct cubby_stats_column *columns = cubby_stats_columns(&n);

	(void)state;
	/* Every field but the first, which is the size. */
	assert_int_equal(n, sizeof(struct cubby_cache_stats) / 8 - 1);
	for (size_t i = 0; i < n; i++) {
		assert_int_equal(columns[i].offset_bytes, 8 * (i + 1));
		assert_true(strlen(columns[i].name) > 0);
		assert_true(strlen(columns[i].unit) > 0);
		assert_true(strlen(columns[i].doc) > 0);
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(columns[i].name,
						columns[j].name);
	}
}

static uint64_t
column(const struct cubby_cache_stats *stats, const char *name)
{
	size_t n;
	const struct cubby_stats_column *columns = cubby_stats_columns(&n);

	for (size_t i = 0; i < n; i++)
		if (strcmp(columns[i].name, name) == 0)
			return *(const uint64_t *)((const char *)stats +
						   columns[i].offset_bytes);
	fail_msg("no column '%s'", name);
	return 0;
}

static void
columns_lead_to_the_fields_they_name(void **state)
{
	struct cubby_cache_stats stats;

	(void)state;
	for (size_t i = 0; i < sizeof(stats) / 8; i++)
		((uint64_t *)&stats)[i] = i + 1000;
#define CHECK(field) assert_int_equal(column(&stats, #field), stats.field)
	CHECK(object_bytes);
	CHECK(cell_bytes);
	CHECK(align_bytes);
	CHECK(cells_per_slab);
	CHECK(max_cells);
	CHECK(n_cells);
	CHECK(n_live);
	CHECK(n_free);
	CHECK(n_returned);
	CHECK(n_live_peak);
	CHECK(n_slabs);
	CHECK(n_slabs_full);
	CHECK(n_slabs_partial);
	CHECK(n_slabs_empty);
	CHECK(n_slabs_returned);
	CHECK(reserved_bytes);
	CHECK(committed_bytes);
	CHECK(uncommitted_bytes);
	CHECK(populated_bytes);
	CHECK(n_slabs_opened);
	CHECK(n_slabs_closed);
	CHECK(n_alloc_failures);
	CHECK(n_limit_hits);
	CHECK(n_walks);
	CHECK(n_chunks);
	CHECK(bookkeeping_bytes);
	CHECK(n_idle_in_blocks);
	CHECK(n_idle_in_depot);
	CHECK(n_reserved);
	CHECK(n_retired);
	CHECK(n_deferred);
	CHECK(deferred_bytes);
	CHECK(oldest_deferred_ms);
	CHECK(n_deferred_peak);
	CHECK(n_reclaimed);
	CHECK(n_grace_periods);
	CHECK(n_overruns);
	CHECK(n_stalls);
	CHECK(weak_mode);
	CHECK(n_watches);
	CHECK(debug);
	CHECK(n_quarantined);
	CHECK(n_damaged);
	CHECK(n_failed);
	CHECK(n_sampled);
#undef CHECK
}

int
main(void)
{
	const struct CMUnitTest slab_tests[] = {
		cmocka_unit_test(snapshot_follows_slabs_through_their_lanes),
	};
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(snapshot_new_cache_shows_its_constants),
		cmocka_unit_test(snapshot_counts_only_cells_that_may_be_used),
		cmocka_unit_test(snapshot_short_buffer_is_not_overrun),
		cmocka_unit_test(
			snapshot_longer_buffer_is_told_what_was_written),
		cmocka_unit_test(snapshot_without_a_size_is_refused),
		cmocka_unit_test(columns_cover_the_struct_in_order),
		cmocka_unit_test(columns_lead_to_the_fields_they_name),
	};

	int n_failed = RUN_WITHOUT_MAGAZINES("stats of slabs", slab_tests);

	return n_failed +
	       cmocka_run_group_tests_name("stats", tests, NULL, NULL);
}

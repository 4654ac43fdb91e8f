/* SPDX-License-Identifier: MIT */
/*
 * Walks: each sentence of walk.h, with the live objects known beforehand; and
 * cubby_cache_report_live(), which is a walk that writes.
 */
#include "unit/with_cache.h"

#include <fcntl.h>

/* Visit everything: the objects in order, and how many runs they came in. */
static size_t
collect(struct cubby_cache *cache, char **objects, size_t *ret_n_runs)
{
	struct cubby_walk *walk;
	struct cubby_run run;
	size_t n = 0;
	char *object;

	*ret_n_runs = 0;
	assert_ok(cubby_walk_create(&walk, cache));
	while (cubby_walk_next(walk, &run)) {
		assert_true(run.n_objects >= 1);
		assert_int_equal(run.stride_bytes,
				 cubby_cache_cell_bytes(cache));
		(*ret_n_runs)++;
		CUBBY_RUN_FOR_EACH (object, &run)
			objects[n++] = object;
	}
	assert_int_equal(cubby_walk_next(walk, &run),
			 0); /* stays at the end */
	cubby_walk_destroy(walk);
	return n;
}

static void
walk_empty_cache_ends_at_once(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	char *objects[1];
	size_t n_runs;

	(void)state;
	cubby_walk_destroy(NULL);
	assert_refused(cubby_walk_create(NULL, cache), -EINVAL,
		       "ret_walk is NULL");
	assert_int_equal(collect(cache, objects, &n_runs), 0);
	cubby_free(cache, must_alloc(cache));
	assert_int_equal(collect(cache, objects, &n_runs), 0);
	drop_cache(cache);
}

/* Runs end where a free cell or the end of a piece of memory is. */
static size_t
expected_runs(char *const *objects, const bool *live, size_t n,
	      size_t cell_bytes)
{
	size_t n_runs = 0;

	for (size_t i = 0; i < n; i++)
		n_runs += live[i] &&
			  (i == 0 || !live[i - 1] ||
			   objects[i - 1] + cell_bytes != objects[i]);
	return n_runs;
}

/* A random half of n objects, seen in order, in as few runs as possible. */
static void
check_runs(size_t object_bytes, size_t n, uint64_t seed)
{
	struct cubby_cache *cache = make_cache(object_bytes, NULL);
	char **all = calloc(n, sizeof(*all));
	char **seen = calloc(n, sizeof(*seen));
	bool *live = calloc(n, sizeof(*live));
	size_t n_seen, n_runs, at = 0, percent = 1 + random_below(&seed, 99);

	assert_ok(cubby_alloc_bulk(cache, n, (void **)all));
	for (size_t i = 0; i < n; i++) {
		live[i] = random_below(&seed, 100) < percent;
		if (!live[i])
			cubby_free(cache, all[i]);
	}
	n_seen = collect(cache, seen, &n_runs);
	for (size_t i = 0; i < n; i++)
		if (live[i])
			assert_ptr_equal(seen[at++], all[i]);
	assert_int_equal(n_seen, at);
	/* Chunks may happen to be neighbours: fewer runs are looked for than
	 * may be there. */
	if (stats_of(cache).n_chunks == 0)
		assert_int_equal(n_runs,
				 expected_runs(all, live, n, object_bytes));
	else
		assert_true(n_runs >=
			    expected_runs(all, live, n, object_bytes));
	for (size_t i = 0; i < n; i++)
		if (live[i])
			cubby_free(cache, all[i]);
	free(all);
	free(seen);
	free(live);
	drop_cache(cache);
}

static void
walk_runs_are_maximal_and_in_order(void **state)
{
	static const size_t sizes[] = { 8, 64, 1000, 3000, 70000 };
	static const size_t counts[] = { 1, 63, 64, 65, 3000 };

	(void)state;
	for (size_t i = 0; i < 5; i++)
		for (size_t j = 0; j < 5; j++)
			check_runs(sizes[i], counts[j], i * 5 + j);
	for (size_t i = 0; i < scaled(100); i++)
		check_runs(1000, 500, i);
}

static void
walk_full_range_is_one_run(void **state)
{
	struct cubby_cache *cache = make_cache(48, NULL);
	size_t n = 20000, n_runs;
	char **objects = calloc(n, sizeof(*objects));

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, n, (void **)objects));
	assert_int_equal(collect(cache, objects, &n_runs), n);
	if (stats_of(cache).n_chunks == 0)
		assert_int_equal(n_runs, 1);
	else
		print_message("in chunks: runs end with them\n");
	cubby_free_bulk(cache, n, (void **)objects);
	free(objects);
	drop_cache(cache);
}

/* A run never crosses from one chunk into the next: 20 MiB of cells. */
static void
walk_over_chunks_visits_each_object_once(void **state)
{
	struct cubby_cache *cache = make_cache(20000, NULL);
	size_t n = 1000, n_runs;
	char **all = calloc(n, sizeof(*all));
	char **seen = calloc(n, sizeof(*seen));

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, n, (void **)all));
	assert_int_equal(collect(cache, seen, &n_runs), n);
	assert_memory_equal(seen, all, n * sizeof(*all));
	/* A run for each chunk, and one for the range if there is one. */
	if (stats_of(cache).n_chunks > 0)
		assert_in_range(n_runs, stats_of(cache).n_chunks,
				stats_of(cache).n_chunks + 1);
	cubby_free_bulk(cache, n, (void **)all);
	free(all);
	free(seen);
	drop_cache(cache);
}

/* ------------------------------- a snapshot ------------------------------ */

static bool
contains(char *const *objects, size_t n, const char *object)
{
	for (size_t i = 0; i < n; i++)
		if (objects[i] == object)
			return true;
	return false;
}

/*
 * Half way through the walk old objects die and new ones are born, some in
 * cells that the walk has yet to pass.
 */
static void
walk_sees_old_objects_once_and_others_at_most_once(void **state)
{
	struct cubby_cache *cache = make_cache(1000, NULL);
	char *old[600], *born[300], *seen[2000];
	struct cubby_walk *walk;
	struct cubby_run run;
	size_t n_seen = 0;
	bool meddled = false;
	char *object;

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 600, (void **)old));
	for (size_t i = 1; i < 600; i += 3)
		cubby_free(cache, old[i]);
	assert_ok(cubby_walk_create(&walk, cache));
	assert_int_equal(stats_of(cache).n_walks, 1);
	while (cubby_walk_next(walk, &run)) {
		CUBBY_RUN_FOR_EACH (object, &run) {
			assert_false(contains(seen, n_seen, object));
			object[999] = 1; /* readable, even if freed */
			seen[n_seen++] = object;
		}
		if (n_seen < 200 || meddled)
			continue;
		meddled = true;
		for (size_t i = 2; i < 600; i += 3)
			cubby_free(cache, old[i]);
		assert_ok(cubby_alloc_bulk(cache, 300, (void **)born));
	}
	for (size_t i = 0; i < 600; i += 3)
		assert_true(contains(seen, n_seen, old[i]));
	cubby_walk_destroy(walk);
	assert_int_equal(stats_of(cache).n_walks, 0);
	cubby_free_bulk(cache, 300, (void **)born);
	for (size_t i = 0; i < 600; i += 3)
		cubby_free(cache, old[i]);
	drop_cache(cache);
}

static void
walk_open_keeps_pages_and_refuses_shrink(void **state)
{
	struct cubby_cache *cache = make_cache(1000, NULL);
	struct cubby_walk *walk;
	struct cubby_run run;
	size_t n = 1000, n_seen = 0;
	void **objects = calloc(n, sizeof(*objects));
	uint64_t bytes = 77;
	char *object;

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, n, objects));
	for (size_t i = 0; i < n; i++)
		memset(objects[i], 0x5a, 1000);
	assert_ok(cubby_walk_create(&walk, cache));
	cubby_free_bulk(cache, n, objects);
	assert_int_equal(stats_of(cache).n_returned, 0);
	assert_refused(cubby_cache_shrink(cache, &bytes), -EBUSY,
		       "cache 'thing': a walk of it is open");
	assert_int_equal(bytes, 77);
	assert_refused(cubby_cache_destroy(cache), -EBUSY,
		       "cache 'thing': a walk of it is open");
	while (cubby_walk_next(walk, &run))
		CUBBY_RUN_FOR_EACH (object, &run)
			n_seen += object[999] == 0x5a;
	assert_int_equal(n_seen, n);
	cubby_walk_destroy(walk);
	assert_int_equal(stats_of(cache).n_slabs_empty, 2); /* made up for */
	free(objects);
	drop_cache(cache);
}

static void
walk_several_at_a_time_are_independent(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	struct cubby_walk *walks[3];
	struct cubby_run run;
	void *objects[10];

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		assert_ok(cubby_alloc_bulk(cache, 2, objects + 2 * i));
		assert_ok(cubby_walk_create(&walks[i], cache));
	}
	assert_int_equal(stats_of(cache).n_walks, 3);
	for (size_t i = 0; i < 3; i++) {
		assert_int_equal(cubby_walk_next(walks[i], &run), 1);
		assert_ptr_equal(run.first, objects[0]);
		assert_int_equal(run.n_objects, 2 * i + 2);
		assert_int_equal(cubby_walk_next(walks[i], &run), 0);
	}
	cubby_walk_destroy(walks[1]);
	assert_int_equal(cubby_cache_shrink(cache, NULL), -EBUSY);
	cubby_walk_destroy(walks[0]);
	cubby_walk_destroy(walks[2]);
	cubby_free_bulk(cache, 6, objects);
	assert_ok(cubby_cache_shrink(cache, NULL));
	drop_cache(cache);
}

static void
run_for_each_break_leaves_the_pointer_there(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	struct cubby_walk *walk;
	struct cubby_run run;
	void *objects[10];
	char *object;
	int n = 0;

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 10, objects));
	assert_ok(cubby_walk_create(&walk, cache));
	assert_int_equal(cubby_walk_next(walk, &run), 1);
	CUBBY_RUN_FOR_EACH (object, &run)
		if (++n == 4)
			break;
	assert_ptr_equal(object, objects[3]);
	n = 0;
	CUBBY_RUN_FOR_EACH (object, &run) {
		if (n++ % 2)
			continue;
		assert_ptr_equal(object, objects[n - 1]);
	}
	assert_int_equal(n, 10);
	cubby_walk_destroy(walk); /* not finished */
	cubby_free_bulk(cache, 10, objects);
	drop_cache(cache);
}

/* ------------------------------- report_live ----------------------------- */

/* What a report of the cache writes. */
static char *
report(struct cubby_cache *cache)
{
	FILE *file = tmpfile();
	size_t capacity = 1 << 20;
	char *text = calloc(1, capacity);

	assert_non_null(file);
	assert_ok(cubby_cache_report_live(cache, fileno(file)));
	rewind(file);
	assert_true(fread(text, 1, capacity, file) < capacity);
	fclose(file);
	return text;
}

static void
report_live_writes_the_stated_text(void **state)
{
	struct cubby_cache *cache = make_cache_named("truck", 32, NULL);
	char expected[200];
	char *text;
	void *objects[3];

	(void)state;
	text = report(cache);
	assert_string_equal(text, "cubby: cache 'truck': 0 live objects of 32 "
				  "bytes\n");
	free(text);
	assert_ok(cubby_alloc_bulk(cache, 3, objects));
	cubby_free(cache, objects[1]);
	snprintf(expected, sizeof(expected),
		 "cubby: cache 'truck': 2 live objects of 32 bytes\n"
		 "  %p cell 0\n"
		 "  %p cell 2\n",
		 objects[0], objects[2]);
	text = report(cache);
	assert_string_equal(text, expected);
	free(text);
	cubby_free(cache, objects[2]);
	text = report(cache);
	snprintf(expected, sizeof(expected),
		 "cubby: cache 'truck': 1 live object of 32 bytes\n"
		 "  %p cell 0\n",
		 objects[0]);
	assert_string_equal(text, expected);
	free(text);
	cubby_free(cache, objects[0]);
	drop_cache(cache);
}

/* Longer than any buffer, down to the last line. */
static void
report_live_of_5000_objects_is_complete(void **state)
{
	struct cubby_cache *cache = make_cache(32, NULL);
	size_t n = 5000;
	void **objects = calloc(n, sizeof(*objects));
	char *text, *line;
	char expected[80];

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, n, objects));
	text = report(cache);
	line = strchr(text, '\n');
	for (size_t i = 0; i < n; i++) {
		int n_bytes = snprintf(expected, sizeof(expected),
				       "\n  %p cell %zu\n", objects[i], i);

		assert_memory_equal(line, expected, (size_t)n_bytes);
		line += n_bytes - 1;
	}
	assert_string_equal(line, "\n");
	free(text);
	cubby_free_bulk(cache, n, objects);
	free(objects);
	drop_cache(cache);
}

static void
report_live_passes_on_write_errors(void **state)
{
	struct cubby_cache *cache = make_cache(32, NULL);
	void *object = must_alloc(cache);
	int full = open("/dev/full", O_WRONLY);
	int both[2];
	char expected[100];

	(void)state;
	errno = EXDEV;
	assert_refused(cubby_cache_report_live(cache, -1), -EBADF,
		       "cache 'thing': the report could not be written to "
		       "descriptor -1: EBADF");
	assert_true(full >= 0);
	snprintf(expected, sizeof(expected),
		 "cache 'thing': the report could not be written to "
		 "descriptor %d: ENOSPC",
		 full);
	assert_refused(cubby_cache_report_live(cache, full), -ENOSPC,
		       expected);
	close(full);
	assert_int_equal(pipe2(both, O_NONBLOCK), 0);
	while (write(both[1], expected, 1) > 0)
		;
	assert_int_equal(cubby_cache_report_live(cache, both[1]), -EAGAIN);
	close(both[0]);
	close(both[1]);
	assert_int_equal(stats_of(cache).n_walks, 0);
	cubby_free(cache, object);
	drop_cache(cache);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(walk_empty_cache_ends_at_once),
		cmocka_unit_test(walk_runs_are_maximal_and_in_order),
		cmocka_unit_test(walk_full_range_is_one_run),
		cmocka_unit_test(walk_over_chunks_visits_each_object_once),
		cmocka_unit_test(
			walk_sees_old_objects_once_and_others_at_most_once),
		cmocka_unit_test(walk_open_keeps_pages_and_refuses_shrink),
		cmocka_unit_test(walk_several_at_a_time_are_independent),
		cmocka_unit_test(run_for_each_break_leaves_the_pointer_there),
		cmocka_unit_test(report_live_writes_the_stated_text),
		cmocka_unit_test(report_live_of_5000_objects_is_complete),
		cmocka_unit_test(report_live_passes_on_write_errors),
	};

	return cmocka_run_group_tests_name("walk", tests, NULL, NULL);
}

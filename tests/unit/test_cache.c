/* SPDX-License-Identifier: MIT */
/*
 * The life of a cache and the questions about it, sentence by sentence as
 * cache.h states them.  What create refuses is in tests/abuse/abuse_create_*.
 */
#include "unit/with_cache.h"

#include "cache.h"

#include <limits.h>

#define TRUCK_SLOTS(SLOT)                                                     \
	SLOT(char[12], truck_id, "for example TRK-1001")                      \
	SLOT(double, lat, "degrees north")                                    \
	SLOT(double, lon, "degrees east")

CUBBY_LAYOUT(truck, TRUCK_SLOTS);

static struct cubby_layout nameless_layout;

static int
setup(void **state)
{
	(void)state;
	nameless_layout = truck_layout;
	nameless_layout.names = NULL;
	return 0;
}

/* --------------------------------- create -------------------------------- */

static void
create_layout_names_and_sizes_the_cache(void **state)
{
	struct cubby_cache *trucks = NULL;
	struct truck *truck;

	(void)state;
	assert_ok(truck_cache_create(&trucks, NULL));
	assert_string_equal(cubby_cache_name(trucks), "truck");
	assert_int_equal(cubby_cache_object_bytes(trucks),
			 sizeof(struct truck));
	assert_int_equal(cubby_cache_cell_bytes(trucks), sizeof(struct truck));
	assert_ptr_equal(cubby_cache_layout(trucks), &truck_layout);
	truck = truck_zalloc(trucks);
	assert_non_null(truck);
	assert_true(truck->lat == 0 && truck->truck_id[11] == 0);
	truck_free(trucks, truck);
	truck = truck_alloc(trucks);
	truck_free(trucks, truck);
	drop_cache(trucks);
}

static void
create_name_of_attr_wins(void **state)
{
	struct cubby_cache *trucks = NULL;
	char name[] = "lorry";

	(void)state;
	assert_ok(
		truck_cache_create(&trucks, &CUBBY_CACHE_ATTR(.name = name)));
	name[0] = 'x';
	assert_string_equal(cubby_cache_name(trucks), "lorry");
	drop_cache(trucks);
}

static void
create_nameless_layout_needs_a_name(void **state)
{
	struct cubby_cache *trucks = NULL;

	(void)state;
	assert_refused(cubby_cache_create(&trucks, &nameless_layout, NULL),
		       -EINVAL,
		       "a cache needs a name: the layout has none, and "
		       "attr.name is NULL");
	assert_null(trucks);
	assert_ok(cubby_cache_create(&trucks, &nameless_layout,
				     &CUBBY_CACHE_ATTR(.name = "t")));
	drop_cache(trucks);
}

static void
create_sized_takes_its_name_from_either_place(void **state)
{
	struct cubby_cache *cache;

	(void)state;
	cache = make_cache_named(NULL, 24, &CUBBY_CACHE_ATTR(.name = "attr"));
	assert_string_equal(cubby_cache_name(cache), "attr");
	assert_null(cubby_cache_layout(cache));
	drop_cache(cache);
	cache = make_cache_named("same", 24,
				 &CUBBY_CACHE_ATTR(.name = "same"));
	assert_string_equal(cubby_cache_name(cache), "same");
	drop_cache(cache);
}

static void
create_name_of_63_bytes_is_kept_whole(void **state)
{
	char name[CUBBY_NAME_BYTES_MAX];
	struct cubby_cache *cache;

	(void)state;
	memset(name, '~', sizeof(name) - 1);
	name[0] = '!';
	name[sizeof(name) - 1] = '\0';
	cache = make_cache_named(name, 24, NULL);
	assert_string_equal(cubby_cache_name(cache), name);
	assert_ptr_equal(cubby_cache_find(name), cache);
	drop_cache(cache);
}

/* { object_bytes, align_bytes, the cell's bytes, the objects' alignment } */
static void
create_sized_rounds_as_stated(void **state)
{
	static const size_t rows[][4] = { { 1, 0, 8, 1 },
					  { 7, 0, 8, 1 },
					  { 8, 0, 8, 8 },
					  { 13, 0, 13, 1 },
					  { 24, 0, 24, 8 },
					  { 48, 0, 48, 16 },
					  { 96, 0, 96, 16 },
					  { 13, 8, 16, 8 },
					  { 1, 4096, 4096, 4096 },
					  { 4097, 4096, 8192, 4096 },
					  { 24, 32, 32, 32 },
					  { 1048576, 0, 1048576, 16 },
					  { 1048575, 1, 1048575, 1 } };

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cubby_cache *cache = NULL;
		char *objects[2];

		assert_ok(cubby_cache_create_sized(&cache, "t", rows[i][0],
						   rows[i][1], NULL));
		assert_int_equal(cubby_cache_object_bytes(cache), rows[i][0]);
		assert_int_equal(cubby_cache_cell_bytes(cache), rows[i][2]);
		assert_ok(cubby_alloc_bulk(cache, 2, (void **)objects));
		assert_int_equal((uintptr_t)objects[0] % rows[i][3], 0);
		assert_int_equal((uintptr_t)objects[1] % rows[i][3], 0);
		cubby_free_bulk(cache, 2, (void **)objects);
		drop_cache(cache);
	}
}

static void
create_attr_init_is_all_defaults(void **state)
{
	struct cubby_cache_attr attr,
		expected = { .attr_bytes = sizeof(attr) };
	struct cubby_cache *cache;

	(void)state;
	memset(&attr, 0x5a, sizeof(attr));
	cubby_cache_attr_init(&attr);
	assert_memory_equal(&attr, &expected, sizeof(attr));
	cache = make_cache(64, &attr);
	assert_int_equal(stats_of(cache).max_cells, 0);
	drop_cache(cache);
}

/* Only attr_bytes and flags: a program with much older headers. */
static void
create_shorter_attr_is_accepted(void **state)
{
	struct cubby_cache_attr attr =
		CUBBY_CACHE_ATTR(.flags = CUBBY_CACHE_ZERO, .max_objects = 1);
	struct cubby_cache *cache;
	unsigned char *object;

	(void)state;
	attr.attr_bytes = 16;
	cache = make_cache(64, &attr);
	assert_int_equal(stats_of(cache).max_cells, 0);
	object = must_alloc(cache);
	memset(object, 0xff, 64);
	cubby_free(cache, object);
	assert_ptr_equal(must_alloc(cache), object);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(object[i], 0);
	cubby_free(cache, object);
	drop_cache(cache);
}

static void
create_failure_leaves_ret_and_attr_alone(void **state)
{
	struct cubby_cache *const before = (struct cubby_cache *)state;
	struct cubby_cache_attr attr = CUBBY_CACHE_ATTR(.flags = 1ull << 40);
	struct cubby_cache_attr copy = attr;
	struct cubby_cache *cache = before;

	assert_refused(cubby_cache_create_sized(&cache, "t", 8, 0, &attr),
		       -EINVAL, "attr.flags has unknown bits 0x10000000000");
	assert_ptr_equal(cache, before);
	assert_memory_equal(&attr, &copy, sizeof(attr));
}

static void
slow_calls_succeeding_keep_errno(void **state)
{
	struct cubby_cache *cache = NULL;
	struct cubby_walk *walk;
	struct cubby_run run;
	uint64_t bytes;

	(void)state;
	errno = EXDEV;
	assert_ok(cubby_cache_create_sized(
		&cache, "t", 100, 0,
		&CUBBY_CACHE_ATTR(.flags = CUBBY_CACHE_HUGE_PAGES,
				  .prefault_objects = 1000)));
	cubby_free(cache, cubby_alloc(cache));
	assert_ok(cubby_walk_create(&walk, cache));
	assert_int_equal(cubby_walk_next(walk, &run), 0);
	cubby_walk_destroy(walk);
	assert_ok(cubby_cache_shrink(cache, &bytes));
	stats_of(cache);
	assert_ptr_equal(cubby_cache_find("t"), cache);
	assert_ok(cubby_cache_destroy(cache));
	assert_int_equal(errno, EXDEV);
}

/* -------------------------------- prefault ------------------------------- */

static void
prefault_populates_exactly_the_first_cells(void **state)
{
	uint64_t n = 5000, object_bytes = 200;
	struct cubby_cache *cache = make_cache(
		object_bytes, &CUBBY_CACHE_ATTR(.prefault_objects = n));
	struct cubby_cache_stats stats = stats_of(cache);
	char **objects = calloc(n, sizeof(*objects));

	(void)state;
	assert_true(stats.n_free >= n);
	assert_int_equal(stats.n_live, 0);
	/* alloc touches no page: what is resident is so by create. */
	assert_ok(cubby_alloc_bulk(cache, n, (void **)objects));
	for (uint64_t i = 0; i < n; i++) {
		assert_true(is_resident(objects[i]));
		assert_true(is_resident(objects[i] + object_bytes - 1));
	}
	cubby_free_bulk(cache, n, (void **)objects);
	assert_int_equal(stats_of(cache).n_slabs_returned, 0);
	free(objects);
	drop_cache(cache);
}

static void
create_populates_nothing_by_itself(void **state)
{
	struct cubby_cache *cache = make_cache(200, NULL);
	struct cubby_cache_stats stats = stats_of(cache);
	char *object;

	(void)state;
	assert_int_equal(stats.n_cells, 0);
	assert_int_equal(stats.committed_bytes, 0);
	assert_int_equal(stats.populated_bytes, 0);
	assert_int_equal(stats.bookkeeping_bytes, CACHE_BYTES);
	object = must_alloc(cache);
	assert_false(is_resident(object + 8192));
	cubby_free(cache, object);
	drop_cache(cache);
}

/* --------------------------------- destroy ------------------------------- */

static void
destroy_null_is_fine(void **state)
{
	(void)state;
	assert_ok(cubby_cache_destroy(NULL));
	assert_ok(cubby_cache_destroy_force(NULL));
}

static void
destroy_live_names_objects_and_leaves_the_cache(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	char expected[200];
	void *objects[2];

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, 2, objects));
	snprintf(expected, sizeof(expected),
		 "cache 'thing' still has 2 live objects: %p, %p", objects[0],
		 objects[1]);
	assert_refused(cubby_cache_destroy(cache), -CUBBY_ELIVE, expected);
	assert_true(cubby_is_live(cache, objects[1]));
	assert_ptr_equal(cubby_cache_find("thing"), cache);
	cubby_free(cache, must_alloc(cache));
	cubby_free_bulk(cache, 2, objects);
	stats_of(cache);
	drop_cache(cache);
	assert_null(cubby_cache_find("thing"));
	assert_null(cubby_cache_of(objects[0]));
}

/* What ran, in order: 'd' or 'f' and the object. */
struct event {
	char what;
	char *object;
};

struct events {
	size_t n;
	struct event at[20000];
};

static void
note_dtor(void *object, void *context)
{
	struct events *events = context;

	events->at[events->n++] = (struct event){ 'd', object };
}

static void
note_fini(void *object, void *context)
{
	struct events *events = context;

	events->at[events->n++] = (struct event){ 'f', object };
}

static void
destroy_force_runs_all_dtors_in_order_then_all_finis(void **state)
{
	struct events *events = calloc(1, sizeof(*events));
	struct cubby_cache *cache = make_cache(
		512, &CUBBY_CACHE_ATTR(.dtor = note_dtor, .fini = note_fini,
				       .context = events));
	size_t n = 6000, n_live = 0;
	char **objects = calloc(n, sizeof(*objects));

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, n, (void **)objects));
	for (size_t i = 0; i < n; i += 3)
		cubby_free(cache, objects[i]);
	events->n = 0;
	assert_ok(cubby_cache_destroy_force(cache));
	for (size_t i = 0; i < n; i++) {
		if (i % 3 == 0)
			continue;
		assert_int_equal(events->at[n_live].what, 'd');
		assert_ptr_equal(events->at[n_live].object, objects[i]);
		n_live++;
	}
	assert_int_equal(events->n, n_live + n);
	for (size_t i = n_live; i < events->n; i++)
		assert_int_equal(events->at[i].what, 'f');
	free(objects);
	free(events);
}

/* A pointer to a destroyed cache is recognised until 1,024 later ones. */
static void
destroy_descriptor_is_reused_after_1024_destructions(void **state)
{
	struct cubby_cache *first = make_cache(64, NULL);
	size_t n = 0;

	(void)state;
	drop_cache(first);
	for (;;) {
		struct cubby_cache *next = make_cache(64, NULL);

		drop_cache(next);
		if (next == first)
			break;
		n++;
		assert_true(n < 3000);
	}
	assert_true(n >= 1024);
}

/* Resident pages of this process. */
static long
resident_pages(void)
{
	FILE *file = fopen("/proc/self/statm", "r");
	long total, resident;

	assert_non_null(file);
	assert_int_equal(fscanf(file, "%ld %ld", &total, &resident), 2);
	fclose(file);
	return resident;
}

static void
create_and_destroy(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct cubby_cache *cache = make_cache(100 + i % 50, NULL);
		void *objects[300];

		assert_ok(cubby_alloc_bulk(cache, 300, objects));
		for (size_t j = 0; j < 300; j++)
			memset(objects[j], 1, 100);
		cubby_free_bulk(cache, 300, objects);
		drop_cache(cache);
	}
}

static void
destroy_5000_caches_do_not_grow_memory(void **state)
{
	long before, grown = LONG_MAX;

	(void)state;
	create_and_destroy(1500); /* until descriptors are reused */
	/* A leak is in each round; what a sanitizer takes for itself, in one. */
	for (int i = 0; i < 4 && grown > 500; i++) {
		before = resident_pages();
		create_and_destroy(scaled(5000));
		grown = resident_pages() - before;
	}
	/* 5,000 descriptors are 2,500 pages, their cells 37,500. */
	assert_true(grown <= 500);
}

/* ------------------------------ find, for_each --------------------------- */

static void
find_returns_the_oldest_of_a_name(void **state)
{
	struct cubby_cache *filler = make_cache_named("filler", 64, NULL);
	struct cubby_cache *first, *second;

	(void)state;
	assert_null(cubby_cache_find("twin"));
	assert_null(cubby_cache_find(NULL));
	assert_null(cubby_cache_find(""));
	first = make_cache_named("twin", 64, NULL);
	second = make_cache_named("twin", 64, NULL);
	assert_ptr_equal(cubby_cache_find("twin"), first);
	assert_null(cubby_cache_find("Twin"));
	assert_null(cubby_cache_find("twi"));
	drop_cache(first);
	assert_ptr_equal(cubby_cache_find("twin"), second);
	drop_cache(second);
	assert_null(cubby_cache_find("twin"));
	drop_cache(filler);
}

struct seen {
	struct cubby_cache *at[16];
	int n;
	int stop_at;
};

static int
note_cache(struct cubby_cache *cache, void *context)
{
	struct seen *seen = context;

	assert_true(seen->n < 16);
	seen->at[seen->n++] = cache;
	return seen->n == seen->stop_at ? 42 : 0;
}

static void
for_each_visits_in_order_until_told_to_stop(void **state)
{
	struct cubby_cache *caches[4];
	struct seen all = { .n = 0 }, some = { .stop_at = 2 };

	(void)state;
	for (size_t i = 0; i < 4; i++)
		caches[i] = make_cache(64, NULL);
	assert_int_equal(cubby_cache_for_each(note_cache, &all), 0);
	assert_int_equal(all.n, 4);
	assert_memory_equal(all.at, caches, sizeof(caches));
	assert_int_equal(cubby_cache_for_each(note_cache, &some), 42);
	assert_int_equal(some.n, 2);
	for (size_t i = 0; i < 4; i++)
		drop_cache(caches[i]);
}

/* Use the cache, fail to destroy it, destroy another and create one. */
static int
meddle(struct cubby_cache *cache, void *context)
{
	struct cubby_cache **others = context;

	if (strcmp(cubby_cache_name(cache), "subject") != 0)
		return 0;
	cubby_free(cache, must_alloc(cache));
	assert_refused(cubby_cache_destroy(cache), -EBUSY,
		       "cache 'subject': cubby_cache_for_each() is at it");
	assert_int_equal(cubby_cache_destroy_force(cache), -EBUSY);
	drop_cache(others[0]);
	others[0] = make_cache_named("other", 8, NULL);
	return 0;
}

static void
for_each_callback_may_create_and_destroy_others(void **state)
{
	struct cubby_cache *subject = make_cache_named("subject", 64, NULL);
	struct cubby_cache *other = make_cache_named("other", 64, NULL);

	(void)state;
	assert_int_equal(cubby_cache_for_each(meddle, &other), 0);
	assert_int_equal(cubby_cache_cell_bytes(other), 8);
	drop_cache(subject);
	drop_cache(other);
	assert_int_equal(cubby_cache_for_each(meddle, NULL), 0);
}

/* ------------------------------ of and is_live --------------------------- */

static void
cache_of_answers_for_every_address(void **state)
{
	struct cubby_cache *cache = make_cache(
		100, &CUBBY_CACHE_ATTR(.max_objects = 1000));
	struct cubby_cache_stats stats;
	char *object; /* the first */

	assert_ok(cubby_alloc_bulk(cache, 1, (void **)&object));
	stats = stats_of(cache);
	assert_ptr_equal(cubby_cache_of(object), cache);
	assert_ptr_equal(cubby_cache_of(object + 99), cache);
	assert_ptr_equal(cubby_cache_of(object + 100), cache); /* free cell */
	assert_ptr_equal(cubby_cache_of(object + 100 * 511), cache);
	assert_null(cubby_cache_of(object - 1));
	/* Behind the last cell too: nothing of the cache is read. */
	assert_ptr_equal(cubby_cache_of(object + stats.reserved_bytes - 1),
			 cache);
	assert_null(cubby_cache_of(object + stats.reserved_bytes));
	assert_null(cubby_cache_of(NULL));
	assert_null(cubby_cache_of(&object));
	assert_null(cubby_cache_of(state));
	assert_null(cubby_cache_of(cache));
	assert_null(cubby_cache_of((void *)UINTPTR_MAX));
	assert_null(cubby_cache_of((void *)((uintptr_t)1 << 55)));
	if (stats.n_chunks == 0) {
		assert_ptr_equal(cubby_cache_of(object + 99999), cache);
		assert_ptr_equal(cubby_cache_of(object + 100000), cache);
	}
	cubby_free(cache, object);
	assert_ptr_equal(cubby_cache_of(object), cache);
	drop_cache(cache);
	assert_null(cubby_cache_of(object));
}

static void
is_live_only_for_the_first_byte_of_a_live_object(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	struct cubby_cache *other = make_cache(64, NULL);
	char *object = must_alloc(cache);

	(void)state;
	assert_int_equal(cubby_is_live(cache, object), 1);
	assert_int_equal(cubby_is_live(cache, object + 1), 0);
	assert_int_equal(cubby_is_live(cache, object + 64), 0);
	assert_int_equal(cubby_is_live(cache, object + 64 * 5000), 0);
	assert_int_equal(cubby_is_live(cache, NULL), 0);
	assert_int_equal(cubby_is_live(cache, &object), 0);
	assert_int_equal(cubby_is_live(other, object), 0);
	cubby_free(cache, object);
	assert_int_equal(cubby_is_live(cache, object), 0);
	drop_cache(cache);
	drop_cache(other);
}

/* -------------------------------- verify --------------------------------- */

static void
verify_stray_write_is_counted_and_described(void **state)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	void *object = must_alloc(cache);
	struct slab *slab = slab_record(&cache->slabs, 0);

	(void)state;
	assert_int_equal(cubby_cache_verify(cache), 0);
	slab->n_live++;
	assert_int_equal(cubby_cache_verify(cache), 2);
	assert_string_equal(cubby_error_detail(),
			    "cache 'thing': 2 contradictions; first: slab 0: "
			    "n_live is not its set bits (L1)");
	slab->n_live--;
	cache->slabs.n_live++;
	assert_int_equal(cubby_cache_verify(cache), 1);
	assert_string_equal(cubby_error_detail(),
			    "cache 'thing': 1 contradiction; first: the "
			    "totals are not the sums over the slabs (L5)");
	cache->slabs.n_live--;
	slab->lane = LANE_RETURNED;
	assert_true(cubby_cache_verify(cache) > 1);
	slab->lane = LANE_PARTIAL_0;
	assert_int_equal(cubby_cache_verify(cache), 0);
	cubby_free(cache, object);
	drop_cache(cache);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create_layout_names_and_sizes_the_cache),
		cmocka_unit_test(create_name_of_attr_wins),
		cmocka_unit_test(create_nameless_layout_needs_a_name),
		cmocka_unit_test(
			create_sized_takes_its_name_from_either_place),
		cmocka_unit_test(create_name_of_63_bytes_is_kept_whole),
		cmocka_unit_test(create_sized_rounds_as_stated),
		cmocka_unit_test(create_attr_init_is_all_defaults),
		cmocka_unit_test(create_shorter_attr_is_accepted),
		cmocka_unit_test(create_failure_leaves_ret_and_attr_alone),
		cmocka_unit_test(slow_calls_succeeding_keep_errno),
		cmocka_unit_test(prefault_populates_exactly_the_first_cells),
		cmocka_unit_test(create_populates_nothing_by_itself),
		cmocka_unit_test(destroy_null_is_fine),
		cmocka_unit_test(
			destroy_live_names_objects_and_leaves_the_cache),
		cmocka_unit_test(
			destroy_force_runs_all_dtors_in_order_then_all_finis),
		cmocka_unit_test(find_returns_the_oldest_of_a_name),
		cmocka_unit_test(for_each_visits_in_order_until_told_to_stop),
		cmocka_unit_test(
			for_each_callback_may_create_and_destroy_others),
		cmocka_unit_test(cache_of_answers_for_every_address),
		cmocka_unit_test(
			is_live_only_for_the_first_byte_of_a_live_object),
		cmocka_unit_test(verify_stray_write_is_counted_and_described),
		cmocka_unit_test(
			destroy_descriptor_is_reused_after_1024_destructions),
		cmocka_unit_test(destroy_5000_caches_do_not_grow_memory),
	};

	return cmocka_run_group_tests_name("cache", tests, setup, NULL);
}

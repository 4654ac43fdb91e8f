/* SPDX-License-Identifier: MIT */
/*
 * The kernel's slab calls: what each becomes, what its flags do, and that what
 * cannot be kept is refused.  Flags that must not compile are in
 * tests/install/test_kmem_words.sh.
 */
#include "unit/unit.h"

#include <cubby/cubby.h>
#include <cubby/kmem_compat.h>

struct truck {
	char id[12];
	int32_t wheels;
	int32_t axles;
};

struct wide {
	char bytes[32];
} __attribute__((aligned(32)));

static struct cubby_cache_stats
stats_of(struct kmem_cache *cache)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	assert_int_equal(cubby_cache_stats_snapshot(cache, &stats), 0);
	assert_int_equal(cubby_cache_verify(cache), 0);
	return stats;
}

static void
drop(struct kmem_cache *cache)
{
	assert_int_equal(cubby_cache_destroy(cache), 0);
}

static bool
is_all(const void *object, int byte, size_t n_bytes)
{
	const unsigned char *bytes = object;

	for (size_t i = 0; i < n_bytes; i++)
		if (bytes[i] != byte)
			return false;
	return true;
}

/* ------------------------------- create ---------------------------------- */

static void
kmem_cache_create_with_five_arguments_makes_the_cache(void **state)
{
	char name[] = "trucks";
	struct kmem_cache *cache = kmem_cache_create(name, 24, 16,
						     SLAB_ACCOUNT, NULL);

	(void)state;
	assert_non_null(cache);
	name[0] = 'T';
	assert_string_equal(cubby_cache_name(cache), "trucks");
	assert_int_equal(kmem_cache_size(cache), 24);
	assert_int_equal(stats_of(cache).align_bytes, 16);
	drop(cache);
}

static size_t n_ctor_calls;

static void
truck_ctor(void *object)
{
	struct truck *truck = object;

	n_ctor_calls++;
	truck->wheels = 4;
}

static void
kmem_cache_create_with_args_takes_align_and_ctor(void **state)
{
	struct kmem_cache_args args = { .align = 64,
					.ctor = truck_ctor,
					.useroffset = 4,
					.usersize = 8,
					.freeptr_offset = 8,
					.use_freeptr_offset = true,
					.sheaf_capacity = 32 };
	const struct kmem_cache_args *same = &args;
	struct kmem_cache *caches[] = {
		kmem_cache_create("a", 24, &args, SLAB_PANIC),
		kmem_cache_create("b", 24, same, SLAB_PANIC),
		kmem_cache_create("c", 24,
				  &((struct kmem_cache_args){
					  .align = 64, .ctor = truck_ctor }),
				  SLAB_PANIC),
	};

	(void)state;
	for (size_t i = 0; i < 3; i++) {
		struct truck *truck = kmem_cache_alloc(caches[i], GFP_KERNEL);

		assert_non_null(truck);
		assert_int_equal(truck->wheels, 4);
		assert_int_equal(stats_of(caches[i]).align_bytes, 64);
		kmem_cache_free(caches[i], truck);
		drop(caches[i]);
	}
}

static void
kmem_cache_create_with_null_args_takes_the_defaults(void **state)
{
	struct kmem_cache *cache = kmem_cache_create("plain", 24, NULL, 0);

	(void)state;
	assert_non_null(cache);
	assert_int_equal(stats_of(cache).align_bytes, 8);
	drop(cache);
}

static void
kmem_cache_create_usercopy_makes_an_ordinary_cache(void **state)
{
	struct kmem_cache *cache = kmem_cache_create_usercopy(
		"copied", 24, 0, 0, 4, 8, truck_ctor);
	struct truck *truck;

	(void)state;
	assert_non_null(cache);
	truck = kmem_cache_alloc(cache, GFP_KERNEL);
	assert_int_equal(truck->wheels, 4);
	kmem_cache_free(cache, truck);
	drop(cache);
}

static void
kmem_cache_create_aligns_as_the_kernel(void **state)
{
	static const struct {
		unsigned int size, align;
		slab_flags_t flags;
		size_t align_bytes, cell_bytes;
	} rows[] = {
		{ 12, 0, 0, 8, 16 },
		{ 12, 4, 0, 8, 16 },
		{ 24, 0, 0, 8, 24 },
		{ 24, 32, 0, 32, 32 },
		{ 1, 0, SLAB_HWCACHE_ALIGN, 8, 8 },
		{ 8, 0, SLAB_HWCACHE_ALIGN, 8, 8 },
		{ 9, 0, SLAB_HWCACHE_ALIGN, 16, 16 },
		{ 16, 0, SLAB_HWCACHE_ALIGN, 16, 16 },
		{ 17, 0, SLAB_HWCACHE_ALIGN, 32, 32 },
		{ 32, 0, SLAB_HWCACHE_ALIGN, 32, 32 },
		{ 33, 0, SLAB_HWCACHE_ALIGN, 64, 64 },
		{ 65, 0, SLAB_HWCACHE_ALIGN, 64, 128 },
		{ 16, 128, SLAB_HWCACHE_ALIGN, 128, 128 },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kmem_cache *cache = kmem_cache_create(
			"aligned", rows[i].size, rows[i].align, rows[i].flags,
			NULL);
		struct cubby_cache_stats stats;
		void *object;

		assert_non_null(cache);
		stats = stats_of(cache);
		if (stats.align_bytes != rows[i].align_bytes ||
		    stats.cell_bytes != rows[i].cell_bytes)
			fail_msg("row %zu: align %zu, cell %zu", i,
				 (size_t)stats.align_bytes,
				 (size_t)stats.cell_bytes);
		object = kmem_cache_alloc(cache, GFP_KERNEL);
		assert_int_equal((uintptr_t)object % rows[i].align_bytes, 0);
		kmem_cache_free(cache, object);
		drop(cache);
	}
}

static void
kmem_cache_create_of_the_impossible_returns_null(void **state)
{
	char long_name[CUBBY_NAME_BYTES_MAX + 1];
	const struct {
		const char *name;
		unsigned int size, align;
		slab_flags_t flags;
	} rows[] = {
		{ NULL, 24, 0, 0 },         { "", 24, 0, 0 },
		{ "two words", 24, 0, 0 },  { long_name, 24, 0, 0 },
		{ "none", 0, 0, 0 },        { "huge", (1u << 20) + 1, 0, 0 },
		{ "odd", 24, 24, 0 },       { "far", 24, 8192, 0 },
		{ "flag", 24, 0, 1u << 7 }, { "flag", 24, 0, 1u << 31 },
	};

	(void)state;
	memset(long_name, 'x', sizeof(long_name) - 1);
	long_name[sizeof(long_name) - 1] = '\0';
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		if (kmem_cache_create(rows[i].name, rows[i].size,
				      rows[i].align, rows[i].flags, NULL))
			fail_msg("row %zu was created", i);
	assert_non_null(strstr(cubby_error_detail(), "unknown bits"));
}

static void
kmem_cache_create_watches_as_its_flags_say(void **state)
{
	static const struct {
		slab_flags_t flags;
		uint64_t debug;
	} rows[] = {
		{ 0, 0 },
		{ SLAB_CONSISTENCY_CHECKS, CUBBY_DEBUG_CHECKS },
		{ SLAB_RED_ZONE, CUBBY_DEBUG_CHECKS | CUBBY_DEBUG_RED_ZONE },
		{ SLAB_POISON, CUBBY_DEBUG_CHECKS | CUBBY_DEBUG_POISON },
		{ SLAB_STORE_USER, CUBBY_DEBUG_CHECKS | CUBBY_DEBUG_USER },
		{ SLAB_TRACE, CUBBY_DEBUG_CHECKS | CUBBY_DEBUG_TRACE },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct kmem_cache *cache = kmem_cache_create(
			"watched", 24, 0, rows[i].flags, NULL);

		assert_non_null(cache);
		assert_int_equal(stats_of(cache).debug, rows[i].debug);
		drop(cache);
	}
}

static void
create_the_impossible_or_panic(void *unused)
{
	(void)unused;
	(void)kmem_cache_create("two words", 24, 0, SLAB_PANIC, NULL);
}

static void
kmem_cache_create_with_panic_aborts_with_the_reason(void **state)
{
	struct ending ending = run_forked(create_the_impossible_or_panic,
					  NULL);

	(void)state;
	assert_int_equal(ending.signal, SIGABRT);
	assert_non_null(strstr(ending.output,
			       "kmem_cache_create(two words): SLAB_PANIC: "
			       "byte 3 of the cache's name"));
}

static void
kmem_cache_macro_takes_name_size_and_alignment_of_the_struct(void **state)
{
	struct kmem_cache *trucks = KMEM_CACHE(truck, SLAB_PANIC);
	struct kmem_cache *wides = KMEM_CACHE_USERCOPY(wide, 0, bytes);

	(void)state;
	assert_string_equal(cubby_cache_name(trucks), "truck");
	assert_int_equal(kmem_cache_size(trucks), sizeof(struct truck));
	assert_int_equal(stats_of(trucks).align_bytes, 8);
	assert_string_equal(cubby_cache_name(wides), "wide");
	assert_int_equal(stats_of(wides).align_bytes, 32);
	drop(trucks);
	drop(wides);
}

/* --------------------------------- ctor ---------------------------------- */

static void
ctor_runs_once_for_a_cell_and_its_state_stays(void **state)
{
	struct kmem_cache *cache = kmem_cache_create(
		"built", sizeof(struct truck), 0, 0, truck_ctor);
	struct truck *truck;
	size_t n_calls;

	(void)state;
	n_ctor_calls = 0;
	truck = kmem_cache_alloc(cache, GFP_KERNEL);
	assert_int_equal(truck->wheels, 4);
	truck->axles = 2;
	n_calls = n_ctor_calls;
	assert_true(n_calls > 0);
	for (int i = 0; i < 100; i++) {
		kmem_cache_free(cache, truck);
		truck = kmem_cache_alloc(cache, GFP_KERNEL);
		assert_int_equal(truck->wheels, 4);
		assert_int_equal(truck->axles, 2);
	}
	assert_int_equal(n_ctor_calls, n_calls);

	kmem_cache_free(cache, truck);
	assert_int_equal(kmem_cache_shrink(cache), 0);
	truck = kmem_cache_alloc(cache, GFP_KERNEL);
	assert_int_equal(truck->wheels, 4);
	assert_int_equal(truck->axles, 0);
	assert_true(n_ctor_calls > n_calls);
	kmem_cache_free(cache, truck);
	drop(cache);
}

static void
zalloc_from_a_built_cache(void *cache)
{
	(void)kmem_cache_zalloc(cache, GFP_KERNEL);
}

static void
zalloc_bulk_from_a_built_cache(void *cache)
{
	void *objects[4];

	(void)kmem_cache_alloc_bulk(cache, GFP_KERNEL | __GFP_ZERO, 4,
				    objects);
}

static void
kmem_cache_zalloc_of_a_cache_with_ctor_is_misuse(void **state)
{
	static void (*const calls[])(void *) = {
		zalloc_from_a_built_cache, zalloc_bulk_from_a_built_cache
	};
	struct kmem_cache *cache = kmem_cache_create("built", 24, 0, 0,
						     truck_ctor);

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ending ending = run_forked(calls[i], cache);

		assert_int_equal(ending.signal, SIGABRT);
		assert_non_null(strstr(ending.output, "zero-init"));
	}
	drop(cache);
}

/* -------------------------------- objects -------------------------------- */

#define N_OBJECTS 100

/* Objects of these caches are dirty: each cell was written before. */
static struct kmem_cache *
make_dirty(void)
{
	struct kmem_cache *cache = KMEM_CACHE(truck, SLAB_PANIC);
	void *objects[N_OBJECTS];

	assert_int_equal(kmem_cache_alloc_bulk(cache, GFP_KERNEL, N_OBJECTS,
					       objects),
			 N_OBJECTS);
	for (size_t i = 0; i < N_OBJECTS; i++)
		memset(objects[i], 0xaa, sizeof(struct truck));
	kmem_cache_free_bulk(cache, N_OBJECTS, objects);
	assert_int_equal(stats_of(cache).n_live, 0);
	return cache;
}

static void
kmem_cache_alloc_with_gfp_zero_clears(void **state)
{
	struct kmem_cache *cache = make_dirty();
	const size_t n_bytes = sizeof(struct truck);
	void *dirty = kmem_cache_alloc(cache, GFP_ATOMIC);
	void *clear[] = {
		kmem_cache_zalloc(cache, GFP_KERNEL),
		kmem_cache_alloc(cache, GFP_NOWAIT | __GFP_ZERO),
		kmem_cache_alloc_node(cache, GFP_NOFS | __GFP_ZERO,
				      NUMA_NO_NODE),
	};

	(void)state;
	assert_true(is_all(dirty, 0xaa, n_bytes));
	for (size_t i = 0; i < 3; i++) {
		assert_true(is_all(clear[i], 0, n_bytes));
		kmem_cache_free(cache, clear[i]);
	}
	kmem_cache_free(cache, dirty);
	drop(cache);
}

static void
kmem_cache_alloc_bulk_with_gfp_zero_clears_all(void **state)
{
	struct kmem_cache *cache = make_dirty();
	void *objects[N_OBJECTS];

	(void)state;
	assert_int_equal(kmem_cache_alloc_bulk(cache, GFP_KERNEL | __GFP_ZERO,
					       N_OBJECTS, objects),
			 N_OBJECTS);
	for (size_t i = 0; i < N_OBJECTS; i++)
		assert_true(is_all(objects[i], 0, sizeof(struct truck)));
	assert_int_equal(stats_of(cache).n_live, N_OBJECTS);
	kmem_cache_free_bulk(cache, N_OBJECTS, objects);
	drop(cache);
}

static void
kmem_cache_free_of_null_does_nothing(void **state)
{
	struct kmem_cache *cache = KMEM_CACHE(truck, 0);

	(void)state;
	kmem_cache_free(cache, NULL);
	assert_int_equal(stats_of(cache).n_live, 0);
	drop(cache);
}

/* A cache of Cubby's own that holds two objects and no more. */
static struct kmem_cache *
make_for_two(void)
{
	struct cubby_cache_attr attr = CUBBY_CACHE_ATTR(.max_objects = 2);
	struct kmem_cache *cache;

	assert_int_equal(cubby_cache_create_sized(&cache, "two", 24, 0, &attr),
			 0);
	return cache;
}

static void
kmem_cache_alloc_without_memory_returns_null(void **state)
{
	struct kmem_cache *cache = make_for_two();
	void *a = kmem_cache_alloc(cache, GFP_KERNEL);
	void *b = kmem_cache_alloc(cache, GFP_KERNEL | __GFP_NOFAIL);

	(void)state;
	assert_non_null(a);
	assert_non_null(b);
	assert_null(kmem_cache_alloc(cache, GFP_KERNEL));
	assert_null(kmem_cache_zalloc(cache, GFP_KERNEL));
	assert_null(kmem_cache_alloc_node(cache, GFP_KERNEL, 0));
	kmem_cache_free(cache, a);
	kmem_cache_free(cache, b);
	drop(cache);
}

static void
kmem_cache_alloc_bulk_without_memory_allocates_none(void **state)
{
	static const gfp_t gfps[] = { GFP_KERNEL, GFP_KERNEL | __GFP_ZERO };
	struct kmem_cache *cache = make_for_two();
	void *objects[3];

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		assert_int_equal(
			kmem_cache_alloc_bulk(cache, gfps[i], 3, objects), 0);
		assert_int_equal(stats_of(cache).n_live, 0);
		assert_int_equal(
			kmem_cache_alloc_bulk(cache, gfps[i], 2, objects), 2);
		kmem_cache_free_bulk(cache, 2, objects);
	}
	drop(cache);
}

static void
kmem_cache_alloc_bulk_of_none_or_too_many_returns_0(void **state)
{
	struct kmem_cache *cache = make_for_two();
	void *objects[2];

	(void)state;
	assert_int_equal(kmem_cache_alloc_bulk(cache, GFP_KERNEL, 0, objects),
			 0);
	assert_int_equal(kmem_cache_alloc_bulk(cache, GFP_KERNEL | __GFP_ZERO,
					       (size_t)1 << 32, objects),
			 0);
	assert_int_equal(stats_of(cache).n_live, 0);
	/* The cache was not even asked. */
	assert_int_equal(stats_of(cache).n_alloc_failures, 0);
	drop(cache);
}

static void
alloc_three_of_two(void *cache)
{
	for (int i = 0; i < 3; i++)
		if (!kmem_cache_alloc(cache, GFP_KERNEL | __GFP_NOFAIL))
			return;
}

static void
alloc_bulk_three_of_two(void *cache)
{
	void *objects[3];

	(void)kmem_cache_alloc_bulk(cache, GFP_KERNEL | __GFP_NOFAIL, 3,
				    objects);
}

static void
kmem_cache_alloc_with_nofail_aborts_without_memory(void **state)
{
	static void (*const calls[])(void *) = { alloc_three_of_two,
						 alloc_bulk_three_of_two };
	struct kmem_cache *cache = make_for_two();

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct ending ending = run_forked(calls[i], cache);

		assert_int_equal(ending.signal, SIGABRT);
		assert_string_equal(ending.output,
				    "kmem_cache_alloc(two): __GFP_NOFAIL: "
				    "no memory\n");
	}
	drop(cache);
}

/* --------------------------- shrink and destroy -------------------------- */

static void
kmem_cache_shrink_says_whether_pages_are_left(void **state)
{
	struct kmem_cache *cache = KMEM_CACHE(truck, 0);
	void *object = kmem_cache_alloc(cache, GFP_KERNEL);
	struct cubby_walk *walk;

	(void)state;
	assert_int_equal(kmem_cache_shrink(cache), 1);
	kmem_cache_free(cache, object);
	assert_int_equal(cubby_walk_create(&walk, cache), 0);
	assert_int_equal(kmem_cache_shrink(cache), 1);
	cubby_walk_destroy(walk);
	assert_int_equal(kmem_cache_shrink(cache), 0);
	assert_int_equal(stats_of(cache).populated_bytes, 0);
	drop(cache);
}

static void
destroy(void *cache)
{
	kmem_cache_destroy(cache);
}

/* The cache must be usable after it. */
static void
destroy_with_a_live_object(void *unused)
{
	struct kmem_cache *cache = KMEM_CACHE(truck, SLAB_PANIC);
	void *object = kmem_cache_alloc(cache, GFP_KERNEL);

	(void)unused;
	kmem_cache_destroy(cache);
	if (!cubby_is_live(cache, object))
		_exit(1);
	kmem_cache_free(cache, object);
	kmem_cache_destroy(cache);
	_exit(cubby_cache_find("truck") != NULL);
}

static void
kmem_cache_destroy_with_live_objects_reports_and_keeps_them(void **state)
{
	struct ending ending = run_forked(destroy_with_a_live_object, NULL);

	(void)state;
	assert_int_equal(ending.signal, 0);
	assert_int_equal(ending.code, 0);
	assert_non_null(strstr(ending.output,
			       "kmem_cache_destroy: cache 'truck' still has 1 "
			       "live object"));
	assert_non_null(
		strstr(ending.output, "cubby: cache 'truck': 1 live object"));
}

static void
kmem_cache_destroy_in_use_says_so(void **state)
{
	struct kmem_cache *cache = KMEM_CACHE(truck, SLAB_PANIC);
	struct cubby_walk *walk;
	struct ending ending;

	(void)state;
	assert_int_equal(cubby_walk_create(&walk, cache), 0);
	ending = run_forked(destroy, cache);
	assert_int_equal(ending.signal, 0);
	assert_string_equal(ending.output,
			    "kmem_cache_destroy: cache 'truck': "
			    "a walk of it is open\n");
	cubby_walk_destroy(walk);
	drop(cache);
}

static void
kmem_cache_destroy_of_null_does_nothing(void **state)
{
	struct ending ending = run_forked(destroy, NULL);

	(void)state;
	assert_int_equal(ending.signal, 0);
	assert_string_equal(ending.output, "");
}

/* --------------------------------- words --------------------------------- */

static void
gfp_words_differ_as_in_the_kernel(void **state)
{
	static const gfp_t may_block[] = { GFP_KERNEL, GFP_KERNEL_ACCOUNT,
					   GFP_USER, GFP_NOIO, GFP_NOFS };
	static const gfp_t may_not[] = { GFP_ATOMIC, GFP_NOWAIT, 0,
					 GFP_KERNEL & ~__GFP_DIRECT_RECLAIM };

	(void)state;
	for (size_t i = 0; i < sizeof(may_block) / sizeof(gfp_t); i++)
		assert_true(gfpflags_allow_blocking(may_block[i]));
	for (size_t i = 0; i < sizeof(may_not) / sizeof(gfp_t); i++)
		assert_false(gfpflags_allow_blocking(may_not[i]));
	assert_int_equal(GFP_KERNEL & ~(__GFP_FS | __GFP_IO), GFP_NOIO);
	assert_int_equal(GFP_USER & (__GFP_ZERO | __GFP_NOFAIL), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			kmem_cache_create_with_five_arguments_makes_the_cache),
		cmocka_unit_test(
			kmem_cache_create_with_args_takes_align_and_ctor),
		cmocka_unit_test(
			kmem_cache_create_with_null_args_takes_the_defaults),
		cmocka_unit_test(
			kmem_cache_create_usercopy_makes_an_ordinary_cache),
		cmocka_unit_test(kmem_cache_create_aligns_as_the_kernel),
		cmocka_unit_test(
			kmem_cache_create_of_the_impossible_returns_null),
		cmocka_unit_test(kmem_cache_create_watches_as_its_flags_say),
		cmocka_unit_test(
			kmem_cache_create_with_panic_aborts_with_the_reason),
		cmocka_unit_test(
			kmem_cache_macro_takes_name_size_and_alignment_of_the_struct),
		cmocka_unit_test(
			ctor_runs_once_for_a_cell_and_its_state_stays),
		cmocka_unit_test(
			kmem_cache_zalloc_of_a_cache_with_ctor_is_misuse),
		cmocka_unit_test(kmem_cache_alloc_with_gfp_zero_clears),
		cmocka_unit_test(
			kmem_cache_alloc_bulk_with_gfp_zero_clears_all),
		cmocka_unit_test(kmem_cache_free_of_null_does_nothing),
		cmocka_unit_test(kmem_cache_alloc_without_memory_returns_null),
		cmocka_unit_test(
			kmem_cache_alloc_bulk_without_memory_allocates_none),
		cmocka_unit_test(
			kmem_cache_alloc_bulk_of_none_or_too_many_returns_0),
		cmocka_unit_test(
			kmem_cache_alloc_with_nofail_aborts_without_memory),
		cmocka_unit_test(
			kmem_cache_shrink_says_whether_pages_are_left),
		cmocka_unit_test(
			kmem_cache_destroy_with_live_objects_reports_and_keeps_them),
		cmocka_unit_test(kmem_cache_destroy_in_use_says_so),
		cmocka_unit_test(kmem_cache_destroy_of_null_does_nothing),
		cmocka_unit_test(gfp_words_differ_as_in_the_kernel),
	};

	return cmocka_run_group_tests_name("kmem_compat", tests, NULL, NULL);
}

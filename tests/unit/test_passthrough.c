/* SPDX-License-Identifier: MIT */
/* Each object a block of malloc(), for tools that see malloc() alone. */
#include "with_cache.h"

#include <cubby/debug.h>
#include <cubby/stats.h>
#include <cubby/walk.h>
#include <cubby/weak.h>

#include <malloc.h>

#define OBJECT_BYTES 1000
#define N_OBJECTS 500

static unsigned n_misuses[CUBBY_MISUSE_USE_AFTER_FREE + 1];

static void
count_misuse(const struct cubby_misuse *misuse, void *context)
{
	(void)context;
	n_misuses[misuse->code]++;
}

static void
each_object_is_a_block_from_alloc_to_free(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	static void *objects[N_OBJECTS];

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, N_OBJECTS, objects));
	for (size_t i = 0; i < N_OBJECTS; i++) {
		assert_true(malloc_usable_size(objects[i]) >= OBJECT_BYTES);
		assert_true(malloc_usable_size(objects[i]) <
			    OBJECT_BYTES + 16);
		memset(objects[i], (int)i, OBJECT_BYTES);
	}
	assert_int_equal(stats_of(cache).front_reason,
			 CUBBY_FRONT_REASON_PASSTHROUGH);
	assert_int_equal(stats_of(cache).n_live, N_OBJECTS);
	assert_int_equal(stats_of(cache).committed_bytes,
			 N_OBJECTS * OBJECT_BYTES);
	for (size_t i = 0; i < N_OBJECTS; i += 2)
		cubby_free(cache, objects[i]);
	for (size_t i = 1; i < N_OBJECTS; i += 2) {
		assert_int_equal(
			((unsigned char *)objects[i])[OBJECT_BYTES - 1],
			(unsigned char)i);
		cubby_free_any(objects[i]);
	}
	assert_int_equal(stats_of(cache).committed_bytes, 0);
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_ok(cubby_cache_destroy(cache));
}

static void
addresses_lead_to_their_cache(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	struct cubby_cache *other = make_cache_named("other", 24, NULL);
	char *object = must_alloc(cache), *small = must_alloc(other);

	(void)state;
	assert_ptr_equal(cubby_cache_of(object), cache);
	assert_ptr_equal(cubby_cache_of(object + OBJECT_BYTES - 1), cache);
	assert_ptr_equal(cubby_cache_of(small), other);
	cubby_free(other, small);
	assert_null(cubby_cache_of(small));
	assert_ptr_equal(cubby_cache_of(object), cache);
	cubby_free(cache, object);
	assert_null(cubby_cache_of(object));
	assert_null(cubby_cache_of(&state));
	assert_ok(cubby_cache_destroy(cache));
	assert_ok(cubby_cache_destroy(other));
}

static void
alignment_and_order_of_bytes_are_kept(void **state)
{
	static const size_t aligns[] = { 8, 16, 64, 4096 };

	(void)state;
	for (size_t i = 0; i < 4; i++) {
		struct cubby_cache *cache;
		char *object;

		assert_ok(cubby_cache_create_sized(
			&cache, "aligned", 3 * aligns[i], aligns[i], NULL));
		object = cubby_zalloc(cache);
		assert_int_equal((uintptr_t)object % aligns[i], 0);
		for (size_t j = 0; j < 3 * aligns[i]; j++)
			assert_int_equal(object[j], 0);
		cubby_free(cache, object);
		assert_ok(cubby_cache_destroy(cache));
	}
}

static void
misuse_is_reported_and_harms_nothing(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	char *object = must_alloc(cache);

	(void)state;
	cubby_misuse_set_hook(count_misuse, NULL);
	cubby_free(cache, object + 32);
	assert_int_equal(n_misuses[CUBBY_MISUSE_INTERIOR_FREE], 1);
	cubby_free(cache, object);
	cubby_free(cache, object);
	assert_int_equal(n_misuses[CUBBY_MISUSE_FOREIGN_FREE], 1);
	cubby_misuse_set_hook(NULL, NULL);
	assert_int_equal(stats_of(cache).n_live, 0);
	assert_ok(cubby_cache_destroy(cache));
}

static void
walk_meets_each_object_once_and_what_it_met_stays(void **state)
{
	struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);
	static void *objects[N_OBJECTS];
	struct cubby_walk *walk;
	struct cubby_run run;
	char *object;
	size_t n = 0;

	(void)state;
	assert_ok(cubby_alloc_bulk(cache, N_OBJECTS, objects));
	for (size_t i = 0; i < N_OBJECTS; i++)
		memset(objects[i], 1, OBJECT_BYTES);
	assert_ok(cubby_walk_create(&walk, cache));
	for (size_t i = 0; i < N_OBJECTS; i += 2)
		cubby_free(cache, objects[i]);
	while (cubby_walk_next(walk, &run) > 0)
		CUBBY_RUN_FOR_EACH (object, &run) {
			assert_int_equal(object[OBJECT_BYTES - 1], 1);
			n++;
		}
	assert_int_equal(n, N_OBJECTS);
	assert_int_equal(stats_of(cache).committed_bytes,
			 N_OBJECTS * OBJECT_BYTES);
	cubby_walk_destroy(walk);
	assert_int_equal(stats_of(cache).committed_bytes,
			 N_OBJECTS / 2 * OBJECT_BYTES);
	for (size_t i = 1; i < N_OBJECTS; i += 2)
		cubby_free(cache, objects[i]);
	assert_ok(cubby_cache_destroy(cache));
}

static int
set_up(void *object, void *context)
{
	++*(int *)context;
	memset(object, 7, OBJECT_BYTES);
	return 0;
}

static void
take_down(void *object, void *context)
{
	assert_int_equal(*(unsigned char *)object, 7);
	--*(int *)context;
}

static void
state_of_init_stays_in_its_block(void **state)
{
	int n_set_up = 0;
	struct cubby_cache *cache = make_cache(
		OBJECT_BYTES,
		&CUBBY_CACHE_ATTR(.init = set_up, .fini = take_down,
				  .context = &n_set_up));
	void *objects[64];

	(void)state;
	for (int turn = 0; turn < 3; turn++) {
		for (size_t i = 0; i < 64; i++) {
			objects[i] = must_alloc(cache);
			assert_int_equal(*(unsigned char *)objects[i], 7);
		}
		cubby_free_bulk(cache, 64, objects);
		if (turn == 1) {
			assert_ok(cubby_cache_shrink(cache, NULL));
			assert_int_equal(n_set_up, 0);
		}
	}
	assert_ok(cubby_cache_destroy(cache));
	assert_int_equal(n_set_up, 0);
}

static void
handles_of_freed_objects_are_stale(void **state)
{
	static const uint32_t modes[] = { CUBBY_WEAK_REUSE,
					  CUBBY_WEAK_STRONG };

	(void)state;
	for (size_t i = 0; i < 2; i++) {
		struct cubby_cache *cache = make_cache(
			OBJECT_BYTES, &CUBBY_CACHE_ATTR(.weak = modes[i]));
		void *object = must_alloc(cache);
		cubby_weak handle;
		char copy[8];

		memset(object, 5, OBJECT_BYTES);
		handle = cubby_weak_of(cache, object);
		assert_true(handle != 0);
		assert_int_equal(cubby_weak_is_live(cache, handle), 1);
		assert_ok(cubby_weak_copy(cache, handle, copy, 100, 8));
		assert_int_equal(copy[7], 5);
		cubby_free(cache, object);
		assert_int_equal(cubby_weak_is_live(cache, handle), 0);
		assert_int_equal(cubby_weak_copy(cache, handle, copy, 100, 8),
				 -ESTALE);
		assert_ok(cubby_cache_destroy(cache));
	}
}

static void
limit_is_kept_and_watched_caches_go_on(void **state)
{
	struct cubby_cache *cache = make_cache(
		OBJECT_BYTES, &CUBBY_CACHE_ATTR(.max_objects = 10,
						.debug = CUBBY_DEBUG_CHECKS |
							 CUBBY_DEBUG_RED_ZONE |
							 CUBBY_DEBUG_POISON |
							 CUBBY_DEBUG_USER,
						.quarantine_bytes = 4096));
	void *objects[11];

	(void)state;
	for (int turn = 0; turn < 3; turn++) {
		for (size_t i = 0; i < 10; i++)
			objects[i] = must_alloc(cache);
		assert_null(cubby_alloc(cache));
		assert_int_equal(malloc_usable_size(objects[0]) / 16,
				 OBJECT_BYTES / 16);
		for (size_t i = 0; i < 10; i++)
			cubby_free(cache, objects[i]);
	}
	assert_int_equal(cubby_cache_validate(cache), 0);
	cubby_misuse_set_hook(count_misuse, NULL);
	objects[0] = must_alloc(cache);
	cubby_free(cache, objects[0]);
	cubby_misuse_set_hook(NULL, NULL);
	assert_ok(cubby_cache_destroy(cache));
}

static void
caches_by_the_hundred_have_room(void **state)
{
	struct cubby_cache *caches[200];

	(void)state;
	for (size_t i = 0; i < 200; i++) {
		caches[i] = make_cache(24, NULL);
		must_alloc(caches[i]);
	}
	for (size_t i = 0; i < 200; i++)
		assert_ok(cubby_cache_destroy_force(caches[i]));
}

static void
live_objects_go_with_a_cache_that_is_destroyed(void **state)
{
	(void)state;
	for (int turn = 0; turn < 3; turn++) {
		struct cubby_cache *cache = make_cache(OBJECT_BYTES, NULL);

		for (size_t i = 0; i < N_OBJECTS; i++)
			must_alloc(cache);
		assert_int_equal(cubby_cache_destroy(cache), -CUBBY_ELIVE);
		assert_ok(cubby_cache_destroy_force(cache));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(each_object_is_a_block_from_alloc_to_free),
		cmocka_unit_test(addresses_lead_to_their_cache),
		cmocka_unit_test(alignment_and_order_of_bytes_are_kept),
		cmocka_unit_test(misuse_is_reported_and_harms_nothing),
		cmocka_unit_test(
			walk_meets_each_object_once_and_what_it_met_stays),
		cmocka_unit_test(state_of_init_stays_in_its_block),
		cmocka_unit_test(handles_of_freed_objects_are_stale),
		cmocka_unit_test(limit_is_kept_and_watched_caches_go_on),
		cmocka_unit_test(caches_by_the_hundred_have_room),
		cmocka_unit_test(
			live_objects_go_with_a_cache_that_is_destroyed),
	};

	add_options("passthrough,misuse=continue,budget=64G");
	return cmocka_run_group_tests_name("passthrough", tests, NULL, NULL);
}

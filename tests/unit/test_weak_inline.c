/* SPDX-License-Identifier: MIT */
/*
 * Caches with handles, by a program into which cubby_alloc() and cubby_free() are
 * compiled: a free that they do not see through is one of the library's.
 */
#define CUBBY_INLINE
#include "unit/with_modes.h"

static void
fill_and_check(const struct mode *mode, struct cubby_cache *cache, size_t n)
{
	cubby_weak handles[N_OBJECTS];

	for (size_t i = 0; i < n; i++) {
		objects[i] = cubby_alloc(cache);
		assert_non_null(objects[i]);
		memset(objects[i], (int)i, 24);
		if (i % 2)
			handles[i] = must_handle(cache, objects[i]);
	}
	for (size_t i = 1; i < n; i += 2)
		assert_alive(mode, cache, handles[i], objects[i]);
	for (size_t i = 0; i < n; i++)
		cubby_free(cache, objects[i]);
	for (size_t i = 1; i < n; i += 2)
		assert_dead(mode, cache, handles[i]);
	assert_int_equal(stats_of(cache).n_live, 0);
	assert_int_equal(stats_of(cache).n_deferred, is_rcu(mode) ? n / 2 : 0);
}

static void
lives_begin_and_end_by_inline_calls(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);

	for (int round = 0; round < 3; round++) {
		fill_and_check(*state, cache, N_OBJECTS);
		settle(cache);
	}
	drop_cache(cache);
}

/* A cell that is pushed and popped again at once has another handle. */
static void
each_life_of_a_cell_has_a_handle_of_its_own(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24,
					    .max_objects = 1);
	cubby_weak last = 0;

	for (size_t i = 0; i < 300; i++) {
		void *object = cubby_alloc(cache);
		cubby_weak handle;

		assert_non_null(object);
		handle = must_handle(cache, object);
		assert_int_not_equal(handle, last);
		assert_dead(*state, cache, last);
		last = handle;
		cubby_free(cache, object);
		settle(cache);
	}
	drop_cache(cache);
}

/* Random numbers and handles: what is compiled in says what the library says. */
static void
inline_answers_are_the_librarys(void **state)
{
	const struct mode *mode = *state;
	struct cubby_cache *cache = make_in(mode, 24);

	seed = 3;
	for (size_t i = 0; i < N_OBJECTS; i++)
		(void)must_handle(cache, objects[i] = cubby_alloc(cache));
	for (size_t i = 0; i < N_OBJECTS; i += 3)
		cubby_free(cache, objects[i]);
	for (size_t i = 0; i < scaled(20000); i++) {
		uint32_t word = (uint32_t)random_below(&seed, 8);
		cubby_weak handle = ((uint64_t)word << 32 |
				     random_below(&seed, 10000)) ^
				    cache->weak_fast.key;
		void *inside = NULL, *outside = NULL;

		fake_lock();
		if (is_rcu(mode)) {
			inside = cubby_weak_get(cache, handle);
			outside = (cubby_weak_get)(cache, handle);
			assert_ptr_equal(inside, outside);
		}
		fake_unlock();
		if (is_counted(mode)) {
			inside = cubby_weak_upgrade(cache, handle);
			outside = (cubby_weak_upgrade)(cache, handle);
			assert_ptr_equal(inside, outside);
			cubby_ref_put(cache, inside);
			(cubby_ref_put)(cache, outside);
		}
		assert_int_equal(cubby_weak_is_live(cache, handle),
				 inside != NULL);
	}
	assert_ok(cubby_cache_destroy_force(cache));
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		IN_ALL_MODES(lives_begin_and_end_by_inline_calls),
		IN_ALL_MODES(each_life_of_a_cell_has_a_handle_of_its_own),
		IN_MODE(inline_answers_are_the_librarys, MODE_RCU, "_rcu"),
		IN_COUNTED_MODES(inline_answers_are_the_librarys),
	};

	return RUN_IN_ALL_SHAPES("inline calls and handles", tests);
}

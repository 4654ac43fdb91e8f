/* SPDX-License-Identifier: MIT */
/*
 * The end of generations, and generations across the return of pages: for builds
 * with narrow ones (tests/tools/test_narrow.sh); else most cases are skipped.
 */
#include "unit/with_handles.h"

#define N_WIDE 2000 /* objects: several slabs */
#define OBJECT_BYTES 40
#define N_LIVES_PAST 3 /* rounds beyond the last generation */

static const enum cubby_weak_mode modes[] = { CUBBY_WEAK_STRONG,
					      CUBBY_WEAK_REUSE };

static struct cubby_cache *
make(enum cubby_weak_mode mode, uint64_t flags, uint64_t max_objects)
{
	return make_cache_named("narrow", OBJECT_BYTES,
				&CUBBY_CACHE_ATTR(.weak = mode, .flags = flags,
						  .max_objects = max_objects));
}

static void
skip_if_wide(void)
{
	if (CUBBY_GENERATION_BITS > 8)
		skip();
}

static uint32_t
generation_of(struct cubby_cache *cache, cubby_weak handle, uint64_t *ret_cell)
{
	uint32_t generation;

	assert_true(cubby__weak_decode(cache, handle, ret_cell, &generation));
	return generation;
}

/* Live and die until `n` cells are retired; every handle is a new one. */
static void
retire_cells(struct cubby_cache *cache, uint64_t n)
{
	static cubby_weak handles[64 << 8];
	size_t n_handles = 0;

	while (stats_of(cache).n_retired < n) {
		void *object = must_alloc(cache);
		cubby_weak handle = cubby_weak_of(cache, object);

		assert_true(n_handles < N_ELEMENTS(handles));
		for (size_t i = 0; i < n_handles; i++)
			assert_int_not_equal(handles[i], handle);
		handles[n_handles++] = handle;
		cubby_free(cache, object);
	}
	for (size_t i = 0; i < n_handles; i++) {
		assert_int_equal(cubby_weak_is_live(cache, handles[i]), 0);
		assert_int_equal(cubby_weak_free(cache, handles[i]), -ESTALE);
	}
}

static void
cell_past_its_last_generation_is_retired(void **state)
{
	(void)state;
	skip_if_wide();
	for (size_t i = 0; i < N_ELEMENTS(modes); i++)
		for (int direct = 0; direct < 2; direct++) {
			struct cubby_cache *cache = make(
				modes[i],
				direct ? CUBBY_CACHE_NO_MAGAZINES : 0, 0);

			retire_cells(cache, N_LIVES_PAST);
			assert_int_equal(stats_of(cache).n_live, 0);
			drop_cache(cache);
		}
}

/* They count: a cache of so many cells has so many lives. */
static void
alloc_of_a_cache_whose_cells_are_all_retired_fails(void **state)
{
	(void)state;
	skip_if_wide();
	for (size_t i = 0; i < N_ELEMENTS(modes); i++) {
		struct cubby_cache *cache = make(modes[i], 0, 2);
		void *object;

		retire_cells(cache, 2);
		errno = 0;
		object = cubby_alloc(cache);
		assert_null(object);
		assert_int_equal(errno, ENOMEM);
		assert_int_equal(stats_of(cache).n_retired, 2);
		drop_cache(cache);
	}
}

static void
walk_of_retired_cells_visits_none(void **state)
{
	struct cubby_cache *cache = make(CUBBY_WEAK_REUSE, 0, 0);
	struct cubby_walk *walk;
	struct cubby_run run;
	void *object;

	(void)state;
	if (CUBBY_GENERATION_BITS <= 8)
		retire_cells(cache, N_LIVES_PAST);
	object = must_alloc(cache);
	assert_ok(cubby_walk_create(&walk, cache));
	assert_int_equal(cubby_walk_next(walk, &run), 1);
	assert_ptr_equal(run.first, object);
	assert_int_equal(run.n_objects, 1);
	assert_int_equal(cubby_walk_next(walk, &run), 0);
	cubby_walk_destroy(walk);
	cubby_free(cache, object);
	drop_cache(cache);
}

static uint64_t n_dtor;

static void
count_dtor(void *object, void *context)
{
	(void)object;
	(void)context;
	n_dtor++;
}

static void
destroy_force_with_retired_cells_runs_no_dtor_for_them(void **state)
{
	struct cubby_cache *cache = make_cache_named(
		"narrow", OBJECT_BYTES,
		&CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_STRONG,
				  .dtor = count_dtor));
	uint64_t n_before;

	(void)state;
	skip_if_wide();
	retire_cells(cache, N_LIVES_PAST);
	n_before = n_dtor;
	assert_true(n_before >= N_LIVES_PAST * GENERATION_LAST);
	assert_non_null(cubby_alloc(cache));
	assert_ok(cubby_cache_destroy_force(cache));
	assert_int_equal(n_dtor, n_before + 1);
}

/* Pages go and come back: generations go on where they were. */
static void
handles_across_the_return_of_pages_stay_dead(void **state)
{
	static void *all[N_WIDE];
	static cubby_weak handles[N_WIDE];
	static uint32_t last[4 * N_WIDE]; /* of a cell, and 1 */

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(modes); i++) {
		struct cubby_cache *cache = make(modes[i], 0, 0);

		memset(last, 0, sizeof(last));
		for (unsigned round = 0; round < 20; round++) {
			for (size_t j = 0; j < N_WIDE; j++) {
				uint32_t generation;
				uint64_t cell;

				all[j] = must_alloc(cache);
				handles[j] = cubby_weak_of(cache, all[j]);
				generation = generation_of(cache, handles[j],
							   &cell);
				assert_true(cell < N_ELEMENTS(last));
				assert_true(generation >= last[cell]);
				assert_true(generation < GENERATION_LAST);
				last[cell] = generation + 1;
			}
			for (size_t j = 0; j < N_WIDE; j++)
				cubby_free(cache, all[j]);
			assert_ok(cubby_cache_shrink(cache, NULL));
			assert_true(stats_of(cache).n_slabs_returned > 0);
			for (size_t j = 0; j < N_WIDE; j++)
				assert_int_equal(
					cubby_weak_is_live(cache, handles[j]),
					0);
		}
		drop_cache(cache);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cell_past_its_last_generation_is_retired),
		cmocka_unit_test(
			alloc_of_a_cache_whose_cells_are_all_retired_fails),
		cmocka_unit_test(walk_of_retired_cells_visits_none),
		cmocka_unit_test(
			destroy_force_with_retired_cells_runs_no_dtor_for_them),
		cmocka_unit_test(handles_across_the_return_of_pages_stay_dead),
	};

	return cmocka_run_group_tests_name("narrow", tests, NULL, NULL);
}

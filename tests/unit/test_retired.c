/* SPDX-License-Identifier: MIT */
/*
 * Cells at the end of their generations: the word is set to the last but one, so
 * that one life is left.
 */
#include "unit/with_modes.h"

static size_t n_dtor;

static void
on_dtor(void *object, void *context)
{
	(void)object;
	(void)context;
	n_dtor++;
}

/* A cell at the end of its generations is given to nobody (W5). */
static void
cell_of_the_last_generation_is_retired(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24,
					    .max_objects = 10);
	void *object;
	struct cubby_walk *walk;
	struct cubby_run run;
	cubby_weak handle;

	for (size_t i = 0; i < 3; i++)
		(void)must_handle(cache, objects[i] = must_alloc(cache));
	object = objects[1];
	*state_word(cache, object) = (GENERATION_LAST - 1) << 1;
	handle = must_handle(cache, object);
	assert_alive(*state, cache, handle, object);
	cubby_free(cache, object);
	assert_dead(*state, cache, handle);
	settle(cache);
	assert_dead(*state, cache, handle);
	assert_int_equal(stats_of(cache).n_retired, 1);
	assert_int_equal(stats_of(cache).n_live, 2);
	assert_int_equal(cubby_is_live(cache, object), 0);
	assert_ok(cubby_walk_create(&walk, cache));
	for (size_t n = 0; cubby_walk_next(walk, &run); n += run.n_objects)
		assert_true(n + run.n_objects <= 2);
	cubby_walk_destroy(walk);
	for (size_t i = 2; i < 9; i++) {
		objects[i == 2 ? 1 : i] = must_alloc(cache);
		assert_ptr_not_equal(objects[i == 2 ? 1 : i], object);
	}
	assert_null(cubby_alloc(cache)); /* 10 and one that is retired */
	assert_int_equal(*state_word(cache, object), GENERATION_LAST << 1);
	assert_ok(cubby_cache_shrink(cache, NULL));
	for (size_t i = 0; i < 9; i++)
		cubby_free(cache, objects[i]);
	settle(cache);
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_int_equal(stats_of(cache).n_retired, 1);
	assert_int_equal(*state_word(cache, object), GENERATION_LAST << 1);
	assert_dead(*state, cache, handle);
	drop_cache(cache);
}

static void
retired_cells_are_in_no_report_and_have_no_dtor(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 48,
					    .dtor = on_dtor);
	void *retired = must_alloc(cache), *object = must_alloc(cache);
	char text[512] = "";
	FILE *file = tmpfile();

	*state_word(cache, retired) = (GENERATION_LAST - 1) << 1;
	(void)must_handle(cache, retired);
	n_dtor = 0;
	cubby_free(cache, retired);
	settle(cache);
	assert_int_equal(n_dtor, 1);
	assert_ok(cubby_cache_report_live(cache, fileno(file)));
	rewind(file);
	(void)!fread(text, 1, sizeof(text) - 1, file);
	fclose(file);
	assert_non_null(strstr(text, ": 1 live object of 48 bytes\n"));
	assert_non_null(strstr(text, text_of("%p", object)));
	assert_null(strstr(text, text_of("%p", retired)));
	assert_int_equal(cubby_cache_destroy(cache), -CUBBY_ELIVE);
	assert_non_null(strstr(cubby_error_detail(), "1 "));
	assert_non_null(strstr(cubby_error_detail(), text_of("%p", object)));
	assert_null(strstr(cubby_error_detail(), text_of("%p", retired)));
	assert_ok(cubby_cache_destroy_force(cache));
	assert_int_equal(n_dtor, 2);
}

static void
retired_cell_freed_again_is_a_double_free(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);
	void *object = must_alloc(cache);

	*state_word(cache, object) = (GENERATION_LAST - 1) << 1;
	(void)must_handle(cache, object);
	cubby_free(cache, object);
	settle(cache);
	begin_misuse();
	cubby_free(cache, object);
	settle(cache);
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_one_report(CUBBY_MISUSE_DOUBLE_FREE);
	end_misuse();
	assert_int_equal(stats_of(cache).n_retired, 1);
	drop_cache(cache);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		IN_ALL_MODES(cell_of_the_last_generation_is_retired),
		IN_ALL_MODES(retired_cells_are_in_no_report_and_have_no_dtor),
		IN_ALL_MODES(retired_cell_freed_again_is_a_double_free),
	};

	return RUN_IN_ALL_SHAPES("retired cells", tests);
}

/* SPDX-License-Identifier: MIT */
/*
 * Every misuse by its number: what the hook is told, that the offending call
 * has done nothing, and that the count is exact.  The texts on standard error
 * and the abort are in tests/abuse/.
 */
#include "unit/with_cache.h"

#include "options.h"

#include <pthread.h>

static struct cubby_cache *cache, *other;
static char *object;

/* The last report, copied while it lasts. */
static struct {
	uint32_t code;
	char name[32];
	char text[512];
	char cache[CUBBY_NAME_BYTES_MAX]; /* "" for NULL */
	const void *address;
	int n;
} seen;

static void
copy_report(const struct cubby_misuse *misuse, void *context)
{
	assert_ptr_equal(context, &seen);
	assert_int_equal(misuse->misuse_bytes, sizeof(*misuse));
	seen.code = misuse->code;
	seen.address = misuse->address;
	seen.n++;
	snprintf(seen.name, sizeof(seen.name), "%s", misuse->name);
	snprintf(seen.text, sizeof(seen.text), "%s", misuse->text);
	snprintf(seen.cache, sizeof(seen.cache), "%s",
		 misuse->cache ? misuse->cache : "");
	/* No lock is held: the hook may call Cubby. */
	cubby_free(other, must_alloc(other));
}

static uint64_t n_before;

static int
setup(void **state)
{
	(void)state;
	cache = make_cache_named("truck", 64, NULL);
	other = make_cache_named("bus", 64, NULL);
	/* Else the first cache's reading of the environment would undo it. */
	assert_int_equal(cubby__options_apply("misuse=continue"), 0);
	cubby_misuse_set_hook(copy_report, &seen);
	object = must_alloc(cache);
	memset(object, 0x5a, 64);
	memset(&seen, 0, sizeof(seen));
	n_before = cubby_misuse_count();
	errno = EXDEV;
	return 0;
}

static int
teardown(void **state)
{
	(void)state;
	cubby_misuse_set_hook(NULL, NULL);
	cubby_free(cache, object);
	drop_cache(cache);
	drop_cache(other);
	return 0;
}

/*
 * Exactly one report so far, of this code and text; %p in it stands for the
 * address.  Nothing else has happened.
 */
static void
assert_reported(uint32_t code, const char *name, const void *address,
		const char *text)
{
	char expected[512];

	assert_int_equal(errno, EXDEV);
	assert_int_equal(seen.n, 1);
	assert_int_equal(cubby_misuse_count(), n_before + 1);
	assert_int_equal(seen.code, code);
	assert_string_equal(seen.name, name);
	assert_ptr_equal(seen.address, address);
	snprintf(expected, sizeof(expected), "cubby: %s: %s", name, text);
	assert_string_equal(seen.text, expected);
	assert_int_equal(cubby_cache_verify(cache), 0);
	assert_int_equal(cubby_is_live(cache, object), 1);
	for (size_t i = 0; i < 64; i++)
		assert_int_equal(object[i], 0x5a);
}

/* printf() into a text that lasts until the next one. */
CUBBY_PRINTF(1, 2)
static const char *
text_of(const char *format, ...)
{
	static char text[512];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text), format, arguments);
	va_end(arguments);
	return text;
}

#define FREE_WHAT                                                             \
	"free what cubby_alloc() returned, once, before its cache is destroyed"

static void
free_twice_is_double_free(void **state)
{
	void *second = must_alloc(cache);

	(void)state;
	cubby_free(cache, second);
	cubby_free(cache, second);
	assert_reported(CUBBY_MISUSE_DOUBLE_FREE, "double-free", second,
			text_of("cache 'truck': object %p (cell 1) is already "
				"free; it was freed twice, or freed through a "
				"stale pointer",
				second));
	assert_string_equal(seen.cache, "truck");
}

static void
free_stack_is_foreign_free(void **state)
{
	(void)state;
	cubby_free(cache, &state);
	assert_reported(
		CUBBY_MISUSE_FOREIGN_FREE, "foreign-free", &state,
		text_of("cache 'truck': %p lies in no cache; " FREE_WHAT,
			(void *)&state));
}

static void
free_any_stack_is_foreign_free_of_no_cache(void **state)
{
	(void)state;
	cubby_free_any(&state);
	assert_reported(CUBBY_MISUSE_FOREIGN_FREE, "foreign-free", &state,
			text_of("%p lies in no cache; " FREE_WHAT,
				(void *)&state));
	assert_string_equal(seen.cache, "");
}

static void
free_unopened_cell_is_foreign_free(void **state)
{
	char *guess = object + 64 * 5000;

	(void)state;
	cubby_free(cache, guess);
	if (seen.n == 1 && strstr(seen.text, "never allocated") == NULL) {
		print_message("slabs are apart: %s\n", seen.text);
		skip();
	}
	assert_reported(CUBBY_MISUSE_FOREIGN_FREE, "foreign-free", guess,
			text_of("cache 'truck': %p (cell 5000) was never "
				"allocated; " FREE_WHAT,
				(void *)guess));
}

static void
free_late_pointer_is_foreign_free(void **state)
{
	struct cubby_cache *dead = make_cache_named("dead", 64, NULL);
	void *late = must_alloc(dead);

	(void)state;
	assert_ok(cubby_cache_destroy_force(dead));
	errno = EXDEV;
	cubby_free(cache, late);
	if (seen.n == 1 && strstr(seen.text, "lies in no cache") != NULL) {
		/* In small budgets ranges are not kept. */
		print_message("ranges do not retire: %s\n", seen.text);
		skip();
	}
	assert_reported(CUBBY_MISUSE_FOREIGN_FREE, "foreign-free", late,
			text_of("cache 'truck': %p was in cache 'dead', which "
				"was destroyed; " FREE_WHAT,
				late));
}

static void
free_interior_is_interior_free(void **state)
{
	(void)state;
	cubby_free_any(object + 63);
	assert_reported(
		CUBBY_MISUSE_INTERIOR_FREE, "interior-free", object + 63,
		text_of("cache 'truck': %p is 63 bytes into object %p "
			"(cell 0); free the pointer that cubby_alloc() "
			"returned",
			(void *)(object + 63), (void *)object));
}

static void
free_to_another_is_wrong_cache(void **state)
{
	(void)state;
	cubby_free(other, object);
	assert_reported(CUBBY_MISUSE_WRONG_CACHE, "wrong-cache", object,
			text_of("cache 'bus': %p belongs to cache 'truck'; "
				"free it there, or with cubby_free_any()",
				(void *)object));
	assert_string_equal(seen.cache, "bus");
}

static void
free_to_no_cache_is_bad_cache(void **state)
{
	(void)state;
	cubby_free((struct cubby_cache *)object, object);
	assert_reported(CUBBY_MISUSE_BAD_CACHE, "bad-cache", object,
			text_of("cubby_free() on %p, which is not a cache; "
				"pass what cubby_cache_create() wrote",
				(void *)object));
	assert_string_equal(seen.cache, "");
}

static void
free_to_null_is_bad_cache(void **state)
{
	(void)state;
	cubby_free(NULL, object);
	assert_reported(CUBBY_MISUSE_BAD_CACHE, "bad-cache", NULL,
			"cubby_free() on NULL, which is not a cache; pass "
			"what cubby_cache_create() wrote");
}

static void
free_to_destroyed_is_dead_cache(void **state)
{
	struct cubby_cache *dead = make_cache_named("dead", 64, NULL);

	(void)state;
	drop_cache(dead);
	errno = EXDEV;
	cubby_free(dead, object);
	assert_reported(CUBBY_MISUSE_DEAD_CACHE, "dead-cache", dead,
			"cache 'dead': cubby_free() on a cache that was "
			"destroyed; a cache must not be used after "
			"cubby_cache_destroy()");
}

static int
accept(void *cell, void *context)
{
	(void)cell;
	(void)context;
	return 0;
}

static void
zalloc_with_init_is_zero_init(void **state)
{
	struct cubby_cache *set_up = make_cache_named(
		"set-up", 64, &CUBBY_CACHE_ATTR(.init = accept));

	(void)state;
	assert_null(cubby_zalloc(set_up));
	assert_int_equal(errno, ENOMEM);
	errno = EXDEV;
	assert_reported(CUBBY_MISUSE_ZERO_INIT, "zero-init", NULL,
			"cache 'set-up': cubby_zalloc() on a cache with init; "
			"use cubby_alloc(): clearing would destroy what init "
			"set up");
	drop_cache(set_up);
}

/* Every call but create that is given a destroyed cache says so by name. */
static void
calls_on_destroyed_cache_fail_with_a_code(void **state)
{
	struct cubby_cache *dead = make_cache_named("dead", 64, NULL);
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	struct cubby_walk *walk = NULL;

	(void)state;
	drop_cache(dead);
	assert_refused(cubby_walk_create(&walk, dead), -CUBBY_ENOCACHE,
		       "cubby_walk_create() on what is not a live cache of "
		       "this copy of Cubby");
	assert_refused(cubby_cache_stats_snapshot(dead, &stats),
		       -CUBBY_ENOCACHE,
		       "cubby_cache_stats_snapshot() on what is not a live "
		       "cache of this copy of Cubby");
	assert_refused(cubby_cache_report_live(dead, 1), -CUBBY_ENOCACHE,
		       "cubby_cache_report_live() on what is not a live cache "
		       "of this copy of Cubby");
	assert_refused(cubby_cache_destroy(dead), -CUBBY_ENOCACHE,
		       "cubby_cache_destroy() on what is not a live cache of "
		       "this copy of Cubby");
	assert_null(walk);
	assert_int_equal(seen.n, 4);
}

/* ------------------------------- error.h --------------------------------- */

static void
error_names_and_texts_cover_every_code(void **state)
{
	static const struct {
		int code;
		const char *name;
	} rows[] = {
		{ EINVAL, "EINVAL" },
		{ ENOMEM, "ENOMEM" },
		{ E2BIG, "E2BIG" },
		{ EBUSY, "EBUSY" },
		{ EAGAIN, "EAGAIN" },
		{ EBADF, "EBADF" },
		{ EFBIG, "EFBIG" },
		{ EIO, "EIO" },
		{ ENOSPC, "ENOSPC" },
		{ EPIPE, "EPIPE" },
		{ CUBBY_ENOSLOT, "CUBBY_ENOSLOT" },
		{ CUBBY_ELAYOUT, "CUBBY_ELAYOUT" },
		{ CUBBY_ELIVE, "CUBBY_ELIVE" },
		{ CUBBY_ENOCACHE, "CUBBY_ENOCACHE" },
		{ CUBBY_ECORRUPT, "CUBBY_ECORRUPT" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		assert_string_equal(cubby_error_name(rows[i].code),
				    rows[i].name);
		assert_string_equal(cubby_error_name(-rows[i].code),
				    rows[i].name);
		assert_string_not_equal(cubby_error_text(rows[i].code),
					"unknown error");
		assert_string_equal(cubby_error_text(-rows[i].code),
				    cubby_error_text(rows[i].code));
	}
	assert_string_equal(cubby_error_name(0), "unknown error");
	assert_string_equal(cubby_error_name(INT32_MIN), "unknown error");
	assert_string_equal(cubby_error_text(4095), "unknown error");
}

static void *
fail_in_a_thread(void *nothing)
{
	assert_string_equal(cubby_error_detail(), "");
	assert_int_equal(cubby_cache_destroy(cache), -CUBBY_ELIVE);
	assert_non_null(strstr(cubby_error_detail(), "1 live object:"));
	return nothing;
}

static void
error_detail_is_each_threads_own(void **state)
{
	struct cubby_cache *none = NULL;

	(void)state;
	assert_int_equal(cubby_cache_create_sized(&none, "", 8, 0, NULL),
			 -EINVAL);
	for (int i = 0; i < 3; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL,
						fail_in_a_thread, NULL),
				 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		assert_string_equal(cubby_error_detail(),
				    "the cache's name is empty");
	}
	/* A call that succeeds leaves it. */
	cubby_free(cache, must_alloc(cache));
	assert_string_equal(cubby_error_detail(), "the cache's name is empty");
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = {
		TEST(free_twice_is_double_free),
		TEST(free_stack_is_foreign_free),
		TEST(free_any_stack_is_foreign_free_of_no_cache),
		TEST(free_unopened_cell_is_foreign_free),
		TEST(free_late_pointer_is_foreign_free),
		TEST(free_interior_is_interior_free),
		TEST(free_to_another_is_wrong_cache),
		TEST(free_to_no_cache_is_bad_cache),
		TEST(free_to_null_is_bad_cache),
		TEST(free_to_destroyed_is_dead_cache),
		TEST(zalloc_with_init_is_zero_init),
		TEST(calls_on_destroyed_cache_fail_with_a_code),
		TEST(error_names_and_texts_cover_every_code),
		TEST(error_detail_is_each_threads_own),
	};

	/* Without magazines: there each of them is found in the call. */
	add_options("front=none");
	return cmocka_run_group_tests_name("usable", tests, NULL, NULL);
}

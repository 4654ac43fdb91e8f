/* SPDX-License-Identifier: MIT */
/*
 * Caches that watch their objects: each mistake is found where it must be, once,
 * and repaired; in every sort of cache.  Reports are counted, as the kernel's
 * tests of its own allocator do, and the number is asserted.
 */
#include "unit/with_watch.h"

/* --------------------------------- red zones ----------------------------- */

static void
write_beyond_a_live_object_is_found(void **state)
{
	static const ptrdiff_t places[] = { -1, -16, OBJECT_BYTES,
					    OBJECT_BYTES + 15 };
	const struct sort *sort = *state;

	begin(sort, FZPU, 0);
	for (size_t i = 0; i < 4; i++) {
		char *object = must_alloc(cache);
		/* A counted object's word is not in a red zone. */
		bool has_word = sort->attr.weak == CUBBY_WEAK_STRONG ||
				sort->attr.is_strong;
		ptrdiff_t place = places[i] -
				  (places[i] < 0 && has_word ? 8 : 0);

		object[place] = 'X';
		assert_int_equal(cubby_cache_validate(cache), 1);
		assert_reported(CUBBY_MISUSE_RED_ZONE);
		/* Repaired. */
		assert_int_equal(cubby_cache_validate(cache), 0);
		assert_no_report();
		object[place] = 'Y';
		free_now(object);
		assert_reported(CUBBY_MISUSE_RED_ZONE);
		assert_int_equal(stats_of(cache).n_damaged, 2 * (i + 1));
	}
	end();
}

static int64_t n_found_by_hook;

static void
validate_in_hook(const struct cubby_misuse *misuse, void *context)
{
	(void)misuse, (void)context;
	n_found_by_hook += cubby_cache_validate(cache);
}

/* Who validates while it is being reported does not report it again. */
static void
damage_is_reported_once_beside_validate(void **state)
{
	const struct sort *sort = *state;
	char *object;

	begin(sort, FZPU, 0);
	cubby_misuse_set_hook(validate_in_hook, NULL);
	n_found_by_hook = 0;
	object = must_alloc(cache);
	object[OBJECT_BYTES] = 'X';
	free_now(object);
	assert_int_equal(n_reports(), 1);
	object[OBJECT_BYTES] = 'X';
	for (size_t i = 0; i < N_OBJECTS; i++)
		if (must_alloc(cache) == object)
			break;
	assert_int_equal(n_reports(), 1);
	assert_int_equal(n_found_by_hook, 0);
	cubby_misuse_set_hook(keep_report, NULL);
	assert_int_equal(cubby_cache_validate(cache), 0);
	assert_ok(cubby_cache_destroy_force(cache));
	assert_no_report();
}

static void
objects_may_use_all_of_their_bytes(void **state)
{
	begin(*state, FZPU, 0);
	for (size_t i = 0; i < N_OBJECTS; i++) {
		void *object = must_alloc(cache);

		memset(object, (int)i, OBJECT_BYTES);
		if (i % 2)
			cubby_free(cache, object);
		else
			memset(object, 0, OBJECT_BYTES);
	}
	assert_int_equal(cubby_cache_validate(cache), 0);
	assert_no_report();
	assert_ok(cubby_cache_destroy_force(cache));
	assert_no_report();
}

/* ---------------------------------- poison ------------------------------- */

static void
write_after_free_is_found(void **state)
{
	const struct sort *sort = *state;
	uint64_t n_found = sort->keeps_bytes ? 0 : 1;
	void *others[N_OBJECTS];
	char *object;

	begin(sort, FZPU, 0);
	for (size_t turn = 0; turn < 2; turn++) {
		size_t n = 0;

		object = must_alloc(cache);
		free_now(object);
		object[turn ? OBJECT_BYTES - 1 : 0] = 'X';
		if (turn == 0) {
			assert_int_equal(cubby_cache_validate(cache), n_found);
			assert_int_equal(n_reports(), n_found);
			assert_int_equal(cubby_cache_validate(cache), 0);
		}
		/* Until that cell comes again. */
		do
			others[n] = must_alloc(cache);
		while (others[n++] != object && n < N_OBJECTS);
		assert_ptr_equal(others[n - 1], object);
		assert_int_equal(n_reports(), turn ? n_found : 0);
		if (turn && n_found)
			assert_int_equal(last_code,
					 CUBBY_MISUSE_USE_AFTER_FREE);
		for (size_t i = 0; i < n; i++)
			cubby_free(cache, others[i]);
	}
	end();
}

static void
poison_is_what_the_manual_says(void **state)
{
	const struct sort *sort = *state;
	bool poisons = !sort->keeps_bytes;
	uint8_t *object;

	begin(sort, CUBBY_DEBUG_POISON, 0);
	object = must_alloc(cache);
	for (size_t i = 8; poisons && i < OBJECT_BYTES; i++)
		assert_int_equal(object[i], 0x5a);
	if (sort->attr.ctor != NULL)
		assert_int_equal(object[0], 0x77);
	if (sort->attr.init != NULL)
		assert_int_equal(object[8], 0x33);
	free_now(object);
	for (size_t i = 0; poisons && i < OBJECT_BYTES - 1; i++)
		assert_int_equal(object[i], 0x6b);
	if (poisons)
		assert_int_equal(object[OBJECT_BYTES - 1], 0xa5);
	if (sort->attr.init == NULL) {
		object = cubby_zalloc(cache);
		for (size_t i = 8; i < OBJECT_BYTES; i++)
			assert_int_equal(object[i], 0);
		cubby_free(cache, object);
	}
	end();
}

/* Who reads in a section sees what was there. */
static char *watched;

static void
look(void)
{
	for (size_t i = 0; i < OBJECT_BYTES; i++)
		assert_int_equal(watched[i], 'a');
}

static void
poison_comes_after_the_grace_period(void **state)
{
	const struct sort *sort = *state;

	begin(sort, FZPU, 0);
	watched = must_alloc(cache);
	memset(watched, 'a', OBJECT_BYTES);
	cubby_free_rcu(cache, watched);
	look();
	fake.during = look;
	assert_ok(cubby_rcu_barrier(cache));
	fake.during = NULL;
	assert_int_equal(watched[8], sort->keeps_bytes ? 'a' : 0x6b);
	end();
}

/* ---------------------------------- checks ------------------------------- */

static void
wrong_frees_are_found_in_the_call(void **state)
{
	const struct sort *sort = *state;
	struct cubby_cache *other;
	char *object, local;

	begin(sort, CUBBY_DEBUG_CHECKS, 0);
	other = make_cache_named("other", OBJECT_BYTES, &sort->attr);
	object = must_alloc(cache);
	cubby_free(cache, object + 8);
	assert_reported(CUBBY_MISUSE_INTERIOR_FREE);
	cubby_free(cache, &local);
	assert_reported(CUBBY_MISUSE_FOREIGN_FREE);
	cubby_free(cache, object + 10 * cubby_cache_cell_bytes(cache));
	assert_int_equal(n_reports(), 1);
	cubby_free_bulk(cache, 1, (void *[]){ object + 8 });
	assert_reported(CUBBY_MISUSE_INTERIOR_FREE);
	assert_int_equal(stats_of(cache).n_live, 1);

	cubby_free(cache, object);
	assert_no_report();
	cubby_free(cache, object);
	assert_reported(CUBBY_MISUSE_DOUBLE_FREE);
	cubby_free_any(object);
	assert_reported(CUBBY_MISUSE_DOUBLE_FREE);
	cubby_free_bulk(cache, 1, (void *[]){ object });
	assert_reported(CUBBY_MISUSE_DOUBLE_FREE);
	assert_ok(cubby_rcu_barrier(cache));
	cubby_free(cache, object);
	assert_reported(CUBBY_MISUSE_DOUBLE_FREE);
	assert_int_equal(stats_of(cache).n_live, 0);
	drop_cache(other);
	end();
}

static void
objects_of_handles_die_once(void **state)
{
	const struct sort *sort = *state;
	cubby_weak handle;
	void *object;

	if (sort->attr.weak == CUBBY_WEAK_NONE)
		skip();
	begin(sort, FZPU, 0);
	object = must_alloc(cache);
	handle = cubby_weak_of(cache, object);
	assert_int_equal(cubby_weak_free(cache, handle), 0);
	assert_int_equal(cubby_weak_free(cache, handle), -ESTALE);
	assert_no_report();
	cubby_free(cache, object);
	assert_reported(CUBBY_MISUSE_DOUBLE_FREE);
	assert_ok(cubby_rcu_barrier(cache));
	cubby_free(cache, object);
	assert_reported(CUBBY_MISUSE_DOUBLE_FREE);
	if (sort->attr.weak == CUBBY_WEAK_STRONG || sort->attr.is_strong) {
		object = must_alloc(cache);
		handle = cubby_weak_of(cache, object);
		assert_ptr_equal(cubby_weak_upgrade(cache, handle), object);
		((char *)object)[OBJECT_BYTES] = 'X';
		cubby_free(cache, object);
		assert_no_report(); /* it is not over */
		cubby_free(cache, object);
		assert_reported(CUBBY_MISUSE_DOUBLE_FREE);
		cubby_ref_put(cache, object);
		assert_ok(cubby_rcu_barrier(cache));
		assert_reported(CUBBY_MISUSE_RED_ZONE);
		cubby_ref_put(cache, object);
		assert_reported(CUBBY_MISUSE_DOUBLE_FREE);
		assert_int_equal(stats_of(cache).n_live, 0);
	}
	end();
}

/* -------------------------------- quarantine ----------------------------- */

static void
quarantine_gives_back_first_in_first_out(void **state)
{
	const struct sort *sort = *state;
	static void *objects[N_OBJECTS];
	struct cubby_cache_stats stats;
	uint64_t n_most;

	begin(sort, FZPU, 100 * 72);
	n_most = (100 * 72 + cubby_cache_cell_bytes(cache) - 1) /
		 cubby_cache_cell_bytes(cache);
	assert_true(n_most > 50 && n_most < N_OBJECTS);
	for (size_t i = 0; i < N_OBJECTS; i++)
		objects[i] = must_alloc(cache);
	for (size_t i = 0; i < N_OBJECTS; i++) {
		if (sort->attr.rcu != NULL)
			cubby_free_rcu(cache, objects[i]);
		else
			cubby_free(cache, objects[i]);
		assert_int_equal(cubby_is_live(cache, objects[i]), 0);
	}
	assert_ok(cubby_rcu_barrier(cache));
	stats = stats_of(cache);
	assert_int_equal(stats.n_quarantined, n_most);
	assert_int_equal(stats.n_live, 0);
	/* None of the last ones comes back, for as long as there are others. */
	for (size_t i = 0; i < N_OBJECTS - n_most; i++) {
		void *object = must_alloc(cache);

		if (sort->attr.rcu == NULL)
			for (size_t j = N_OBJECTS - n_most; j < N_OBJECTS; j++)
				assert_ptr_not_equal(object, objects[j]);
	}
	assert_int_equal(cubby_cache_validate(cache), 0);
	/* A write there is found, and shrink lets them go. */
	if (!sort->keeps_bytes && sort->attr.rcu == NULL) {
		((char *)objects[N_OBJECTS - 1])[3] = 'X';
		assert_int_equal(cubby_cache_validate(cache), 1);
		assert_int_equal(n_reports(), 1);
	}
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_int_equal(stats_of(cache).n_quarantined, 0);
	assert_int_equal(stats_of(cache).n_live, N_OBJECTS - n_most);
	assert_ok(cubby_cache_destroy_force(cache));
	assert_no_report();
}

/* A limit does not count what nobody has. */
static void
quarantine_is_given_up_for_an_allocation(void **state)
{
	const struct sort *sort = *state;
	struct cubby_cache_attr attr = sort->attr;
	void *objects[10];

	attr.debug = FZP;
	attr.quarantine_bytes = 1 << 20;
	attr.max_objects = 10;
	fake_begin(0);
	cache = make_cache_named("conn", OBJECT_BYTES, &attr);
	for (size_t turn = 0; turn < 5; turn++) {
		for (size_t i = 0; i < 10; i++)
			objects[i] = must_alloc(cache);
		assert_null(cubby_alloc(cache));
		for (size_t i = 0; i < 10; i++)
			cubby_free(cache, objects[i]);
		assert_ok(cubby_rcu_barrier(cache));
	}
	n_reports();
	end();
}

/* ----------------------------- made to fail ------------------------------ */

static size_t
n_failing(size_t n, struct cubby_cache_attr attr)
{
	size_t n_failed = 0;

	cache = make_cache(OBJECT_BYTES, &attr);
	for (size_t i = 1; i <= n; i++) {
		void *object;

		errno = 0;
		object = cubby_alloc(cache);
		if (object == NULL) {
			assert_int_equal(errno, ENOMEM);
			n_failed++;
			if (attr.fail_nth)
				assert_int_equal(i, attr.fail_nth);
			if (attr.fail_every)
				assert_int_equal(i % attr.fail_every, 0);
		}
		cubby_free(cache, object);
	}
	assert_int_equal(stats_of(cache).n_failed, n_failed);
	assert_int_equal(stats_of(cache).n_alloc_failures, n_failed);
	assert_int_equal(stats_of(cache).n_live, 0);
	drop_cache(cache);
	return n_failed;
}

#define ATTR(...) ((struct cubby_cache_attr)CUBBY_CACHE_ATTR(__VA_ARGS__))

static void
allocations_fail_as_asked(void **state)
{
	size_t n, again;
	void *objects[64];

	(void)state;
	assert_int_equal(n_failing(100, ATTR(.fail_nth = 1)), 1);
	assert_int_equal(n_failing(100, ATTR(.fail_nth = 73)), 1);
	assert_int_equal(n_failing(100, ATTR(.fail_every = 7)), 14);
	assert_int_equal(n_failing(100, ATTR(.fail_ppm = 1000000)), 100);
	n = n_failing(20000, ATTR(.fail_ppm = 10000));
	assert_in_range(n, 150, 250);
	again = n_failing(20000, ATTR(.fail_ppm = 10000));
	assert_int_equal(n, again);

	/* All of a bulk or nothing. */
	cache = make_cache(OBJECT_BYTES, &CUBBY_CACHE_ATTR(.fail_nth = 100));
	assert_ok(cubby_alloc_bulk(cache, 64, objects));
	cubby_free_bulk(cache, 64, objects);
	assert_int_equal(cubby_alloc_bulk(cache, 64, objects), -ENOMEM);
	assert_int_equal(stats_of(cache).n_live, 0);
	assert_ok(cubby_alloc_bulk(cache, 64, objects));
	cubby_free_bulk(cache, 64, objects);
	drop_cache(cache);
}

/* What was set aside is not refused. */
static void
reserves_do_not_fail(void **state)
{
	struct cubby_reserve *reserve;

	(void)state;
	cache = make_cache(OBJECT_BYTES, &CUBBY_CACHE_ATTR(.fail_every = 1));
	assert_ok(cubby_reserve_create(&reserve, cache, 4));
	for (size_t i = 0; i < 4; i++)
		cubby_free(cache, cubby_reserve_alloc(reserve));
	assert_null(cubby_reserve_alloc(reserve));
	assert_null(cubby_alloc(cache));
	assert_int_equal(stats_of(cache).n_failed, 1);
	cubby_reserve_destroy(reserve);
	drop_cache(cache);
}

static int
refuse_some(void *object, void *context)
{
	(void)object, (void)context;
	return n_ctor++ % 3 == 2;
}

static void
cells_of_refused_objects_are_free(void **state)
{
	void *objects[10];

	(void)state;
	n_ctor = 0;
	cache = make_cache(OBJECT_BYTES, &CUBBY_CACHE_ATTR(.ctor = refuse_some,
							   .debug = FZPU));
	n_reports();
	for (size_t i = 0; i < 100; i++) {
		void *object = cubby_alloc(cache);

		assert_int_equal(object == NULL, n_ctor % 3 == 0);
		cubby_free(cache, object);
		assert_int_equal(cubby_alloc_bulk(cache, 10, objects),
				 -ENOMEM);
		n_ctor = 0;
	}
	assert_int_equal(cubby_cache_validate(cache), 0);
	assert_int_equal(stats_of(cache).n_live, 0);
	drop_cache(cache);
	assert_no_report();
}

/* ---------------------------------- users -------------------------------- */

static __attribute__((noinline)) void *
alloc_here(void)
{
	void *object = must_alloc(cache);

	__asm__ volatile("" ::: "memory");
	return object;
}

/* What is written to a descriptor, as a text; freed by the caller. */
static char *
users_text(int64_t *ret_n)
{
	FILE *file = tmpfile();
	long n_bytes;
	char *text;

	assert_non_null(file);
	*ret_n = cubby_cache_report_users(cache, fileno(file));
	fseek(file, 0, SEEK_END);
	n_bytes = ftell(file);
	text = calloc(1, (size_t)n_bytes + 1);
	rewind(file);
	assert_int_equal(fread(text, 1, (size_t)n_bytes, file), n_bytes);
	fclose(file);
	return text;
}

static void
users_are_told_by_their_stacks(void **state)
{
	const char *first, *second;
	int64_t n;
	char *text;

	volatile size_t five = 5, seven = 7; /* loops: a place each */

	begin(*state, CUBBY_DEBUG_USER, 0);
	for (size_t i = 0; i < five; i++)
		(void)alloc_here();
	for (size_t i = 0; i < seven; i++)
		(void)alloc_here();
	cubby_free(cache, must_alloc(cache));
	text = users_text(&n);
	assert_int_equal(n, 12);
	assert_non_null(strstr(text, "cubby: cache 'conn': 12 live objects of "
				     "40 bytes, 480 bytes in all\n"));
	first = strstr(text, "7 objects, 280 bytes");
	second = strstr(text, "5 objects, 200 bytes");
	assert_true(first != NULL && second != NULL && first < second);
	assert_non_null(strstr(first, "test_debug+0x"));
	free(text);
	assert_int_equal(cubby_cache_report_users(cache, -1), -EBADF);
	assert_ok(cubby_cache_destroy_force(cache));
	assert_no_report();
}

static void
users_that_nobody_knows_are_counted(void **state)
{
	int64_t n;
	char *text;

	begin(*state, 0, 0);
	(void)must_alloc(cache);
	(void)must_alloc(cache);
	text = users_text(&n);
	assert_int_equal(n, 2);
	assert_non_null(strstr(text, "2 objects, 80 bytes"));
	assert_non_null(strstr(text, "CUBBY_DEBUG=U"));
	free(text);
	assert_int_equal(cubby_cache_validate(cache), 0);
	assert_ok(cubby_cache_destroy_force(cache));
}

/* -------------------------------- attributes ----------------------------- */

static void
attributes_are_checked(void **state)
{
	(void)state;
	cache = NULL;
	assert_refused(cubby_cache_create_sized(
			       &cache, "conn", 40, 0,
			       &CUBBY_CACHE_ATTR(.debug = 1ull << 40)),
		       -EINVAL, "attr.debug has unknown bits 0x10000000000");
	assert_refused(cubby_cache_create_sized(
			       &cache, "conn", 40, 0,
			       &CUBBY_CACHE_ATTR(.fail_ppm = 1000001)),
		       -EINVAL,
		       "attr.fail_ppm is 1000001: of a million at most a "
		       "million can fail");
	assert_null(cache);
	cache = make_cache(40, &CUBBY_CACHE_ATTR(.quarantine_bytes = 1));
	assert_int_equal(stats_of(cache).debug, CUBBY_DEBUG_CHECKS);
	drop_cache(cache);
}

int
main(void)
{
	static struct CMUnitTest tests[200];
	static char names[200][96];
	size_t n = 0;

	add_options("misuse=continue");
	cubby_misuse_set_hook(keep_report, NULL);
	IN_SORTS(write_beyond_a_live_object_is_found);
	IN_SORTS(damage_is_reported_once_beside_validate);
	IN_SORTS(objects_may_use_all_of_their_bytes);
	IN_SORTS(write_after_free_is_found);
	IN_SORTS(poison_is_what_the_manual_says);
	for (size_t i = 0; i < N_SORTS; i++)
		if (sorts[i].attr.rcu != NULL)
			tests[n++] = (struct CMUnitTest){
				"poison_comes_after_the_grace_period",
				poison_comes_after_the_grace_period, NULL,
				NULL, (void *)&sorts[i]
			};
	IN_SORTS(wrong_frees_are_found_in_the_call);
	IN_SORTS(objects_of_handles_die_once);
	IN_SORTS(quarantine_gives_back_first_in_first_out);
	IN_SORTS(quarantine_is_given_up_for_an_allocation);
	ONCE(allocations_fail_as_asked);
	ONCE(reserves_do_not_fail);
	ONCE(cells_of_refused_objects_are_free);
	ONCE(users_are_told_by_their_stacks);
	ONCE(users_that_nobody_knows_are_counted);
	ONCE(attributes_are_checked);
	return _cmocka_run_group_tests("debug", tests, n, NULL, NULL);
}

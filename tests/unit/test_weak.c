/* SPDX-License-Identifier: MIT */
/*
 * Handles in every mode: what they name, for how long, and that everything else
 * names nothing.  Of references see test_strong.c, of watches test_watch.c, of
 * the time between death and reuse test_rcu_order.c and test_reuse.c.
 */
#include "unit/with_modes.h"

static cubby_weak handles[N_OBJECTS];

static void
take_objects(struct cubby_cache *cache, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		objects[i] = must_alloc(cache);
		memset(objects[i], (int)i, cubby_cache_object_bytes(cache));
		handles[i] = must_handle(cache, objects[i]);
	}
}

static void
give_objects(struct cubby_cache *cache, size_t n)
{
	for (size_t i = 0; i < n; i++)
		cubby_free(cache, objects[i]);
}

/* ----------------------------------- make -------------------------------- */

static void
of_null_is_null(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);

	assert_int_equal(cubby_weak_of(cache, NULL), CUBBY_WEAK_NULL);
	drop_cache(cache);
}

static void
null_handle_names_nothing(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);

	assert_dead(*state, cache, CUBBY_WEAK_NULL);
	take_objects(cache, 10);
	assert_dead(*state, cache, CUBBY_WEAK_NULL);
	give_objects(cache, 10);
	drop_cache(cache);
}

static void
of_gives_the_same_handle_each_time_and_another_for_each_object(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);

	take_objects(cache, N_OBJECTS);
	for (size_t i = 0; i < N_OBJECTS; i++) {
		assert_true(cubby_weak_equal(cubby_weak_of(cache, objects[i]),
					     handles[i]));
		for (size_t j = 0; j < i; j++)
			assert_false(cubby_weak_equal(handles[i], handles[j]));
		assert_alive(*state, cache, handles[i], objects[i]);
	}
	give_objects(cache, N_OBJECTS);
	drop_cache(cache);
}

/* Who does not own an object asks, and changes nothing. */
static void
known_gives_the_handle_that_was_made_of_a_live_object(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);
	void *object = must_alloc(cache);
	cubby_weak handle;

	assert_int_equal(cubby_weak_known(cache, NULL), CUBBY_WEAK_NULL);
	assert_int_equal(cubby_weak_known(cache, object), CUBBY_WEAK_NULL);
	assert_int_equal(*state_word(cache, object), 0);
	handle = must_handle(cache, object);
	assert_int_equal(cubby_weak_known(cache, object), handle);
	if (is_counted(*state))
		assert_ptr_equal(cubby_ref_get(cache, object), object);
	cubby_free(cache, object);
	/* While it waits, or is held, and when it is gone. */
	assert_int_equal(cubby_weak_known(cache, object), CUBBY_WEAK_NULL);
	if (is_counted(*state))
		cubby_ref_put(cache, object);
	assert_int_equal(cubby_weak_known(cache, object), CUBBY_WEAK_NULL);
	settle(cache);
	assert_int_equal(cubby_weak_known(cache, object), CUBBY_WEAK_NULL);
	begin_misuse();
	assert_int_equal(cubby_weak_known(cache, (char *)object + 1),
			 CUBBY_WEAK_NULL);
	assert_one_report(CUBBY_MISUSE_NOT_AN_OBJECT);
	end_misuse();
	drop_cache(cache);
}

/* --------------------------------- to nothing ---------------------------- */

/* Nobody has taken its handle: then there is none, not even a forged one. */
static void
object_without_a_handle_is_named_by_no_number(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);

	take_objects(cache, 2);
	cubby_free(cache, objects[0]);
	settle(cache);
	for (size_t i = 2; i < 100; i++)
		objects[i] = must_alloc(cache);
	for (size_t i = 2; i < 100; i++) {
		uint32_t word = *state_word(cache, objects[i]);
		uint64_t cell;

		cubby__region_find(&cache->region, objects[i], &cell);
		assert_int_equal(word & WEAK_TAKEN, 0);
		assert_dead(*state, cache,
			    cubby__weak_encode(cache, cell, word >> 1));
		assert_dead(*state, cache,
			    ((uint64_t)word << 32 | cell) ^
				    cache->weak_fast.key);
	}
	for (size_t i = 1; i < 100; i++)
		cubby_free(cache, objects[i]);
	drop_cache(cache);
}

static void
handle_with_any_bit_turned_names_nothing_or_its_neighbour(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);

	take_objects(cache, 1);
	for (size_t i = 1; i < N_OBJECTS; i++)
		objects[i] = must_alloc(cache); /* without handles */
	for (unsigned bit = 0; bit < 64; bit++)
		assert_dead(*state, cache, handles[0] ^ 1ull << bit);
	assert_alive(*state, cache, handles[0], objects[0]);
	give_objects(cache, N_OBJECTS);
	drop_cache(cache);
}

/* Of cells that were never opened, and of any number at all. */
static void
forged_handles_of_cells_beyond_the_end_name_nothing(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);
	uint64_t n_cells, key = cache->weak_fast.key;

	assert_dead(*state, cache, cubby__weak_encode(cache, 0, 0));
	take_objects(cache, 10);
	n_cells = cache->slabs.n_cells;
	for (unsigned shift = 0; shift < 32; shift++)
		for (uint32_t generation = 0; generation < 3; generation++) {
			assert_dead(
				*state, cache,
				cubby__weak_encode(
					cache,
					n_cells + (1ull << shift) - 1 >
							UINT32_MAX ?
						UINT32_MAX :
						n_cells + (1ull << shift) - 1,
					generation));
			assert_dead(*state, cache,
				    (uint64_t)generation << 33 ^ key);
		}
	seed = 42;
	for (size_t i = 0; i < scaled(2000); i++)
		assert_dead(*state, cache, random_word());
	give_objects(cache, 10);
	drop_cache(cache);
}

static void
handle_of_another_cache_names_nothing(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);
	struct cubby_cache *other = make_in((const struct mode *)*state, 24);
	void *object;

	take_objects(cache, N_OBJECTS);
	for (size_t i = 0; i < N_OBJECTS; i++) {
		object = must_alloc(other);
		(void)must_handle(other, object);
	}
	assert_int_equal(cache->weak_fast.key & TAKEN_IN_HANDLE, 0);
#ifndef CUBBY_DEBUG /* whose handles are to be read by people */
	assert_int_not_equal(cache->weak_fast.key, other->weak_fast.key);
	for (size_t i = 0; i < N_OBJECTS; i++)
		assert_dead(*state, other, handles[i]);
#endif
	give_objects(cache, N_OBJECTS);
	drop_cache(cache);
	assert_ok(cubby_cache_destroy_force(other));
}

static void
handle_of_a_destroyed_cache_names_nothing_in_its_successor(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);
	struct cubby_cache *old = cache;

	take_objects(cache, N_OBJECTS);
	give_objects(cache, N_OBJECTS);
	drop_cache(cache);
	begin_misuse();
	assert_int_equal(cubby_weak_is_live(old, handles[0]), 0);
	assert_one_report(CUBBY_MISUSE_DEAD_CACHE);
	assert_int_equal(cubby_weak_free(old, handles[0]), -ESTALE);
	assert_one_report(CUBBY_MISUSE_DEAD_CACHE);
	/* Compiled into the program, too. */
	assert_null(cubby_weak_get(old, handles[0]));
	assert_one_report(CUBBY_MISUSE_DEAD_CACHE);
	assert_null(cubby_weak_upgrade(old, handles[0]));
	assert_one_report(CUBBY_MISUSE_DEAD_CACHE);
	end_misuse();
	cache = make_in((const struct mode *)*state, 24);
	for (size_t i = 0; i < N_OBJECTS; i++)
		objects[i] = must_alloc(cache);
	for (size_t i = 0; i < N_OBJECTS; i++) {
		cubby_weak handle = must_handle(cache, objects[i]);

#ifndef CUBBY_DEBUG
		assert_dead(*state, cache, handles[i]);
#endif
		assert_alive(*state, cache, handle, objects[i]);
	}
	give_objects(cache, N_OBJECTS);
	drop_cache(cache);
}

/* ----------------------------------- lives ------------------------------- */

static void
handle_lives_until_its_object_is_freed_by_pointer(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);

	take_objects(cache, 100);
	for (size_t i = 0; i < 100; i += 2) {
		errno = EXDEV;
		cubby_free(cache, objects[i]);
		assert_int_equal(errno, EXDEV);
		assert_dead(*state, cache, handles[i]);
	}
	settle(cache);
	for (size_t i = 0; i < 100; i++)
		if (i % 2 == 0)
			assert_dead(*state, cache, handles[i]);
		else
			assert_alive(*state, cache, handles[i], objects[i]);
	for (size_t i = 1; i < 100; i += 2)
		cubby_free(cache, objects[i]);
	drop_cache(cache);
}

static void
free_by_handle_is_granted_once(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);

	take_objects(cache, 100);
	for (size_t i = 0; i < 100; i++) {
		errno = EXDEV;
		assert_int_equal(cubby_weak_free(cache, handles[i]), 0);
		assert_int_equal(cubby_weak_free(cache, handles[i]), -ESTALE);
		assert_int_equal(errno, EXDEV);
		assert_dead(*state, cache, handles[i]);
		assert_int_equal(cubby_is_live(cache, objects[i]), 0);
	}
	assert_int_equal(stats_of(cache).n_live, 0);
	settle(cache);
	assert_dead(*state, cache, handles[0]);
	drop_cache(cache);
}

enum { N_LIVES = 200 };

/* One cell: every handle that there ever was of it is dead but the last. */
static void
handles_of_earlier_lives_stay_dead(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24,
					    .max_objects = 1);
	cubby_weak past[N_LIVES];
	void *object;

	for (size_t i = 0; i < N_LIVES; i++) {
		object = must_alloc(cache);
		past[i] = must_handle(cache, object);
		assert_alive(*state, cache, past[i], object);
		for (size_t j = 0; j < i; j++)
			assert_dead(*state, cache, past[j]);
		if (i % 2)
			cubby_free(cache, object);
		else
			assert_int_equal(cubby_weak_free(cache, past[i]), 0);
		settle(cache);
	}
	drop_cache(cache);
}

/* Its cell's generation is not used up. */
static void
life_without_a_handle_leaves_the_word_as_it_is(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24,
					    .max_objects = 1);
	void *object = must_alloc(cache);
	uint32_t *place = state_word(cache, object);
	uint32_t word;

	(void)must_handle(cache, object);
	word = *place;
	cubby_free(cache, object);
	settle(cache);
	for (int i = 0; i < 10; i++) {
		assert_int_equal(*place, weak_next_word(word));
		object = must_alloc(cache);
		assert_int_equal(*place, weak_next_word(word));
		cubby_free(cache, object);
	}
	drop_cache(cache);
}

/* As long as there are pages or not (W1). */
static void
generations_outlive_the_pages_of_their_cells(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 1000);
	uint64_t n_returned;

	for (int round = 0; round < 3; round++) {
		cubby_weak before[N_OBJECTS];

		take_objects(cache, N_OBJECTS);
		memcpy(before, handles, sizeof(before));
		give_objects(cache, N_OBJECTS);
		settle(cache);
		assert_ok(cubby_cache_shrink(cache, NULL));
		n_returned = stats_of(cache).n_returned;
		assert_true(n_returned >= N_OBJECTS);
		for (size_t i = 0; i < N_OBJECTS; i++)
			assert_dead(*state, cache, before[i]);
		take_objects(cache, N_OBJECTS);
		for (size_t i = 0; i < N_OBJECTS; i++) {
			assert_dead(*state, cache, before[i]);
			assert_alive(*state, cache, handles[i], objects[i]);
		}
		give_objects(cache, N_OBJECTS);
		settle(cache);
	}
	drop_cache(cache);
}

enum { THIN_BYTES = 1000, N_THIN = 64 };

/*
 * Also where unused pages of a slab in use are dropped: their cells' words are
 * elsewhere, or they are not dropped.
 */
static void
generations_outlive_the_thinning_of_their_slab(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state,
					    THIN_BYTES, .max_objects = N_THIN);
	cubby_weak before[N_THIN];

	take_objects(cache, N_THIN);
	memcpy(before, handles, sizeof(before));
	for (size_t i = 1; i < N_THIN; i++)
		cubby_free(cache, objects[i]);
	settle(cache);
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_int_equal(stats_of(cache).n_thinned != 0, !is_counted(*state));
	for (size_t i = 1; i < N_THIN; i++) {
		objects[i] = must_alloc(cache);
		(void)must_handle(cache, objects[i]);
	}
	assert_alive(*state, cache, before[0], objects[0]);
	for (size_t i = 1; i < N_THIN; i++)
		assert_dead(*state, cache, before[i]);
	give_objects(cache, N_THIN);
	drop_cache(cache);
}

/* ---------------------------------- shapes ------------------------------- */

/* Words and objects do not touch each other, whatever the size. */
static void
objects_of_every_size_have_handles(void **state)
{
	static const size_t sizes[] = { 1,    8,     9,     13,         24,
					48,   100,   1000,  4096,       4097,
					3000, 65536, 70000, 1024 * 1024 };

	for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
		size_t n = sizes[i] > 5000 ? 5 : N_OBJECTS;
		struct cubby_cache *cache = make_in(
			(const struct mode *)*state, sizes[i]);

		for (int round = 0; round < 2; round++) {
			take_objects(cache, n);
			for (size_t k = 0; k < n; k++)
				memset(objects[k], round ? 0xff : 0, sizes[i]);
			for (size_t k = 0; k < n; k++)
				assert_alive(*state, cache, handles[k],
					     objects[k]);
			give_objects(cache, n);
			for (size_t k = 0; k < n; k++)
				assert_dead(*state, cache, handles[k]);
			settle(cache);
		}
		assert_int_equal(stats_of(cache).n_live, 0);
		drop_cache(cache);
	}
}

/* More cells than the first range has, where that is small. */
static void
cells_beyond_the_first_range_have_handles(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state,
					    1 << 20);
	size_t n = 0;

	while (n < N_OBJECTS && (n % 8 || stats_of(cache).n_chunks < 3)) {
		objects[n] = must_alloc(cache);
		*(size_t *)objects[n] = n;
		handles[n] = must_handle(cache, objects[n]);
		n++;
	}
	assert_true(stats_of(cache).n_chunks >= 3);
	for (size_t i = 0; i < n; i++)
		assert_alive(*state, cache, handles[i], objects[i]);
	give_objects(cache, n);
	for (size_t i = 0; i < n; i++)
		assert_dead(*state, cache, handles[i]);
	drop_cache(cache);
}

/* --------------------------------- callbacks ----------------------------- */

static size_t n_init, n_fini, n_ctor, n_dtor;

static int
on_init(void *object, void *context)
{
	(void)context;
	((uint64_t *)object)[0] = 1;
	n_init++;
	return 0;
}

static void
on_fini(void *object, void *context)
{
	(void)context;
	assert_int_equal(((uint64_t *)object)[0], 1);
	n_fini++;
}

static int
on_ctor(void *object, void *context)
{
	(void)context;
	assert_int_equal(((uint64_t *)object)[0], 1);
	((uint64_t *)object)[1] = 2;
	n_ctor++;
	return 0;
}

static void
on_dtor(void *object, void *context)
{
	(void)context;
	assert_int_equal(((uint64_t *)object)[1], 2);
	((uint64_t *)object)[1] = 3;
	n_dtor++;
}

static void
callbacks_run_as_without_handles(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 48,
					    .init = on_init, .fini = on_fini,
					    .ctor = on_ctor, .dtor = on_dtor);

	n_init = n_fini = n_ctor = n_dtor = 0;
	for (size_t round = 1; round <= 3; round++) {
		for (size_t i = 0; i < N_OBJECTS; i++)
			objects[i] = must_alloc(cache);
		for (size_t i = 0; i < N_OBJECTS; i += 2)
			handles[i] = must_handle(cache, objects[i]);
		assert_int_equal(n_ctor, round * N_OBJECTS);
		give_objects(cache, N_OBJECTS);
		settle(cache);
		assert_int_equal(n_dtor, round * N_OBJECTS);
	}
	assert_true(n_init >= N_OBJECTS && n_init < 2 * N_OBJECTS);
	drop_cache(cache);
	assert_int_equal(n_fini, n_init);
}

static void
zeroed_objects_are_zero_in_each_life(void **state)
{
	static const char zero[48];
	struct cubby_cache *cache = make_in((const struct mode *)*state, 48,
					    .flags = CUBBY_CACHE_ZERO);

	for (size_t round = 0; round < 3; round++) {
		for (size_t i = 0; i < 300; i++) {
			objects[i] = i % 2 ? must_alloc(cache) :
					     cubby_zalloc(cache);
			assert_memory_equal(objects[i], zero, sizeof(zero));
			handles[i] = must_handle(cache, objects[i]);
			memset(objects[i], 0xff, sizeof(zero));
		}
		for (size_t i = 0; i < 300; i++)
			assert_alive(*state, cache, handles[i], objects[i]);
		give_objects(cache, 300);
		settle(cache);
	}
	drop_cache(cache);
}

static void
spoil_errno(void *object, void *context)
{
	(void)object;
	(void)context;
	errno = EILSEQ;
}

/* Whatever dtor does. */
static void
frees_leave_errno(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24,
					    .dtor = spoil_errno);

	for (int way = 0; way < 6; way++) {
		void *object = must_alloc(cache);
		cubby_weak handle = way < 4 ? must_handle(cache, object) : 0;

		errno = EXDEV;
		if (way == 0 || way == 4)
			cubby_free(cache, object);
		else if (way == 1)
			cubby_free_any(object);
		else if (way == 2)
			cubby_free_bulk(cache, 1, &object);
		else if (way == 3)
			(void)cubby_weak_free(cache, handle);
		else if (is_counted(*state))
			cubby_ref_put(cache, object);
		else
			cubby_free(cache, object);
		assert_int_equal(errno, EXDEV);
	}
	drop_cache(cache);
}

/* ------------------------------- other calls ----------------------------- */

static void
bulk_calls_begin_and_end_lives(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);

	for (size_t round = 0; round < 3; round++) {
		assert_ok(cubby_alloc_bulk(cache, N_OBJECTS, objects));
		for (size_t i = 0; i < N_OBJECTS; i += 3)
			handles[i] = must_handle(cache, objects[i]);
		for (size_t i = 0; i < N_OBJECTS; i += 3)
			assert_alive(*state, cache, handles[i], objects[i]);
		cubby_free_bulk(cache, N_OBJECTS, objects);
		for (size_t i = 0; i < N_OBJECTS; i += 3)
			assert_dead(*state, cache, handles[i]);
		assert_int_equal(stats_of(cache).n_live, 0);
		settle(cache);
	}
	drop_cache(cache);
}

static void
free_any_ends_a_life(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);

	take_objects(cache, 10);
	for (size_t i = 0; i < 10; i++) {
		cubby_free_any(objects[i]);
		assert_dead(*state, cache, handles[i]);
	}
	drop_cache(cache);
}

static void
reserved_objects_have_handles(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);
	struct cubby_reserve *reserve;

	assert_ok(cubby_reserve_create(&reserve, cache, 50));
	for (size_t i = 0; i < 25; i++) {
		objects[i] = cubby_reserve_alloc(reserve);
		memset(objects[i], 42, 24);
		handles[i] = must_handle(cache, objects[i]);
	}
	for (size_t i = 0; i < 25; i++)
		assert_alive(*state, cache, handles[i], objects[i]);
	give_objects(cache, 25);
	for (size_t i = 0; i < 25; i++)
		assert_dead(*state, cache, handles[i]);
	assert_int_equal(stats_of(cache).n_reserved, 25);
	assert_ok(cubby_reserve_refill(reserve, 50));
	cubby_reserve_destroy(reserve);
	drop_cache(cache);
}

static void
snapshot_names_the_mode(void **state)
{
	const struct mode *mode = *state;
	struct cubby_cache *cache = make_in(mode, 24);

	assert_int_equal(stats_of(cache).weak_mode, mode->weak);
	drop_cache(cache);
}

static void
destroy_force_ends_objects_with_handles(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 48,
					    .ctor = on_ctor, .dtor = on_dtor,
					    .init = on_init);

	n_ctor = n_dtor = 0;
	take_objects(cache, 0);
	for (size_t i = 0; i < 100; i++)
		(void)must_handle(cache, objects[i] = must_alloc(cache));
	assert_int_equal(cubby_cache_destroy(cache), -CUBBY_ELIVE);
	assert_alive(*state, cache, cubby_weak_of(cache, objects[7]),
		     objects[7]);
	cubby_free(cache, objects[99]);
	assert_ok(cubby_cache_destroy_force(cache));
	assert_int_equal(n_dtor, 100);
}

/* ---------------------------------- misuse ------------------------------- */

static void
of_what_is_no_object_is_misuse(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);
	struct cubby_cache *other = make_cache(24, NULL);
	char *object = must_alloc(cache), *stranger = must_alloc(other);

	begin_misuse();
	assert_int_equal(cubby_weak_of(cache, object + 8), CUBBY_WEAK_NULL);
	assert_one_report(CUBBY_MISUSE_NOT_AN_OBJECT);
	assert_int_equal(cubby_weak_of(cache, object - 1), CUBBY_WEAK_NULL);
	n_reports = 0; /* in front of a counted object, else nowhere */
	assert_int_equal(cubby_weak_of(cache, &object), CUBBY_WEAK_NULL);
	assert_one_report(CUBBY_MISUSE_NOT_AN_OBJECT);
	assert_int_equal(cubby_weak_of(cache, stranger), CUBBY_WEAK_NULL);
	assert_one_report(CUBBY_MISUSE_NOT_AN_OBJECT);
	assert_int_equal(cubby_weak_of(other, stranger), CUBBY_WEAK_NULL);
	assert_one_report(CUBBY_MISUSE_WEAK_MODE);
	end_misuse();
	assert_int_equal(*state_word(cache, object), 0);
	cubby_free(other, stranger);
	cubby_free(cache, object);
	drop_cache(other);
	drop_cache(cache);
}

static void
copy_beyond_the_end_is_refused(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);
	char to[32] = "untouched";

	take_objects(cache, 1);
	assert_int_equal(cubby_weak_copy(cache, handles[0], to, 25, 0),
			 -EINVAL);
	assert_int_equal(cubby_weak_copy(cache, handles[0], to, 0, 25),
			 -EINVAL);
	assert_int_equal(cubby_weak_copy(cache, handles[0], to, 1, SIZE_MAX),
			 -EINVAL);
	assert_int_equal(cubby_weak_copy(cache, handles[0], to, SIZE_MAX, 1),
			 -EINVAL);
	assert_string_equal(to, "untouched");
	assert_string_equal(cubby_error_detail(),
			    "cache 'truck': 1 bytes from byte "
			    "18446744073709551615 on are beyond the end of an "
			    "object of 24");
	assert_int_equal(cubby_weak_copy(cache, handles[0], to, 24, 0), 0);
	for (size_t i = 0; i < 24; i++)
		((char *)objects[0])[i] = (char)i;
	for (size_t from = 0; from < 24; from++)
		for (size_t n = 0; n <= 24 - from; n++) {
			memset(to, 0x55, sizeof(to));
			assert_int_equal(cubby_weak_copy(cache, handles[0], to,
							 from, n),
					 0);
			assert_memory_equal(to, (char *)objects[0] + from, n);
			assert_int_equal(to[n], 0x55);
		}
	give_objects(cache, 1);
	drop_cache(cache);
}

#ifdef CUBBY_DEBUG
static void
get_outside_of_a_section_is_misuse(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 24);

	take_objects(cache, 1);
	begin_misuse();
	assert_null(cubby_weak_get(cache, handles[0]));
	assert_one_report(CUBBY_MISUSE_NO_SECTION);
	fake_lock();
	assert_ptr_equal(cubby_weak_get(cache, handles[0]), objects[0]);
	fake_unlock();
	end_misuse();
	give_objects(cache, 1);
	drop_cache(cache);
}
#endif

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		IN_ALL_MODES(of_null_is_null),
		IN_ALL_MODES(null_handle_names_nothing),
		IN_ALL_MODES(
			of_gives_the_same_handle_each_time_and_another_for_each_object),
		IN_ALL_MODES(
			known_gives_the_handle_that_was_made_of_a_live_object),
		IN_ALL_MODES(object_without_a_handle_is_named_by_no_number),
		IN_ALL_MODES(
			handle_with_any_bit_turned_names_nothing_or_its_neighbour),
		IN_ALL_MODES(
			forged_handles_of_cells_beyond_the_end_name_nothing),
		IN_ALL_MODES(handle_of_another_cache_names_nothing),
		IN_ALL_MODES(
			handle_of_a_destroyed_cache_names_nothing_in_its_successor),
		IN_ALL_MODES(
			handle_lives_until_its_object_is_freed_by_pointer),
		IN_ALL_MODES(free_by_handle_is_granted_once),
		IN_ALL_MODES(handles_of_earlier_lives_stay_dead),
		IN_ALL_MODES(life_without_a_handle_leaves_the_word_as_it_is),
		IN_ALL_MODES(generations_outlive_the_pages_of_their_cells),
		IN_ALL_MODES(generations_outlive_the_thinning_of_their_slab),
		IN_ALL_MODES(objects_of_every_size_have_handles),
		IN_ALL_MODES(callbacks_run_as_without_handles),
		IN_ALL_MODES(frees_leave_errno),
		IN_ALL_MODES(zeroed_objects_are_zero_in_each_life),
		IN_ALL_MODES(bulk_calls_begin_and_end_lives),
		IN_ALL_MODES(free_any_ends_a_life),
		IN_ALL_MODES(reserved_objects_have_handles),
		IN_ALL_MODES(snapshot_names_the_mode),
		IN_ALL_MODES(destroy_force_ends_objects_with_handles),
		IN_ALL_MODES(of_what_is_no_object_is_misuse),
		IN_ALL_MODES(copy_beyond_the_end_is_refused),
#ifdef CUBBY_DEBUG
		IN_MODE(get_outside_of_a_section_is_misuse, MODE_RCU, "_rcu"),
#endif
	};
	static const struct CMUnitTest beyond[] = {
		IN_ALL_MODES(cells_beyond_the_first_range_have_handles),
	};

	return run_with_options("handles beyond a range", "budget=5G", beyond,
				N_ELEMENTS(beyond)) +
	       RUN_IN_ALL_SHAPES("handles", tests);
}

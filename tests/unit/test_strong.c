/* SPDX-License-Identifier: MIT */
/*
 * Counted objects: who has a reference, who ends a life, and what happens when
 * the last one is put; by CUBBY_WEAK_STRONG, and by CUBBY_WEAK_RCU with
 * is_strong, where a grace period comes in between.
 */
#include "unit/with_modes.h"

static size_t n_dtor, n_expired;
static void *last_dtor;

static void
on_dtor(void *object, void *context)
{
	(void)context;
	last_dtor = object;
	n_dtor++;
}

static void
on_expire(struct cubby_cache *cache, void *object, uint64_t handle,
	  void *context)
{
	(void)context;
	assert_int_equal(cubby_weak_is_live(cache, handle), 0);
	assert_null(cubby_weak_upgrade(cache, handle));
	assert_int_equal(cubby_weak_of(cache, object), CUBBY_WEAK_NULL);
	n_expired++;
}

static struct cubby_cache *
make(const struct mode *mode)
{
	n_dtor = n_expired = 0;
	return make_in(mode, 40, .dtor = on_dtor, .on_expire = on_expire);
}

/* The reference that alloc gave is in no count; of a dead one, 1 may be. */
static uint64_t
holds(const void *object)
{
	return *strong_word(object) & HOLDS;
}

static bool
is_dying(const void *object)
{
	return (*strong_word(object) & DYING) != 0;
}

/* In RCU dtor comes after a grace period, and not before. */
static void
assert_dtor(const struct mode *mode, struct cubby_cache *cache, size_t n)
{
	assert_int_equal(n_dtor, is_rcu(mode) ? n - 1 : n);
	settle(cache);
	assert_int_equal(n_dtor, n);
}

/* ----------------------------------- puts -------------------------------- */

static void
last_put_ends_a_life_that_nobody_has_freed(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = must_alloc(cache);
	cubby_weak handle = must_handle(cache, object);

	assert_ptr_equal(cubby_weak_upgrade(cache, handle), object);
	assert_ptr_equal(cubby_ref_get(cache, object), object);
	assert_int_equal(holds(object), 2);
	cubby_ref_put(cache, object);
	(cubby_ref_put)(cache, object);
	assert_alive(*state, cache, handle, object);
	assert_int_equal(n_expired, 0);
	cubby_ref_put(cache, object);
	assert_dead(*state, cache, handle);
	assert_int_equal(n_expired, 1);
	assert_dtor(*state, cache, 1);
	assert_int_equal(stats_of(cache).n_live, 0);
	drop_cache(cache);
}

static void
put_of_the_only_reference_without_a_handle_is_a_free(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = must_alloc(cache);

	cubby_ref_put(cache, object);
	assert_int_equal(n_dtor, 1); /* nobody can be looking */
	assert_int_equal(n_expired, 0);
	assert_int_equal(stats_of(cache).n_live, 0);
	drop_cache(cache);
}

static void
object_held_by_pointer_alone_is_freed_by_the_last_put(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = must_alloc(cache);

	assert_ptr_equal(cubby_ref_get(cache, object), object);
	cubby_free(cache, object);
	assert_int_equal(n_dtor, 0);
	assert_true(is_dying(object));
	cubby_ref_put(cache, object);
	assert_dtor(*state, cache, 1);
	assert_int_equal(n_expired, 0); /* it never had a handle */
	drop_cache(cache);
}

static void
put_of_null_is_a_no_op(void **state)
{
	struct cubby_cache *cache = make(*state);

	errno = EXDEV;
	cubby_ref_put(cache, NULL);
	(cubby_ref_put)(cache, NULL);
	assert_null(cubby_ref_get(cache, NULL));
	assert_int_equal(errno, EXDEV);
	drop_cache(cache);
}

/* ----------------------------- frees with holders ------------------------ */

static void
free_with_holders_leaves_the_object_to_them(void **state)
{
	struct cubby_cache *cache = make(*state);
	char *object = must_alloc(cache);
	cubby_weak handle = must_handle(cache, object);

	memset(object, 0x5a, 40);
	for (int i = 0; i < 3; i++)
		assert_ptr_equal(cubby_weak_upgrade(cache, handle), object);
	errno = EXDEV;
	cubby_free(cache, object);
	assert_int_equal(errno, EXDEV);
	assert_int_equal(n_expired, 1);
	assert_dead(*state, cache, handle);
	assert_int_equal(cubby_weak_of(cache, object), CUBBY_WEAK_NULL);
	assert_int_equal(n_dtor, 0);
	settle(cache);
	assert_int_equal(n_dtor, 0);
	/* Who has one gives others one, dying or not. */
	assert_ptr_equal(cubby_ref_get(cache, object), object);
	assert_int_equal(holds(object), 4);
	for (int i = 0; i < 4; i++) {
		assert_int_equal(n_dtor, 0);
		for (int k = 0; k < 40; k++)
			assert_int_equal(object[k], 0x5a);
		cubby_ref_put(cache, object);
	}
	assert_int_equal(n_expired, 1);
	assert_dtor(*state, cache, 1);
	assert_ptr_equal(last_dtor, object);
	drop_cache(cache);
}

static void
free_by_handle_ends_the_reference_of_alloc(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = must_alloc(cache);
	cubby_weak handle = must_handle(cache, object);

	assert_ptr_equal(cubby_weak_upgrade(cache, handle), object);
	assert_int_equal(cubby_weak_free(cache, handle), 0);
	assert_int_equal(cubby_weak_free(cache, handle), -ESTALE);
	assert_true(is_dying(object));
	assert_int_equal(n_dtor, 0);
	assert_int_equal(n_expired, 1);
	cubby_ref_put(cache, object);
	assert_dtor(*state, cache, 1);
	assert_int_equal(cubby_weak_free(cache, handle), -ESTALE);
	drop_cache(cache);
}

static void
free_of_a_dying_object_is_a_double_free(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = must_alloc(cache);
	cubby_weak handle = must_handle(cache, object);
	uint64_t word;

	assert_ptr_equal(cubby_weak_upgrade(cache, handle), object);
	cubby_free(cache, object);
	word = *strong_word(object);
	begin_misuse();
	cubby_free(cache, object);
	assert_one_report(CUBBY_MISUSE_DOUBLE_FREE);
	cubby_free_any(object);
	assert_one_report(CUBBY_MISUSE_DOUBLE_FREE);
	end_misuse();
	assert_int_equal(*strong_word(object), word);
	assert_int_equal(n_dtor, 0);
	cubby_ref_put(cache, object);
	assert_dtor(*state, cache, 1);
	drop_cache(cache);
}

/* The next life of the cell begins with nothing of the last one. */
static void
cell_that_is_free_has_the_word_of_a_new_object(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 40,
					    .max_objects = 1);
	uint32_t generation = 0;

	for (int i = 0; i < 100; i++) {
		void *object = must_alloc(cache);
		cubby_weak handle;

		assert_int_equal(*strong_word(object),
				 (uint64_t)generation << 33);
		if (i % 3 != 0) {
			handle = must_handle(cache, object);
			assert_ptr_equal(cubby_weak_upgrade(cache, handle),
					 object);
			assert_int_equal(*strong_word(object),
					 (uint64_t)generation << 33 |
						 TAKEN_IN_HANDLE | 1);
			generation++;
			if (i % 3 == 1)
				cubby_ref_put(cache, object);
			cubby_free(cache, object);
			if (i % 3 == 2 || !is_rcu(*state))
				assert_int_equal(is_dying(object), i % 3 == 2);
			if (i % 3 == 2)
				cubby_ref_put(cache, object);
		} else {
			cubby_free(cache, object);
		}
		settle(cache);
	}
	drop_cache(cache);
}

/* ---------------------------------- limits ------------------------------- */

static void
reference_beyond_the_most_is_refused(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = must_alloc(cache);
	cubby_weak handle = must_handle(cache, object);
	uint64_t word = *strong_word(object);

	/* All but one of the references that there may be. */
	*strong_word(object) = word | (((uint64_t)1 << 31) - 3);
	assert_ptr_equal(cubby_weak_upgrade(cache, handle), object);
	assert_int_equal(holds(object), ((uint64_t)1 << 31) - 2);
	assert_null(cubby_weak_upgrade(cache, handle));
	assert_null((cubby_weak_upgrade)(cache, handle));
	assert_null(cubby_ref_get(cache, object));
	assert_int_equal(holds(object), ((uint64_t)1 << 31) - 2);
	assert_int_equal(cubby_weak_is_live(cache, handle), 1);
	/* Its own reference becomes one more, of who ends it. */
	cubby_free(cache, object);
	assert_dead(*state, cache, handle);
	assert_true(is_dying(object));
	assert_int_equal(holds(object), ((uint64_t)1 << 31) - 2);
	cubby_ref_put(cache, object);
	assert_int_equal(holds(object), ((uint64_t)1 << 31) - 3);
	assert_int_equal(n_dtor, 0);
	*strong_word(object) = (*strong_word(object) & ~HOLDS) | 1;
	cubby_ref_put(cache, object);
	assert_dtor(*state, cache, 1);
	drop_cache(cache);
}

/* ----------------------------------- misuse ------------------------------ */

/* As long as the cell is not another object's. */
static void
put_too_many_of_a_dead_object_is_underflow(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 40,
					    .dtor = on_dtor);
	void *object = must_alloc(cache);
	cubby_weak handle = must_handle(cache, object);

	n_dtor = 0;
	if (!is_rcu(*state)) { /* then it is dead at once */
		drop_cache((cubby_free(cache, object), cache));
		return;
	}
	for (int held = 0; held < 2; held++) {
		for (int i = 0; i < held; i++)
			assert_ptr_equal(cubby_weak_upgrade(cache, handle),
					 object);
		cubby_free(cache, object);
		for (int i = 0; i < held; i++)
			cubby_ref_put(cache, object);
		begin_misuse();
		cubby_ref_put(cache, object);
		assert_one_report(CUBBY_MISUSE_REF_UNDERFLOW);
		(cubby_ref_put)(cache, object);
		assert_one_report(CUBBY_MISUSE_REF_UNDERFLOW);
		end_misuse();
		assert_int_equal(stats_of(cache).n_deferred, 1);
		settle(cache);
		assert_int_equal(n_dtor, held + 1);
		object = must_alloc(cache);
		handle = must_handle(cache, object);
	}
	cubby_free(cache, object);
	drop_cache(cache);
}

static struct cubby_cache *dtor_cache;

static void
put_again(void *object, void *context)
{
	(void)context;
	cubby_ref_put(dtor_cache, object);
}

static void
put_in_dtor_is_underflow(void **state)
{
	dtor_cache = make_in((const struct mode *)*state, 40,
			     .dtor = put_again);
	begin_misuse();
	for (int held = 0; held < 2; held++) {
		void *object = must_alloc(dtor_cache);

		(void)must_handle(dtor_cache, object);
		if (held)
			assert_ptr_equal(cubby_ref_get(dtor_cache, object),
					 object);
		cubby_free(dtor_cache, object);
		if (held)
			cubby_ref_put(dtor_cache, object);
		settle(dtor_cache);
		assert_one_report(CUBBY_MISUSE_REF_UNDERFLOW);
	}
	end_misuse();
	drop_cache(dtor_cache);
}

static void
get_and_put_of_what_is_no_object_is_misuse(void **state)
{
	struct cubby_cache *cache = make(*state);
	struct cubby_cache *plain = make_cache(40, NULL);
	struct cubby_cache *copied = make_cache(
		40, &CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_REUSE));
	uint64_t *object = must_alloc(cache), *stranger = must_alloc(plain);
	uint64_t room[2] = { 0, 0 };

	begin_misuse();
	assert_null(cubby_ref_get(cache, object + 1));
	assert_one_report(CUBBY_MISUSE_NOT_AN_OBJECT);
	assert_null(cubby_ref_get(cache, &room[1]));
	assert_one_report(CUBBY_MISUSE_NOT_AN_OBJECT);
	assert_null(cubby_ref_get(cache, stranger));
	assert_one_report(CUBBY_MISUSE_NOT_AN_OBJECT);
	(cubby_ref_put)(cache, &room[1]);
	assert_one_report(CUBBY_MISUSE_NOT_AN_OBJECT);
	assert_int_equal(room[0], 0);
	cubby_ref_put(plain, stranger);
	assert_one_report(CUBBY_MISUSE_WEAK_MODE);
	assert_null(cubby_ref_get(plain, stranger));
	assert_one_report(CUBBY_MISUSE_WEAK_MODE);
	assert_null(cubby_weak_upgrade(plain, 1));
	assert_one_report(CUBBY_MISUSE_WEAK_MODE);
	assert_null(cubby_weak_upgrade(copied, 1));
	assert_one_report(CUBBY_MISUSE_WEAK_MODE);
	end_misuse();
	cubby_free(cache, object);
	cubby_free(plain, stranger);
	drop_cache(cache);
	drop_cache(copied);
	drop_cache(plain);
}

/* ---------------------------------- shapes ------------------------------- */

/* What is in front is one aligned word, and the object is where it was asked. */
static void
objects_of_odd_sizes_are_aligned_and_so_are_their_words(void **state)
{
	const struct mode *mode = *state;

	for (size_t bytes = 1; bytes < 70; bytes++)
		for (size_t align = 1; align <= 64; align *= 2) {
			size_t multiple = align < 8 ? 8 : align;
			struct cubby_cache *cache = NULL;

			assert_ok(cubby_cache_create_sized(
				&cache, "odd", bytes, align,
				&MODE_ATTR(mode, .name = "odd")));
			assert_int_equal(cubby_cache_object_bytes(cache),
					 bytes);
			assert_int_equal(
				cubby_cache_cell_bytes(cache) % multiple, 0);
			assert_true(cubby_cache_cell_bytes(cache) <
				    2 * multiple + (bytes < 8 ? 8 : bytes));
			for (int i = 0; i < 3; i++) {
				objects[i] = must_alloc(cache);
				assert_int_equal(
					(uintptr_t)objects[i] % multiple, 0);
				memset(objects[i], 0xff, bytes);
			}
			for (int i = 0; i < 3; i++) {
				assert_int_equal(*strong_word(objects[i]), 0);
				cubby_free(cache, objects[i]);
			}
			drop_cache(cache);
		}
}

static void
clearing_an_object_leaves_its_word(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 40,
					    .max_objects = 1);
	void *object = must_alloc(cache);
	cubby_weak handle = must_handle(cache, object);

	cubby_free(cache, object);
	settle(cache);
	object = cubby_zalloc(cache);
	assert_int_equal(*strong_word(object), (uint64_t)1 << 33);
	assert_dead(*state, cache, handle);
	assert_int_not_equal(must_handle(cache, object), handle);
	cubby_free(cache, object);
	drop_cache(cache);
}

/* ------------------------------- with borrowing -------------------------- */

static void
borrowed_object_can_be_upgraded_and_outlives_its_section(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = must_alloc(cache), *borrowed;
	cubby_weak handle = must_handle(cache, object);

	fake_lock();
	borrowed = cubby_weak_get(cache, handle);
	assert_ptr_equal(borrowed, object);
	assert_ptr_equal(cubby_weak_upgrade(cache, handle), object);
	fake_unlock();
	cubby_free(cache, object);
	fake_lock();
	assert_null(cubby_weak_get(cache, handle));
	fake_unlock();
	settle(cache);
	assert_int_equal(n_dtor, 0);
	cubby_ref_put(cache, object);
	assert_int_equal(n_dtor, 0);
	settle(cache);
	assert_int_equal(n_dtor, 1);
	drop_cache(cache);
}

/* Somebody may be borrowing it when the last reference is put. */
static void
last_put_waits_for_who_borrows(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = must_alloc(cache);

	(void)must_handle(cache, object);
	cubby_ref_put(cache, object);
	assert_int_equal(n_dtor, 0);
	assert_int_equal(stats_of(cache).n_deferred, 1);
	assert_int_equal(stats_of(cache).n_live, 0);
	settle(cache);
	assert_int_equal(n_dtor, 1);
	assert_int_equal(stats_of(cache).n_deferred, 0);
	drop_cache(cache);
}

static void
dying_object_counts_as_live_until_its_last_put(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = must_alloc(cache);
	struct cubby_cache_stats stats;

	(void)cubby_ref_get(cache, object);
	cubby_free(cache, object);
	stats = stats_of(cache);
	assert_int_equal(stats.n_live, 1);
	assert_int_equal(stats.n_deferred, 0);
	assert_int_equal(cubby_cache_destroy(cache), -CUBBY_ELIVE);
	cubby_ref_put(cache, object);
	drop_cache(cache);
	assert_int_equal(n_dtor, 1);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		IN_COUNTED_MODES(last_put_ends_a_life_that_nobody_has_freed),
		IN_COUNTED_MODES(
			put_of_the_only_reference_without_a_handle_is_a_free),
		IN_COUNTED_MODES(
			object_held_by_pointer_alone_is_freed_by_the_last_put),
		IN_COUNTED_MODES(put_of_null_is_a_no_op),
		IN_COUNTED_MODES(free_with_holders_leaves_the_object_to_them),
		IN_COUNTED_MODES(free_by_handle_ends_the_reference_of_alloc),
		IN_COUNTED_MODES(free_of_a_dying_object_is_a_double_free),
		IN_COUNTED_MODES(
			cell_that_is_free_has_the_word_of_a_new_object),
		IN_COUNTED_MODES(reference_beyond_the_most_is_refused),
		IN_COUNTED_MODES(put_too_many_of_a_dead_object_is_underflow),
		IN_COUNTED_MODES(put_in_dtor_is_underflow),
		IN_COUNTED_MODES(get_and_put_of_what_is_no_object_is_misuse),
		IN_COUNTED_MODES(
			objects_of_odd_sizes_are_aligned_and_so_are_their_words),
		IN_COUNTED_MODES(clearing_an_object_leaves_its_word),
		IN_COUNTED_MODES(
			dying_object_counts_as_live_until_its_last_put),
		IN_MODE(borrowed_object_can_be_upgraded_and_outlives_its_section,
			MODE_RCU_STRONG, ""),
		IN_MODE(last_put_waits_for_who_borrows, MODE_RCU_STRONG, ""),
	};

	return RUN_IN_ALL_SHAPES("counted objects", tests);
}

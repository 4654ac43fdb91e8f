/* SPDX-License-Identifier: MIT */
/*
 * Watches: each is called once, with the handle dead and the object whole, or
 * was cancelled (W6); the newest first, the cache's own function last.
 */
#include "unit/with_modes.h"

#include "os.h"

enum { N_CALLS_MAX = 5000 };

/* What was called, in order. */
struct call {
	struct cubby_cache *cache;
	void *object, *context;
	uint64_t handle, first_word;
};

static struct call calls[N_CALLS_MAX];
static size_t n_calls;
static bool is_destroying;

static void
note(struct cubby_cache *cache, void *object, uint64_t handle, void *context)
{
	assert_true(n_calls < N_CALLS_MAX);
	calls[n_calls++] = (struct call){ cache, object, context, handle,
					  *(uint64_t *)object };
	if (!is_destroying) /* then the cache answers nothing */
		assert_int_equal(cubby_weak_is_live(cache, handle), 0);
}

static void
note_dtor(void *object, void *context)
{
	assert_true(n_calls < N_CALLS_MAX);
	calls[n_calls++] = (struct call){ NULL, object, context, 0,
					  *(uint64_t *)object };
}

static void *
context_of(uintptr_t number)
{
	return (void *)number;
}

static cubby_watch
must_watch(struct cubby_cache *cache, cubby_weak handle, uintptr_t number,
	   uint64_t flags)
{
	cubby_watch watch = 0;

	assert_ok(cubby_weak_watch(cache, handle, note, context_of(number),
				   flags, &watch));
	assert_int_not_equal(watch, 0);
	return watch;
}

/* The contexts of what was called since the last time. */
static void
assert_calls(size_t n, const uintptr_t *numbers)
{
	assert_int_equal(n_calls, n);
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(calls[i].context, context_of(numbers[i]));
	n_calls = 0;
}

#define ASSERT_CALLS(...)                                                     \
	assert_calls(sizeof((uintptr_t[]){ __VA_ARGS__ }) /                   \
			     sizeof(uintptr_t),                               \
		     (uintptr_t[]){ __VA_ARGS__ })

static struct cubby_cache *
make(const struct mode *mode)
{
	n_calls = 0;
	return make_in(mode, 40);
}

static uint64_t *
make_object(struct cubby_cache *cache, uint64_t mark)
{
	uint64_t *object = must_alloc(cache);

	*object = mark;
	return object;
}

/* ----------------------------------- order ------------------------------- */

static void
watches_are_called_newest_first_with_all_they_need(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = make_object(cache, 4711);
	cubby_weak handle = must_handle(cache, object);

	for (uintptr_t i = 1; i <= 5; i++)
		(void)must_watch(cache, handle, i, i % 2);
	assert_int_equal(stats_of(cache).n_watches, 5);
	assert_int_equal(n_calls, 0);
	cubby_free(cache, object);
	assert_int_equal(n_calls, 5);
	for (size_t i = 0; i < 5; i++) {
		assert_ptr_equal(calls[i].cache, cache);
		assert_ptr_equal(calls[i].object, object);
		assert_int_equal(calls[i].handle, handle);
		assert_int_equal(calls[i].first_word, 4711);
	}
	ASSERT_CALLS(5, 4, 3, 2, 1);
	assert_int_equal(stats_of(cache).n_watches, 0);
	settle(cache);
	drop_cache(cache);
	assert_int_equal(n_calls, 0);
}

static void
on_expire_is_called_last_and_dtor_after_it(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 40,
					    .on_expire = note,
					    .dtor = note_dtor,
					    .context = context_of(99));
	void *object = make_object(cache, 7);
	cubby_weak handle = must_handle(cache, object);

	n_calls = 0;
	(void)must_watch(cache, handle, 1, 0);
	(void)must_watch(cache, handle, 2, 0);
	cubby_free(cache, object);
	settle(cache);
	assert_int_equal(n_calls, 4);
	assert_int_equal(calls[2].handle, handle);
	assert_null(calls[3].cache);
	assert_int_equal(calls[3].first_word, 7);
	ASSERT_CALLS(2, 1, 99, 99);
	drop_cache(cache);
}

/* Without a handle nothing expires. */
static void
on_expire_is_not_called_of_what_had_no_handle(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 40,
					    .on_expire = note,
					    .context = context_of(99));
	void *object = must_alloc(cache);

	n_calls = 0;
	cubby_free(cache, object);
	assert_int_equal(n_calls, 0);
	object = must_alloc(cache);
	(void)must_handle(cache, object);
	cubby_free(cache, object);
	ASSERT_CALLS(99);
	settle(cache);
	assert_int_equal(n_calls, 0);
	drop_cache(cache);
}

/* By whatever call, and by one that changes nothing never. */
static void
every_way_to_die_calls_once(void **state)
{
	struct cubby_cache *cache = make(*state);
	cubby_weak handle;

	for (uintptr_t way = 1; way <= 5; way++) {
		void *object;

		if (way == 5 && !is_counted(*state))
			break;
		object = make_object(cache, way);
		handle = must_handle(cache, object);
		(void)must_watch(cache, handle, way, 0);
		if (way == 1)
			cubby_free(cache, object);
		else if (way == 2)
			cubby_free_any(object);
		else if (way == 3)
			cubby_free_bulk(cache, 1, &object);
		else if (way == 4)
			assert_int_equal(cubby_weak_free(cache, handle), 0);
		else
			cubby_ref_put(cache, object);
		assert_int_equal(cubby_weak_free(cache, handle), -ESTALE);
		ASSERT_CALLS(way);
		settle(cache);
		assert_int_equal(n_calls, 0);
	}
	cubby_free(cache, make_object(cache, 0));
	drop_cache(cache);
}

/* The thread that frees calls, and not the one that puts. */
static void
holders_do_not_put_calls_off(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = make_object(cache, 1);
	cubby_weak handle = must_handle(cache, object);

	(void)must_watch(cache, handle, 1, 0);
	assert_non_null(cubby_ref_get(cache, object));
	cubby_free(cache, object);
	ASSERT_CALLS(1);
	cubby_ref_put(cache, object);
	settle(cache);
	assert_int_equal(n_calls, 0);
	drop_cache(cache);
}

/* The next object of the cell is another one. */
static void
watches_do_not_pass_to_the_next_life(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 40,
					    .max_objects = 1);

	n_calls = 0;
	for (uintptr_t i = 1; i <= 20; i++) {
		void *object = make_object(cache, i);
		cubby_weak handle = must_handle(cache, object);

		if (i % 2)
			(void)must_watch(cache, handle, i, 0);
		cubby_free(cache, object);
		if (i % 2)
			ASSERT_CALLS(i);
		assert_int_equal(n_calls, 0);
		settle(cache);
	}
	drop_cache(cache);
}

/* ---------------------------------- cancel ------------------------------- */

static void
cancelled_watches_are_not_called_wherever_they_are_in_the_list(void **state)
{
	for (unsigned gone = 0; gone < 16; gone++) {
		struct cubby_cache *cache = make(*state);
		void *object = make_object(cache, 1);
		cubby_weak handle = must_handle(cache, object);
		cubby_watch watches[4];
		uintptr_t left[4];
		size_t n_left = 0;

		for (uintptr_t i = 0; i < 4; i++)
			watches[i] = must_watch(cache, handle, i, 0);
		for (unsigned i = 0; i < 4; i++)
			if (gone >> i & 1) {
				assert_int_equal(
					cubby_weak_unwatch(cache, watches[i]),
					0);
				assert_int_equal(
					cubby_weak_unwatch(cache, watches[i]),
					-ESTALE);
			}
		for (unsigned i = 4; i-- > 0;)
			if (!(gone >> i & 1))
				left[n_left++] = i;
		assert_int_equal(stats_of(cache).n_watches, n_left);
		cubby_free(cache, object);
		assert_calls(n_left, left);
		for (unsigned i = 0; i < 4; i++)
			assert_int_equal(cubby_weak_unwatch(cache, watches[i]),
					 -ESTALE);
		settle(cache);
		drop_cache(cache);
	}
}

static void
cancel_by_what_is_no_watch_is_stale(void **state)
{
	struct cubby_cache *cache = make(*state), *other;
	void *object = make_object(cache, 1);
	cubby_weak handle = must_handle(cache, object);
	cubby_watch watch;

	assert_int_equal(cubby_weak_unwatch(cache, 0), -ESTALE);
	watch = must_watch(cache, handle, 1, 0);
	other = make_in((const struct mode *)*state, 40);
	/* Of another cache: it stays. */
	assert_int_equal(cubby_weak_unwatch(other, watch), -ESTALE);
	assert_int_equal(cubby_weak_unwatch(cache, 0), -ESTALE);
	assert_int_equal(cubby_weak_unwatch(cache, ~watch), -ESTALE);
	for (unsigned bit = 0; bit < 64; bit++)
		assert_int_equal(cubby_weak_unwatch(cache,
						    watch ^ 1ull << bit),
				 -ESTALE);
	assert_int_equal(stats_of(cache).n_watches, 1);
	cubby_free(cache, object);
	ASSERT_CALLS(1);
	drop_cache(other);
	drop_cache(cache);
}

/* --------------------------------- register ------------------------------ */

static void
register_on_a_dead_object_is_stale_and_leaves_nothing(void **state)
{
	struct cubby_cache *cache = make(*state), *watches;
	void *object = make_object(cache, 1);
	cubby_weak handle = must_handle(cache, object);
	cubby_watch watch = 4711;
	uint64_t n_live;

	(void)must_watch(cache, handle, 1, 0);
	cubby_free(cache, object);
	ASSERT_CALLS(1);
	watches = cubby_cache_find("cubby-watches");
	assert_non_null(watches);
	n_live = stats_of(watches).n_live;
	assert_refused(cubby_weak_watch(cache, handle, note, NULL, 0, &watch),
		       -ESTALE,
		       "cache 'truck': the object is dead, or the handle "
		       "none of this cache's");
	assert_refused(cubby_weak_watch(cache, 0, note, NULL, 0, &watch),
		       -ESTALE,
		       "cache 'truck': the object is dead, or the handle "
		       "none of this cache's");
	assert_int_equal(watch, 4711);
	assert_int_equal(stats_of(watches).n_live, n_live);
	assert_int_equal(stats_of(cache).n_watches, 0);
	settle(cache);
	assert_int_equal(n_calls, 0);
	drop_cache(cache);
}

static void
register_with_impossible_arguments_is_refused(void **state)
{
	struct cubby_cache *cache = make(*state);
	struct cubby_cache *plain = make_cache_named("plain", 40, NULL);
	void *object = make_object(cache, 1);
	cubby_weak handle = must_handle(cache, object);
	cubby_watch watch = 4711;

	assert_refused(cubby_weak_watch(cache, handle, NULL, NULL, 0, &watch),
		       -EINVAL, "expired is NULL");
	assert_refused(cubby_weak_watch(cache, handle, note, NULL, 0, NULL),
		       -EINVAL, "ret_watch is NULL");
	assert_refused(cubby_weak_watch(cache, handle, note, NULL, 0xf0,
					&watch),
		       -EINVAL, "flags has unknown bits 0xf0");
	assert_refused(cubby_weak_watch(plain, handle, note, NULL, 0, &watch),
		       -EINVAL,
		       "cache 'plain' has no handles: create it with a weak "
		       "mode");
	assert_int_equal(watch, 4711);
	assert_int_equal(stats_of(cache).n_watches, 0);
	cubby_free(cache, object);
	assert_int_equal(n_calls, 0);
	drop_cache(plain);
	drop_cache(cache);
}

/* At each call of the kernel that registering makes. */
static void
register_without_memory_leaves_nothing_behind(void **state)
{
	struct cubby_cache *first = make(*state), *watches;
	void *object = make_object(first, 1);

	(void)must_watch(first, must_handle(first, object), 1, 0);
	cubby_free(first, object);
	drop_cache(first);
	ASSERT_CALLS(1);
	watches = cubby_cache_find("cubby-watches");
	for (uint64_t nth = 1;; nth++) {
		struct cubby_cache *cache = make(*state);
		cubby_weak handle;
		cubby_watch watch = 4711;
		uint64_t n_live = stats_of(watches).n_live;
		bool failed;
		int err;

		object = make_object(cache, nth);
		handle = must_handle(cache, object);
		cubby__os_fail_at(nth);
		err = cubby_weak_watch(cache, handle, note, NULL, 0, &watch);
		failed = cubby__os_n_calls() >= nth;
		cubby__os_fail_at(0);
		assert_int_equal(err, failed ? -ENOMEM : 0);
		if (failed) {
			assert_string_equal(cubby_error_detail(),
					    "cache 'truck': no memory for a "
					    "watch");
			assert_int_equal(watch, 4711);
			assert_int_equal(stats_of(watches).n_live, n_live);
			assert_int_equal(stats_of(cache).n_watches, 0);
			(void)must_watch(cache, handle, 2, 0);
		}
		cubby_free(cache, object);
		assert_int_equal(n_calls, 1);
		n_calls = 0;
		drop_cache(cache);
		if (!failed) {
			assert_true(nth > 1);
			return;
		}
	}
}

/* ----------------------------------- many -------------------------------- */

static void
many_watches_of_many_objects_find_their_own(void **state)
{
	struct cubby_cache *cache = make(*state);
	size_t n = scaled(1000) < N_OBJECTS ? scaled(1000) : N_OBJECTS;
	cubby_watch watches[N_OBJECTS];
	size_t n_all = 0;

	seed = 7;
	for (size_t i = 0; i < n; i++)
		objects[i] = make_object(cache, i);
	for (uintptr_t round = 0; round < 3; round++)
		for (size_t i = 0; i < n; i++)
			if (random_below(&seed, 2) || round == 2) {
				watches[i] = must_watch(
					cache, must_handle(cache, objects[i]),
					i, 0);
				n_all++;
			}
	for (size_t i = 0; i < n; i += 5) {
		assert_int_equal(cubby_weak_unwatch(cache, watches[i]), 0);
		n_all--;
	}
	assert_int_equal(stats_of(cache).n_watches, n_all);
	for (size_t i = n; i-- > 0;)
		cubby_free(cache, objects[i]);
	assert_int_equal(n_calls, n_all);
	for (size_t i = 0; i < n_calls; i++) {
		assert_ptr_equal(calls[i].context,
				 context_of(calls[i].first_word));
		assert_ptr_equal(calls[i].object,
				 objects[calls[i].first_word]);
	}
	assert_int_equal(stats_of(cache).n_watches, 0);
	settle(cache);
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_int_equal(n_calls, n_all);
	drop_cache(cache);
}

/* -------------------------------- destruction ---------------------------- */

static void
destroy_force_calls_finalizers_and_forgets_the_others(void **state)
{
	struct cubby_cache *cache = make_in((const struct mode *)*state, 40,
					    .dtor = note_dtor,
					    .context = context_of(99));
	struct cubby_cache *watches;
	uint64_t *first, *second;
	uint64_t n_live;

	n_calls = 0;
	first = make_object(cache, 1);
	second = make_object(cache, 2);
	cubby_free(cache, make_object(cache, 3));
	settle(cache);
	ASSERT_CALLS(99);
	(void)must_handle(cache, first);
	(void)must_watch(cache, must_handle(cache, second), 21,
			 CUBBY_WATCH_FINALIZER);
	watches = cubby_cache_find("cubby-watches");
	n_live = stats_of(watches).n_live;
	(void)must_watch(cache, must_handle(cache, second), 22, 0);
	(void)must_watch(cache, must_handle(cache, first), 11, 0);
	(void)must_watch(cache, must_handle(cache, first), 12,
			 CUBBY_WATCH_FINALIZER);
	is_destroying = true;
	assert_ok(cubby_cache_destroy_force(cache));
	is_destroying = false;
	/* While all objects are whole. */
	assert_ptr_equal(calls[0].object, first);
	assert_int_equal(calls[0].first_word, 1);
	assert_ptr_equal(calls[1].object, second);
	assert_int_equal(calls[1].first_word, 2);
	ASSERT_CALLS(12, 21, 99, 99);
	assert_int_equal(stats_of(watches).n_live, n_live - 1);
}

static void
destroy_of_a_watched_cache_that_is_not_empty_changes_nothing(void **state)
{
	struct cubby_cache *cache = make(*state);
	void *object = make_object(cache, 1);

	(void)must_watch(cache, must_handle(cache, object), 1,
			 CUBBY_WATCH_FINALIZER);
	assert_int_equal(cubby_cache_destroy(cache), -CUBBY_ELIVE);
	assert_int_equal(n_calls, 0);
	cubby_free(cache, object);
	ASSERT_CALLS(1);
	drop_cache(cache);
}

/* --------------------------------- callbacks ----------------------------- */

static struct {
	struct cubby_cache *cache, *other;
	void *others[10];
	cubby_weak handle;
	cubby_watch watch;
	int answer;
} scene;

static void
cancel_another(struct cubby_cache *cache, void *object, uint64_t handle,
	       void *context)
{
	note(cache, object, handle, context);
	scene.answer = cubby_weak_unwatch(scene.cache, scene.watch);
}

/* Of the same object it is too late, of others not. */
static void
callback_may_cancel_other_watches(void **state)
{
	cubby_watch watch;
	void *object, *second;

	scene.cache = make(*state);
	object = make_object(scene.cache, 1);
	second = make_object(scene.cache, 2);
	scene.watch = must_watch(scene.cache, must_handle(scene.cache, object),
				 1, 0);
	assert_ok(cubby_weak_watch(scene.cache,
				   must_handle(scene.cache, object),
				   cancel_another, context_of(2), 0, &watch));
	cubby_free(scene.cache, object);
	assert_int_equal(scene.answer, -ESTALE);
	ASSERT_CALLS(2, 1);
	settle(scene.cache);
	object = make_object(scene.cache, 3);
	scene.watch = must_watch(scene.cache, must_handle(scene.cache, second),
				 3, 0);
	assert_ok(cubby_weak_watch(scene.cache,
				   must_handle(scene.cache, object),
				   cancel_another, context_of(4), 0, &watch));
	cubby_free(scene.cache, object);
	assert_int_equal(scene.answer, 0);
	ASSERT_CALLS(4);
	cubby_free(scene.cache, second);
	assert_int_equal(n_calls, 0);
	drop_cache(scene.cache);
}

static void
register_another(struct cubby_cache *cache, void *object, uint64_t handle,
		 void *context)
{
	note(cache, object, handle, context);
	/* Of the dead one, and of one that lives. */
	assert_int_equal(cubby_weak_watch(cache, handle, note, NULL, 0,
					  &scene.watch),
			 -ESTALE);
	scene.answer = cubby_weak_watch(cache, scene.handle, note,
					context_of(77), 0, &scene.watch);
}

static void
callback_may_register_watches_of_other_objects(void **state)
{
	void *object, *second;
	cubby_watch watch;

	scene.cache = make(*state);
	object = make_object(scene.cache, 1);
	second = make_object(scene.cache, 2);
	scene.handle = must_handle(scene.cache, second);
	assert_ok(
		cubby_weak_watch(scene.cache, must_handle(scene.cache, object),
				 register_another, context_of(1), 0, &watch));
	cubby_free(scene.cache, object);
	assert_int_equal(scene.answer, 0);
	ASSERT_CALLS(1);
	cubby_free(scene.cache, second);
	ASSERT_CALLS(77);
	drop_cache(scene.cache);
}

static void
free_the_next(struct cubby_cache *cache, void *object, uint64_t handle,
	      void *context)
{
	uintptr_t i = (uintptr_t)context;

	note(cache, object, handle, context);
	if (i + 1 < N_ELEMENTS(scene.others))
		cubby_free(cache == scene.cache ? scene.other : scene.cache,
			   scene.others[i + 1]);
}

/* Two caches in turn: each death brings about another one. */
static void
callback_may_free_objects_of_other_caches(void **state)
{
	cubby_watch watch;

	scene.cache = make(*state);
	scene.other = make_in((const struct mode *)*state, 40);
	for (uintptr_t i = 0; i < N_ELEMENTS(scene.others); i++) {
		struct cubby_cache *cache = i % 2 ? scene.other : scene.cache;

		scene.others[i] = make_object(cache, i);
		assert_ok(cubby_weak_watch(
			cache, must_handle(cache, scene.others[i]),
			free_the_next, context_of(i), 0, &watch));
	}
	cubby_free(scene.cache, scene.others[0]);
	ASSERT_CALLS(0, 1, 2, 3, 4, 5, 6, 7, 8, 9);
	drop_cache(scene.cache);
	drop_cache(scene.other);
}

static void
look_at_all(struct cubby_cache *cache, void *object, uint64_t handle,
	    void *context)
{
	note(cache, object, handle, context);
	/* No lock is held. */
	assert_int_equal(cubby_is_live(cache, scene.others[0]), 1);
	(void)stats_of(cache);
	assert_int_equal(cubby_weak_free(cache, handle), -ESTALE);
}

static void
callback_may_ask_its_own_cache(void **state)
{
	cubby_watch watch;
	void *object;

	scene.cache = make(*state);
	scene.others[0] = make_object(scene.cache, 0);
	object = make_object(scene.cache, 1);
	assert_ok(cubby_weak_watch(scene.cache,
				   must_handle(scene.cache, object),
				   look_at_all, context_of(1), 0, &watch));
	cubby_free(scene.cache, object);
	ASSERT_CALLS(1);
	cubby_free(scene.cache, scene.others[0]);
	drop_cache(scene.cache);
}

/* errno stays, whatever a callback does. */
static void
set_errno(struct cubby_cache *cache, void *object, uint64_t handle,
	  void *context)
{
	note(cache, object, handle, context);
	errno = EILSEQ;
}

static void
free_of_a_watched_object_leaves_errno(void **state)
{
	struct cubby_cache *cache = make(*state);
	cubby_watch watch;
	cubby_weak handle;
	void *object;

	for (int i = 0; i < 3; i++) {
		object = make_object(cache, 1);
		handle = must_handle(cache, object);
		assert_ok(cubby_weak_watch(cache, handle, set_errno,
					   context_of(1), 0, &watch));
		errno = EXDEV;
		if (i == 0)
			cubby_free(cache, object);
		else if (i == 1)
			cubby_free_any(object);
		else
			(void)cubby_weak_free(cache, handle);
		assert_int_equal(errno, EXDEV);
		ASSERT_CALLS(1);
	}
	drop_cache(cache);
}

int
main(void)
{
	static const struct CMUnitTest tests[] = {
		IN_ALL_MODES(
			watches_are_called_newest_first_with_all_they_need),
		IN_ALL_MODES(on_expire_is_called_last_and_dtor_after_it),
		IN_ALL_MODES(on_expire_is_not_called_of_what_had_no_handle),
		IN_ALL_MODES(every_way_to_die_calls_once),
		IN_COUNTED_MODES(holders_do_not_put_calls_off),
		IN_ALL_MODES(watches_do_not_pass_to_the_next_life),
		IN_ALL_MODES(
			cancelled_watches_are_not_called_wherever_they_are_in_the_list),
		IN_ALL_MODES(cancel_by_what_is_no_watch_is_stale),
		IN_ALL_MODES(
			register_on_a_dead_object_is_stale_and_leaves_nothing),
		IN_ALL_MODES(register_with_impossible_arguments_is_refused),
		IN_ALL_MODES(register_without_memory_leaves_nothing_behind),
		IN_ALL_MODES(many_watches_of_many_objects_find_their_own),
		IN_ALL_MODES(
			destroy_force_calls_finalizers_and_forgets_the_others),
		IN_ALL_MODES(
			destroy_of_a_watched_cache_that_is_not_empty_changes_nothing),
		IN_ALL_MODES(callback_may_cancel_other_watches),
		IN_ALL_MODES(callback_may_register_watches_of_other_objects),
		IN_ALL_MODES(callback_may_free_objects_of_other_caches),
		IN_ALL_MODES(callback_may_ask_its_own_cache),
		IN_ALL_MODES(free_of_a_watched_object_leaves_errno),
	};

	return RUN_IN_ALL_SHAPES("watches", tests);
}

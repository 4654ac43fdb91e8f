/* SPDX-License-Identifier: MIT */
/*
 * Each mode of handles as a case of its own, and what a handle answers in it,
 * asked of every call that there is, in the program and in the library.
 */
#ifndef WITH_MODES_H
#define WITH_MODES_H

#include "unit/fake_flavor.h"
#include "unit/with_handles.h"

struct mode {
	const char *name;
	uint64_t weak, is_strong;
};

static const struct mode modes[] __attribute__((unused)) = {
	{ "rcu", CUBBY_WEAK_RCU, 0 },
	{ "rcu and strong", CUBBY_WEAK_RCU, 1 },
	{ "strong", CUBBY_WEAK_STRONG, 0 },
	{ "reuse", CUBBY_WEAK_REUSE, 0 },
};

enum { MODE_RCU, MODE_RCU_STRONG, MODE_STRONG, MODE_REUSE };

#define IN_MODE(function, number, suffix)                                     \
	{                                                                     \
#function suffix, function, NULL, NULL,                       \
			(void *)(uintptr_t)&modes[number]                     \
	}
#define IN_COUNTED_MODES(function)                                            \
	IN_MODE(function, MODE_STRONG, "_strong"),                            \
		IN_MODE(function, MODE_RCU_STRONG, "_rcu_strong")
#define IN_ALL_MODES(function)                                                \
	IN_MODE(function, MODE_RCU, "_rcu"), IN_COUNTED_MODES(function),      \
		IN_MODE(function, MODE_REUSE, "_reuse")

static inline bool
is_rcu(const struct mode *mode)
{
	return mode->weak == CUBBY_WEAK_RCU;
}

static inline bool
is_counted(const struct mode *mode)
{
	return mode->weak == CUBBY_WEAK_STRONG || mode->is_strong;
}

/* @...: more attributes.  Nobody but the caller reclaims. */
#define MODE_ATTR(mode, ...)                                                  \
	CUBBY_CACHE_ATTR(.weak = (mode)->weak,                                \
			 .is_strong = (mode)->is_strong,                      \
			 .rcu = is_rcu(mode) ? &fake_flavor : NULL,           \
			 .reclaim = is_rcu(mode) ? CUBBY_RECLAIM_POLL :       \
						   CUBBY_RECLAIM_THREAD,      \
			 __VA_ARGS__)

#define make_in(mode, object_bytes, ...)                                      \
	make_cache_named("truck", object_bytes,                               \
			 &MODE_ATTR(mode, .name = "truck", ##__VA_ARGS__))

static inline uint32_t *
state_word(struct cubby_cache *cache, const void *object)
{
	uint64_t cell;

	assert_int_equal(cubby__region_find(&cache->region, object, &cell),
			 REGION_OBJECT);
	return word_of(&cache->slabs.words, cell);
}

static inline cubby_weak
must_handle(struct cubby_cache *cache, const void *object)
{
	cubby_weak handle = cubby_weak_of(cache, object);

	assert_int_not_equal(handle, CUBBY_WEAK_NULL);
	return handle;
}

static inline void
assert_alive(const struct mode *mode, struct cubby_cache *cache,
	     cubby_weak handle, void *object)
{
	size_t bytes = cubby_cache_object_bytes(cache);
	char *copy = malloc(bytes);

	assert_int_equal(cubby_weak_is_live(cache, handle), 1);
	assert_int_equal(cubby_weak_copy(cache, handle, copy, 0, bytes), 0);
	assert_memory_equal(copy, object, bytes);
	free(copy);
	if (is_rcu(mode)) {
		fake_lock();
		assert_ptr_equal(cubby_weak_get(cache, handle), object);
		assert_ptr_equal((cubby_weak_get)(cache, handle), object);
		assert_ptr_equal(cubby__weak_get_1(cache, handle), object);
		fake_unlock();
	}
	if (is_counted(mode)) {
		assert_ptr_equal(cubby_weak_upgrade(cache, handle), object);
		assert_ptr_equal((cubby_weak_upgrade)(cache, handle), object);
		assert_ptr_equal(cubby__weak_upgrade_1(cache, handle), object);
		cubby_ref_put(cache, object);
		(cubby_ref_put)(cache, object);
		(cubby_ref_put)(cache, object);
	}
}

static inline void
must_not_be_called(struct cubby_cache *cache, void *object, uint64_t handle,
		   void *context)
{
	(void)cache;
	(void)object;
	(void)handle;
	(void)context;
	abort();
}

static inline void
assert_dead(const struct mode *mode, struct cubby_cache *cache,
	    cubby_weak handle)
{
	cubby_watch watch = 4711;
	char byte = 42;

	assert_int_equal(cubby_weak_is_live(cache, handle), 0);
	assert_int_equal(cubby_weak_copy(cache, handle, &byte, 0, 1), -ESTALE);
	assert_int_equal(byte, 42);
	assert_int_equal(cubby_weak_free(cache, handle), -ESTALE);
	assert_int_equal(cubby_weak_watch(cache, handle, must_not_be_called,
					  NULL, 0, &watch),
			 -ESTALE);
	assert_int_equal(watch, 4711);
	if (is_rcu(mode)) {
		fake_lock();
		assert_null(cubby_weak_get(cache, handle));
		assert_null((cubby_weak_get)(cache, handle));
		assert_null(cubby__weak_get_1(cache, handle));
		fake_unlock();
	}
	if (is_counted(mode)) {
		assert_null(cubby_weak_upgrade(cache, handle));
		assert_null((cubby_weak_upgrade)(cache, handle));
		assert_null(cubby__weak_upgrade_1(cache, handle));
	}
}

/* What was freed is free. */
static inline void
settle(struct cubby_cache *cache)
{
	assert_ok(cubby_rcu_barrier(cache));
}

/* The group once more, in a process with these options; nonzero: it failed. */
static inline int
run_with_options(const char *name, const char *options,
		 const struct CMUnitTest *tests, size_t n_tests)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		add_options(options);
		status = _cmocka_run_group_tests(name, tests, n_tests, NULL,
						 NULL);
		fflush(NULL);
		_exit(status != 0);
	}
	waitpid(pid, &status, 0);
	return status != 0;
}

/* In one range with magazines, in chunks, and without magazines. */
#define RUN_IN_ALL_SHAPES(name, tests)                                        \
	(run_with_options(name " in chunks", "chunks", tests,                 \
			  N_ELEMENTS(tests)) +                                \
	 run_with_options(name " without magazines", "front=none", tests,     \
			  N_ELEMENTS(tests)) +                                \
	 _cmocka_run_group_tests(name, tests, N_ELEMENTS(tests), NULL, NULL))

#endif /* WITH_MODES_H */

/* SPDX-License-Identifier: MIT */
/* What the unit tests of layer 5 and above share; only public headers. */
#ifndef WITH_CACHE_H
#define WITH_CACHE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <cubby/cubby.h>

#include "support/sums.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

/* In percent of the usual work. */
static inline size_t
scaled(size_t n)
{
	const char *text = getenv("CUBBY_TEST_SCALE");
	size_t percent = text ? strtoul(text, NULL, 10) : 100;

	return n * percent / 100 + 1;
}

/* splitmix64 */
static inline uint64_t
random_below(uint64_t *seed, uint64_t limit)
{
	uint64_t x = *seed += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return (x ^ x >> 31) % limit;
}

/* Add to CUBBY_OPTIONS, which are read with the process's first cache. */
static inline void
add_options(const char *more)
{
	const char *given = getenv("CUBBY_OPTIONS");
	char options[256];

	snprintf(options, sizeof(options), "%s%s%s", given ? given : "",
		 given && given[0] ? "," : "", more);
	setenv("CUBBY_OPTIONS", options, 1);
}

/*
 * Run a group whose subject is the slab lock: in a process without magazines.
 * To be called before the first cache of this one; nonzero if a case failed.
 */
static inline int
run_without_magazines(const char *name, const struct CMUnitTest *tests,
		      size_t n_tests)
{
	int status = -1;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		add_options("front=none");
		status = _cmocka_run_group_tests(name, tests, n_tests, NULL,
						 NULL);
		fflush(NULL);
		_exit(status != 0);
	}
	waitpid(pid, &status, 0);
	return status != 0;
}

#define RUN_WITHOUT_MAGAZINES(name, tests)                                    \
	run_without_magazines(name, tests, sizeof(tests) / sizeof((tests)[0]))

/* A call that must succeed; the detail says why it did not. */
#define assert_ok(call)                                                       \
	do {                                                                  \
		int assert_ok_err = (call);                                   \
		if (assert_ok_err != 0)                                       \
			print_message("%s: %s\n",                             \
				      cubby_error_name(assert_ok_err),        \
				      cubby_error_detail());                  \
		assert_int_equal(assert_ok_err, 0);                           \
	} while (0)

#define assert_refused(call, code, detail)                                    \
	do {                                                                  \
		assert_int_equal(call, code);                                 \
		assert_string_equal(cubby_error_detail(), detail);            \
	} while (0)

static inline struct cubby_cache *
make_cache_named(const char *name, size_t object_bytes,
		 const struct cubby_cache_attr *attr)
{
	struct cubby_cache *cache = NULL;

	assert_ok(
		cubby_cache_create_sized(&cache, name, object_bytes, 0, attr));
	assert_non_null(cache);
	return cache;
}

static inline struct cubby_cache *
make_cache(size_t object_bytes, const struct cubby_cache_attr *attr)
{
	return make_cache_named("thing", object_bytes, attr);
}

/* A snapshot that keeps its promises, of a cache that verifies. */
static inline struct cubby_cache_stats
stats_of(struct cubby_cache *cache)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	assert_ok(cubby_cache_stats_snapshot(cache, &stats));
	assert_int_equal(stats.stats_bytes, sizeof(stats));
	assert_int_equal(stats.n_cells, sum_of_cells(&stats));
	assert_int_equal(stats.is_exact, 1);
	assert_int_equal(stats.reserved_bytes,
			 stats.committed_bytes + stats.uncommitted_bytes);
	assert_true(stats.populated_bytes <= stats.committed_bytes);
	assert_int_equal(stats.n_slabs,
			 stats.n_slabs_full + stats.n_slabs_partial +
				 stats.n_slabs_empty + stats.n_slabs_returned);
	if (cubby_cache_verify(cache) != 0)
		fail_msg("%s", cubby_error_detail());
	return stats;
}

static inline void *
must_alloc(struct cubby_cache *cache)
{
	void *object = cubby_alloc(cache);

	assert_non_null(object);
	return object;
}

/* Destroy an empty cache. */
static inline void
drop_cache(struct cubby_cache *cache)
{
	assert_ok(cubby_cache_destroy(cache));
}

/* Does every cache consist of chunks?  True of CUBBY_OPTIONS=chunks and of
 * small budgets; then only the cells of a slab are sure to be neighbours. */
static inline bool
in_chunks(void)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	bool answer = stats_of(cache).reserved_bytes == 0;

	drop_cache(cache);
	return answer;
}

/* Does this process have magazines?  Not with CUBBY_OPTIONS=front=none. */
static inline bool
has_magazines(void)
{
	struct cubby_cache *cache = make_cache(64, NULL);
	bool answer = stats_of(cache).front_end != CUBBY_FRONT_NONE;

	drop_cache(cache);
	return answer;
}

/* Is the page of this address in memory? */
static inline bool
is_resident(const void *address)
{
	uintptr_t page_bytes = (uintptr_t)sysconf(_SC_PAGESIZE);
	uintptr_t page = (uintptr_t)address & ~(page_bytes - 1);
	unsigned char answer = 0;

	if (mincore((void *)page, page_bytes, &answer) != 0)
		return false; /* not even mapped */
	return answer & 1;
}

#endif /* WITH_CACHE_H */

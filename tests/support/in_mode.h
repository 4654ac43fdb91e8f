/* SPDX-License-Identifier: MIT */
/*
 * Cases that run once in each front end, in a process of their own: the choice
 * is made once a process.  To be included after cmocka.h.
 */
#ifndef CUBBY_TESTS_IN_MODE_H
#define CUBBY_TESTS_IN_MODE_H

#include "oracle.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct mode_case {
	const char *name;
	CMUnitTestFunction function;
	const char *options; /* more of CUBBY_OPTIONS */
	enum cubby_front_end front_end;
};

#define MODE_SKIPPED 77
#define MODE_SECONDS 280

/* What the process of this case is to have. */
static enum cubby_front_end mode_front_end __attribute__((unused));

/* From the child of a case: it is counted as skipped. */
static inline void __attribute__((noreturn)) mode_skip(const char *why)
{
	fprintf(stderr, "# SKIP: %s\n", why);
	fflush(NULL);
	_exit(MODE_SKIPPED);
}

/* The first cache of a case; skips where its front end cannot be had. */
static inline struct cubby_cache *
mode_make_cache(size_t object_bytes, const struct cubby_cache_attr *attr)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	struct cubby_cache *cache = NULL;

	if (cubby_cache_create_sized(&cache, "mode", object_bytes, 0, attr) !=
		    0 ||
	    cubby_cache_stats_snapshot(cache, &stats) != 0)
		test_die("no cache: %s", cubby_error_detail());
	if (stats.front_end != mode_front_end)
		mode_skip(cubby_front_reason_text(stats.front_reason));
	return cache;
}

static inline void
mode_add_options(const char *more)
{
	const char *given = getenv("CUBBY_OPTIONS");
	char options[256];

	snprintf(options, sizeof(options), "%s,%s", given ? given : "", more);
	setenv("CUBBY_OPTIONS", options, 1);
}

/* The child's report goes to standard error: standard output is counted. */
static inline void
mode_run(void **state)
{
	const struct mode_case *it = *state;
	struct CMUnitTest test = { it->name, it->function, NULL, NULL, NULL };
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		mode_front_end = it->front_end;
		mode_add_options(it->options);
		status = _cmocka_run_group_tests("in a child", &test, 1, NULL,
						 NULL);
		fflush(NULL);
		_exit(status != 0);
	}
	status = test_wait_child(pid, MODE_SECONDS);
	if (status == MODE_SKIPPED)
		skip();
	assert_int_equal(status, 0);
}

#define MODE_CASE(function, suffix, options, front_end)                       \
	{                                                                     \
#function suffix, mode_run, NULL, NULL, &(struct mode_case)   \
		{                                                             \
#function suffix, function, options, front_end        \
		}                                                             \
	}
#define PER_CPU_CASE(function)                                                \
	MODE_CASE(function, "_per_cpu", "front=cpu", CUBBY_FRONT_PER_CPU)
#define MM_CID_CASE(function)                                                 \
	MODE_CASE(function, "_by_mm_cid", "front=mmcid", CUBBY_FRONT_PER_CPU)
#define PER_THREAD_CASE(function)                                             \
	MODE_CASE(function, "_per_thread", "front=thread",                    \
		  CUBBY_FRONT_PER_THREAD)
#define BOTH_CASES(function) PER_CPU_CASE(function), PER_THREAD_CASE(function)

#endif /* CUBBY_TESTS_IN_MODE_H */

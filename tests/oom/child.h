/* SPDX-License-Identifier: MIT */
/*
 * Cases that run in a child of their own, because they change what a process
 * cannot change back: limits, options, the tables of the library.
 *
 * cmocka is not at hand in a child: REQUIRE says what failed and exits.
 */
#ifndef CUBBY_TESTS_OOM_CHILD_H
#define CUBBY_TESTS_OOM_CHILD_H

#include <cubby/error.h>

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "os.h"
#include "support/oracle.h"

#define CHILD_SECONDS 120
#define CHILD_SKIPS 77

static const char *scenario_name = "";
static uint64_t scenario_nth; /* kernel memory call that fails; 0: none */

#define REQUIRE(condition) require(condition, #condition, __FILE__, __LINE__)

static inline void
require(bool holds, const char *condition, const char *file, int line)
{
	if (holds)
		return;
	cubby__os_fail_at(0);
	fprintf(stderr, "%s:%d: %s, failing call %llu: !(%s); %s\n", file,
		line, scenario_name, (unsigned long long)scenario_nth,
		condition, cubby_error_detail());
	_exit(1);
}

/* `options` NULL: those that the test was started with. */
static inline void
in_child(const char *options, void (*fn)(void))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		if (options != NULL)
			setenv("CUBBY_OPTIONS", options, 1);
		fn();
		_exit(0);
	}
	status = test_wait_child(child, CHILD_SECONDS);
	if (status == CHILD_SKIPS)
		skip();
	assert_int_equal(status, 0);
}

#endif /* CUBBY_TESTS_OOM_CHILD_H */

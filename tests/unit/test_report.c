/* SPDX-License-Identifier: MIT */
/* One exact line, then the hook, then abort or back to the caller. */
#include "unit.h"

#include "check.h"
#include "report.h"

#include <pthread.h>

#define ADVICE "something wrote over Cubby's bookkeeping"
#define CONTEXT ((void *)0x1234)

static void
report_corruption(void *cache)
{
	cubby__report_misuse(CUBBY_MISUSE_CORRUPTION, cache, (void *)0xabc0,
			     "cell %d is %s", 7, "odd");
}

static void
under_continue(void (*function)(void *), void *argument,
	       struct ending *ret_ending)
{
	setenv("CUBBY_OPTIONS", "misuse=continue", 1);
	*ret_ending = run_forked(function, argument);
	unsetenv("CUBBY_OPTIONS");
}

static void
report_misuse_cache_line_is_exact_and_aborts(void **state)
{
	struct ending ending = run_forked(report_corruption, "truck");

	(void)state;
	assert_int_equal(ending.signal, SIGABRT);
	assert_string_equal(ending.output, "cubby: corruption: cache 'truck': "
					   "cell 7 is odd; " ADVICE "\n");
}

static void
report_misuse_no_cache_is_left_out(void **state)
{
	struct ending ending = run_forked(report_corruption, NULL);

	(void)state;
	assert_int_equal(ending.signal, SIGABRT);
	assert_string_equal(ending.output,
			    "cubby: corruption: cell 7 is odd; " ADVICE "\n");
}

static void
report_unknown_code(void *unused)
{
	(void)unused;
	cubby__report_misuse(4711, NULL, NULL, "what?");
}

static void
report_misuse_unknown_code_is_a_misuse(void **state)
{
	struct ending ending = run_forked(report_unknown_code, NULL);

	(void)state;
	assert_int_equal(ending.signal, SIGABRT);
	assert_string_equal(ending.output, "cubby: misuse: what?\n");
}

static void
report_and_go_on(void *cache)
{
	if (cubby_misuse_count() != 0)
		_exit(1);
	for (uint64_t i = 1; i <= 3; i++) {
		errno = 4711;
		report_corruption(cache);
		if (errno != 4711)
			_exit(2);
		if (cubby_misuse_count() != i)
			_exit(3);
	}
	_exit(42);
}

static void
report_misuse_continue_returns_counts_and_keeps_errno(void **state)
{
	struct ending ending;
	const char *line =
		"cubby: corruption: cache 'c': cell 7 is odd; " ADVICE "\n";
	char expected[512];

	(void)state;
	under_continue(report_and_go_on, "c", &ending);
	snprintf(expected, sizeof(expected), "%s%s%s", line, line, line);
	assert_string_equal(ending.output, expected);
	assert_int_equal(ending.signal, 0);
	assert_int_equal(ending.code, 42);
}

/* ------------------------------- the hook -------------------------------- */

static void
check_and_say(const struct cubby_misuse *misuse, void *context)
{
	const char *line =
		"cubby: corruption: cache 'truck': cell 7 is odd; " ADVICE;

	if (misuse->misuse_bytes != sizeof(*misuse) ||
	    misuse->code != CUBBY_MISUSE_CORRUPTION ||
	    strcmp(misuse->name, "corruption") != 0 ||
	    strcmp(misuse->text, line) != 0 ||
	    strcmp(misuse->cache, "truck") != 0 ||
	    misuse->address != (void *)0xabc0 || context != CONTEXT ||
	    cubby_misuse_count() != 1)
		_exit(1);
	dprintf(STDERR_FILENO, "hook\n");
}

static void
report_with_hook(void *cache)
{
	cubby_misuse_set_hook(check_and_say, CONTEXT);
	report_corruption(cache);
}

static void
report_misuse_hook_runs_after_the_line_before_abort(void **state)
{
	struct ending ending = run_forked(report_with_hook, "truck");

	(void)state;
	assert_int_equal(ending.code, 0);
	assert_int_equal(ending.signal, SIGABRT);
	assert_string_equal(ending.output,
			    "cubby: corruption: cache 'truck': "
			    "cell 7 is odd; " ADVICE "\nhook\n");
}

static void
report_misuse_hook_runs_under_continue(void **state)
{
	struct ending ending;

	(void)state;
	under_continue(report_with_hook, "truck", &ending);
	assert_int_equal(ending.signal, 0);
	assert_int_equal(ending.code, 0);
	assert_non_null(strstr(ending.output, "\nhook\n"));
}

static void
take_hook_away(void *cache)
{
	cubby_misuse_set_hook(check_and_say, CONTEXT);
	cubby_misuse_set_hook(NULL, CONTEXT);
	report_corruption(cache);
}

static void
misuse_set_hook_null_takes_it_away(void **state)
{
	struct ending ending = run_forked(take_hook_away, "truck");

	(void)state;
	assert_int_equal(ending.signal, SIGABRT);
	assert_null(strstr(ending.output, "hook"));
}

static void
leave_with_7(const struct cubby_misuse *misuse, void *context)
{
	(void)misuse;
	(void)context;
	_exit(7);
}

static void
leave_by_hook(void *cache)
{
	cubby_misuse_set_hook(leave_with_7, NULL);
	report_corruption(cache);
}

static void
report_misuse_hook_may_leave_the_process(void **state)
{
	struct ending ending = run_forked(leave_by_hook, NULL);

	(void)state;
	assert_int_equal(ending.signal, 0);
	assert_int_equal(ending.code, 7);
}

/* ------------------------------- long texts ------------------------------ */

static void
report_long(void *text)
{
	cubby__report_misuse(CUBBY_MISUSE_CORRUPTION, NULL, NULL, "%s",
			     (const char *)text);
}

/* From just short enough to far too long: one line, at most 1024 bytes. */
static void
report_misuse_long_text_is_cut_to_one_line(void **state)
{
	static const size_t lengths[] = { 900,  960,  961,  962, 963,
					  1000, 1023, 1024, 3000 };
	const char *prefix = "cubby: corruption: ";
	char text[3001], whole[4096];

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(lengths); i++) {
		struct ending ending;

		memset(text, 'y', lengths[i]);
		text[lengths[i]] = '\0';
		ending = run_forked(report_long, text);
		snprintf(whole, sizeof(whole), "%s%s; " ADVICE, prefix, text);
		if (strlen(whole) > 1023)
			whole[1023] = '\0';
		strcat(whole, "\n");
		assert_string_equal(ending.output, whole);
		assert_int_equal(ending.signal, SIGABRT);
	}
}

static void
fail_check(void *unused)
{
	int one = unused == NULL;

	CHECK_ALWAYS(one == 1);
	CHECK_ALWAYS(one == 2);
}

static void
check_failed_any_names_the_condition_and_aborts(void **state)
{
	struct ending ending = run_forked(fail_check, NULL);

	(void)state;
	assert_int_equal(ending.signal, SIGABRT);
	assert_memory_equal(ending.output, "cubby: corruption: ", 19);
	assert_non_null(strstr(ending.output, "test_report.c:"));
	assert_non_null(strstr(ending.output,
			       ": 'one == 2' does not hold; " ADVICE "\n"));
	assert_null(strstr(ending.output, "one == 1"));
}

static void
check_failed_continue_aborts_all_the_same(void **state)
{
	struct ending ending;

	(void)state;
	under_continue(fail_check, NULL, &ending);
	assert_int_equal(ending.signal, SIGABRT);
}

#define N_THREADS 4

static void *
report_many(void *unused)
{
	(void)unused;
	for (int i = 0; i < 20; i++)
		cubby__report_misuse(CUBBY_MISUSE_CORRUPTION, "t", NULL, "x");
	return NULL;
}

static void
report_from_threads(void *unused)
{
	pthread_t threads[N_THREADS];

	(void)unused;
	for (int i = 0; i < N_THREADS; i++)
		pthread_create(&threads[i], NULL, report_many, NULL);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	_exit(cubby_misuse_count() == N_THREADS * 20 ? 0 : 1);
}

static void
report_misuse_many_threads_count_each(void **state)
{
	struct ending ending;

	(void)state;
	under_continue(report_from_threads, NULL, &ending);
	assert_int_equal(ending.signal, 0);
	assert_int_equal(ending.code, 0);
	assert_memory_equal(ending.output,
			    "cubby: corruption: cache 't': x; " ADVICE "\n",
			    74);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(report_misuse_cache_line_is_exact_and_aborts),
		cmocka_unit_test(report_misuse_no_cache_is_left_out),
		cmocka_unit_test(report_misuse_unknown_code_is_a_misuse),
		cmocka_unit_test(
			report_misuse_continue_returns_counts_and_keeps_errno),
		cmocka_unit_test(
			report_misuse_hook_runs_after_the_line_before_abort),
		cmocka_unit_test(report_misuse_hook_runs_under_continue),
		cmocka_unit_test(misuse_set_hook_null_takes_it_away),
		cmocka_unit_test(report_misuse_hook_may_leave_the_process),
		cmocka_unit_test(report_misuse_long_text_is_cut_to_one_line),
		cmocka_unit_test(
			check_failed_any_names_the_condition_and_aborts),
		cmocka_unit_test(check_failed_continue_aborts_all_the_same),
		cmocka_unit_test(report_misuse_many_threads_count_each),
	};

	return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}

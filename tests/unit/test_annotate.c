/* SPDX-License-Identifier: MIT */
/* Which tool is watching, against what the compiler and the process know. */
#include "unit.h"

#include "annotate.h"

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define BUILT_WITH_TSAN 1
#endif
#endif
#ifdef __SANITIZE_THREAD__
#define BUILT_WITH_TSAN 1
#endif
#ifndef BUILT_WITH_TSAN
#define BUILT_WITH_TSAN 0
#endif

static void
annotate_on_tsan_agrees_with_the_compiler(void **state)
{
	(void)state;
	assert_int_equal(cubby__annotate_on_tsan(), BUILT_WITH_TSAN);
}

/* Valgrind preloads its parts into its clients. */
static void
annotate_on_valgrind_agrees_with_what_is_preloaded(void **state)
{
	const char *preload = getenv("LD_PRELOAD");
	bool expected = preload != NULL && strstr(preload, "vgpreload_");

	(void)state;
	assert_int_equal(cubby__annotate_on_valgrind(), expected);
}

/* Only cubby-massif asks for types. */
static void
annotate_type_unless_asked_for_is_0(void **state)
{
	(void)state;
	assert_int_equal(cubby__annotate_type("truck"), 0);
	assert_int_equal(cubby__annotate_type("truck"), 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(annotate_on_tsan_agrees_with_the_compiler),
		cmocka_unit_test(
			annotate_on_valgrind_agrees_with_what_is_preloaded),
		cmocka_unit_test(annotate_type_unless_asked_for_is_0),
	};

	return cmocka_run_group_tests_name("annotate", tests, NULL, NULL);
}

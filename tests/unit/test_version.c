/* SPDX-License-Identifier: MIT */
/* The version as a number and as text, as base.h promises them. */
#include "unit/with_cache.h"

static void
version_is_the_headers(void **state)
{
	(void)state;
	assert_int_equal(cubby_version(), 10000 * CUBBY_VERSION_MAJOR +
						  100 * CUBBY_VERSION_MINOR +
						  CUBBY_VERSION_PATCH);
}

static void
version_string_is_the_number(void **state)
{
	int version = cubby_version();
	char text[32];

	(void)state;
	snprintf(text, sizeof(text), "%d.%d.%d", version / 10000,
		 version / 100 % 100, version % 100);
	assert_string_equal(cubby_version_string(), text);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(version_is_the_headers),
		cmocka_unit_test(version_string_is_the_number),
	};

	return cmocka_run_group_tests_name("version", tests, NULL, NULL);
}

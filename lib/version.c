/* SPDX-License-Identifier: MIT */
/* LAYER 1: version - which Cubby this is */
#include <cubby/base.h>

#define STRING(x) #x
#define EXPANDED_STRING(x) STRING(x)

int
cubby_version(void)
{
	return 10000 * CUBBY_VERSION_MAJOR + 100 * CUBBY_VERSION_MINOR +
	       CUBBY_VERSION_PATCH;
}

const char *
cubby_version_string(void)
{
	return EXPANDED_STRING(CUBBY_VERSION_MAJOR) "." EXPANDED_STRING(
		CUBBY_VERSION_MINOR) "." EXPANDED_STRING(CUBBY_VERSION_PATCH);
}

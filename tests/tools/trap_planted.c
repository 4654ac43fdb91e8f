/* SPDX-License-Identifier: MIT */
/* A library that is called libcubby and allocates, directly and through libc. */
#include <cubby/base.h>

#include <stdlib.h>
#include <string.h>

int
cubby_version(void)
{
	void *volatile memory = malloc(8);

	free(memory);
	return 1;
}

const char *
cubby_version_string(void)
{
	return strdup("0.0.0");
}

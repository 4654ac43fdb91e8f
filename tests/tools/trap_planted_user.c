/* SPDX-License-Identifier: MIT */
/* Calls one of the planted functions: the first without an argument. */
#include <cubby/base.h>

#include <stdlib.h>

void trap_forbid(int on) __attribute__((weak));

int
main(int argc, char **argv)
{
	(void)argv;
	free(malloc(1)); /* the program may */
	if (argc == 1)
		return cubby_version() != 1;
	if (trap_forbid)
		trap_forbid(1);
	return cubby_version_string() == NULL;
}

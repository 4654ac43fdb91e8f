/* SPDX-License-Identifier: MIT */
/*
 * cubby_free_any() is given what is in no cache.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: foreign-free: 0x[0-9a-f]+ lies in no cache; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 */
#include "abuse.h"

int
main(void)
{
	int on_the_stack = 0;

	cubby_free_any(&on_the_stack);
	return 0;
}

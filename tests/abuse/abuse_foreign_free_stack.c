/* SPDX-License-Identifier: MIT */
/*
 * A variable of the stack is freed.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: foreign-free: cache 'truck': 0x[0-9a-f]+ lies in no cache; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	int on_the_stack = 0;

	cubby_free(trucks, &on_the_stack);
	return 0;
}

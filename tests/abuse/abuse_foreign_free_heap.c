/* SPDX-License-Identifier: MIT */
/*
 * What malloc() returned is freed.
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
	void *from_malloc = malloc(100);

	cubby_free(trucks, from_malloc);
	free(from_malloc);
	return 0;
}

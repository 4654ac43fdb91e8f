/* SPDX-License-Identifier: MIT */
/*
 * Something on the stack, freed.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: foreign-free: cache 'truck': 0x[0-9a-f]+ lies in no cache; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_weak_cache("truck",
						      CUBBY_WEAK_STRONG, NULL);
	uint64_t room[2] = { 0, 0 }, *truck = &room[1];

	cubby_free(trucks, truck);
	return 0;
}

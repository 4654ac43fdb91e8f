/* SPDX-License-Identifier: MIT */
/*
 * Every object freed twice: found without being asked, by the first flush.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell [0-9]+\) is already free \(freed earlier; with CUBBY_DEBUG=checks it is found in the call\); it was freed twice, or freed through a stale pointer
 */
#include "abuse.h"

#define N_TRUCKS 20000 /* more than a depot holds */

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	static void *objects[N_TRUCKS];

	abuse_must(cubby_alloc_bulk(trucks, N_TRUCKS, objects));
	for (int i = 0; i < 2 * N_TRUCKS; i++)
		cubby_free(trucks, objects[i / 2]);
	return 0;
}

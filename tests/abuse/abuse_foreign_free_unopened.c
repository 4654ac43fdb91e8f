/* SPDX-License-Identifier: MIT */
/*
 * A cell is freed that was never handed out: the guess is right, but early.
 *
 * env: CUBBY_OPTIONS=front=none,budget=64G
 * expect-signal: SIGABRT
 * expect-stderr: cubby: foreign-free: cache 'truck': 0x[0-9a-f]+ \(cell 5000\) was never allocated; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	cubby_free(trucks,
		   (char *)truck + 5000 * cubby_cache_cell_bytes(trucks));
	return 0;
}

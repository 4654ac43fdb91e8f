/* SPDX-License-Identifier: MIT */
/*
 * Each alloc and free of a traced cache has its line.
 *
 * env: CUBBY_DEBUG=T
 * expect-exit: 0
 * expect-stderr: cubby: trace: cache 'truck': alloc 0x[0-9a-f]+ \(cell 0\) by thread [0-9]+
 * expect-stderr: cubby: trace: cache 'truck': free 0x[0-9a-f]+ \(cell 0\) by thread [0-9]+
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");

	cubby_free(trucks, cubby_alloc(trucks));
	return 0;
}

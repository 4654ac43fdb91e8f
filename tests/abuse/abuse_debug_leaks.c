/* SPDX-License-Identifier: MIT */
/*
 * At exit it is told who allocated what is left.
 *
 * env: CUBBY_DEBUG=U
 * env: CUBBY_OPTIONS=leaks
 * expect-exit: 0
 * expect-stderr: cubby: cache 'truck': 2 live objects of 100 bytes, 200 bytes in all
 * expect-stderr: cubby:   (1|2) objects?, (1|2)00 bytes, [0-9]+ to [0-9]+ ms old, the first at 0x[0-9a-f]+, allocated at
 * expect-stderr: cubby:     (/[^ ]+\+0x[0-9a-f]+|0x[0-9a-f]+)
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	for (volatile int i = 0; i < 2; i++)
		(void)!cubby_alloc(trucks);
	cubby_free(trucks, truck);
	(void)abuse_cache("empty");
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A write after the free of an object is found when its cell comes again.
 *
 * env: CUBBY_DEBUG=FZPU,truck
 * expect-signal: SIGABRT
 * expect-stderr: cubby: use-after-free: cache 'truck': 1 byte of object 0x[0-9a-f]+ \(cell 0, 100 bytes\) was written after its free: 0x58, not 0x6b, at offset 50; found at the next allocation; somebody has kept a pointer to it
 * expect-stderr: cubby:   (allocated|freed) [0-9]+ ms ago by thread [0-9]+ at
 * expect-stderr: cubby:     (/[^ ]+\+0x[0-9a-f]+|0x[0-9a-f]+)
 * expect-stderr: cubby:   (before|object|after ) 0x[0-9a-f]+:( [0-9a-f]{2}){1,16} +[ -~]{1,16}
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	char *truck = cubby_alloc(trucks);

	cubby_free(trucks, truck);
	truck[50] = 'X';
	for (int i = 0; i < 10; i++)
		(void)!cubby_alloc(trucks);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A write past the end of an object is found at its free.
 *
 * env: CUBBY_DEBUG=FZPU,truck
 * expect-signal: SIGABRT
 * expect-stderr: cubby: red-zone: cache 'truck': 3 bytes behind object 0x[0-9a-f]+ \(cell 0, 100 bytes\) were written: 0x41, not 0xcc, at offset 100; found at its free; the object, or its neighbour, was written beyond its end
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

	truck[100] = 'A';
	truck[102] = 'B';
	cubby_free(trucks, truck);
	return 0;
}

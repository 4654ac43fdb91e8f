/* SPDX-License-Identifier: MIT */
/*
 * A write in front of an object is found at its free.
 *
 * env: CUBBY_DEBUG=Z,truck
 * expect-signal: SIGABRT
 * expect-stderr: cubby: red-zone: cache 'truck': 1 byte in front of object 0x[0-9a-f]+ \(cell 0, 100 bytes\) was written: 0x0, not 0xcc, at offset -1; found at its free; the object, or its neighbour, was written beyond its end
 * expect-stderr: cubby:   (before|object|after ) 0x[0-9a-f]+:( [0-9a-f]{2}){1,16} +[ -~]{1,16}
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	char *truck = cubby_alloc(trucks);

	truck[-1] = '\0';
	cubby_free(trucks, truck);
	return 0;
}

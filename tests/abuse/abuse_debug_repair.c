/* SPDX-License-Identifier: MIT */
/*
 * Damage is repaired, and the program goes on.
 *
 * env: CUBBY_DEBUG=ZP,truck
 * env: CUBBY_OPTIONS=misuse=continue
 * expect-exit: 0
 * expect-stderr: cubby: red-zone: cache 'truck': 1 byte behind object 0x[0-9a-f]+ \(cell 0, 100 bytes\) was written: 0x41, not 0xcc, at offset 100; found at its free; the object, or its neighbour, was written beyond its end
 * expect-stderr: cubby: use-after-free: cache 'truck': 2 bytes of object 0x[0-9a-f]+ \(cell 0, 100 bytes\) were written after its free: 0x42, not 0x6b, at offset 98; found by cubby_cache_validate\(\); somebody has kept a pointer to it
 * expect-stderr: cubby:   (before|object|after ) 0x[0-9a-f]+:( [0-9a-f]{2}){1,16} +[ -~]{1,16}
 * expect-stderr: cubby:   damaged 0x[0-9a-f]+: 42 43 +BC
 * expect-stderr: cubby:   restored, and going on
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	char *truck = cubby_alloc(trucks);

	truck[100] = 'A';
	cubby_free(trucks, truck);
	truck[98] = 'B';
	truck[99] = 'C';
	ABUSE_ASSERT(cubby_cache_validate(trucks) == 1);
	ABUSE_ASSERT(cubby_cache_validate(trucks) == 0);
	ABUSE_ASSERT(cubby_misuse_count() == 2);
	abuse_must(cubby_cache_destroy(trucks));
	return 0;
}

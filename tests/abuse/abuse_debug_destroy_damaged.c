/* SPDX-License-Identifier: MIT */
/*
 * What was written after its free, and never allocated again, is found when the cache
 * is destroyed.
 *
 * env: CUBBY_DEBUG=P,truck
 * expect-exit: 0
 * expect-stderr: cubby: use-after-free: cache 'truck': 1 byte of object 0x[0-9a-f]+ \(cell 0, 100 bytes\) was written after its free: 0x1, not 0x6b, at offset 5; found by cubby_cache_validate\(\); somebody has kept a pointer to it
 * expect-stderr: cubby:   damaged 0x[0-9a-f]+: 01.*
 * expect-stderr: cubby:   restored, and going on
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	char *truck = cubby_alloc(trucks);

	cubby_free(trucks, truck);
	truck[5] = 1;
	return cubby_cache_destroy(trucks) != 0 || cubby_misuse_count() != 1;
}

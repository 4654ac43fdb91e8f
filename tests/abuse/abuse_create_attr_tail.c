/* SPDX-License-Identifier: MIT */
/*
 * Attributes from a future version of the headers.
 *
 * expect-exit: 0
 * expect-stderr: E2BIG: the attributes have a field at byte 256 that this version of Cubby \([0-9.]+\) does not know
 * expect-stderr: success: .*
 */
#include "abuse.h"

int
main(void)
{
	struct {
		struct cubby_cache_attr known;
		uint64_t from_the_future[4];
	} attr = { .known.attr_bytes = sizeof(attr) };
	struct cubby_cache *trucks = NULL;

	attr.from_the_future[1] = 1;
	abuse_create("truck", 64, 0, &attr.known);
	attr.from_the_future[1] = 0;
	abuse_say(cubby_cache_create_sized(&trucks, "truck", 64, 0,
					   &attr.known));
	return cubby_cache_destroy(trucks);
}

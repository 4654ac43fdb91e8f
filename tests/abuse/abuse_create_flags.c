/* SPDX-License-Identifier: MIT */
/*
 * Flags that this version does not know.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: attr\.flags has unknown bits 0x8000000000000008
 */
#include "abuse.h"

int
main(void)
{
	abuse_create("truck", 64, 0,
		     &CUBBY_CACHE_ATTR(.flags = CUBBY_CACHE_ZERO | 8 |
						1ull << 63));
	return 0;
}

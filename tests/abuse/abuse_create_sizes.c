/* SPDX-License-Identifier: MIT */
/*
 * Sizes that no object has.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: an object has at least 1 byte
 * expect-stderr: E2BIG: an object of 1048577 bytes is larger than 1048576
 * expect-stderr: E2BIG: an object of 18446744073709551615 bytes is larger than 1048576
 */
#include "abuse.h"

int
main(void)
{
	abuse_create("truck", 0, 0, NULL);
	abuse_create("truck", CUBBY_OBJECT_BYTES_MAX + 1, 0, NULL);
	abuse_create("truck", SIZE_MAX, 0, NULL);
	return 0;
}

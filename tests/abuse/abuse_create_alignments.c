/* SPDX-License-Identifier: MIT */
/*
 * Alignments that are no power of two, or too large.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: an alignment of 3 is not a power of two up to 4096
 * expect-stderr: EINVAL: an alignment of 12 is not a power of two up to 4096
 * expect-stderr: EINVAL: an alignment of 8192 is not a power of two up to 4096
 * expect-stderr: EINVAL: an alignment of 18446744073709551615 is not a power of two up to 4096
 */
#include "abuse.h"

int
main(void)
{
	abuse_create("truck", 64, 3, NULL);
	abuse_create("truck", 64, 12, NULL);
	abuse_create("truck", 64, 8192, NULL);
	abuse_create("truck", 64, SIZE_MAX, NULL);
	return 0;
}

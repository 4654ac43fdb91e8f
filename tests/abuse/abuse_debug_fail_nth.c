/* SPDX-License-Identifier: MIT */
/*
 * The third allocation fails, and only that.
 *
 * env: CUBBY_DEBUG=fail-nth=3
 * expect-exit: 0
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");

	for (int i = 1; i < 10; i++) {
		errno = 0;
		ABUSE_ASSERT((cubby_alloc(trucks) == NULL) == (i == 3));
		ABUSE_ASSERT((errno == ENOMEM) == (i == 3));
	}
	return 0;
}

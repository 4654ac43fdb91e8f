/* SPDX-License-Identifier: MIT */
/*
 * The letters are for another cache: this one is not watched.
 *
 * env: CUBBY_DEBUG=FZPU,lorry*
 * expect-exit: 0
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	char *truck = cubby_alloc(trucks);

	ABUSE_ASSERT(cubby_cache_cell_bytes(trucks) == 100);
	cubby_free(trucks, truck);
	truck[0] = 'X';
	ABUSE_ASSERT(cubby_cache_validate(trucks) == 0);
	ABUSE_ASSERT(cubby_misuse_count() == 0);
	return 0;
}

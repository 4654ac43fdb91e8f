/* SPDX-License-Identifier: MIT */
/*
 * Freeing NULL, in every way there is, is fine.
 *
 * expect-exit: 0
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *objects[3] = { NULL, cubby_alloc(trucks), NULL };

	cubby_free(trucks, NULL);
	cubby_free_any(NULL);
	cubby_free_bulk(trucks, 3, objects);
	cubby_free_bulk(trucks, 0, NULL);
	ABUSE_ASSERT(cubby_misuse_count() == 0);
	return cubby_cache_destroy(trucks);
}

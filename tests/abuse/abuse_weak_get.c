/* SPDX-License-Identifier: MIT */
/*
 * cubby_weak_get() where that mode has none ends the program.
 *
 * expect-signal: SIGABRT
 * expect-stderr: cubby: weak-mode: cache 'truck': cubby_weak_get\(\) on a cache of CUBBY_WEAK_STRONG: take cubby_weak_upgrade\(\) and cubby_ref_put\(\); see the table of modes in cubby/weak\.h
 */
#include "weak_cache.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_weak_cache("truck",
						      CUBBY_WEAK_STRONG, NULL);
	cubby_weak handle = cubby_weak_of(trucks, cubby_alloc(trucks));

	return cubby_weak_get(trucks, handle) != NULL;
}

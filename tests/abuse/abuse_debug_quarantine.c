/* SPDX-License-Identifier: MIT */
/*
 * A cell in the quarantine does not come again at once.
 *
 * env: CUBBY_DEBUG=quarantine=1K
 * expect-exit: 0
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	cubby_free(trucks, truck);
	for (int i = 0; i < 10; i++) {
		void *other = cubby_alloc(trucks);

		ABUSE_ASSERT(other != truck);
		cubby_free(trucks, other);
	}
	return 0;
}

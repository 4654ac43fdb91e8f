/* SPDX-License-Identifier: MIT */
/* Print the live caches of a registry, a line each. */
#ifndef REGISTRY_PRINT_H
#define REGISTRY_PRINT_H

#include "unit/outside_reader.h"

#include <inttypes.h>
#include <stdio.h>

static inline bool
print_caches(const struct outside *outside)
{
	char name[64];

	for (uint64_t i = 0; i < outside->registry.n_descriptors; i++) {
		if (outside_number(outside, i, "state") != OUTSIDE_STATE_LIVE)
			continue;
		if (!outside_field(outside, i, "name", name, sizeof(name)))
			return false;
		printf("%s: %" PRIu64 " objects of %" PRIu64 " bytes, %" PRIu64
		       " by their bits\n",
		       name, outside_number(outside, i, "n_in_use"),
		       outside_number(outside, i, "object_bytes"),
		       outside_count_live(outside, i));
	}
	return true;
}

#endif /* REGISTRY_PRINT_H */

/* SPDX-License-Identifier: MIT */
#include "rival.h"

#include <errno.h>

int
rival_alloc_each(const struct rival *rival, void *pool, size_t n,
		 void **ret_objects)
{
	for (size_t i = 0; i < n; i++) {
		ret_objects[i] = rival->alloc(pool);
		if (!ret_objects[i]) {
			while (i-- > 0)
				rival->free(pool, ret_objects[i]);
			return -ENOMEM;
		}
	}
	return 0;
}

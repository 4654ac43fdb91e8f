/* SPDX-License-Identifier: MIT */
#include "floor.h"

void *
floor_alloc(void *pool)
{
	return pool;
}

void
floor_free(void *pool, void *object)
{
	(void)pool;
	(void)object;
}

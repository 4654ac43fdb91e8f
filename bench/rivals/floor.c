/* SPDX-License-Identifier: MIT */
/* Calls that do nothing; every object is the same one. */
#include "rival.h"

#include "../floor/floor.h"

#include <stdlib.h>

static const char *
name(void)
{
	return "floor";
}

static void *
create(size_t object_bytes, size_t n_objects)
{
	(void)n_objects;
	return malloc(object_bytes);
}

static int
alloc_many(void *pool, size_t n, void **ret_objects)
{
	return rival_alloc_each(&rival_floor, pool, n, ret_objects);
}

static uint64_t
held_bytes(void *pool)
{
	(void)pool;
	return UINT64_MAX;
}

const struct rival rival_floor = {
	.name = name,
	.create = create,
	.destroy = free,
	.alloc = floor_alloc,
	.free = floor_free,
	.alloc_many = alloc_many,
	.held_bytes = held_bytes,
};

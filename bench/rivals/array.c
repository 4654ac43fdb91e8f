/* SPDX-License-Identifier: MIT */
/*
 * A plain array whose objects are never freed one by one: what no allocator
 * can be below.
 */
#define _GNU_SOURCE
#include "rival.h"

#include <stdlib.h>
#include <sys/mman.h>

struct array {
	char *first;
	size_t object_bytes;
	size_t n_objects;
	size_t n_used;
};

static const char *
name(void)
{
	return "array";
}

static void *
create(size_t object_bytes, size_t n_objects)
{
	struct array *array = malloc(sizeof(*array));

	if (!array)
		return NULL;
	/* Not malloc(): the floor is the same whoever's malloc this is. */
	array->first = mmap(NULL, object_bytes * n_objects,
			    PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	if (array->first == MAP_FAILED) {
		free(array);
		return NULL;
	}
	array->object_bytes = object_bytes;
	array->n_objects = n_objects;
	array->n_used = 0;
	return array;
}

static void
destroy(void *pool)
{
	struct array *array = pool;

	munmap(array->first, array->object_bytes * array->n_objects);
	free(array);
}

static void *
alloc(void *pool)
{
	struct array *array = pool;

	if (array->n_used == array->n_objects)
		return NULL;
	return array->first + array->n_used++ * array->object_bytes;
}

static void
release(void *pool, void *object)
{
	(void)pool;
	(void)object;
}

static int
alloc_many(void *pool, size_t n, void **ret_objects)
{
	return rival_alloc_each(&rival_array, pool, n, ret_objects);
}

static uint64_t
held_bytes(void *pool)
{
	const struct array *array = pool;

	return array ? array->object_bytes * array->n_objects : 0;
}

const struct rival rival_array = {
	.name = name,
	.create = create,
	.destroy = destroy,
	.alloc = alloc,
	.free = release,
	.alloc_many = alloc_many,
	.held_bytes = held_bytes,
};

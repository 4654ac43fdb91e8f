/* SPDX-License-Identifier: MIT */
/*
 * truck_plain.c - the two floors: one array of structs, which cannot free a
 * single truck, and a malloc'd struct per truck.
 */
#include <err.h>
#include <stdlib.h>

#include "truck_malloc.h"
#include "truck_measure.h"
#include "truck_struct.h"

static void
array_open(struct fleet *fleet, const struct shape *shape)
{
	fleet->array = malloc(fleet->n * shape->object_bytes);
	if (!fleet->array)
		err(1, "array of %zu trucks", fleet->n);
	fleet->n_taken = 0;
}

TRUCK_INLINE void *
array_alloc(struct fleet *fleet, const struct shape *shape)
{
	return fleet->array + fleet->n_taken++ * shape->object_bytes;
}

TRUCK_INLINE size_t
array_scan_all(struct fleet *fleet, const struct shape *shape, double *ret_sum)
{
	char *truck = fleet->array;
	double sum = 0;

	for (size_t i = 0; i < fleet->n; i++, truck += shape->object_bytes)
		sum += *shape->lat(truck);
	*ret_sum = sum;
	return fleet->n;
}

static size_t
array_free_all(struct fleet *fleet, const struct shape *shape)
{
	(void)shape;
	free(fleet->array);
	fleet->array = NULL;
	return fleet->n;
}

/* malloc's count of the whole array, shared out, is its own bytes exactly. */
static size_t
array_cell_bytes(struct fleet *fleet, void *truck)
{
	(void)truck;
	return (size_t)((char *)fleet->trucks[1] - (char *)fleet->trucks[0]);
}

static const struct store array_store = {
	.open = array_open,
	.alloc = array_alloc,
	.scan_all = array_scan_all,
	.free_all = array_free_all,
	.own_bytes = malloc_own_bytes,
	.cell_bytes = array_cell_bytes,
};

static void *
malloc_alloc(struct fleet *fleet, const struct shape *shape)
{
	(void)fleet;
	return malloc(shape->object_bytes);
}

static void
malloc_free(struct fleet *fleet, void *truck)
{
	(void)fleet;
	free(truck);
}

static const struct store malloc_store = {
	.alloc = malloc_alloc,
	.free = malloc_free,
	.own_bytes = malloc_own_bytes,
	.cell_bytes = malloc_cell_bytes,
};

TRUCK_JOB(truck_array_text, array_store, truck_text_struct)
TRUCK_JOB(truck_array_integer, array_store, truck_integer_struct)
TRUCK_JOB(truck_malloc_text, malloc_store, truck_text_struct)
TRUCK_JOB(truck_malloc_integer, malloc_store, truck_integer_struct)

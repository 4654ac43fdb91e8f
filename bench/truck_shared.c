/* SPDX-License-Identifier: MIT */
/*
 * truck_shared.c - boxed values under class-shared keys, as CPython's and
 * Lua's best cases have them: the names stand once, in the class; a truck is
 * one malloc'd block with its class and a pointer per value.  Names are
 * interned; three of them are found fastest by looking at each.
 */
#include "truck_box.h"
#include "truck_malloc.h"
#include "truck_measure.h"

#define N_KEYS 3

struct truck_class {
	size_t n_keys;
	const char *keys[N_KEYS];
};

struct shared_truck {
	const struct truck_class *class;
	void *values[N_KEYS];
};

static const char name_id[] = "truck_id";
static const char name_lat[] = "lat";
static const char name_lon[] = "lon";

/* Not const: the compiler must not know what a look-up will find. */
static struct truck_class truck_class = {
	.n_keys = N_KEYS,
	.keys = { name_id, name_lat, name_lon },
};

static inline void **
value_of(struct shared_truck *truck, const char *key)
{
	const struct truck_class *class = truck->class;

	for (size_t i = 0; i < class->n_keys; i++)
		if (class->keys[i] == key)
			return &truck->values[i];
	return NULL;
}

static void *
shared_alloc(struct fleet *fleet, const struct shape *shape)
{
	struct shared_truck *truck = malloc(sizeof(*truck));

	(void)fleet;
	(void)shape;
	if (truck)
		truck->class = &truck_class;
	return truck;
}

static void
shared_free(struct fleet *fleet, void *object)
{
	struct shared_truck *truck = object;

	(void)fleet;
	for (size_t i = 0; i < truck->class->n_keys; i++)
		free(truck->values[i]);
	free(truck);
}

static inline void
fill_all(struct shared_truck *truck, void *id, size_t number)
{
	*value_of(truck, name_id) = id;
	*value_of(truck, name_lat) = box_double(truck_lat(number));
	*value_of(truck, name_lon) = box_double(truck_lon(number));
}

static void
shared_fill_text(void *truck, size_t number)
{
	fill_all(truck, box_id_text(number), number);
}

static void
shared_fill_integer(void *truck, size_t number)
{
	fill_all(truck, box_id_integer(number), number);
}

static double *
shared_lat(void *truck)
{
	return unbox_double(*value_of(truck, name_lat));
}

static void
shared_read(void *truck, struct truck_values *ret)
{
	ret->number = unbox_id(*value_of(truck, name_id));
	ret->lat = *shared_lat(truck);
	ret->lon = *unbox_double(*value_of(truck, name_lon));
}

static size_t
shared_boxes_bytes(void *object)
{
	struct shared_truck *truck = object;
	size_t bytes = 0;

	for (size_t i = 0; i < truck->class->n_keys; i++)
		bytes += malloc_chunk_bytes(truck->values[i]);
	return bytes;
}

static const struct store shared_store = {
	.alloc = shared_alloc,
	.free = shared_free,
	.own_bytes = malloc_own_bytes,
	.cell_bytes = malloc_cell_bytes,
};

static const struct shape shared_text = {
	.fill = shared_fill_text,
	.lat = shared_lat,
	.read = shared_read,
	.boxes_bytes = shared_boxes_bytes,
};

static const struct shape shared_integer = {
	.fill = shared_fill_integer,
	.lat = shared_lat,
	.read = shared_read,
	.boxes_bytes = shared_boxes_bytes,
};

TRUCK_JOB(truck_shared_text, shared_store, shared_text)
TRUCK_JOB(truck_shared_integer, shared_store, shared_integer)

/* SPDX-License-Identifier: MIT */
/*
 * truck_struct.h - the shapes of trucks that are plain C structs, values
 * inline: Cubby's objects, the array's and plain malloc's.
 */
#ifndef BENCH_TRUCK_STRUCT_H
#define BENCH_TRUCK_STRUCT_H

#include "truck.h"

static inline void
truck_text_fill(void *object, size_t number)
{
	struct truck *truck = object;

	truck_id_write(truck->truck_id, number);
	truck->lat = truck_lat(number);
	truck->lon = truck_lon(number);
}

static inline double *
truck_text_lat(void *object)
{
	return &((struct truck *)object)->lat;
}

static inline void
truck_text_read(void *object, struct truck_values *ret)
{
	const struct truck *truck = object;

	ret->number = truck_id_read(truck->truck_id);
	ret->lat = truck->lat;
	ret->lon = truck->lon;
}

static inline void
truck_integer_fill(void *object, size_t number)
{
	struct numbered_truck *truck = object;

	truck->truck_id = number;
	truck->lat = truck_lat(number);
	truck->lon = truck_lon(number);
}

static inline double *
truck_integer_lat(void *object)
{
	return &((struct numbered_truck *)object)->lat;
}

static inline void
truck_integer_read(void *object, struct truck_values *ret)
{
	const struct numbered_truck *truck = object;

	ret->number = truck->truck_id;
	ret->lat = truck->lat;
	ret->lon = truck->lon;
}

static const struct shape truck_text_struct = {
	.object_bytes = sizeof(struct truck),
	.layout = &truck_layout,
	.fill = truck_text_fill,
	.lat = truck_text_lat,
	.read = truck_text_read,
};

static const struct shape truck_integer_struct = {
	.object_bytes = sizeof(struct numbered_truck),
	.layout = &numbered_truck_layout,
	.fill = truck_integer_fill,
	.lat = truck_integer_lat,
	.read = truck_integer_read,
};

#endif /* BENCH_TRUCK_STRUCT_H */

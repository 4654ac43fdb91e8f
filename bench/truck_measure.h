/* SPDX-License-Identifier: MIT */
/*
 * truck_measure.h - the sequence that every rival runs:
 *
 *	create all, look at the memory, get, scan, set, free all
 *
 * A rival's file makes one function per store and shape with TRUCK_JOB.  The
 * store and the shape are constants there and everything here is inlined into
 * that function, so the compiler sees through the function pointers and the
 * loops hold no calls that a program written for that rival alone would not
 * have.
 *
 * Get, set and free visit the objects in one random order, the same for all
 * rivals; the visits do not depend on each other.  Nothing is subtracted here:
 * loop_ns is what passing over the pointers costs, and whoever prints says
 * whether it was taken off.
 */
#ifndef BENCH_TRUCK_MEASURE_H
#define BENCH_TRUCK_MEASURE_H

#include <err.h>
#include <string.h>
#include <time.h>

#include "truck.h"

#define TRUCK_N_PASSES 5
#define TRUCK_INLINE static inline __attribute__((always_inline))

/* What the kernel holds for this process. */
struct footprint {
	uint64_t rss_bytes;
	uint64_t page_table_bytes;
};

struct footprint truck_footprint(void);

/* visit[] becomes trucks[] in the one random order. */
void fleet_shuffle(struct fleet *fleet);

static inline uint64_t
truck_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

TRUCK_INLINE size_t
fleet_create(struct fleet *fleet, const struct store *store,
	     const struct shape *shape)
{
	if (store->create_all)
		return store->create_all(fleet, shape);

	for (size_t i = 0; i < fleet->n; i++) {
		void *truck = store->alloc(fleet, shape);

		if (!truck)
			err(1, "truck %zu", i);
		shape->fill(truck, i);
		fleet->trucks[i] = truck;
	}
	return fleet->n;
}

/*
 * What the loop over visit[] costs by itself: the fastest of a few, for it is
 * a property of the loop and is taken off single measurements.  The empty asm
 * keeps the loop that has nothing to do.
 */
static inline uint64_t
fleet_pass_ns(const struct fleet *fleet)
{
	uint64_t fastest = UINT64_MAX;

	for (int again = 0; again < TRUCK_N_PASSES; again++) {
		const uint64_t start = truck_now_ns();
		uint64_t ns;

		for (size_t i = 0; i < fleet->n; i++)
			__asm__ volatile("" : : "r"(fleet->visit[i]));
		ns = truck_now_ns() - start;
		if (ns < fastest)
			fastest = ns;
	}
	return fastest;
}

TRUCK_INLINE size_t
fleet_get(const struct fleet *fleet, const struct shape *shape,
	  double *ret_sum)
{
	double sum = 0;

	for (size_t i = 0; i < fleet->n; i++)
		sum += *shape->lat(fleet->visit[i]);
	*ret_sum = sum;
	return fleet->n;
}

TRUCK_INLINE size_t
fleet_scan(struct fleet *fleet, const struct store *store,
	   const struct shape *shape, double *ret_sum)
{
	double sum = 0;

	if (store->scan_all)
		return store->scan_all(fleet, shape, ret_sum);

	for (size_t i = 0; i < fleet->n; i++)
		sum += *shape->lat(fleet->trucks[i]);
	*ret_sum = sum;
	return fleet->n;
}

TRUCK_INLINE size_t
fleet_set(const struct fleet *fleet, const struct shape *shape)
{
	for (size_t i = 0; i < fleet->n; i++)
		*shape->lat(fleet->visit[i]) = truck_lat_set(i);
	return fleet->n;
}

TRUCK_INLINE size_t
fleet_free(struct fleet *fleet, const struct store *store,
	   const struct shape *shape)
{
	if (store->free_all)
		return store->free_all(fleet, shape);

	for (size_t i = 0; i < fleet->n; i++)
		store->free(fleet, fleet->visit[i]);
	return fleet->n;
}

/* Not measured: read everything back and add it up. */
static inline struct truck_sums
fleet_add_up(const struct fleet *fleet, const struct shape *shape)
{
	struct truck_sums sums = { 0 };

	for (size_t i = 0; i < fleet->n; i++) {
		struct truck_values values;

		shape->read(fleet->trucks[i], &values);
		truck_sums_add(&sums, &values);
	}
	return sums;
}

/* What of own_bytes is objects, what boxes, what hash tables. */
static inline void
fleet_split_bytes(struct fleet *fleet, const struct store *store,
		  const struct shape *shape, struct truck_result *result)
{
	for (size_t i = 0; i < fleet->n; i++) {
		void *truck = fleet->trucks[i];

		if (store->cell_bytes)
			result->object_bytes += store->cell_bytes(fleet,
								  truck);
		if (shape->boxes_bytes)
			result->boxes_bytes += shape->boxes_bytes(truck);
	}
	if (!store->cell_bytes)
		result->table_bytes = result->own_bytes - result->boxes_bytes;
}

TRUCK_INLINE void
fleet_measure(struct fleet *fleet, const struct store *store,
	      const struct shape *shape, struct truck_result *result)
{
	const struct footprint before = truck_footprint();
	const uint64_t own_before = store->own_bytes(fleet);
	struct footprint full;
	uint64_t start;

	memset(result, 0, sizeof(*result));

	start = truck_now_ns();
	if (store->open)
		store->open(fleet, shape);
	result->n_created = fleet_create(fleet, store, shape);
	result->create_ns = truck_now_ns() - start;

	full = truck_footprint();
	result->rss_bytes = full.rss_bytes - before.rss_bytes;
	result->page_table_bytes = full.page_table_bytes -
				   before.page_table_bytes;
	result->own_bytes = store->own_bytes(fleet) - own_before;
	fleet_split_bytes(fleet, store, shape, result);
	result->created = fleet_add_up(fleet, shape);
	fleet_shuffle(fleet);

	result->loop_ns = fleet_pass_ns(fleet);

	start = truck_now_ns();
	result->n_got = fleet_get(fleet, shape, &result->got_sum);
	result->get_ns = truck_now_ns() - start;

	start = truck_now_ns();
	result->n_scanned = fleet_scan(fleet, store, shape,
				       &result->scanned_sum);
	result->scan_ns = truck_now_ns() - start;

	start = truck_now_ns();
	result->n_set = fleet_set(fleet, shape);
	result->set_ns = truck_now_ns() - start;
	result->set = fleet_add_up(fleet, shape);

	start = truck_now_ns();
	result->n_freed = fleet_free(fleet, store, shape);
	result->free_ns = truck_now_ns() - start;
	full = truck_footprint();
	result->rss_left_bytes = full.rss_bytes > before.rss_bytes ?
					 full.rss_bytes - before.rss_bytes :
					 0;

	if (store->close)
		store->close(fleet);
}

/* Define the job `name` over a constant store and a constant shape. */
#define TRUCK_JOB(name, store, shape)                                         \
	void name(struct fleet *fleet, struct truck_result *ret)              \
	{                                                                     \
		fleet_measure(fleet, &(store), &(shape), ret);                \
	}

#endif /* BENCH_TRUCK_MEASURE_H */

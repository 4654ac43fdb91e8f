/* SPDX-License-Identifier: MIT */
/*
 * truck_cubby.c - trucks from a Cubby cache, one by one and in bulk; both are
 * scanned by walking the cache, which needs no array of pointers.
 */
#include <err.h>

#include "truck_measure.h"
#include "truck_struct.h"

#define BULK_OBJECTS 64u /* in one bulk call */

static void
cubby_open(struct fleet *fleet, const struct shape *shape)
{
	if (cubby_cache_create(&fleet->cache, shape->layout, NULL) != 0)
		errx(1, "cubby_cache_create: %s", cubby_error_detail());
}

static void
cubby_close(struct fleet *fleet)
{
	if (cubby_cache_verify(fleet->cache) != 0 ||
	    cubby_cache_destroy(fleet->cache) != 0)
		errx(1, "after the last free: %s", cubby_error_detail());
}

static uint64_t
cubby_own_bytes(struct fleet *fleet)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	if (!fleet->cache)
		return 0;
	if (cubby_cache_stats_snapshot(fleet->cache, &stats) != 0)
		errx(1, "cubby_cache_stats_snapshot: %s",
		     cubby_error_detail());
	return stats.n_live * stats.cell_bytes + stats.bookkeeping_bytes;
}

static size_t
cubby_cell_bytes(struct fleet *fleet, void *truck)
{
	(void)truck;
	return cubby_cache_cell_bytes(fleet->cache);
}

static void *
cubby_alloc_one(struct fleet *fleet, const struct shape *shape)
{
	(void)shape;
	return cubby_alloc(fleet->cache);
}

static void
cubby_free_one(struct fleet *fleet, void *truck)
{
	cubby_free(fleet->cache, truck);
}

static size_t
min_size(size_t a, size_t b)
{
	return a < b ? a : b;
}

TRUCK_INLINE size_t
bulk_create_all(struct fleet *fleet, const struct shape *shape)
{
	size_t done = 0;

	while (done < fleet->n) {
		const size_t n = min_size(BULK_OBJECTS, fleet->n - done);
		void **trucks = fleet->trucks + done;

		if (cubby_alloc_bulk(fleet->cache, n, trucks) != 0)
			errx(1, "cubby_alloc_bulk: %s", cubby_error_detail());
		for (size_t i = 0; i < n; i++)
			shape->fill(trucks[i], done + i);
		done += n;
	}
	return done;
}

static size_t
bulk_free_all(struct fleet *fleet, const struct shape *shape)
{
	size_t done = 0;

	(void)shape;
	while (done < fleet->n) {
		const size_t n = min_size(BULK_OBJECTS, fleet->n - done);

		cubby_free_bulk(fleet->cache, n, fleet->visit + done);
		done += n;
	}
	return done;
}

TRUCK_INLINE size_t
walk_scan_all(struct fleet *fleet, const struct shape *shape, double *ret_sum)
{
	struct cubby_walk *walk;
	struct cubby_run run;
	size_t n_scanned = 0;
	double sum = 0;
	char *truck;

	if (cubby_walk_create(&walk, fleet->cache) != 0)
		errx(1, "cubby_walk_create: %s", cubby_error_detail());
	while (cubby_walk_next(walk, &run)) {
		CUBBY_RUN_FOR_EACH (truck, &run)
			sum += *shape->lat(truck);
		n_scanned += run.n_objects;
	}
	cubby_walk_destroy(walk);
	*ret_sum = sum;
	return n_scanned;
}

static const struct store one_by_one = {
	.open = cubby_open,
	.alloc = cubby_alloc_one,
	.free = cubby_free_one,
	.scan_all = walk_scan_all,
	.close = cubby_close,
	.own_bytes = cubby_own_bytes,
	.cell_bytes = cubby_cell_bytes,
};

static const struct store in_bulk = {
	.open = cubby_open,
	.create_all = bulk_create_all,
	.scan_all = walk_scan_all,
	.free_all = bulk_free_all,
	.close = cubby_close,
	.own_bytes = cubby_own_bytes,
	.cell_bytes = cubby_cell_bytes,
};

TRUCK_JOB(truck_cubby_text, one_by_one, truck_text_struct)
TRUCK_JOB(truck_cubby_integer, one_by_one, truck_integer_struct)
TRUCK_JOB(truck_cubby_bulk_text, in_bulk, truck_text_struct)
TRUCK_JOB(truck_cubby_bulk_integer, in_bulk, truck_integer_struct)

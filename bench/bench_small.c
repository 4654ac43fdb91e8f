/* SPDX-License-Identifier: MIT */
/*
 * Goal M4: what a cache costs that holds next to nothing: 1,000 caches of 12
 * objects each, in a process of their own, by RSS, and by page tables, which
 * RSS does not count.
 *
 * A malloc has no caches: for it the row is what the same 12,000 objects cost.
 * The floor is the counter declared_per_cache.
 */
#define _GNU_SOURCE
#include "context.h"
#include "gb.h"
#include "isolate.h"
#include "mem.h"
#include "rivals/rival.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum {
	N_CACHES = 1000,
	N_OBJECTS = 12, /* of each cache */
	FILL_BYTE = 0xa5
};

static const size_t sizes_bytes[] = {
	24, 32, 40, 56, 64, 72, 96, 128, 200, 256
};

struct small_result {
	double rss_bytes;
	double anonymous_bytes;
	double page_table_bytes;
	double object_bytes; /* declared, of all objects */
};

static void *pools[N_CACHES];
static void *objects[N_CACHES][N_OBJECTS];

static size_t
size_of(size_t cache)
{
	return sizes_bytes[cache %
			   (sizeof(sizes_bytes) / sizeof(sizes_bytes[0]))];
}

static int
fill(const struct rival *rival, size_t cache)
{
	void *pool = rival->create(size_of(cache), N_OBJECTS);

	if (!pool)
		return -ENOMEM;
	pools[cache] = pool;
	for (size_t i = 0; i < N_OBJECTS; i++) {
		void *object = rival->alloc(pool);

		if (!object)
			return -ENOMEM;
		memset(object, FILL_BYTE, size_of(cache));
		objects[cache][i] = object;
	}
	return 0;
}

/* Stamp every object with its own place, then look: they are all distinct. */
static int
check_distinct(void)
{
	for (size_t cache = 0; cache < N_CACHES; cache++)
		for (size_t i = 0; i < N_OBJECTS; i++) {
			const void *place = &objects[cache][i];

			memcpy(objects[cache][i], &place, sizeof(place));
		}
	for (size_t cache = 0; cache < N_CACHES; cache++)
		for (size_t i = 0; i < N_OBJECTS; i++) {
			const void *place = &objects[cache][i];

			if (memcmp(objects[cache][i], &place, sizeof(place)))
				return -EILSEQ;
		}
	return 0;
}

static int
small_child(void *ret_result, const void *arg)
{
	const struct rival *rival = arg;
	struct small_result *result = ret_result;
	struct mem_sample before, after;
	int err;

	/* Our own pages in, and the rival's code: one cache stays behind. */
	memset(pools, FILL_BYTE, sizeof(pools));
	memset(objects, FILL_BYTE, sizeof(objects));
	err = fill(rival, 0);
	/* Twice, so that its own code and buffers are in as well. */
	for (int i = 0; !err && i < 2; i++)
		err = mem_sample(&before);
	for (size_t cache = 0; !err && cache < N_CACHES; cache++) {
		err = fill(rival, cache);
		result->object_bytes += (double)(N_OBJECTS * size_of(cache));
	}
	if (!err)
		err = mem_sample(&after);
	if (err)
		return err;
	result->rss_bytes = (double)after.rss_bytes - (double)before.rss_bytes;
	result->anonymous_bytes = (double)after.anonymous_bytes -
				  (double)before.anonymous_bytes;
	result->page_table_bytes = (double)after.page_table_bytes -
				   (double)before.page_table_bytes;
	return check_distinct();
}

static void
bench_small(struct gb_state *state, void *rival)
{
	struct small_result result = { 0 };
	int err = 0;

	for (size_t n = gb_start(state); n > 0 && !err; n--)
		err = isolate_run(small_child, rival, &result, sizeof(result));
	if (err)
		gb_skip_with_error(state, strerror(-err));
	gb_stop(state);
	if (err)
		return;
	gb_counter(state, "n_caches", N_CACHES, GB_PLAIN);
	gb_counter(state, "n_objects", N_CACHES * N_OBJECTS, GB_PLAIN);
	gb_counter(state, "rss_per_cache", result.rss_bytes / N_CACHES,
		   GB_PLAIN);
	gb_counter(state, "anonymous_per_cache",
		   result.anonymous_bytes / N_CACHES, GB_PLAIN);
	gb_counter(state, "page_tables_per_cache",
		   result.page_table_bytes / N_CACHES, GB_PLAIN);
	gb_counter(state, "declared_per_cache", result.object_bytes / N_CACHES,
		   GB_PLAIN);
}

int
main(int argc, char **argv)
{
	static const struct rival *const rivals[] = { &rival_cubby,
						      &rival_malloc };

	for (size_t i = 0; i < sizeof(rivals) / sizeof(rivals[0]); i++) {
		struct gb_bench *bench;
		char name[64];

		snprintf(name, sizeof(name), "M4/%s", rivals[i]->name());
		bench = gb_register(name, bench_small, (void *)rivals[i]);
		gb_iterations(bench, 1);
		gb_real_time(bench);
		gb_unit(bench, GB_MILLISECOND);
	}
	return bench_main(argc, argv);
}

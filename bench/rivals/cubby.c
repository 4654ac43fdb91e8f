/* SPDX-License-Identifier: MIT */
/* A cache of the objects' size, all attributes at their defaults. */
#include "rival.h"

#include <cubby/cubby.h>

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

/* One call in so many may have gone by the lock. */
enum { CALLS_PER_DIRECT = 100 };

static const char *
cubby_name(void)
{
	return "cubby";
}

static const char *
bulk_name(void)
{
	return "cubby-bulk";
}

static void *
create(size_t object_bytes, size_t n_objects)
{
	struct cubby_cache *cache;

	(void)n_objects; /* a cache grows by itself */
	if (cubby_cache_create_sized(&cache, "bench", object_bytes, 0, NULL)) {
		fprintf(stderr, "bench: %s\n", cubby_error_detail());
		return NULL;
	}
	return cache;
}

static void
destroy(void *pool)
{
	if (cubby_cache_destroy_force(pool))
		abort();
}

static void *
alloc(void *pool)
{
	return cubby_alloc(pool);
}

static void
release(void *pool, void *object)
{
	cubby_free(pool, object);
}

static int
alloc_each(void *pool, size_t n, void **ret_objects)
{
	return rival_alloc_each(&rival_cubby, pool, n, ret_objects);
}

static int
alloc_bulk(void *pool, size_t n, void **ret_objects)
{
	return cubby_alloc_bulk(pool, n, ret_objects);
}

static uint64_t
held_bytes(void *pool)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	if (!pool)
		return 0;
	if (cubby_cache_stats_snapshot(pool, &stats))
		abort();
	return stats.populated_bytes + stats.bookkeeping_bytes;
}

static int
check_calls(void *pool, uint64_t n_calls)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	uint64_t n_direct;

	if (cubby_cache_stats_snapshot(pool, &stats))
		abort();
	n_direct = stats.n_direct_allocs + stats.n_direct_frees;
	if (stats.n_live == 0 && stats.is_fast &&
	    stats.front_end != CUBBY_FRONT_NONE &&
	    n_direct <= n_calls / CALLS_PER_DIRECT)
		return 0;
	fprintf(stderr,
		"bench: %" PRIu64 " objects live, front end %" PRIu64
		", is_fast %" PRIu64 ", %" PRIu64 " of %" PRIu64
		" calls took the lock\n",
		stats.n_live, stats.front_end, stats.is_fast, n_direct,
		n_calls);
	return -EBADMSG;
}

const struct rival rival_cubby = {
	.name = cubby_name,
	.create = create,
	.destroy = destroy,
	.alloc = alloc,
	.free = release,
	.alloc_many = alloc_each,
	.held_bytes = held_bytes,
	.check_calls = check_calls,
};

const struct rival rival_cubby_bulk = {
	.name = bulk_name,
	.create = create,
	.destroy = destroy,
	.alloc = alloc,
	.free = release,
	.alloc_many = alloc_bulk,
	.held_bytes = held_bytes,
};

/* SPDX-License-Identifier: MIT */
/*
 * A cache of the objects' size, all attributes at their defaults, by each of
 * the ways that lead to it.
 */
#define _GNU_SOURCE
#include "cubby.h"

#include "../isolate.h"
#include "rival.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

enum {
	/* One call in so many may have gone by the lock. */
	CALLS_PER_DIRECT = 100,
	/* And one in so many may have needed another magazine or slab. */
	CALLS_PER_SLOW = 8,

	OPTIONS_BYTES_MAX = 256
};

/* ---------------------------- what inline leaves -------------------------- */

static uint64_t n_left;

void *rival_left_alloc(struct cubby_cache *cache);
void rival_left_free(struct cubby_cache *cache, void *object);

void *
rival_left_alloc(struct cubby_cache *cache)
{
	__atomic_fetch_add(&n_left, 1, __ATOMIC_RELAXED);
	return library_alloc(cache);
}

void
rival_left_free(struct cubby_cache *cache, void *object)
{
	__atomic_fetch_add(&n_left, 1, __ATOMIC_RELAXED);
	library_free(cache, object);
}

/* --------------------------------- the calls ------------------------------ */

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

/* The first cache of a process decides which front end that has. */
static void *
create_per_thread(size_t object_bytes, size_t n_objects)
{
	const char *options = getenv("CUBBY_OPTIONS");
	char text[OPTIONS_BYTES_MAX];

	snprintf(text, sizeof(text), "%s%sfront=thread",
		 options ? options : "", options ? "," : "");
	if (setenv("CUBBY_OPTIONS", text, 1))
		return NULL;
	return create(object_bytes, n_objects);
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
	return library_alloc(pool);
}

static void
release(void *pool, void *object)
{
	library_free(pool, object);
}

static void *
alloc_inline(void *pool)
{
	return cubby_alloc(pool);
}

static void
release_inline(void *pool, void *object)
{
	cubby_free(pool, object);
}

static int
alloc_each(void *pool, size_t n, void **ret_objects)
{
	return rival_alloc_each(&rival_cubby, pool, n, ret_objects);
}

static int
alloc_each_inline(void *pool, size_t n, void **ret_objects)
{
	return rival_alloc_each(&rival_cubby_inline, pool, n, ret_objects);
}

static int
alloc_bulk(void *pool, size_t n, void **ret_objects)
{
	return cubby_alloc_bulk(pool, n, ret_objects);
}

/* ------------------------------- the questions ---------------------------- */

static void
look(void *pool, struct cubby_cache_stats *ret_stats)
{
	*ret_stats = (struct cubby_cache_stats){ .stats_bytes = sizeof(
							 *ret_stats) };
	if (cubby_cache_stats_snapshot(pool, ret_stats))
		abort();
}

static uint64_t
held_bytes(void *pool)
{
	struct cubby_cache_stats stats;

	if (!pool)
		return 0;
	look(pool, &stats);
	return stats.populated_bytes + stats.bookkeeping_bytes;
}

static int
find_front(void *ret_front, const void *arg)
{
	void *pool = create(sizeof(void *), 0);
	struct cubby_cache_stats stats;

	(void)arg;
	if (!pool)
		return -ENOMEM;
	look(pool, &stats);
	*(uint64_t *)ret_front = stats.front_end;
	return 0;
}

static int
inline_is_here(void)
{
	uint64_t front = CUBBY_FRONT_NONE;

	return CUBBY_INLINE_WORKS &&
	       !isolate_run(find_front, NULL, &front, sizeof(front)) &&
	       front == CUBBY_FRONT_PER_CPU;
}

/* Returns whether the pool itself is as it should be. */
static int
add_up(void *pool, struct rival_proof *proof)
{
	struct cubby_cache_stats stats;

	look(pool, &stats);
	proof->front_end = stats.front_end;
	proof->front_index = stats.front_index;
	proof->n_aborts = stats.n_aborts;
	proof->n_direct += stats.n_direct_allocs + stats.n_direct_frees;
	proof->n_exchanged += stats.n_depot_puts + stats.n_depot_gets;
	proof->n_refills += stats.n_refills;
	proof->n_flushes += stats.n_flushes;
	if (stats.n_live == 0 && stats.is_fast)
		return 1;
	fprintf(stderr,
		"bench: %" PRIu64 " objects live, is_fast %" PRIu64 "\n",
		stats.n_live, stats.is_fast);
	return 0;
}

static int
check_any(size_t n_pools, void *const *pools, uint64_t n_calls,
	  struct rival_proof *ret_proof)
{
	struct rival_proof proof = { .n_calls = n_calls };
	int is_good = 1;
	uint64_t n_slow;

	for (size_t i = 0; i < n_pools; i++)
		is_good &= add_up(pools[i], &proof);
	n_slow = proof.n_direct + proof.n_exchanged + proof.n_refills +
		 proof.n_flushes;
	*ret_proof = proof;
	if (is_good && proof.front_end != CUBBY_FRONT_NONE &&
	    proof.n_direct <= n_calls / CALLS_PER_DIRECT &&
	    n_slow <= n_calls / CALLS_PER_SLOW)
		return 0;
	fprintf(stderr,
		"bench: front end %" PRIu64 ", %" PRIu64 " of %" PRIu64
		" calls were slow, %" PRIu64 " took the lock\n",
		proof.front_end, n_slow, n_calls, proof.n_direct);
	return -EBADMSG;
}

static int
check_inline(size_t n_pools, void *const *pools, uint64_t n_calls,
	     struct rival_proof *ret_proof)
{
	int err = check_any(n_pools, pools, n_calls, ret_proof);

	ret_proof->n_left = n_left;
	if (err || (ret_proof->front_end == CUBBY_FRONT_PER_CPU &&
		    n_left <= n_calls / CALLS_PER_SLOW))
		return err;
	fprintf(stderr,
		"bench: %" PRIu64 " of %" PRIu64
		" calls were left to the library, front end %" PRIu64 "\n",
		n_left, n_calls, ret_proof->front_end);
	return -EBADMSG;
}

static int
check_thread(size_t n_pools, void *const *pools, uint64_t n_calls,
	     struct rival_proof *ret_proof)
{
	int err = check_any(n_pools, pools, n_calls, ret_proof);

	if (err || ret_proof->front_end == CUBBY_FRONT_PER_THREAD)
		return err;
	fprintf(stderr, "bench: the front end is %" PRIu64 "\n",
		ret_proof->front_end);
	return -EBADMSG;
}

/* --------------------------------- the rivals ----------------------------- */

static const char *
cubby_name(void)
{
	return "cubby";
}

static const char *
inline_name(void)
{
	return "cubby-inline";
}

static const char *
thread_name(void)
{
	return "cubby-thread";
}

static const char *
bulk_name(void)
{
	return "cubby-bulk";
}

const struct rival rival_cubby = {
	.name = cubby_name,
	.create = create,
	.destroy = destroy,
	.alloc = alloc,
	.free = release,
	.alloc_many = alloc_each,
	.held_bytes = held_bytes,
	.check_calls = check_any,
};

const struct rival rival_cubby_inline = {
	.name = inline_name,
	.is_here = inline_is_here,
	.create = create,
	.destroy = destroy,
	.alloc = alloc_inline,
	.free = release_inline,
	.alloc_many = alloc_each_inline,
	.held_bytes = held_bytes,
	.check_calls = check_inline,
};

const struct rival rival_cubby_thread = {
	.name = thread_name,
	.create = create_per_thread,
	.destroy = destroy,
	.alloc = alloc,
	.free = release,
	.alloc_many = alloc_each,
	.held_bytes = held_bytes,
	.check_calls = check_thread,
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

/* SPDX-License-Identifier: MIT */
/*
 * Whole lives of objects in Cubby's caches with handles, by each way to end
 * them: mode, flavour, who reclaims; through the library, and with what
 * CUBBY_INLINE compiles in.
 *
 * A thread of a flavour that wants it passes a quiescent state every
 * WEAK_LIVES_PER_TURN lives, and where the program reclaims it polls as often.
 */
#define _GNU_SOURCE
#include "cubby.h"

#include "weak_rival.h"

#include <urcu/flavor.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

/* liburcu's headers declare one a file: that of the flavour included first. */
extern const struct rcu_flavor_struct urcu_memb_flavor, urcu_bp_flavor,
	urcu_qsbr_flavor;

struct pool {
	struct cubby_cache *cache;
	const struct rcu_flavor_struct *flavor; /* NULL: nothing waits */
	int is_polled;
	cubby_weak last; /* handle that was taken */
};

struct setting {
	uint64_t mode;
	const struct rcu_flavor_struct *flavor;
	uint64_t reclaim;
};

/* --------------------------------- the pool ------------------------------- */

static void *
create(const void *arg, uint64_t limit_bytes)
{
	const struct setting *setting = arg;
	struct pool *pool = calloc(1, sizeof(*pool));
	struct cubby_cache_attr attr;

	if (!pool)
		return NULL;
	cubby_cache_attr_init(&attr);
	attr.weak = setting->mode;
	attr.rcu = setting->flavor;
	attr.reclaim = setting->reclaim;
	attr.max_deferred_bytes = limit_bytes;
	pool->flavor = setting->flavor;
	pool->is_polled = setting->reclaim == CUBBY_RECLAIM_POLL;
	if (!cubby_cache_create_sized(&pool->cache, "bench", WEAK_OBJECT_BYTES,
				      WEAK_ALIGN_BYTES, &attr))
		return pool;
	fprintf(stderr, "bench: %s\n", cubby_error_detail());
	return NULL;
}

static void
enter(void *arg)
{
	const struct pool *pool = arg;

	if (pool->flavor)
		pool->flavor->register_thread();
}

static void
leave(void *arg)
{
	const struct pool *pool = arg;

	if (pool->flavor)
		pool->flavor->unregister_thread();
}

static void
lock(void *arg)
{
	((const struct pool *)arg)->flavor->read_lock();
}

static void
unlock(void *arg)
{
	((const struct pool *)arg)->flavor->read_unlock();
}

static void
turn(const struct pool *pool)
{
	if (pool->flavor)
		pool->flavor->read_quiescent_state();
	if (pool->is_polled && cubby_rcu_poll(pool->cache) < 0)
		abort();
}

static void
settle(void *arg)
{
	const struct pool *pool = arg;

	if (cubby_rcu_barrier(pool->cache)) {
		fprintf(stderr, "bench: %s\n", cubby_error_detail());
		abort();
	}
}

static int
count(void *arg, uint64_t n_done, struct weak_lives_count *ret_count)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	const struct pool *pool = arg;
	int err;

	err = rival_check(&rival_cubby, 1, (void *const *)&pool->cache,
			  2 * n_done, &ret_count->proof);
	if (!err)
		err = cubby_cache_stats_snapshot(pool->cache, &stats);
	if (err)
		return err;
	ret_count->n_waiting_peak = stats.n_deferred_peak;
	ret_count->bytes_each = stats.cell_bytes;
	ret_count->n_overruns = stats.n_overruns;
	ret_count->n_grace_periods = stats.n_grace_periods;
	/* What was never referred to does not wait: free has ended it. */
	ret_count->n_ended = pool->flavor && pool->last ? stats.n_reclaimed :
							  n_done;
	if (ret_count->n_ended == n_done && stats.n_deferred == 0 &&
	    !(pool->last && cubby_weak_is_live(pool->cache, pool->last)))
		return 0;
	fprintf(stderr, "bench: %llu of %llu lives ended, %llu objects wait\n",
		(unsigned long long)ret_count->n_ended,
		(unsigned long long)n_done,
		(unsigned long long)stats.n_deferred);
	return -EBADMSG;
}

/* --------------------------------- the loops ------------------------------ */

struct calls {
	void *(*alloc)(struct cubby_cache *cache);
	void (*free)(struct cubby_cache *cache, void *object);
};

WEAK_INLINE void *
alloc_by_call(struct cubby_cache *cache)
{
	return library_alloc(cache);
}

WEAK_INLINE void
free_by_call(struct cubby_cache *cache, void *object)
{
	library_free(cache, object);
}

WEAK_INLINE void *
alloc_inline(struct cubby_cache *cache)
{
	return cubby_alloc(cache);
}

WEAK_INLINE void
free_inline(struct cubby_cache *cache, void *object)
{
	cubby_free(cache, object);
}

static const struct calls by_call = { alloc_by_call, free_by_call };
static const struct calls compiled_in = { alloc_inline, free_inline };

/* n is a multiple of a turn's lives. */
WEAK_INLINE size_t
live(const struct calls *calls, struct pool *pool, size_t n, int is_taken)
{
	struct cubby_cache *cache = pool->cache;
	cubby_weak handle = CUBBY_WEAK_NULL;

	for (size_t i = 0; i < n;) {
		void *object = calls->alloc(cache);

		if (!object) {
			turn(pool); /* there may be something to reclaim */
			return i;
		}
		*(volatile uint64_t *)object = i;
		if (is_taken) {
			handle = cubby_weak_of(cache, object);
			__asm__ volatile("" : : "r"(handle) : "memory");
		}
		calls->free(cache, object);
		if (++i % WEAK_LIVES_PER_TURN == 0)
			turn(pool);
	}
	pool->last = handle;
	return n;
}

#define LIVE(word, calls, is_taken)                                           \
	WEAK_INSTANCE size_t live_##word(void *pool, size_t n)                \
	{                                                                     \
		return live(&calls, pool, n, is_taken);                       \
	}

LIVE(taken, by_call, 1)
LIVE(taken_inline, compiled_in, 1)
LIVE(untaken, by_call, 0)
LIVE(untaken_inline, compiled_in, 0)

/* --------------------------------- the settings --------------------------- */

#define RCU(flavor, reclaim)                                                  \
	{                                                                     \
		CUBBY_WEAK_RCU, &urcu_##flavor##_flavor, reclaim              \
	}

static const struct setting memb_thread = RCU(memb, CUBBY_RECLAIM_THREAD);
static const struct setting memb_poll = RCU(memb, CUBBY_RECLAIM_POLL);
static const struct setting bp_thread = RCU(bp, CUBBY_RECLAIM_THREAD);
static const struct setting bp_poll = RCU(bp, CUBBY_RECLAIM_POLL);
static const struct setting qsbr_thread = RCU(qsbr, CUBBY_RECLAIM_THREAD);
static const struct setting qsbr_poll = RCU(qsbr, CUBBY_RECLAIM_POLL);
static const struct setting strong = { CUBBY_WEAK_STRONG, NULL, 0 };
static const struct setting reuse = { CUBBY_WEAK_REUSE, NULL, 0 };

#define LIVES_ONE(text, which, live_fn)                                       \
	{                                                                     \
		.name = "cubby-" text, .setting = &which, .create = create,   \
		.enter = enter, .leave = leave, .lock = lock,                 \
		.unlock = unlock, .live = live_fn, .settle = settle,          \
		.count = count,                                               \
	}
/* By calls of the library, and compiled in. */
#define LIVES(text, which, word)                                              \
	LIVES_ONE(text, which, live_##word),                                  \
		LIVES_ONE(text "-inline", which, live_##word##_inline)

const struct weak_lives weak_lives_cubby[] = {
	LIVES("memb-thread", memb_thread, taken),
	LIVES("memb-poll", memb_poll, taken),
	LIVES("bp-thread", bp_thread, taken),
	LIVES("bp-poll", bp_poll, taken),
	LIVES("qsbr-thread", qsbr_thread, taken),
	LIVES("qsbr-poll", qsbr_poll, taken),
	LIVES("untaken", memb_thread, untaken),
	LIVES("strong", strong, taken),
	LIVES("reuse", reuse, taken),
	{ .name = NULL }
};

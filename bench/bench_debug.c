/* SPDX-License-Identifier: MIT */
/*
 * Goal D1: what a pair of an alloc and a free costs a cache that is watched.
 *
 * This program asks for nothing: scripts/run-bench starts it once per text of
 * CUBBY_DEBUG, and once per malloc.  The loops are PAIR and REPLACE of loops.h.
 * PAIR is called with a stack of 4 frames, and as "-deepN" with one of N: that
 * is what CUBBY_DEBUG_USER pays for.
 *
 * Each measurement is a child process of its own, and in that a thread, whose
 * stack is short; the clock is that of the thread's CPU time.  How many pairs
 * are done is found out: some take a thousand times as long as others.
 */
#define _GNU_SOURCE
#include "loops.h"

#include "context.h"
#include "gb.h"
#include "isolate.h"

#include <errno.h>
#include <execinfo.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

enum { N_LIVE = 1000, N_PAIRS_FIRST = 1000, FRAMES_MAX = 128 };

static const double warm_seconds = 0.1;
static const double timed_seconds = 0.1;

void *loops_global_pool;

static void *objects[N_LIVE];

struct way_in {
	const char *name; /* NULL: of the kind */
	const struct loops_kind *kind;
	cubby_ctor_fn ctor;
};

struct bench {
	const struct way_in *way_in;
	enum way way;
	int n_frames; /* 0: as few as can be */
	struct task task;
};

struct result {
	double seconds;
	double n_pairs;
	double n_frames; /* as backtrace() counts them in the loop */
	double is_fast;  /* of Cubby's caches, and 0 of others: as they say */
	double cell_bytes;
	double first_byte; /* of a new object: 0x5a if it is poisoned */
};

/* What the thread is told, and what it found. */
struct work {
	const struct bench *bench;
	void *pool;
	struct result *result;
	int err;
};

static int
is_cubby(const struct bench *bench)
{
	return bench->way_in->kind->rival != &rival_malloc &&
	       bench->way_in->kind->rival != &rival_floor;
}

/* ------------------------------- measuring -------------------------------- */

static double
cpu_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* The loop, when the caller calls it, is a frame more than the caller. */
CALLS_INLINE int
n_frames_in_loop(void)
{
	void *frames[FRAMES_MAX];

	return backtrace(frames, FRAMES_MAX) + 1;
}

/* 0 or -ENOMEM.  Inlined, as time_pairs() is: no frames of their own. */
CALLS_INLINE int
time_loop(const struct work *work, size_t n_pairs, double *ret_seconds)
{
	const struct bench *bench = work->bench;
	struct task task = bench->task;
	double begin = cpu_seconds();
	size_t n_done;

	task.n_pairs = n_pairs;
	n_done = bench->way_in->kind->loops[bench->way](&work->pool, &task);
	*ret_seconds = cpu_seconds() - begin;
	return n_done == n_pairs ? 0 : -ENOMEM;
}

/* Warm up by more and more pairs, and then by as many as take the time. */
CALLS_INLINE void
time_pairs(struct work *work)
{
	struct result *result = work->result;
	size_t n_pairs = N_PAIRS_FIRST;
	double seconds = 0;

	result->n_frames = n_frames_in_loop();
	for (double warmed = 0; warmed < warm_seconds; warmed += seconds) {
		work->err = time_loop(work, n_pairs, &seconds);
		if (work->err)
			return;
		n_pairs *= 2;
	}
	result->n_pairs = (double)(n_pairs / 2) * timed_seconds / seconds;
	work->err = time_loop(work, (size_t)result->n_pairs, &result->seconds);
}

/* Not in tail position: each call is to be a frame. */
static __attribute__((noinline)) void
go_deeper(struct work *work)
{
	if (n_frames_in_loop() < work->bench->n_frames)
		go_deeper(work);
	else
		time_pairs(work);
	__asm__ volatile("" : : "r"(work) : "memory");
}

static void *
run_thread(void *argument)
{
	struct work *work = argument;

	if (n_frames_in_loop() < work->bench->n_frames)
		go_deeper(work);
	else
		time_pairs(work);
	return NULL;
}

/* -------------------------------- one child ------------------------------- */

static int
ctor(void *object, void *context)
{
	(void)context;
	calls_stamp(object, 0);
	return 0;
}

static void *
create(const struct bench *bench)
{
	const struct rival *rival = bench->way_in->kind->rival;
	struct cubby_cache *cache;

	if (!bench->way_in->ctor)
		return rival->create(bench->task.object_bytes, N_LIVE);
	if (cubby_cache_create_sized(
		    &cache, "bench", bench->task.object_bytes, 0,
		    &CUBBY_CACHE_ATTR(.ctor = bench->way_in->ctor)))
		return NULL;
	return cache;
}

/* After the measurement, when all objects are free: 0 or a negative errno. */
static int
look_at(struct cubby_cache *cache, struct result *result)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	unsigned char *object;

	if (cubby_cache_stats_snapshot(cache, &stats) || stats.n_live != 0)
		return -EBADMSG;
	object = library_alloc(cache);
	if (!object)
		return -ENOMEM;
	result->first_byte = *(volatile unsigned char *)object;
	library_free(cache, object);
	result->is_fast = (double)stats.is_fast;
	result->cell_bytes = (double)cubby_cache_cell_bytes(cache);
	return cubby_cache_destroy(cache);
}

static int
measure(void *ret_result, const void *arg)
{
	const struct bench *bench = arg;
	const struct rival *rival = bench->way_in->kind->rival;
	struct work work = { bench, create(bench), ret_result, 0 };
	size_t n_live = bench->way == REPLACE ? bench->task.n_objects : 0;
	pthread_t thread;

	if (!work.pool)
		return -ENOMEM;
	if (n_live) {
		work.err = rival->alloc_many(work.pool, n_live, objects);
		if (work.err)
			return work.err;
	}
	work.err = -pthread_create(&thread, NULL, run_thread, &work);
	if (work.err || pthread_join(thread, NULL) || work.err)
		return work.err ? work.err : -EINVAL;
	for (size_t i = 0; i < n_live; i++)
		rival->free(work.pool, objects[i]);
	return is_cubby(bench) ? look_at(work.pool, ret_result) : 0;
}

/* ------------------------------ registration ------------------------------ */

static void
bench_pairs(struct gb_state *state, void *arg)
{
	struct result result = { 0 };
	int err = isolate_run(measure, arg, &result, sizeof(result));

	if (err)
		gb_skip_with_error(state, strerror(-err));
	for (size_t n = gb_start(state); n > 0; n--)
		gb_iteration_time(state, result.seconds);
	gb_stop(state);
	if (err)
		return;
	gb_items_processed(state, (int64_t)result.n_pairs);
	gb_counter(state, "ns_per_pair", 1e9 * result.seconds / result.n_pairs,
		   GB_PLAIN);
#define COUNTER(name) gb_counter(state, #name, result.name, GB_PLAIN)
	COUNTER(n_pairs);
	COUNTER(n_frames);
	COUNTER(is_fast);
	COUNTER(cell_bytes);
	COUNTER(first_byte);
#undef COUNTER
}

static void
add(const struct way_in *way_in, size_t object_bytes, enum way way,
    int n_frames)
{
	struct bench *bench = calloc(1, sizeof(*bench));
	size_t n_objects = way == REPLACE ? N_LIVE : 1;
	struct gb_bench *registered;
	char name[64], deep[16] = "";

	if (!bench)
		abort();
	bench->way_in = way_in;
	bench->way = way;
	bench->n_frames = n_frames;
	bench->task = (struct task){ object_bytes, n_objects, 0, objects,
				     NULL };
	if (n_frames)
		snprintf(deep, sizeof(deep), "-deep%d", n_frames);
	snprintf(name, sizeof(name), "D1/%s/%zuB-%zu-%s%s",
		 way_in->name ? way_in->name : way_in->kind->rival->name(),
		 object_bytes, n_objects, way_words[way], deep);
	registered = gb_register(name, bench_pairs, bench);
	gb_manual_time(registered);
	gb_iterations(registered, 1);
	gb_unit(registered, GB_MILLISECOND);
}

int
main(int argc, char **argv)
{
	static const size_t sizes_bytes[] = { 24, 64, 256 };
	static const int depths[] = { 16, 64 };
	static struct way_in ways_in[LOOPS_N_KINDS + 1];
	size_t n = 0;

	for (size_t k = 0; k < LOOPS_N_KINDS; k++)
		if (rival_is_here(loops_kinds[k].rival))
			ways_in[n++].kind = &loops_kinds[k];
	ways_in[n++] = (struct way_in){ "ctor", &loops_kinds[0], ctor };
	for (size_t i = 0; i < n; i++) {
		for (size_t s = 0; s < 3; s++)
			add(&ways_in[i], sizes_bytes[s], PAIR, 0);
		add(&ways_in[i], sizes_bytes[1], REPLACE, 0);
		for (size_t d = 0; d < 2; d++)
			add(&ways_in[i], sizes_bytes[1], PAIR, depths[d]);
	}
	return bench_main(argc, argv);
}

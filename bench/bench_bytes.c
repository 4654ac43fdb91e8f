/* SPDX-License-Identifier: MIT */
/*
 * Goal M1: resident bytes per live object, 1,000,000 objects, every size from
 * 8 to 1024 bytes.
 *
 * Each measurement is a child process of its own.  The array of pointers to
 * the objects is populated before the first sample; every byte of every
 * object is written before the second.  The difference is by RSS.  Each object
 * then has to hold the number that was written into it, so as many distinct
 * objects as were asked for were really there.
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
#include <sys/mman.h>
#include <time.h>

enum {
	N_OBJECTS = 1000000,
	SIZE_MIN_BYTES = 8,
	SIZE_MAX_BYTES = 1024,
	SIZE_STEP_BYTES = 8,

	/* Pages in the code that the measurement runs, 16 KiB at the most. */
	N_WARM_OBJECTS = 16,

	FILL_BYTE = 0xa5
};

/* The goal: at most 1.01 x the declared size + 0.25 B. */
static const double TARGET_FACTOR = 1.01;
static const double TARGET_EXTRA_BYTES = 0.25;

struct fill_arg {
	const struct rival *rival;
	size_t object_bytes;
};

struct fill_result {
	double rss_bytes;
	double anonymous_bytes;
	double huge_bytes;
	double page_table_bytes;
	double held_bytes; /* negative: the rival does not say */
	double seconds;
};

static double
now_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* Objects may be as small as 8 bytes and not aligned. */
static void
stamp(void *object, size_t object_bytes, uint64_t number)
{
	memset(object, FILL_BYTE, object_bytes);
	memcpy(object, &number, sizeof(number));
}

static int
is_stamped(const void *object, uint64_t number)
{
	return !memcmp(object, &number, sizeof(number));
}

static int
fill(const struct rival *rival, void *pool, size_t object_bytes, size_t n,
     void **objects)
{
	int err = rival->alloc_many(pool, n, objects);

	if (err)
		return err;
	for (size_t i = 0; i < n; i++)
		stamp(objects[i], object_bytes, i);
	return 0;
}

static int
warm_up(const struct fill_arg *arg, void **objects)
{
	struct mem_sample sample;
	void *pool = arg->rival->create(arg->object_bytes, N_WARM_OBJECTS);
	int err;

	if (!pool)
		return -ENOMEM;
	err = fill(arg->rival, pool, arg->object_bytes, N_WARM_OBJECTS,
		   objects);
	if (err)
		return err;
	for (size_t i = 0; i < N_WARM_OBJECTS; i++)
		arg->rival->free(pool, objects[i]);
	arg->rival->held_bytes(pool);
	arg->rival->destroy(pool);
	return mem_sample(&sample);
}

static int
measure(const struct fill_arg *arg, void **objects, struct fill_result *result)
{
	const struct rival *rival = arg->rival;
	struct mem_sample before, after;
	uint64_t held_before, held_after;
	double begin;
	void *pool;
	int err;

	held_before = rival->held_bytes(NULL);
	err = mem_sample(&before);
	if (err)
		return err;
	begin = now_seconds();
	pool = rival->create(arg->object_bytes, N_OBJECTS);
	if (!pool)
		return -ENOMEM;
	err = fill(rival, pool, arg->object_bytes, N_OBJECTS, objects);
	if (err)
		return err;
	result->seconds = now_seconds() - begin;
	err = mem_sample(&after);
	if (err)
		return err;
	held_after = rival->held_bytes(pool);

	result->rss_bytes = (double)after.rss_bytes - (double)before.rss_bytes;
	result->anonymous_bytes = (double)after.anonymous_bytes -
				  (double)before.anonymous_bytes;
	result->huge_bytes = (double)after.huge_bytes -
			     (double)before.huge_bytes;
	result->page_table_bytes = (double)after.page_table_bytes -
				   (double)before.page_table_bytes;
	result->held_bytes = held_after == UINT64_MAX ?
				     -1 :
				     (double)held_after - (double)held_before;
	return 0;
}

static int
fill_child(void *ret_result, const void *arg)
{
	void **objects = mmap(NULL, N_OBJECTS * sizeof(*objects),
			      PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1,
			      0);
	int err;

	if (objects == MAP_FAILED)
		return -errno;
	err = warm_up(arg, objects);
	if (!err)
		err = measure(arg, objects, ret_result);
	for (size_t i = 0; !err && i < N_OBJECTS; i++)
		if (!is_stamped(objects[i], i))
			err = -EILSEQ;
	return err;
}

static void
report(struct gb_state *state, const struct fill_result *result,
       double target_bytes)
{
	double rss_bytes = result->rss_bytes / N_OBJECTS;

	gb_counter(state, "n_objects", N_OBJECTS, GB_PLAIN);
	gb_counter(state, "rss_per_object", rss_bytes, GB_PLAIN);
	gb_counter(state, "target_per_object", target_bytes, GB_PLAIN);
	gb_counter(state, "anonymous_per_object",
		   result->anonymous_bytes / N_OBJECTS, GB_PLAIN);
	gb_counter(state, "huge_per_object", result->huge_bytes / N_OBJECTS,
		   GB_PLAIN);
	gb_counter(state, "page_tables_per_object",
		   result->page_table_bytes / N_OBJECTS, GB_PLAIN);
	if (result->held_bytes >= 0)
		gb_counter(state, "held_per_object",
			   result->held_bytes / N_OBJECTS, GB_PLAIN);
}

static void
bench_fill(struct gb_state *state, void *rival)
{
	struct fill_arg arg = { .rival = rival,
				.object_bytes = (size_t)gb_range(state, 0) };
	struct fill_result result;
	int err = isolate_run(fill_child, &arg, &result, sizeof(result));

	if (err)
		gb_skip_with_error(state, strerror(-err));
	for (size_t n = gb_start(state); n > 0; n--)
		gb_iteration_time(state, result.seconds);
	gb_stop(state);
	if (!err)
		report(state, &result,
		       TARGET_FACTOR * (double)arg.object_bytes +
			       TARGET_EXTRA_BYTES);
}

static struct gb_bench *
add(const struct rival *rival)
{
	static const char *const arg_names[] = { "bytes" };
	struct gb_bench *bench;
	char name[64];

	snprintf(name, sizeof(name), "M1/%s", rival->name());
	bench = gb_register(name, bench_fill, (void *)rival);
	gb_arg_names(bench, 1, arg_names);
	gb_manual_time(bench);
	gb_iterations(bench, 1);
	gb_unit(bench, GB_MILLISECOND);
	return bench;
}

int
main(int argc, char **argv)
{
	static const struct rival *const stepped[] = { &rival_cubby,
						       &rival_malloc,
						       &rival_array };
	struct gb_bench *bench = add(&rival_cubby_bulk);

	for (int size = SIZE_MIN_BYTES; size <= SIZE_MAX_BYTES; size++)
		gb_arg(bench, size);

	/* A class's own size and the size above it: best case and worst. */
	for (size_t i = 0; i < sizeof(stepped) / sizeof(stepped[0]); i++) {
		bench = add(stepped[i]);
		for (int size = SIZE_MIN_BYTES; size <= SIZE_MAX_BYTES;
		     size += SIZE_STEP_BYTES) {
			gb_arg(bench, size);
			gb_arg(bench, size + 1);
		}
	}
	return bench_main(argc, argv);
}

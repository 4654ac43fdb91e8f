/* SPDX-License-Identifier: MIT */
/*
 * Goal M2: resident bytes per live object that has a weak reference,
 * 1,000,000 objects.
 *
 * As M1 (bench_bytes.c): each measurement is a child process of its own, all
 * bytes of all objects are written, the difference is by RSS, and afterwards
 * each reference has to lead to the object that holds its number.  What the
 * program itself keeps, a pointer to each object and a reference, is in an
 * array that was there before; how large they are is reported apart.
 */
#define _GNU_SOURCE
#include "context.h"
#include "gb.h"
#include "isolate.h"
#include "mem.h"
#include "rivals/weak_rival.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

enum {
	N_OBJECTS = 1000000,

	/* Pages in the code that the measurement runs, 16 KiB at the most. */
	N_WARM_OBJECTS = 16,

	FILL_BYTE = 0xa5
};

/* Those of M1 that scripts/run-bench looks at. */
static const int sizes_bytes[] = { 8,  9,   16,  24,  25,  32,  40,
				   72, 100, 104, 200, 512, 1024 };

struct task {
	const struct weak_kind *kind;
	size_t object_bytes;
};

struct result {
	double rss_bytes;
	double page_table_bytes;
};

static int
fill(const struct task *task, void *pool, size_t n, struct weak_place *places)
{
	for (size_t i = 0; i < n; i++) {
		void *object = task->kind->make(pool, &places[i]);

		if (!object)
			return -ENOMEM;
		memset(object, FILL_BYTE, task->object_bytes);
		memcpy(object, &i, sizeof(i));
	}
	return 0;
}

static int
check(const struct task *task, void *pool, size_t n,
      const struct weak_place *places)
{
	for (size_t i = 0; i < n; i++) {
		const void *object = task->kind->find(pool, &places[i]);

		if (!object || memcmp(object, &i, sizeof(i)))
			return -EILSEQ;
	}
	return 0;
}

/* A few, with all that is done to them. */
static int
warm_up(const struct task *task, struct weak_place *places)
{
	void *pool = task->kind->create(task->object_bytes);
	struct mem_sample sample;
	int err;

	if (!pool)
		return -ENOMEM;
	err = fill(task, pool, N_WARM_OBJECTS, places);
	if (!err)
		err = check(task, pool, N_WARM_OBJECTS, places);
	if (err)
		return err;
	for (size_t i = 0; i < N_WARM_OBJECTS; i++)
		task->kind->end(pool, &places[i]);
	task->kind->destroy(pool);
	memset(places, 0, N_WARM_OBJECTS * sizeof(places[0]));
	return mem_sample(&sample);
}

static int
measure(void *ret_result, const void *arg)
{
	struct weak_place *places = mmap(
		NULL, N_OBJECTS * sizeof(*places), PROT_READ | PROT_WRITE,
		MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
	const struct task *task = arg;
	struct result *result = ret_result;
	struct mem_sample before, after;
	void *pool;
	int err;

	if (places == MAP_FAILED)
		return -errno;
	err = warm_up(task, places);
	if (!err)
		err = mem_sample(&before);
	if (err)
		return err;
	pool = task->kind->create(task->object_bytes);
	if (!pool)
		return -ENOMEM;
	err = fill(task, pool, N_OBJECTS, places);
	if (!err)
		err = mem_sample(&after);
	if (err)
		return err;
	result->rss_bytes = (double)after.rss_bytes - (double)before.rss_bytes;
	result->page_table_bytes = (double)after.page_table_bytes -
				   (double)before.page_table_bytes;
	return check(task, pool, N_OBJECTS, places);
}

static void
bench_kind(struct gb_state *state, void *kind)
{
	struct task task = { kind, (size_t)gb_range(state, 0) };
	struct result result = { 0 };
	int err = 0;

	for (size_t n = gb_start(state); n > 0 && !err; n--)
		err = isolate_run(measure, &task, &result, sizeof(result));
	if (err)
		gb_skip_with_error(state, strerror(-err));
	gb_stop(state);
	if (err)
		return;
	gb_counter(state, "n_objects", N_OBJECTS, GB_PLAIN);
	gb_counter(state, "rss_per_object", result.rss_bytes / N_OBJECTS,
		   GB_PLAIN);
	gb_counter(state, "page_tables_per_object",
		   result.page_table_bytes / N_OBJECTS, GB_PLAIN);
	gb_counter(state, "place_bytes", (double)task.kind->place_bytes,
		   GB_PLAIN);
}

int
main(int argc, char **argv)
{
	static const struct weak_kind *const kinds[] = {
		&weak_kind_plain,  &weak_kind_rcu,  &weak_kind_reuse,
		&weak_kind_strong, &weak_kind_both, &weak_kind_ptr,
		&weak_kind_gref,
	};
	static const char *const arg_names[] = { "bytes" };

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct gb_bench *bench;
		char name[64];

		snprintf(name, sizeof(name), "M2/%s", kinds[k]->name);
		bench = gb_register(name, bench_kind, (void *)kinds[k]);
		gb_arg_names(bench, 1, arg_names);
		gb_real_time(bench);
		gb_iterations(bench, 1);
		gb_unit(bench, GB_MILLISECOND);
		for (size_t i = 0;
		     i < sizeof(sizes_bytes) / sizeof(sizes_bytes[0]); i++)
			gb_arg(bench, sizes_bytes[i]);
	}
	return bench_main(argc, argv);
}

/* SPDX-License-Identifier: MIT */
/*
 * Goal S10: scan all live objects of a cache by runs and sum one slot,
 * 1,000,000 objects of 32 bytes, against the same scan of a plain array; then
 * with 10 % of the objects freed at random, against an array of what is left
 * (array) and against one in which they are marked (array-marked).
 *
 * Opening and closing the walk is part of the time.  Slots hold whole numbers,
 * so the sum is exact, and each scan is checked: the objects it passed, and
 * their sum.
 */
#define _GNU_SOURCE
#include "context.h"
#include "gb.h"
#include "rivals/rival.h"

#include <cubby/cubby.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { N_OBJECTS = 1000000, HOLE_PERCENT = 10, SHUFFLE_SEED = 1 };

/* Of a repetition: some 100 scans. */
static const double MIN_SECONDS = 0.1;

/* In an array whose dead objects are marked. */
#define DEAD_ID UINT64_MAX

struct reading {
	uint64_t id;
	double level;
	double flow;
	double age_seconds;
};

_Static_assert(sizeof(struct reading) == 32, "the goal is for 32 bytes");

struct total {
	size_t n;
	double sum;
};

/* Objects to scan, in one of three forms. */
struct scene {
	const char *name;
	struct total (*scan)(const struct scene *scene);
	void (*build)(struct scene *scene, const unsigned char *is_hole);
	int with_holes;
	int is_built;
	size_t n; /* live */
	double sum;
	struct reading *array;     /* n readings; N_OBJECTS if marked */
	struct reading **pointers; /* n of them */
	struct cubby_cache *cache;
};

static void *
must(void *allocated)
{
	if (!allocated) {
		fputs("bench_scan: out of memory\n", stderr);
		exit(EXIT_FAILURE);
	}
	return allocated;
}

static uint32_t
next_random(uint64_t *state)
{
	*state = *state * 6364136223846793005u + 1442695040888963407u;
	return (uint32_t)(*state >> 32);
}

static void
shuffle(struct reading **pointers, size_t n)
{
	uint64_t random = SHUFFLE_SEED;

	for (size_t i = n; i > 1; i--) {
		size_t other = next_random(&random) % i;
		struct reading *swapped = pointers[i - 1];

		pointers[i - 1] = pointers[other];
		pointers[other] = swapped;
	}
}

static struct reading
reading_of(size_t i)
{
	return (struct reading){ .id = i, .level = (double)(i % 1000) };
}

/* ------------------------------- the scans -------------------------------- */

static struct total
scan_array(const struct scene *scene)
{
	struct total total = { .n = scene->n };

	for (size_t i = 0; i < scene->n; i++)
		total.sum += scene->array[i].level;
	return total;
}

static struct total
scan_marked(const struct scene *scene)
{
	struct total total = { 0 };

	for (size_t i = 0; i < N_OBJECTS; i++) {
		const struct reading *reading = &scene->array[i];

		if (reading->id == DEAD_ID)
			continue;
		total.n++;
		total.sum += reading->level;
	}
	return total;
}

static struct total
scan_pointers(const struct scene *scene)
{
	struct total total = { .n = scene->n };

	for (size_t i = 0; i < scene->n; i++)
		total.sum += scene->pointers[i]->level;
	return total;
}

static struct total
scan_cache(const struct scene *scene)
{
	struct total total = { 0 };
	const struct reading *reading;
	struct cubby_walk *walk;
	struct cubby_run run;

	if (cubby_walk_create(&walk, scene->cache))
		return total;
	while (cubby_walk_next(walk, &run)) {
		total.n += run.n_objects;
		CUBBY_RUN_FOR_EACH (reading, &run)
			total.sum += reading->level;
	}
	cubby_walk_destroy(walk);
	return total;
}

/* -------------------------------- building -------------------------------- */

static void
build_array(struct scene *scene, const unsigned char *is_hole)
{
	const struct rival *rival = &rival_array;
	void *pool = must(rival->create(sizeof(struct reading), scene->n));
	struct reading *reading;

	for (size_t i = 0; i < N_OBJECTS; i++) {
		if (scene->with_holes && is_hole[i])
			continue;
		reading = must(rival->alloc(pool));
		*reading = reading_of(i);
		if (!scene->array)
			scene->array = reading;
	}
}

static void
build_marked(struct scene *scene, const unsigned char *is_hole)
{
	struct scene all = { .n = N_OBJECTS };

	build_array(&all, NULL);
	scene->array = all.array;
	for (size_t i = 0; i < N_OBJECTS; i++)
		if (is_hole[i])
			scene->array[i].id = DEAD_ID;
}

/* All objects are allocated before the first is freed, as they would be. */
static void
build_any(struct scene *scene, const struct rival *rival,
	  const unsigned char *is_hole)
{
	void *pool = must(rival->create(sizeof(struct reading), N_OBJECTS));
	size_t n = 0;

	scene->pointers = must(malloc(N_OBJECTS * sizeof(struct reading *)));
	if (rival->alloc_many(pool, N_OBJECTS, (void **)scene->pointers))
		must(NULL);
	for (size_t i = 0; i < N_OBJECTS; i++) {
		struct reading *reading = scene->pointers[i];

		*reading = reading_of(i);
		if (scene->with_holes && is_hole[i])
			rival->free(pool, reading);
		else
			scene->pointers[n++] = reading;
	}
	scene->cache = pool;
}

static void
build_cache(struct scene *scene, const unsigned char *is_hole)
{
	build_any(scene, &rival_cubby_bulk, is_hole);
}

static void
build_malloc(struct scene *scene, const unsigned char *is_hole)
{
	build_any(scene, &rival_malloc, is_hole);
}

static void
build_shuffled(struct scene *scene, const unsigned char *is_hole)
{
	build_malloc(scene, is_hole);
	shuffle(scene->pointers, scene->n);
}

static void
build(struct scene *scene)
{
	unsigned char *is_hole = must(calloc(N_OBJECTS, 1));
	size_t n_holes = 0;
	uint64_t random = SHUFFLE_SEED;

	while (n_holes < N_OBJECTS / 100 * HOLE_PERCENT) {
		unsigned char *hole =
			&is_hole[next_random(&random) % N_OBJECTS];

		n_holes += !*hole;
		*hole = 1;
	}
	for (size_t i = 0; i < N_OBJECTS; i++) {
		if (scene->with_holes && is_hole[i])
			continue;
		scene->n++;
		scene->sum += reading_of(i).level;
	}
	scene->build(scene, is_hole);
	scene->is_built = 1;
	free(is_hole);
}

/* ------------------------------- measuring -------------------------------- */

static void
bench_scan(struct gb_state *state, void *arg)
{
	struct scene *scene = arg;
	size_t n_wrong = 0;
	size_t n;

	if (!scene->is_built)
		build(scene);
	n = gb_start(state);
	for (size_t i = 0; i < n; i++) {
		struct total total = scene->scan(scene);

		GB_KEEP(&total);
		n_wrong += total.n != scene->n || total.sum != scene->sum;
	}
	gb_stop(state);
	if (n_wrong)
		gb_skip_with_error(state, "a scan missed objects");
	gb_items_processed(state, (int64_t)(n * scene->n));
	gb_counter(state, "n_objects", (double)scene->n, GB_PLAIN);
}

static struct scene scenes[] = {
	{ "array", scan_array, build_array, .with_holes = 0 },
	{ "cubby", scan_cache, build_cache, .with_holes = 0 },
	{ "malloc", scan_pointers, build_malloc, .with_holes = 0 },
	{ "malloc-shuffled", scan_pointers, build_shuffled, .with_holes = 0 },
	{ "array", scan_array, build_array, .with_holes = 1 },
	{ "array-marked", scan_marked, build_marked, .with_holes = 1 },
	{ "cubby", scan_cache, build_cache, .with_holes = 1 },
	{ "malloc", scan_pointers, build_malloc, .with_holes = 1 },
	{ "malloc-shuffled", scan_pointers, build_shuffled, .with_holes = 1 },
};

int
main(int argc, char **argv)
{
	static const char malloc_word[] = "malloc";
	const size_t word_bytes = sizeof(malloc_word) - 1;

	for (size_t i = 0; i < sizeof(scenes) / sizeof(scenes[0]); i++) {
		struct scene *scene = &scenes[i];
		int is_malloc = !strncmp(scene->name, malloc_word, word_bytes);
		struct gb_bench *bench;
		char name[64];

		snprintf(name, sizeof(name), "S10/%s%s/%s",
			 is_malloc ? rival_malloc.name() : "",
			 scene->name + (is_malloc ? word_bytes : 0),
			 scene->with_holes ? "holes" : "full");
		bench = gb_register(name, bench_scan, scene);
		gb_min_time(bench, MIN_SECONDS);
		gb_unit(bench, GB_MICROSECOND);
	}
	return bench_main(argc, argv);
}

/* SPDX-License-Identifier: MIT */
/*
 * The core of Cubby in one program that needs nothing but the library and
 * says what it found in TAP: for emulators, instrumenters and strange hosts.
 */
#include <cubby/cubby.h>

#include <errno.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRUCK_SLOTS(SLOT)                                                     \
	SLOT(double, lat, "degrees north")                                    \
	SLOT(double, lon, "degrees east")                                     \
	SLOT(uint32_t, id, "number on the door")                              \
	SLOT(char[8], plate, "number plate")
CUBBY_LAYOUT(truck, TRUCK_SLOTS);

#define N 5000 /* objects: several slabs of any size used here */
#define N_THREADS 4
#define N_ROUNDS 3000

static unsigned n_cases;
static unsigned n_failed;
static bool case_failed;

/* Say which condition does not hold and go on with the next case. */
#define EXPECT(condition)                                                     \
	do {                                                                  \
		if (condition)                                                \
			break;                                                \
		printf("# %s:%d: !(%s); %s\n", __FILE__, __LINE__,            \
		       #condition, cubby_error_detail());                     \
		case_failed = true;                                           \
		return;                                                       \
	} while (0)

static void *objects[N];

static struct cubby_cache_stats
stats_of(struct cubby_cache *cache)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	if (cubby_cache_stats_snapshot(cache, &stats) != 0)
		case_failed = true;
	return stats;
}

static void
layout_declares_slots(void)
{
	struct cubby_cache *trucks;
	struct truck *truck;

	EXPECT(truck_cache_create(&trucks, NULL) == 0);
	EXPECT(cubby_cache_object_bytes(trucks) == sizeof(struct truck));
	EXPECT(strcmp(cubby_cache_name(trucks), "truck") == 0);
	truck = truck_zalloc(trucks);
	EXPECT(truck != NULL && truck->lat == 0 && truck->plate[7] == 0);
	truck->id = 7;
	truck_free(trucks, truck);
	EXPECT(cubby_cache_destroy(trucks) == 0);
}

static void
alloc_gives_objects_of_exact_size(void)
{
	static const size_t sizes[] = { 8, 13, 24, 200, 4096 };
	struct cubby_cache *cache;

	for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
		size_t bytes = sizes[s];

		EXPECT(cubby_cache_create_sized(&cache, "size", bytes, 0,
						NULL) == 0);
		EXPECT(cubby_cache_cell_bytes(cache) == bytes);
		for (size_t i = 0; i < 300; i++) {
			objects[i] = cubby_alloc(cache);
			EXPECT(objects[i] != NULL);
			memset(objects[i], (int)(i & 0xff), bytes);
		}
		for (size_t i = 0; i < 300; i++) {
			unsigned char *object = objects[i];

			EXPECT(object[0] == (i & 0xff));
			EXPECT(object[bytes - 1] == (i & 0xff));
			EXPECT(cubby_is_live(cache, object));
			EXPECT(cubby_cache_of(object) == cache);
			cubby_free(cache, object);
			EXPECT(!cubby_is_live(cache, object));
		}
		EXPECT(cubby_cache_verify(cache) == 0);
		EXPECT(cubby_cache_destroy(cache) == 0);
	}
}

static void
bulk_gives_neighbours(void)
{
	struct cubby_cache *cache;
	void *middle;

	EXPECT(cubby_cache_create_sized(&cache, "low", 40, 0, NULL) == 0);
	EXPECT(cubby_alloc_bulk(cache, N, objects) == 0);
	for (size_t i = 1; i < 100; i++)
		EXPECT((char *)objects[i] - (char *)objects[i - 1] == 40);
	middle = objects[50];
	cubby_free_any(middle);
	objects[50] = cubby_alloc(cache);
	EXPECT(cubby_is_live(cache, objects[50]));
	cubby_free_bulk(cache, N, objects);
	EXPECT(stats_of(cache).n_live == 0);
	EXPECT(cubby_cache_destroy(cache) == 0);
}

static void
limit_is_exact(void)
{
	struct cubby_cache_attr attr = CUBBY_CACHE_ATTR(.max_objects = 100);
	struct cubby_cache *cache;

	EXPECT(cubby_cache_create_sized(&cache, "limit", 24, 0, &attr) == 0);
	EXPECT(cubby_alloc_bulk(cache, 101, objects) == -ENOMEM);
	EXPECT(cubby_alloc_bulk(cache, 100, objects) == 0);
	errno = 0;
	EXPECT(cubby_alloc(cache) == NULL && errno == ENOMEM);
	cubby_free(cache, objects[99]);
	objects[99] = cubby_alloc(cache);
	EXPECT(objects[99] != NULL);
	cubby_free_bulk(cache, 100, objects);
	EXPECT(cubby_cache_destroy(cache) == 0);
}

struct counts {
	unsigned init, fini, ctor, dtor;
};

static int
on_init(void *object, void *context)
{
	((struct counts *)context)->init++;
	*(uint64_t *)object = 42;
	return 0;
}

static void
on_fini(void *object, void *context)
{
	((struct counts *)context)->fini += *(uint64_t *)object == 42;
}

static int
on_ctor(void *object, void *context)
{
	((struct counts *)context)->ctor += *(uint64_t *)object == 42;
	return 0;
}

static void
on_dtor(void *object, void *context)
{
	((struct counts *)context)->dtor += *(uint64_t *)object == 42;
}

static void
callbacks_run_as_often_as_they_should(void)
{
	struct counts counts = { 0 };
	struct cubby_cache_attr attr = CUBBY_CACHE_ATTR(.init = on_init,
							.fini = on_fini,
							.ctor = on_ctor,
							.dtor = on_dtor,
							.context = &counts);
	struct cubby_cache *cache;

	EXPECT(cubby_cache_create_sized(&cache, "state", 64, 0, &attr) == 0);
	for (unsigned round = 1; round <= 3; round++) {
		EXPECT(cubby_alloc_bulk(cache, 100, objects) == 0);
		EXPECT(counts.init == 100 && counts.ctor == 100 * round);
		cubby_free_bulk(cache, 100, objects);
		EXPECT(counts.fini == 0 && counts.dtor == 100 * round);
	}
	EXPECT(cubby_cache_destroy(cache) == 0);
	EXPECT(counts.fini == 100);
}

static void
walk_visits_each_object_once(void)
{
	struct cubby_cache *cache;
	struct cubby_walk *walk;
	struct cubby_run run;
	uint32_t *object;
	uint64_t sum = 0, n = 0;

	EXPECT(cubby_cache_create_sized(&cache, "walk", 36, 0, NULL) == 0);
	EXPECT(cubby_alloc_bulk(cache, N, objects) == 0);
	for (uint32_t i = 0; i < N; i++)
		*(uint32_t *)objects[i] = i;
	for (uint32_t i = 0; i < N; i += 3)
		cubby_free(cache, objects[i]);
	EXPECT(cubby_walk_create(&walk, cache) == 0);
	EXPECT(cubby_cache_destroy_force(cache) == -EBUSY);
	while (cubby_walk_next(walk, &run))
		CUBBY_RUN_FOR_EACH (object, &run) {
			sum += *object;
			n++;
		}
	cubby_walk_destroy(walk);
	for (uint32_t i = 0; i < N; i++)
		if (i % 3 != 0) {
			sum -= i;
			n--;
		}
	EXPECT(sum == 0 && n == 0);
	EXPECT(cubby_cache_destroy(cache) == -CUBBY_ELIVE);
	EXPECT(cubby_cache_destroy_force(cache) == 0);
}

static void
shrink_gives_pages_back(void)
{
	struct cubby_cache *cache;
	struct cubby_cache_stats stats;

	EXPECT(cubby_cache_create_sized(&cache, "pages", 256, 0, NULL) == 0);
	EXPECT(cubby_alloc_bulk(cache, N, objects) == 0);
	stats = stats_of(cache);
	EXPECT(stats.n_cells ==
	       stats.n_live + stats.n_free + stats.n_returned);
	EXPECT(stats.n_live == N && stats.populated_bytes >= N * 256);
	cubby_free_bulk(cache, N, objects);
	EXPECT(cubby_cache_shrink(cache, NULL) == 0);
	stats = stats_of(cache);
	EXPECT(stats.populated_bytes == 0 &&
	       stats.n_returned == stats.n_cells);
	objects[0] = cubby_zalloc(cache);
	EXPECT(objects[0] != NULL);
	cubby_free(cache, objects[0]);
	EXPECT(cubby_cache_verify(cache) == 0);
	EXPECT(cubby_cache_destroy(cache) == 0);
}

static void *
churn(void *context)
{
	struct cubby_cache *cache = context;
	void *held[16] = { NULL };

	for (unsigned i = 0; i < N_ROUNDS; i++) {
		void **place = &held[i * 7 % 16];

		if (*place != NULL && *(void ***)*place != place)
			return cache;
		cubby_free(cache, *place);
		*place = cubby_alloc(cache);
		if (*place == NULL)
			return cache;
		*(void ***)*place = place;
	}
	cubby_free_bulk(cache, 16, held);
	return NULL;
}

static void
threads_share_a_cache(void)
{
	pthread_t threads[N_THREADS];
	struct cubby_cache *cache;
	void *failed, *any = NULL;

	EXPECT(cubby_cache_create_sized(&cache, "threads", 48, 0, NULL) == 0);
	for (unsigned i = 0; i < N_THREADS; i++)
		EXPECT(pthread_create(&threads[i], NULL, churn, cache) == 0);
	for (unsigned i = 0; i < N_THREADS; i++) {
		pthread_join(threads[i], &failed);
		any = failed ? failed : any;
	}
	EXPECT(any == NULL);
	EXPECT(cubby_cache_verify(cache) == 0);
	EXPECT(cubby_cache_destroy(cache) == 0);
}

static void
fork_leaves_both_whole(void)
{
	struct cubby_cache *cache;
	int status = -1;
	pid_t child;
	void *object;

	EXPECT(cubby_cache_create_sized(&cache, "fork", 48, 0, NULL) == 0);
	object = cubby_alloc(cache);
	EXPECT(object != NULL);
	fflush(stdout);
	child = fork();
	if (child == 0) {
		cubby_free(cache, object);
		_exit(churn(cache) != NULL || cubby_cache_verify(cache) != 0 ||
		      cubby_cache_destroy(cache) != 0);
	}
	EXPECT(child > 0 && waitpid(child, &status, 0) == child);
	EXPECT(status == 0);
	EXPECT(cubby_is_live(cache, object));
	cubby_free(cache, object);
	EXPECT(cubby_cache_destroy(cache) == 0);
}

static void
failures_say_what_was_wrong(void)
{
	struct cubby_cache *cache = NULL;
	int err = cubby_cache_create_sized(&cache, "", 8, 0, NULL);

	EXPECT(err == -EINVAL && cache == NULL);
	EXPECT(strstr(cubby_error_detail(), "empty") != NULL);
	EXPECT(strcmp(cubby_error_name(err), "EINVAL") == 0);
	EXPECT(cubby_cache_create_sized(&cache, "large", (1 << 20) + 1, 0,
					NULL) == -E2BIG);
	EXPECT(cubby_cache_find("nobody") == NULL);
	EXPECT(cubby_misuse_count() == 0);
}

static const struct {
	const char *name;
	void (*fn)(void);
} cases[] = {
	{ "layout_declares_slots", layout_declares_slots },
	{ "alloc_gives_objects_of_exact_size",
	  alloc_gives_objects_of_exact_size },
	{ "bulk_gives_neighbours", bulk_gives_neighbours },
	{ "limit_is_exact", limit_is_exact },
	{ "callbacks_run_as_often_as_they_should",
	  callbacks_run_as_often_as_they_should },
	{ "walk_visits_each_object_once", walk_visits_each_object_once },
	{ "shrink_gives_pages_back", shrink_gives_pages_back },
	{ "threads_share_a_cache", threads_share_a_cache },
	{ "fork_leaves_both_whole", fork_leaves_both_whole },
	{ "failures_say_what_was_wrong", failures_say_what_was_wrong },
};

int
main(void)
{
	printf("# Cubby %s\n1..%zu\n", cubby_version_string(),
	       sizeof(cases) / sizeof(cases[0]));
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		case_failed = false;
		cases[i].fn();
		n_failed += case_failed;
		printf("%sok %u - %s\n", case_failed ? "not " : "", ++n_cases,
		       cases[i].name);
		fflush(stdout);
	}
	return n_failed != 0;
}

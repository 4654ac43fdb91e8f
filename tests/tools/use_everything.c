/* SPDX-License-Identifier: MIT */
/*
 * Calls every function of Cubby, the refusals and reports included, and tells
 * tests/tools/trap_malloc.c, where it is preloaded, when it is inside of one.
 * Prints which functions it called, one a line.
 */
#include <cubby/cubby.h>

#include <errno.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void trap_forbid(int on) __attribute__((weak));
int trap_n_ranges(void) __attribute__((weak));

#define TRUCK_SLOTS(SLOT)                                                     \
	SLOT(char[12], truck_id, "for example TRK-1001")                      \
	SLOT(double, lat, "degrees north")

CUBBY_LAYOUT(truck, TRUCK_SLOTS);

static void
enter(void)
{
	if (trap_forbid)
		trap_forbid(1);
}

static void
leave(void)
{
	if (trap_forbid)
		trap_forbid(0);
}

static void
fail(const char *what)
{
	leave();
	printf("FAIL: %s: %s\n", what, cubby_error_detail());
	exit(1);
}

/* One call, inside the trap; what it answers must be `expected`. */
#define IN(expected, function, ...)                                           \
	do {                                                                  \
		enter();                                                      \
		if (!((function(__VA_ARGS__))expected))                       \
			fail(#function);                                      \
		leave();                                                      \
		puts(#function);                                              \
	} while (0)

/* The same of a function without a result. */
#define DO(function, ...)                                                     \
	do {                                                                  \
		enter();                                                      \
		function(__VA_ARGS__);                                        \
		leave();                                                      \
		puts(#function);                                              \
	} while (0)

static int
accept(void *object, void *context)
{
	(void)object;
	(void)context;
	return 0;
}

static void
nothing(void *object, void *context)
{
	(void)object;
	(void)context;
}

static int
refuse(void *object, void *context)
{
	(void)object;
	(void)context;
	return 1;
}

static int
at_limit(struct cubby_cache *cache, void *context)
{
	(void)cache;
	(void)context;
	return 1;
}

static int
look(struct cubby_cache *cache, void *context)
{
	(void)cache;
	++*(int *)context;
	return 0;
}

static void
use_layouts(void)
{
	const struct cubby_slot *slot;

	IN(== 0, cubby_layout_verify, &truck_layout);
	IN(== -EINVAL, cubby_layout_verify, NULL);
	IN(== 0, cubby_layout_find_slot, &truck_layout, "lat", &slot);
	IN(== -CUBBY_ENOSLOT, cubby_layout_find_slot, &truck_layout, "lon",
	   &slot);
	IN(!= NULL, cubby_layout_slot_name, &truck_layout, slot);
	IN(!= NULL, cubby_type_name, CUBBY_F64);
	IN(== 100, cubby_version);
	IN(!= NULL, cubby_version_string);
}

static void
use_objects(struct cubby_cache *cache)
{
	void **objects = calloc(100000, sizeof(*objects));
	void *object;

	IN(== 0, cubby_alloc_bulk, cache, 100000, objects);
	DO(cubby_free_bulk, cache, 100000, objects);
	IN(== -ENOMEM, cubby_alloc_bulk, cache, SIZE_MAX, objects);
	enter();
	object = cubby_alloc(cache);
	leave();
	puts("cubby_alloc");
	IN(== cache, cubby_cache_of, object);
	IN(== 1, cubby_is_live, cache, object);
	IN(== -CUBBY_ELIVE, cubby_cache_destroy, cache);
	IN(== 0, cubby_cache_report_live, cache, STDERR_FILENO);
	IN(== -EBADF, cubby_cache_report_live, cache, -1);
	DO(cubby_free, cache, object);
	DO(cubby_free, cache, object);
	IN(== 0, cubby_cache_shrink, cache, NULL); /* a report */
	DO(cubby_free_any, &object);               /* a report */
	enter();
	object = cubby_zalloc(cache);
	leave();
	puts("cubby_zalloc");
	DO(cubby_free_any, object);
	free(objects);
}

static void
use_questions(struct cubby_cache *cache)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	struct cubby_walk *walk = NULL;
	struct cubby_run run;
	uint64_t bytes;
	size_t n;
	int n_seen = 0;

	IN(!= NULL, cubby_cache_name, cache);
	IN(== 24, cubby_cache_object_bytes, cache);
	IN(== 24, cubby_cache_cell_bytes, cache);
	IN(== &truck_layout, cubby_cache_layout, cache);
	IN(== cache, cubby_cache_find, "truck");
	IN(== 0, cubby_cache_for_each, look, &n_seen);
	IN(== 0, cubby_cache_stats_snapshot, cache, &stats);
	IN(== -EINVAL, cubby_cache_stats_snapshot, cache, NULL);
	IN(!= NULL, cubby_stats_columns, &n);
	IN(== 0, cubby_walk_create, &walk, cache);
	IN(== 0, cubby_walk_next, walk, &run);
	IN(== -EBUSY, cubby_cache_shrink, cache, &bytes);
	DO(cubby_walk_destroy, walk);
	IN(== 0, cubby_cache_shrink, cache, &bytes);
	IN(== 0, cubby_cache_verify, cache);
	IN(!= NULL, cubby_error_name, -ENOMEM);
	IN(!= NULL, cubby_error_text, -ENOMEM);
	IN(!= NULL, cubby_front_reason_text, 0);
	IN(!= NULL, cubby_error_detail);
}

/* Callbacks, limits and what goes with them. */
static void
use_staged(void)
{
	struct cubby_cache *cache = NULL;
	void *objects[600];

	IN(== 0, cubby_cache_create_sized, &cache, "staged", 300, 0,
	   &CUBBY_CACHE_ATTR(.init = accept, .fini = nothing, .ctor = accept,
			     .dtor = nothing, .max_objects = 599,
			     .on_limit = at_limit,
			     .flags = CUBBY_CACHE_HUGE_PAGES,
			     .prefault_objects = 300));
	IN(== 0, cubby_alloc_bulk, cache, 599, objects);
	IN(== NULL, cubby_alloc, cache);
	IN(== NULL, cubby_zalloc, cache); /* a report */
	DO(cubby_free_bulk, cache, 300, objects);
	IN(== 0, cubby_cache_destroy_force, cache);
	IN(== NULL, cubby_alloc, cache);       /* a report */
	IN(== NULL, cubby_cache_layout, NULL); /* a search for other copies */
	IN(== 0, cubby_cache_create_sized, &cache, "refusing", 300, 0,
	   &CUBBY_CACHE_ATTR(.ctor = refuse));
	IN(== NULL, cubby_alloc, cache);
	IN(== 0, cubby_cache_destroy, cache);
	IN(== -EINVAL, cubby_cache_create_sized, &cache, "", 300, 0, NULL);
}

static void
use_reserve(struct cubby_cache *cache)
{
	struct cubby_reserve *reserve;
	void *object;

	IN(== 0, cubby_reserve_create, &reserve, cache, 100);
	IN(== 100, cubby_reserve_count, reserve);
	enter();
	object = cubby_reserve_alloc(reserve);
	leave();
	puts("cubby_reserve_alloc");
	DO(cubby_free, cache, object);
	IN(== 0, cubby_reserve_refill, reserve, 100);
	DO(cubby_reserve_destroy, reserve);
	IN(== 0, cubby_shrink_all, NULL);
}

static void *
use_in_a_thread(void *cache)
{
	struct cubby_cache *none;

	IN(== -E2BIG, cubby_cache_create_sized, &none, "big", SIZE_MAX, 0,
	   NULL);
	use_objects(cache);
	return NULL;
}

static void
note(const struct cubby_misuse *misuse, void *context)
{
	(void)misuse;
	++*(int *)context;
}

int
main(void)
{
	struct cubby_cache *cache = NULL;
	int n_reports = 0, status = 1;
	pthread_t thread;
	pid_t pid;

	if (trap_n_ranges && trap_n_ranges() == 0)
		fail("the trap has not found libcubby.so");
	use_layouts();
	DO(cubby_misuse_set_hook, note, &n_reports);
	IN(== 0, cubby_cache_create, &cache, &truck_layout, NULL);
	use_objects(cache);
	use_questions(cache);
	use_reserve(cache);
	use_staged();
	if (pthread_create(&thread, NULL, use_in_a_thread, cache) != 0 ||
	    pthread_join(thread, NULL) != 0)
		fail("thread");
	fflush(stdout);
	pid = fork();
	if (pid == 0) {
		use_objects(cache);
		_exit(0);
	}
	if (waitpid(pid, &status, 0) != pid || status != 0)
		fail("child");
	IN(== (uint64_t)n_reports, cubby_misuse_count);
	IN(== 0, cubby_cache_destroy, cache);
	return n_reports == 0;
}

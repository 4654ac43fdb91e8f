/* SPDX-License-Identifier: MIT */
/*
 * Calls every function of Cubby, the refusals and reports included, and tells
 * tests/tools/trap_malloc.c, where it is preloaded, when it is inside of one.
 * Prints which functions it called, one a line.
 */
#include <cubby/cubby.h>

#include <errno.h>
#include <execinfo.h>
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

#define VAN_SLOTS(SLOT)                                                       \
	SLOT(struct cubby_weak_slot, follows, "another van")                  \
	SLOT(uint64_t, number, "on its plate")

CUBBY_WEAK_LAYOUT(van, VAN_SLOTS);

/* liburcu's struct of a flavour, where nobody ever reads. */
struct rcu_flavor_struct {
	void (*read_lock)(void);
	void (*read_unlock)(void);
	int (*read_ongoing)(void);
	void (*read_quiescent_state)(void);
	void (*update_call_rcu)(void *head, void (*function)(void *head));
	void (*update_synchronize_rcu)(void);
	void (*update_defer_rcu)(void (*function)(void *), void *argument);
	void (*thread_offline)(void);
	void (*thread_online)(void);
	void (*register_thread)(void);
	void (*unregister_thread)(void);
	void (*barrier)(void);
	void (*register_rculfhash_atfork)(void *atfork);
	void (*unregister_rculfhash_atfork)(void *atfork);
};

static int in_section;

static int
is_in_section(void)
{
	return in_section;
}

static void
do_nothing(void)
{
}

static void
call_at_once(void *head, void (*function)(void *head))
{
	function(head);
}

static const struct rcu_flavor_struct flavor = {
	.read_lock = do_nothing,
	.read_unlock = do_nothing,
	.read_ongoing = is_in_section,
	.read_quiescent_state = do_nothing,
	.update_call_rcu = call_at_once,
	.update_synchronize_rcu = do_nothing,
	.thread_offline = do_nothing,
	.thread_online = do_nothing,
	.register_thread = do_nothing,
	.unregister_thread = do_nothing,
	.barrier = do_nothing,
};

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

static void
ignore(struct cubby_cache *cache, void *object, uint64_t handle, void *context)
{
	(void)cache;
	(void)object;
	(void)handle;
	(void)context;
}

/* Outside of the trap: the first one starts a thread, and libc allocates for it. */
static struct cubby_cache *
make_vans(uint64_t is_strong)
{
	struct cubby_cache *vans;

	if (van_cache_create(&vans,
			     &CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_RCU,
					       .is_strong = is_strong,
					       .rcu = &flavor,
					       .reclaim = CUBBY_RECLAIM_POLL,
					       .dtor = nothing)) != 0)
		fail("van_cache_create");
	return vans;
}

static cubby_weak
handle_of(struct cubby_cache *vans, const void *van)
{
	cubby_weak handle;

	enter();
	handle = cubby_weak_of(vans, van);
	leave();
	puts("cubby_weak_of");
	return handle;
}

static void
use_handles(struct cubby_cache *vans)
{
	char text[CUBBY_WEAK_TEXT_BYTES_MAX];
	struct van *van = van_alloc(vans), copy;
	cubby_weak handle = handle_of(vans, van), parsed;
	cubby_watch watches[2];

	IN(== handle, cubby_weak_known, vans, van);
	IN(== 1, cubby_weak_is_live, vans, handle);
	in_section = 1;
	IN(== van, cubby_weak_get, vans, handle);
	IN(== -EDEADLK, cubby_rcu_barrier, vans);
	in_section = 0;
	IN(== 0, cubby_weak_copy, vans, handle, &copy, 0, sizeof(copy));
	IN(== -EINVAL, cubby_weak_copy, vans, handle, &copy, 1, sizeof(copy));
	IN(!= handle, cubby_weak_seal, vans, handle);
	IN(!= handle, cubby_weak_unseal, vans, handle);
	IN(> 0, cubby_weak_print, vans, handle, text, sizeof(text));
	IN(== CUBBY_WEAK_FORM_DECODED, cubby_weak_parse, vans, text, &parsed);
	IN(== -EINVAL, cubby_weak_parse, vans, "van#", &parsed);
	for (int i = 0; i < 2; i++)
		IN(== 0, cubby_weak_watch, vans, handle, ignore, NULL, 0,
		   &watches[i]);
	IN(== 0, cubby_weak_unwatch, vans, watches[0]);
	IN(== 0, cubby_weak_free, vans, handle);
	IN(== -ESTALE, cubby_weak_free, vans, handle);
	IN(== -ESTALE, cubby_weak_watch, vans, handle, ignore, NULL, 0,
	   &watches[0]);
	DO(cubby_free_rcu, vans, van_alloc(vans));
	IN(>= 0, cubby_rcu_poll, vans);
	IN(== 0, cubby_rcu_barrier, vans);
}

static void
use_references(struct cubby_cache *vans)
{
	struct van *van = van_alloc(vans);
	cubby_weak handle = handle_of(vans, van);

	IN(== van, cubby_weak_upgrade, vans, handle);
	IN(== van, cubby_ref_get, vans, van);
	for (int i = 0; i < 3; i++)
		DO(cubby_ref_put, vans, van);
	IN(== NULL, cubby_weak_upgrade, vans, handle);
	IN(== NULL, cubby_ref_get, vans, &van); /* a report */
	IN(== 0, cubby_rcu_barrier, vans);
}

static void
use_slots(struct cubby_cache *vans)
{
	struct van *first = van_alloc(vans), *second = van_alloc(vans);
	const struct cubby_slot *slot;
	uint64_t n_cleared;

	if (cubby_layout_find_slot(&van_layout, "follows", &slot) != 0)
		fail("no slot");
	DO(cubby_weak_slot_clear, &first->follows);
	DO(cubby_weak_slot_clear, &second->follows);
	DO(cubby_weak_slot_set, &second->follows, handle_of(vans, first));
	in_section = 1;
	IN(== first, cubby_weak_slot_get, &second->follows, vans);
	in_section = 0;
	IN(== first, cubby_weak_slot_upgrade, &second->follows, vans);
	DO(cubby_ref_put, vans, first);
	DO(cubby_weak_slot_copy, &first->follows, &second->follows);
	IN(!= CUBBY_WEAK_NULL, cubby_weak_slot_handle, &first->follows);
	DO(cubby_free, vans, first);
	IN(== 0, cubby_weak_sweep, vans, slot, vans, &n_cleared);
	if (n_cleared != 1)
		fail("sweep");
	DO(cubby_free, vans, second);
}

static void
use_weak(void)
{
	struct cubby_cache *vans = make_vans(0), *counted = make_vans(1);

	use_handles(vans);
	use_handles(counted);
	use_references(counted);
	use_slots(counted);
	IN(== 0, cubby_cache_shrink, vans, NULL);
	(void)handle_of(vans, van_alloc(vans));
	IN(== 0, cubby_cache_destroy_force, vans);
	IN(== 0, cubby_cache_destroy, counted);
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

/* Its reports, too; the unwinder that stacks need is loaded before. */
static void
use_watched(void)
{
	struct cubby_cache *cache = NULL;
	void *frames[1], *object;
	char *bytes;

	backtrace(frames, 1);
	IN(== 0, cubby_cache_create, &cache, &truck_layout,
	   &CUBBY_CACHE_ATTR(.debug = CUBBY_DEBUG_RED_ZONE |
				      CUBBY_DEBUG_POISON | CUBBY_DEBUG_USER |
				      CUBBY_DEBUG_TRACE,
			     .quarantine_bytes = 4096));
	enter();
	object = cubby_alloc(cache);
	leave();
	bytes = object;
	bytes[sizeof(struct truck)] = 'X';
	IN(== 1, cubby_cache_validate, cache);
	IN(== 1, cubby_cache_report_users, cache, STDERR_FILENO);
	bytes[-1] = 'X';
	DO(cubby_free, cache, object);
	DO(cubby_free, cache, object);
	bytes[0] = 'X';
	IN(== 1, cubby_cache_validate, cache);
	IN(== 0, cubby_cache_destroy, cache);
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
	use_weak();
	use_watched();
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

/* SPDX-License-Identifier: MIT */
/* Objects between pages that nobody may access: sample.h. */
#include "with_cache.h"

#include "sample.h"

#include <cubby/debug.h>
#include <cubby/error.h>
#include <cubby/stats.h>
#include <cubby/walk.h>

#include <pthread.h>
#include <signal.h>
#include <ucontext.h>

#define N_ROUNDS 400
#define PAGE_BYTES 4096

static struct cubby_misuse last;
static char last_text[512];
static volatile sig_atomic_t n_reports;

static void
keep_report(const struct cubby_misuse *misuse, void *context)
{
	(void)context;
	last = *misuse;
	snprintf(last_text, sizeof(last_text), "%s", misuse->text);
	n_reports++;
}

/*
 * cmocka has handlers of its own, which it sets before each test; so each runs in
 * a child, in which ours is set after that.
 */
struct child {
	const char *name;
	CMUnitTestFunction function;
};

/* Without magazines, and where slabs are single, nobody is sampled. */
static bool
can_sample(void)
{
	const char *options = getenv("CUBBY_OPTIONS");

	return options == NULL || (strstr(options, "front=none") == NULL &&
				   strstr(options, "budget=2G") == NULL);
}

static void
run_in_child(void **state)
{
	const struct child *child = *state;
	struct CMUnitTest test = { child->name, child->function, NULL, NULL,
				   NULL };
	int status;
	pid_t pid;

	if (!can_sample())
		skip();
	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(STDERR_FILENO, STDOUT_FILENO);
		add_options("misuse=continue");
		cubby_misuse_set_hook(keep_report, NULL);
		status = _cmocka_run_group_tests("in a child", &test, 1, NULL,
						 NULL);
		fflush(NULL);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		fail_msg("%s: status %#x", child->name, status);
}

static uint64_t
n_sampled(struct cubby_cache *cache)
{
	return __atomic_load_n(&cache->sample->n_taken, __ATOMIC_RELAXED);
}

/* Objects until one is sampled, which is returned. */
static char *
take_sampled(struct cubby_cache *cache)
{
	uint64_t before = n_sampled(cache);

	for (int i = 0; i < 4000000; i++) {
		char *object = must_alloc(cache);

		if (n_sampled(cache) != before)
			return object;
	}
	fail_msg("none was sampled");
	return NULL;
}

static struct cubby_cache *
make_sampled(size_t object_bytes, uint64_t every)
{
	return make_cache(object_bytes,
			  &CUBBY_CACHE_ATTR(.guard_every = every));
}

static void
drop_all(struct cubby_cache *cache)
{
	assert_ok(cubby_cache_destroy_force(cache));
}

/* A page of the object's own ends right behind it. */
static bool
is_last(const char *object, size_t object_bytes)
{
	uintptr_t end = (uintptr_t)object + object_bytes;

	return (PAGE_BYTES - end % PAGE_BYTES) % PAGE_BYTES < object_bytes;
}

static bool
is_first(const char *object, size_t object_bytes)
{
	return (uintptr_t)object % PAGE_BYTES < object_bytes;
}

static void
sampled_objects_lie_at_an_end_of_their_pages(void **state)
{
	static const size_t sizes[] = { 8,   24,   40,   100,  200,
					999, 4096, 5000, 16384 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct cubby_cache *cache = make_sampled(sizes[i], 10);
		unsigned n_first = 0, n_last = 0;
		char *objects[4];

		for (int j = 0; j < 4; j++) {
			/* The largest have a slot, or none. */
			if (sizes[i] > 4096 && j == 1)
				break;
			objects[j] = take_sampled(cache);
			n_first += is_first(objects[j], sizes[i]);
			n_last += is_last(objects[j], sizes[i]);
			assert_true(is_first(objects[j], sizes[i]) ||
				    is_last(objects[j], sizes[i]));
			memset(objects[j], j, sizes[i]);
		}
		assert_int_equal(n_reports, 0);
		if (sizes[i] <= 200)
			assert_true(n_first > 0 && n_last > 0);
		drop_all(cache);
	}
}

static void
no_more_than_its_slots_are_sampled(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 1);
	static void *objects[3000];

	(void)state;
	for (size_t i = 0; i < 3000; i++)
		objects[i] = must_alloc(cache);
	assert_in_range(n_sampled(cache), 4, 8);
	assert_int_equal(stats_of(cache).n_sampled, n_sampled(cache));
	assert_int_equal(stats_of(cache).n_live, 3000);
	for (size_t i = 0; i < 3000; i++)
		cubby_free(cache, objects[i]);
	assert_int_equal(stats_of(cache).n_live, 0);
	assert_int_equal(n_reports, 0);
	assert_ok(cubby_cache_destroy(cache));
}

static void
one_of_about_so_many_is_sampled(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 1000);
	static void *objects[1000];

	(void)state;
	for (int i = 0; i < N_ROUNDS; i++) {
		assert_ok(cubby_alloc_bulk(cache, 999, objects));
		objects[999] = must_alloc(cache);
		for (int j = 0; j < 1000; j++)
			cubby_free(cache, objects[j]);
		for (int j = 0; j < 1000; j++)
			objects[j] = must_alloc(cache);
		cubby_free_bulk(cache, 1000, objects);
	}
	assert_in_range(n_sampled(cache), N_ROUNDS / 8, N_ROUNDS * 4);
	assert_int_equal(n_reports, 0);
	assert_ok(cubby_cache_destroy(cache));
}

/* What the report of the last fault says. */
static void
assert_said(const char *what)
{
	assert_int_equal(n_reports, 1);
	assert_int_equal(last.code, CUBBY_MISUSE_GUARD_PAGE);
	if (strstr(last_text, what) == NULL)
		fail_msg("not '%s' but: %s", what, last_text);
}

static void
access_beyond_an_end_is_reported_and_goes_on(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 1);
	volatile char *object = take_sampled(cache);

	(void)state;
	if (((uintptr_t)object + 64) % PAGE_BYTES == 0)
		object[64] = 7;
	else
		object[-1] = 7;
	assert_true(strstr(last_text, "0 bytes behind object") != NULL ||
		    strstr(last_text, "1 bytes in front of object") != NULL);
	assert_said("which is live, was written");
	assert_ptr_equal(
		last.address,
		object + (last_text[0] && strstr(last_text, "behind") ? 64 :
									-1));
	assert_string_equal(last.cache, "thing");
	cubby_free(cache, (void *)object);
	assert_int_equal(n_reports, 1);
	drop_all(cache);
}

static void
use_after_free_is_reported_whether_read_or_written(void **state)
{
	(void)state;
	for (int writes = 0; writes < 2; writes++) {
		struct cubby_cache *cache = make_sampled(64, 1);
		volatile char *object = take_sampled(cache);

		n_reports = 0;
		object[5] = 3;
		cubby_free(cache, (void *)object);
		assert_int_equal(n_reports, 0);
		if (writes)
			object[5] = 4;
		else
			assert_int_equal(object[5], 3);
		assert_said(writes ? "which is free, was written" :
				     "which is free, was read");
		assert_true(strstr(last_text, "5 bytes into object") != NULL);
		drop_all(cache);
	}
}

static void
bytes_beside_an_object_are_compared_at_its_free(void **state)
{
	struct cubby_cache *cache = make_sampled(40, 1);

	(void)state;
	for (int i = 0; i < 4; i++) {
		char *object = take_sampled(cache);
		char *end = (char *)(((uintptr_t)object + 40 + PAGE_BYTES -
				      1) &
				     -(uintptr_t)PAGE_BYTES);
		char *start = (char *)((uintptr_t)object &
				       -(uintptr_t)PAGE_BYTES);
		char *beside = end > object + 40 ? object + 40 : object - 1;

		n_reports = 0;
		assert_true(beside >= start && beside < end);
		*beside ^= 1;
		cubby_free(cache, object);
		assert_int_equal(n_reports, 1);
		assert_int_equal(last.code, CUBBY_MISUSE_RED_ZONE);
		assert_true(strstr(last_text, "0xcd, not 0xcc; found at its "
					      "free") != NULL);
	}
	drop_all(cache);
}

static void
second_free_and_inner_pointers_are_reported(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 1 << 20);
	struct cubby_cache *often = make_sampled(64, 1);
	char *object = take_sampled(often), *other = take_sampled(often);

	(void)state;
	cubby_free(often, object + 8);
	assert_int_equal(n_reports, 1);
	assert_int_equal(last.code, CUBBY_MISUSE_INTERIOR_FREE);
	cubby_free(often, object);
	assert_int_equal(n_reports, 1);
	cubby_free(often, object);
	assert_int_equal(n_reports, 2);
	assert_int_equal(last.code, CUBBY_MISUSE_DOUBLE_FREE);
	cubby_free(often, other);
	assert_int_equal(n_reports, 2);
	drop_all(often);
	drop_all(cache);
}

static void
second_free_in_bulk_is_reported_and_harms_nothing(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 1);
	void *object = take_sampled(cache), *objects[2];

	(void)state;
	cubby_free(cache, object);
	objects[0] = object;
	objects[1] = must_alloc(cache);
	cubby_free_bulk(cache, 2, objects);
	assert_int_equal(n_reports, 1);
	assert_int_equal(last.code, CUBBY_MISUSE_DOUBLE_FREE);
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_int_equal(stats_of(cache).n_quarantined, 0);
	drop_all(cache);
}

/* A second free that a magazine takes is found when that goes back. */
static void
second_free_in_line_is_reported_late(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 12800);
	void *object = take_sampled(cache);

	(void)state;
	cubby_free(cache, object);
	assert_int_equal(cache->fast.full_mask, 1023);
	cubby_free(cache, object); /* reported now if it is not in line */
	assert_ok(cubby_cache_shrink(cache, NULL));
	assert_int_equal(n_reports, 1);
	assert_int_equal(last.code, CUBBY_MISUSE_DOUBLE_FREE);
	assert_int_equal(stats_of(cache).n_quarantined, 0);
	drop_all(cache);
}

static void
what_is_freed_during_a_walk_stays_readable(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 1);
	volatile char *object = take_sampled(cache);
	struct cubby_walk *walk;

	(void)state;
	object[3] = 7;
	assert_ok(cubby_walk_create(&walk, cache));
	cubby_free(cache, (void *)object);
	assert_int_equal(object[3], 7);
	assert_int_equal(n_reports, 0);
	cubby_walk_destroy(walk);
	assert_int_equal(object[3], 7);
	assert_said("which is free, was read");
	drop_all(cache);
}

static void
overrun_into_the_area_names_the_object_before_it(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 1 << 20);
	char *object = NULL;

	(void)state;
	/* A whole slab, so that the area is the next one. */
	for (uint64_t i = 0; i < geometry_slab_cells(&cache->region.geometry);
	     i++)
		object = must_alloc(cache);
	cache->sample->n_until_next = 0;
	while (cache->sample->start == NULL)
		must_alloc(cache);
	object = region_object(
		&cache->region,
		slab_first_cell(&cache->slabs, cache->sample->slab) - 1);
	((volatile char *)object)[64] = 1;
	assert_said("which has no guard pages of its own, was written");
	assert_true(strstr(last_text, "0 bytes behind object") != NULL);
	drop_all(cache);
}

static void
areas_that_go_and_come_take_the_same_slab(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 1);
	static void *objects[500];
	uint64_t committed = 0;

	(void)state;
	for (int i = 0; i < 200; i++) {
		for (int j = 0; j < 500; j++)
			objects[j] = must_alloc(cache);
		for (int j = 0; j < 500; j++)
			cubby_free(cache, objects[j]);
		assert_ok(cubby_cache_shrink(cache, NULL));
		if (i == 10)
			committed = stats_of(cache).committed_bytes;
	}
	assert_true(n_sampled(cache) > 200);
	assert_int_equal(stats_of(cache).committed_bytes, committed);
	drop_all(cache);
}

/* Is anyone sampled later on, where all slots were taken long ago? */
static bool
comes_back(struct cubby_cache *cache)
{
	static void *ring[4000];
	uint64_t before = 0;

	memset(ring, 0, sizeof(ring));
	for (size_t i = 0; i < 4000000; i += 500) {
		for (size_t j = i; j < i + 500; j++)
			cubby_free(cache, ring[j % 4000]);
		for (size_t j = i; j < i + 500; j++)
			ring[j % 4000] = must_alloc(cache);
		if (i == 1000000)
			before = n_sampled(cache);
	}
	return n_sampled(cache) > before;
}

/* Unless all lie in magazines that nobody comes to: by chance, and not often. */
static void
slots_that_are_loose_come_back(void **state)
{
	bool came = false;

	(void)state;
	for (int i = 0; i < 4 && !came; i++) {
		struct cubby_cache *cache = make_sampled(64, 1000);

		came = comes_back(cache);
		drop_all(cache);
	}
	assert_true(came);
	assert_int_equal(n_reports, 0);
}

/* Another one, by chance, would wait for frees of its own. */
static void
no_more_for_now(struct cubby_cache *cache)
{
	__atomic_store_n(&cache->sample->n_until_next, INT64_MAX / 2,
			 __ATOMIC_RELAXED);
}

/* While nobody is sampled the cache is as any other. */
static void
frees_are_out_of_line_only_while_one_is_awaited(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 12800);
	static void *objects[2000];
	char *object;

	(void)state;
	assert_int_equal(cache->fast.full_mask, 1023);
	object = take_sampled(cache);
	assert_int_equal(cache->fast.full_mask, 0);
	no_more_for_now(cache);
	for (int i = 0; i < 2000; i++)
		objects[i] = must_alloc(cache);
	for (int i = 0; i < 200; i++)
		cubby_free(cache, objects[i]);
	assert_int_equal(cache->fast.full_mask, 1023);
	/* It is loose: freed in line, and a cell as any other. */
	cubby_free(cache, object);
	for (int i = 200; i < 2000; i++)
		cubby_free(cache, objects[i]);
	for (int i = 0; i < 2000; i++)
		memset(objects[i] = must_alloc(cache), i, 64);
	for (int i = 0; i < 2000; i++)
		cubby_free(cache, objects[i]);
	assert_int_equal(n_reports, 0);
	drop_all(cache);
}

static void
walks_shrinks_and_limits_know_them(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 1);
	char *one = take_sampled(cache), *two = take_sampled(cache);
	uint64_t n_live = stats_of(cache).n_live;
	struct cubby_walk *walk;
	struct cubby_run run;
	uint64_t n = 0, n_seen = 0;
	char *object;

	(void)state;
	assert_ok(cubby_walk_create(&walk, cache));
	while (cubby_walk_next(walk, &run) > 0)
		CUBBY_RUN_FOR_EACH (object, &run) {
			n++;
			n_seen += object == one || object == two;
		}
	cubby_walk_destroy(walk);
	assert_int_equal(n, n_live);
	assert_int_equal(n_seen, 2);
	assert_ok(cubby_cache_shrink(cache, NULL));
	one[64] = two[-1] = 1; /* the area went back: no pages without access */
	assert_int_equal(n_reports, 0);
	assert_int_equal(stats_of(cache).n_quarantined, 0);
	cubby_free(cache, one);
	cubby_free(cache, two);
	assert_int_equal(stats_of(cache).n_live, n_live - 2);
	take_sampled(cache);
	assert_true(stats_of(cache).n_quarantined > 100);
	drop_all(cache);
}

static int
count_up(void *object, void *context)
{
	memset(object, 9, 64);
	++*(int *)context;
	return 0;
}

static void
count_down(void *object, void *context)
{
	assert_int_equal(*(char *)object, 9);
	--*(int *)context;
}

static void
init_and_ctor_run_as_for_any_other(void **state)
{
	int n_init = 0, n_ctor = 0;
	struct cubby_cache *kept = make_cache(
		64, &CUBBY_CACHE_ATTR(.init = count_up, .fini = count_down,
				      .context = &n_init, .guard_every = 1));
	struct cubby_cache *made = make_cache(
		64, &CUBBY_CACHE_ATTR(.ctor = count_up, .dtor = count_down,
				      .context = &n_ctor, .guard_every = 1));
	static void *objects[500];

	(void)state;
	for (int turn = 0; turn < 50; turn++) {
		for (int i = 0; i < 500; i++) {
			objects[i] = must_alloc(kept);
			assert_int_equal(*(char *)objects[i], 9);
		}
		/* In turn the one that is awaited could always be the same. */
		for (int i = 0; i < 500; i++)
			cubby_free(kept, objects[(i + 37 * turn) % 500]);
		for (int i = 0; i < 500; i++)
			objects[i] = must_alloc(made);
		assert_int_equal(n_ctor, 500);
		for (int i = 0; i < 500; i++)
			cubby_free(made, objects[i]);
		assert_int_equal(n_ctor, 0);
	}
	assert_true(n_sampled(kept) > 8);
	assert_true(n_sampled(made) > 8);
	assert_int_equal(n_reports, 0);
	assert_ok(cubby_cache_destroy(kept));
	assert_ok(cubby_cache_destroy(made));
	assert_int_equal(n_init, 0);
}

static void
caches_that_cannot_be_sampled_are_as_without(void **state)
{
	struct cubby_cache *caches[] = {
		make_cache(64, &CUBBY_CACHE_ATTR(.guard_every = 1,
						 .max_objects = 5000)),
		make_cache(
			64,
			&CUBBY_CACHE_ATTR(.guard_every = 1,
					  .flags = CUBBY_CACHE_NO_MAGAZINES)),
		make_cache(20000, &CUBBY_CACHE_ATTR(.guard_every = 1)),
		make_cache(64, &CUBBY_CACHE_ATTR(.guard_every = 1,
						 .weak = CUBBY_WEAK_REUSE)),
		make_cache(64, &CUBBY_CACHE_ATTR(.guard_every = 1,
						 .debug = CUBBY_DEBUG_CHECKS)),
	};

	(void)state;
	for (size_t i = 0; i < sizeof(caches) / sizeof(caches[0]); i++) {
		for (int j = 0; j < 1000; j++)
			must_alloc(caches[i]);
		assert_int_equal(stats_of(caches[i]).n_sampled, 0);
		drop_all(caches[i]);
	}
}

/* A fault that is not ours goes where it went before. */
static volatile sig_atomic_t n_others;
static char *volatile other_page;

static void
open_other(int number, siginfo_t *info, void *context)
{
	(void)number, (void)context;
	n_others += info->si_addr == other_page + 5;
	mprotect(other_page, PAGE_BYTES, PROT_READ | PROT_WRITE);
}

static void
other_faults_go_to_who_was_there_before(void **state)
{
	struct sigaction action = { .sa_sigaction = open_other,
				    .sa_flags = SA_SIGINFO };

	(void)state;
	sigaction(SIGSEGV, &action, NULL);
	make_sampled(64, 1);
	other_page = mmap(NULL, PAGE_BYTES, PROT_NONE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	((volatile char *)other_page)[5] = 1;
	assert_int_equal(n_others, 1);
}

static void
fault_that_nobody_handles_ends_the_process(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	signal(SIGSEGV, SIG_DFL);
	make_sampled(64, 1);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(((volatile char *)PAGE_BYTES)[5]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void
signal_that_is_sent_ends_the_process(void **state)
{
	int status;
	pid_t pid;

	(void)state;
	signal(SIGSEGV, SIG_DFL);
	make_sampled(64, 1);
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		raise(SIGSEGV);
		_exit(0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

static void
note_and_return(int number)
{
	(void)number;
	n_others++;
}

static void
handler_that_is_for_once_is_called_once(void **state)
{
	struct sigaction action = { .sa_handler = note_and_return,
				    .sa_flags = (int)SA_RESETHAND };
	int status;
	pid_t pid;

	(void)state;
	sigaction(SIGSEGV, &action, NULL);
	make_sampled(64, 1);
	fflush(NULL);
	pid = fork();
	if (pid == 0)
		_exit(((volatile char *)PAGE_BYTES)[5]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSEGV);
}

#define N_THREADS 4

static void *
churn(void *context)
{
	struct cubby_cache *cache = context;
	static const size_t n = 64;
	uint64_t seed = (uintptr_t)&seed;
	void *objects[64] = { NULL };

	for (size_t i = 0; i < scaled(200000); i++) {
		size_t j = random_below(&seed, n);

		if (objects[j] != NULL) {
			if (*(char *)objects[j] != (char)j)
				abort();
			cubby_free(cache, objects[j]);
			objects[j] = NULL;
		} else if ((objects[j] = cubby_alloc(cache)) != NULL) {
			memset(objects[j], (int)j, 64);
		}
		if (i % 5000 == 0)
			(void)cubby_cache_shrink(cache, NULL);
	}
	for (size_t j = 0; j < n; j++)
		cubby_free(cache, objects[j]);
	return NULL;
}

static void
threads_share_the_slots(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 500);
	pthread_t threads[N_THREADS];

	(void)state;
	for (int i = 0; i < N_THREADS; i++)
		assert_int_equal(
			pthread_create(&threads[i], NULL, churn, cache), 0);
	for (int i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	assert_true(n_sampled(cache) > 0);
	assert_int_equal(n_reports, 0);
	assert_int_equal(stats_of(cache).n_live, 0);
	assert_ok(cubby_cache_destroy(cache));
}

static void
fork_child_goes_on_with_them(void **state)
{
	struct cubby_cache *cache = make_sampled(64, 1);
	volatile char *object = take_sampled(cache);
	int status;
	pid_t pid;

	(void)state;
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		cubby_free(cache, (void *)object);
		object[3] = 1;
		_exit(n_reports == 1 && last.code == CUBBY_MISUSE_GUARD_PAGE &&
				      take_sampled(cache) != NULL ?
			      0 :
			      1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	object[3] = 1;
	assert_int_equal(n_reports, 0);
	drop_all(cache);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(function)                                                        \
	{                                                                     \
#function, run_in_child, NULL, NULL, &(struct child)          \
		{                                                             \
#function, function                                   \
		}                                                             \
	}
		TEST(sampled_objects_lie_at_an_end_of_their_pages),
		TEST(no_more_than_its_slots_are_sampled),
		TEST(one_of_about_so_many_is_sampled),
		TEST(access_beyond_an_end_is_reported_and_goes_on),
		TEST(use_after_free_is_reported_whether_read_or_written),
		TEST(bytes_beside_an_object_are_compared_at_its_free),
		TEST(second_free_and_inner_pointers_are_reported),
		TEST(second_free_in_bulk_is_reported_and_harms_nothing),
		TEST(second_free_in_line_is_reported_late),
		TEST(what_is_freed_during_a_walk_stays_readable),
		TEST(overrun_into_the_area_names_the_object_before_it),
		TEST(areas_that_go_and_come_take_the_same_slab),
		TEST(slots_that_are_loose_come_back),
		TEST(frees_are_out_of_line_only_while_one_is_awaited),
		TEST(walks_shrinks_and_limits_know_them),
		TEST(init_and_ctor_run_as_for_any_other),
		TEST(caches_that_cannot_be_sampled_are_as_without),
		TEST(other_faults_go_to_who_was_there_before),
		TEST(fault_that_nobody_handles_ends_the_process),
		TEST(signal_that_is_sent_ends_the_process),
		TEST(handler_that_is_for_once_is_called_once),
		TEST(threads_share_the_slots),
		TEST(fork_child_goes_on_with_them),
	};
	return cmocka_run_group_tests_name("sample", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * Hostile surroundings: little address space, no mapping left, locked memory.
 * Each case is a process of its own, limited before its first cache.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include <errno.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include <cubby/cubby.h>

#include "oom/child.h"

#define MIB_BYTES ((size_t)1 << 20)
#define N_CACHES_MAX 400
#define PAGE_BYTES 4096
#define NOBODY 65534

static struct cubby_cache *caches[N_CACHES_MAX];
static unsigned n_caches;

/* A list through the objects themselves: no memory but Cubby's. */
static void *lists[N_CACHES_MAX];

static size_t
size_of(unsigned i)
{
	static const size_t sizes[] = {
		64, 200, 1000, 4096, 9000, 20000, 70000
	};

	return sizes[i % (sizeof(sizes) / sizeof(sizes[0]))];
}

static void
create_until_enomem(unsigned n)
{
	while (n_caches < n) {
		int err = cubby_cache_create_sized(&caches[n_caches],
						   "hostile",
						   size_of(n_caches), 0, NULL);

		if (err) {
			REQUIRE(err == -ENOMEM);
			REQUIRE(cubby_error_detail()[0] != '\0');
			return;
		}
		n_caches++;
	}
}

/* From all caches in turn until none gives any more: the bytes. */
static size_t
alloc_until_enomem(size_t bytes_max)
{
	size_t bytes = 0;
	bool any = true;

	while (any && bytes < bytes_max) {
		any = false;
		for (unsigned i = 0; i < n_caches; i++) {
			void **object = cubby_alloc(caches[i]);

			if (object == NULL) {
				REQUIRE(errno == ENOMEM);
				continue;
			}
			*object = lists[i];
			lists[i] = object;
			bytes += size_of(i);
			any = true;
		}
	}
	return bytes;
}

static void
free_lists(void)
{
	for (unsigned i = 0; i < n_caches; i++) {
		while (lists[i] != NULL) {
			void *object = lists[i];

			lists[i] = *(void **)object;
			cubby_free(caches[i], object);
		}
		REQUIRE(cubby_cache_verify(caches[i]) == 0);
	}
}

static void
destroy_all(void)
{
	while (n_caches > 0)
		REQUIRE(cubby_cache_destroy(caches[--n_caches]) == 0);
}

/* ------------------------------ address space ---------------------------- */

static void
limit(int resource, size_t bytes)
{
	struct rlimit limit = { bytes, bytes };

	REQUIRE(setrlimit(resource, &limit) == 0);
}

static void
live_in(size_t address_space_bytes, size_t least_bytes)
{
	size_t bytes, again;
	void *hosts;

	scenario_name = "RLIMIT_AS";
	limit(RLIMIT_AS, address_space_bytes);
	create_until_enomem(N_CACHES_MAX);
	REQUIRE(n_caches >= 20);
	bytes = alloc_until_enomem(SIZE_MAX);
	REQUIRE(bytes >= least_bytes);
	/* The host keeps its half. */
	hosts = malloc(address_space_bytes / 8);
	REQUIRE(hosts != NULL);
	free(hosts);
	free_lists();
	again = alloc_until_enomem(SIZE_MAX);
	REQUIRE(again >= bytes / 2);
	free_lists();
	destroy_all();
	create_until_enomem(20);
	REQUIRE(n_caches == 20);
	REQUIRE(alloc_until_enomem(MIB_BYTES) >= MIB_BYTES);
	free_lists();
	destroy_all();
}

static void
live_in_512_mib(void)
{
	live_in(512 * MIB_BYTES, 64 * MIB_BYTES);
}

static void
live_in_256_mib(void)
{
	live_in(256 * MIB_BYTES, 32 * MIB_BYTES);
}

static void
live_in_128_mib(void)
{
	live_in(128 * MIB_BYTES, 8 * MIB_BYTES);
}

/* Too little even for the tables: every create says so. */
static void
live_in_24_mib(void)
{
	scenario_name = "RLIMIT_AS";
	limit(RLIMIT_AS, 24 * MIB_BYTES);
	create_until_enomem(1);
	REQUIRE(n_caches == 0);
	limit(RLIMIT_AS, 24 * MIB_BYTES);
	create_until_enomem(1);
	REQUIRE(n_caches == 0);
}

/* ------------------------------ mappings --------------------------------- */

#define N_MAPPINGS_MAX 200000

static void *mappings[N_MAPPINGS_MAX];
static size_t n_mappings;

/* Neighbours of different protection are not merged by the kernel. */
static void
use_up_mappings(void)
{
	while (n_mappings < N_MAPPINGS_MAX) {
		void *page = mmap(NULL, PAGE_BYTES,
				  n_mappings % 2 ? PROT_READ : PROT_NONE,
				  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		if (page == MAP_FAILED) {
			REQUIRE(errno == ENOMEM);
			return;
		}
		mappings[n_mappings++] = page;
	}
}

static void
give_mappings_back(size_t n)
{
	for (; n > 0 && n_mappings > 0; n--)
		munmap(mappings[--n_mappings], PAGE_BYTES);
}

/* New caches while so few mappings are left, and old ones in any case. */
static void
live_with_mappings(size_t n_left)
{
	unsigned n_old = n_caches;

	give_mappings_back(n_left);
	create_until_enomem(n_old + 3);
	alloc_until_enomem(4 * MIB_BYTES);
	for (unsigned i = 0; i < n_caches; i++)
		REQUIRE(cubby_cache_verify(caches[i]) == 0);
	free_lists();
	for (unsigned i = 0; i < n_caches; i++)
		REQUIRE(cubby_cache_shrink(caches[i], NULL) == 0);
	while (n_caches > n_old)
		REQUIRE(cubby_cache_destroy(caches[--n_caches]) == 0);
	use_up_mappings();
}

static void
live_without_mappings(void)
{
	static const size_t n_left[] = { 0, 1, 2, 3, 4, 6, 10, 20, 100 };

	scenario_name = "no mapping left";
	create_until_enomem(7);
	REQUIRE(n_caches == 7);
	alloc_until_enomem(8 * MIB_BYTES);
	use_up_mappings();
	if (n_mappings == N_MAPPINGS_MAX)
		_exit(CHILD_SKIPS);
	for (size_t i = 0; i < sizeof(n_left) / sizeof(n_left[0]); i++)
		live_with_mappings(n_left[i]);
	destroy_all();
	give_mappings_back(n_mappings);
	create_until_enomem(20);
	REQUIRE(n_caches == 20);
	REQUIRE(alloc_until_enomem(MIB_BYTES) >= MIB_BYTES);
	free_lists();
	destroy_all();
}

static void
live_without_mappings_charged(void)
{
	cubby__os_pretend_charging(true);
	live_without_mappings();
}

/* ------------------------------ locked memory ---------------------------- */

static size_t
status_bytes(const char *key)
{
	char line[256];
	size_t kib = 0;
	FILE *file = fopen("/proc/self/status", "re");

	REQUIRE(file != NULL);
	while (fgets(line, sizeof(line), file) != NULL)
		if (strncmp(line, key, strlen(key)) == 0)
			kib = strtoul(line + strlen(key) + 1, NULL, 10);
	fclose(file);
	return kib * 1024;
}

#define LOCKED_BYTES (32 * MIB_BYTES)

static void
fill_and_free_locked(void)
{
	size_t empty_bytes = status_bytes("VmRSS");
	size_t full_bytes;

	REQUIRE(alloc_until_enomem(LOCKED_BYTES) >= LOCKED_BYTES);
	full_bytes = status_bytes("VmRSS");
	/* Only a list's pointer of each object was written, but all is locked */
	REQUIRE(full_bytes >= empty_bytes + LOCKED_BYTES / 2);
	free_lists();
	for (unsigned i = 0; i < n_caches; i++)
		REQUIRE(cubby_cache_shrink(caches[i], NULL) == 0);
	/* What is committed ahead stays locked: at most a step a cache. */
	REQUIRE(status_bytes("VmRSS") <=
		empty_bytes + n_caches * 4 * MIB_BYTES);
	REQUIRE(status_bytes("VmRSS") <= full_bytes - LOCKED_BYTES / 2);
}

/* Memory that was locked before and memory that is locked as it comes. */
static void
live_locked(void)
{
	struct rlimit all = { RLIM_INFINITY, RLIM_INFINITY };

	scenario_name = "mlockall";
	setrlimit(RLIMIT_MEMLOCK, &all); /* or be privileged */
	create_until_enomem(1);
	if (mlockall(MCL_CURRENT | MCL_FUTURE) != 0)
		_exit(CHILD_SKIPS);
	create_until_enomem(3);
	REQUIRE(n_caches == 3);
	REQUIRE(status_bytes("VmLck") > 0);
	for (int i = 0; i < 3; i++)
		fill_and_free_locked();
	destroy_all();
}

#define N_LOCKED 700 /* pages: less than any usual RLIMIT_MEMLOCK */

/* Some pages of a cache locked, as by a program that keeps keys there. */
static void
live_partly_locked(void)
{
	static void *objects[N_LOCKED];
	size_t empty_bytes, full_bytes;

	scenario_name = "mlock";
	REQUIRE(cubby_cache_create_sized(&caches[0], "locked", PAGE_BYTES,
					 PAGE_BYTES, NULL) == 0);
	n_caches = 1;
	empty_bytes = status_bytes("VmRSS");
	REQUIRE(cubby_alloc_bulk(caches[0], N_LOCKED, objects) == 0);
	for (unsigned i = 0; i < N_LOCKED; i++)
		if (mlock(objects[i], PAGE_BYTES) != 0)
			_exit(CHILD_SKIPS);
	full_bytes = status_bytes("VmRSS");
	REQUIRE(full_bytes >= empty_bytes + N_LOCKED * PAGE_BYTES);
	cubby_free_bulk(caches[0], N_LOCKED, objects);
	REQUIRE(cubby_cache_shrink(caches[0], NULL) == 0);
	REQUIRE(status_bytes("VmRSS") <=
		full_bytes - N_LOCKED / 10 * 9 * PAGE_BYTES);
	destroy_all();
}

static void
live_locked_without_privilege(void)
{
	scenario_name = "RLIMIT_MEMLOCK";
	limit(RLIMIT_MEMLOCK, 4 * MIB_BYTES);
	if (geteuid() == 0)
		REQUIRE(setuid(NOBODY) == 0);
	if (mlockall(MCL_FUTURE) != 0)
		_exit(CHILD_SKIPS);
	/* Reservations count against the limit, so there is no cache ... */
	create_until_enomem(1);
	REQUIRE(n_caches == 0);
	/* ... until the program asks for less. */
	REQUIRE(munlockall() == 0);
	create_until_enomem(3);
	REQUIRE(n_caches == 3);
	/* Objects that exist already are used on. */
	alloc_until_enomem(MIB_BYTES);
	REQUIRE(mlockall(MCL_FUTURE) == 0);
	alloc_until_enomem(16 * MIB_BYTES);
	free_lists();
	destroy_all();
}

/* ---------------------------------- errno -------------------------------- */

#define ODD_ERRNO 4711
#define KEEPS_ERRNO(call)                                                     \
	do {                                                                  \
		errno = ODD_ERRNO;                                            \
		REQUIRE(call);                                                \
		REQUIRE(errno == ODD_ERRNO);                                  \
	} while (0)

static int
look_at(struct cubby_cache *cache, void *context)
{
	(void)context;
	return cubby_cache_verify(cache) != 0;
}

static void
use_with_errno(struct cubby_cache *cache)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	static void *objects[3000];
	struct cubby_walk *walk;
	struct cubby_run run;
	void *object;

	KEEPS_ERRNO((object = cubby_alloc(cache)) != NULL);
	KEEPS_ERRNO(cubby_is_live(cache, object));
	KEEPS_ERRNO(cubby_cache_of(object) == cache);
	KEEPS_ERRNO((cubby_free(cache, object), true));
	KEEPS_ERRNO((object = cubby_zalloc(cache)) != NULL);
	KEEPS_ERRNO((cubby_free_any(object), true));
	KEEPS_ERRNO(cubby_alloc_bulk(cache, 3000, objects) == 0);
	KEEPS_ERRNO(cubby_walk_create(&walk, cache) == 0);
	KEEPS_ERRNO(cubby_walk_next(walk, &run) == 1);
	KEEPS_ERRNO((cubby_walk_destroy(walk), true));
	KEEPS_ERRNO((cubby_free_bulk(cache, 3000, objects), true));
	KEEPS_ERRNO(cubby_cache_shrink(cache, NULL) == 0);
	KEEPS_ERRNO(cubby_cache_verify(cache) == 0);
	KEEPS_ERRNO(cubby_cache_stats_snapshot(cache, &stats) == 0);
	KEEPS_ERRNO(cubby_cache_report_live(cache, STDOUT_FILENO) == 0);
	KEEPS_ERRNO(cubby_cache_find("errno") == cache);
	KEEPS_ERRNO(cubby_cache_for_each(look_at, NULL) == 0);
}

static void
keep_errno(void)
{
	struct cubby_cache *cache;
	struct cubby_cache_attr attr =
		CUBBY_CACHE_ATTR(.flags = CUBBY_CACHE_HUGE_PAGES,
				 .prefault_objects = 100);

	scenario_name = "errno";
	for (int i = 0; i < 2; i++) {
		KEEPS_ERRNO(cubby_cache_create_sized(&cache, "errno", 200, 0,
						     i ? &attr : NULL) == 0);
		use_with_errno(cache);
		KEEPS_ERRNO(cubby_cache_destroy(cache) == 0);
	}
	KEEPS_ERRNO(cubby_cache_destroy(NULL) == 0);
}

#define CASE(name, options, fn)                                               \
	static void name(void **state)                                        \
	{                                                                     \
		(void)state;                                                  \
		in_child(options, fn);                                        \
	}                                                                     \
	struct cubby_cache

CASE(caches_in_512_mib_of_addresses_are_used_up_and_reused, "",
     live_in_512_mib);
CASE(caches_in_256_mib_of_addresses_are_used_up_and_reused, "",
     live_in_256_mib);
CASE(caches_in_128_mib_of_addresses_are_used_up_and_reused, "",
     live_in_128_mib);
CASE(create_in_24_mib_of_addresses_is_enomem, "", live_in_24_mib);
CASE(caches_without_mappings_left_go_on, "", live_without_mappings);
CASE(caches_in_chunks_without_mappings_left_go_on, "chunks",
     live_without_mappings);
CASE(caches_in_small_budget_without_mappings_left_go_on, "budget=2G",
     live_without_mappings);
CASE(caches_charged_without_mappings_left_go_on, "",
     live_without_mappings_charged);
CASE(free_of_locked_memory_gives_pages_back, "", live_locked);
CASE(free_of_locked_memory_in_chunks_gives_pages_back, "chunks", live_locked);
CASE(free_of_pages_locked_one_by_one_gives_them_back, "", live_partly_locked);
CASE(free_of_pages_locked_one_by_one_in_chunks_gives_them_back, "chunks",
     live_partly_locked);
CASE(create_over_memlock_limit_is_enomem, "", live_locked_without_privilege);
CASE(success_of_any_call_leaves_errno, NULL, keep_errno);

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			caches_in_512_mib_of_addresses_are_used_up_and_reused),
		cmocka_unit_test(
			caches_in_256_mib_of_addresses_are_used_up_and_reused),
		cmocka_unit_test(
			caches_in_128_mib_of_addresses_are_used_up_and_reused),
		cmocka_unit_test(create_in_24_mib_of_addresses_is_enomem),
		cmocka_unit_test(caches_without_mappings_left_go_on),
		cmocka_unit_test(caches_in_chunks_without_mappings_left_go_on),
		cmocka_unit_test(
			caches_in_small_budget_without_mappings_left_go_on),
		cmocka_unit_test(caches_charged_without_mappings_left_go_on),
		cmocka_unit_test(free_of_locked_memory_gives_pages_back),
		cmocka_unit_test(
			free_of_locked_memory_in_chunks_gives_pages_back),
		cmocka_unit_test(
			free_of_pages_locked_one_by_one_gives_them_back),
		cmocka_unit_test(
			free_of_pages_locked_one_by_one_in_chunks_gives_them_back),
		cmocka_unit_test(create_over_memlock_limit_is_enomem),
		cmocka_unit_test(success_of_any_call_leaves_errno),
	};

	return cmocka_run_group_tests_name("oom_limits", tests, NULL, NULL);
}

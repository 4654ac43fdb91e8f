/* SPDX-License-Identifier: MIT */
/*
 * Handles of another run of the program: this one runs itself, and the child,
 * whose caches are the same but for their keys, prints handles.  Debug builds
 * have no keys.
 */
#include "unit/with_handles.h"

#define N_HANDLES 1000

static const char *self_path;

static const enum cubby_weak_mode modes[] = { CUBBY_WEAK_STRONG,
					      CUBBY_WEAK_REUSE };

static struct cubby_cache *
make(enum cubby_weak_mode mode, cubby_weak *handles)
{
	struct cubby_cache *cache = make_cache_named(
		"run", 24, &CUBBY_CACHE_ATTR(.weak = mode));

	for (size_t i = 0; i < N_HANDLES; i++)
		handles[i] = cubby_weak_of(cache, must_alloc(cache));
	return cache;
}

static int
print_handles(void)
{
	cubby_weak handles[N_HANDLES];

	for (size_t i = 0; i < N_ELEMENTS(modes); i++) {
		make(modes[i], handles);
		for (size_t j = 0; j < N_HANDLES; j++)
			printf("%llx\n", (unsigned long long)handles[j]);
	}
	return 0;
}

static void
handles_of_another_run_read_as_nothing(void **state)
{
	struct cubby_cache *caches[N_ELEMENTS(modes)];
	cubby_weak handles[N_HANDLES];
	char command[4096];
	unsigned long long handle;
	size_t n = 0;
	FILE *child;

	(void)state;
#ifdef CUBBY_DEBUG
	skip();
#endif
	for (size_t i = 0; i < N_ELEMENTS(modes); i++)
		caches[i] = make(modes[i], handles);
	snprintf(command, sizeof(command), "'%s' print", self_path);
	child = popen(command, "r");
	assert_non_null(child);
	for (; fscanf(child, "%llx", &handle) == 1; n++)
		for (size_t i = 0; i < N_ELEMENTS(modes); i++) {
			uint64_t word;

			assert_int_equal(cubby_weak_is_live(caches[i], handle),
					 0);
			assert_int_equal(cubby_weak_copy(caches[i], handle,
							 &word, 0,
							 sizeof(word)),
					 -ESTALE);
			assert_int_equal(cubby_weak_free(caches[i], handle),
					 -ESTALE);
			if (modes[i] == CUBBY_WEAK_STRONG)
				assert_null(
					cubby_weak_upgrade(caches[i], handle));
		}
	assert_int_equal(pclose(child), 0);
	assert_int_equal(n, N_ELEMENTS(modes) * N_HANDLES);
	for (size_t i = 0; i < N_ELEMENTS(modes); i++)
		assert_ok(cubby_cache_destroy_force(caches[i]));
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(handles_of_another_run_read_as_nothing),
	};

	if (argc > 1)
		return print_handles();
	self_path = argv[0];
	return cmocka_run_group_tests_name("weak_runs", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * In which order descriptors are used again.  Alone in its program: no other
 * case may have left dead ones.
 */
#include "unit/with_cache.h"

enum {
	N_DEAD = 3000, /* well over REUSE_AFTER */
	N_REUSES = 20000,
	DEAD_STRIDE = 7 /* no divisor of N_DEAD */
};

static void
cache_create_reuses_the_one_that_died_first(void **state)
{
	struct cubby_cache *caches[N_DEAD], *dead[N_DEAD];

	(void)state;
	caches[0] = make_cache(64, NULL);
	if (stats_of(caches[0]).reserved_bytes == 0) {
		drop_cache(caches[0]);
		print_message("not so many caches fit into a small budget\n");
		skip();
	}
	for (size_t i = 1; i < N_DEAD; i++)
		caches[i] = make_cache(64, NULL);
	for (size_t i = 0; i < N_DEAD; i++) {
		dead[i] = caches[i * DEAD_STRIDE % N_DEAD];
		drop_cache(dead[i]);
	}
	for (size_t i = 0; i < scaled(N_REUSES); i++) {
		struct cubby_cache *cache = make_cache(64, NULL);

		assert_ptr_equal(cache, dead[i % N_DEAD]);
		drop_cache(cache);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cache_create_reuses_the_one_that_died_first),
	};

	return cmocka_run_group_tests_name("registry_reuse", tests, NULL,
					   NULL);
}

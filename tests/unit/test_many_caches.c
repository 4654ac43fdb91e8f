/* SPDX-License-Identifier: MIT */
/*
 * More caches than the address budget has ranges for.  Alone in its program:
 * what others leave in the FIFO of retired ranges would make room.
 */
#include "unit/with_cache.h"

enum {
	N_CACHES = 12000, /* a default budget has ranges for some 9,400 */
	N_SLABS = 65      /* more records than fit into a descriptor */
};

#define LARGE_RANGE_BYTES ((uint64_t)16 << 30)

static struct cubby_cache *caches[N_CACHES];

static void
grow_past(struct cubby_cache *cache, uint64_t n_slabs)
{
	while (stats_of(cache).n_slabs <= n_slabs)
		for (size_t i = 0; i < 512; i++)
			must_alloc(cache);
}

static void
cache_create_more_than_there_are_ranges_all_can_grow(void **state)
{
	size_t n = scaled(N_CACHES - 1);

	(void)state;
	caches[0] = make_cache(64, NULL);
	if (stats_of(caches[0]).reserved_bytes < LARGE_RANGE_BYTES) {
		drop_cache(caches[0]);
		print_message("the address budget is smaller here\n");
		skip();
	}
	if (n > N_CACHES)
		n = N_CACHES;
	for (size_t i = 1; i < n; i++)
		caches[i] = make_cache(64, NULL);
	for (size_t i = 0; i < n; i++)
		assert_ptr_equal(cubby_cache_of(must_alloc(caches[i])),
				 caches[i]);
	grow_past(caches[0], N_SLABS);
	grow_past(caches[n - 1], N_SLABS);
	for (size_t i = 0; i < n; i++)
		assert_ok(cubby_cache_destroy_force(caches[i]));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			cache_create_more_than_there_are_ranges_all_can_grow),
	};

	return cmocka_run_group_tests_name("many_caches", tests, NULL, NULL);
}

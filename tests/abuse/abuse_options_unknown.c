/* SPDX-License-Identifier: MIT */
/*
 * Options that Cubby does not know change nothing and are reported once.
 *
 * env: CUBBY_OPTIONS=misuse=explode,chonks,budget=12X
 * expect-exit: 0
 * expect-stderr: cubby: CUBBY_OPTIONS: 'misuse=explode' is ignored; known are( [a-z_]+(=N|=[a-z|]+)?)+
 * expect-stderr: cubby: CUBBY_OPTIONS: 'chonks' is ignored; known are( [a-z_]+(=N|=[a-z|]+)?)+
 * expect-stderr: cubby: CUBBY_OPTIONS: 'budget=12X' is ignored; known are( [a-z_]+(=N|=[a-z|]+)?)+
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	struct cubby_cache *buses = abuse_cache("bus");

	cubby_free(trucks, cubby_alloc(trucks));
	abuse_must(cubby_cache_destroy(trucks));
	abuse_must(cubby_cache_destroy(buses));
	return 0;
}

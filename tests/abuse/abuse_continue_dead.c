/* SPDX-License-Identifier: MIT */
/*
 * misuse=continue: calls on a destroyed cache fail with a code.
 *
 * env: CUBBY_OPTIONS=misuse=continue
 * expect-exit: 0
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_alloc\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_zalloc\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_alloc_bulk\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_free\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_walk_create\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_cache_stats_snapshot\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_cache_shrink\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_cache_destroy\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_cache_destroy_force\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_cache_report_live\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_cache_verify\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_is_live\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_cache_name\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_cache_object_bytes\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_cache_cell_bytes\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: cubby: dead-cache: cache 'truck': cubby_cache_layout\(\) on a cache that was destroyed; a cache must not be used after cubby_cache_destroy\(\)
 * expect-stderr: CUBBY_ENOCACHE: cubby_walk_create\(\) on what is not a live cache of this copy of Cubby
 * expect-stderr: CUBBY_ENOCACHE: cubby_cache_stats_snapshot\(\) on what is not a live cache of this copy of Cubby
 * expect-stderr: CUBBY_ENOCACHE: cubby_cache_shrink\(\) on what is not a live cache of this copy of Cubby
 * expect-stderr: CUBBY_ENOCACHE: cubby_cache_destroy\(\) on what is not a live cache of this copy of Cubby
 * expect-stderr: CUBBY_ENOCACHE: cubby_cache_destroy_force\(\) on what is not a live cache of this copy of Cubby
 * expect-stderr: CUBBY_ENOCACHE: cubby_cache_report_live\(\) on what is not a live cache of this copy of Cubby
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	struct cubby_cache *dead = abuse_dead_cache("truck");
	struct cubby_walk *walk = NULL;
	void *object = &stats;

	errno = 0;
	ABUSE_ASSERT(cubby_alloc(dead) == NULL && errno == ENOMEM);
	errno = 0;
	ABUSE_ASSERT(cubby_zalloc(dead) == NULL && errno == ENOMEM);
	ABUSE_ASSERT(cubby_alloc_bulk(dead, 1, &object) == -ENOMEM);
	ABUSE_ASSERT(object == &stats);
	cubby_free(dead, object);
	abuse_say(cubby_walk_create(&walk, dead));
	ABUSE_ASSERT(walk == NULL);
	abuse_say(cubby_cache_stats_snapshot(dead, &stats));
	abuse_say(cubby_cache_shrink(dead, NULL));
	abuse_say(cubby_cache_destroy(dead));
	abuse_say(cubby_cache_destroy_force(dead));
	abuse_say(cubby_cache_report_live(dead, 2));
	ABUSE_ASSERT(cubby_cache_verify(dead) != 0);
	ABUSE_ASSERT(cubby_is_live(dead, object) == 0);
	ABUSE_ASSERT(cubby_cache_name(dead)[0] == '\0');
	ABUSE_ASSERT(cubby_cache_object_bytes(dead) == 0);
	ABUSE_ASSERT(cubby_cache_cell_bytes(dead) == 0);
	ABUSE_ASSERT(cubby_cache_layout(dead) == NULL);
	ABUSE_ASSERT(cubby_misuse_count() == 16);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * An id for each object, looked up in liburcu's hash table of them
 * (cds_lfht), flavour memb: what a C program does that has RCU and no handles.
 *
 * At its best: as many buckets as objects from the start, the table's node in
 * the 32 bytes of the object, the objects in one array.
 */
#define _GNU_SOURCE
#define _LGPL_SOURCE
#include "weak_rival.h"

#include <cubby/weak.h>

#include <urcu/urcu-memb.h>

#include <urcu/rculfhash.h>

#include <stdlib.h>

enum { N_BUCKETS = 1 << 20 };

struct entry {
	struct cds_lfht_node node;
	uint64_t id;
	uint64_t number;
};

_Static_assert(sizeof(struct entry) == WEAK_OBJECT_BYTES, "one object");

struct pool {
	struct cds_lfht *table;
	struct entry *entries;
};

/* Odd multiples: all different. */
static uint64_t
id_of(size_t i)
{
	return (i + 1) * 0x9e3779b97f4a7c15ull;
}

static int
is_it(struct cds_lfht_node *node, const void *key)
{
	return caa_container_of(node, struct entry, node)->id ==
	       *(const uint64_t *)key;
}

static void *
create(size_t n_objects)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->table = cds_lfht_new_flavor(N_BUCKETS, N_BUCKETS, 0, 0,
					  &urcu_memb_flavor, NULL);
	pool->entries = aligned_alloc(64, n_objects * sizeof(struct entry));
	if (!pool->table || !pool->entries)
		return NULL;
	urcu_memb_register_thread();
	for (size_t i = 0; i < n_objects; i++) {
		struct entry *entry = &pool->entries[i];

		*entry = (struct entry){ .id = id_of(i), .number = i + 1 };
		urcu_memb_read_lock();
		cds_lfht_add(pool->table, cubby_weak_hash(entry->id),
			     &entry->node);
		urcu_memb_read_unlock();
	}
	urcu_memb_unregister_thread();
	return pool;
}

static void *
refer(void *pool, size_t n, const uint32_t *targets)
{
	uint64_t *refs = malloc(n * sizeof(*refs));

	(void)pool;
	for (size_t i = 0; refs && i < n; i++)
		refs[i] = id_of(targets[i]);
	return refs;
}

static void
enter(void)
{
	urcu_memb_register_thread();
}

static void
leave(void)
{
	urcu_memb_unregister_thread();
}

static void
enter_section(void)
{
	urcu_memb_register_thread();
	urcu_memb_read_lock();
}

static void
leave_section(void)
{
	urcu_memb_read_unlock();
	urcu_memb_unregister_thread();
}

static void
end(void *arg, size_t object)
{
	const struct pool *pool = arg;

	urcu_memb_register_thread();
	urcu_memb_read_lock();
	if (cds_lfht_del(pool->table, &pool->entries[object].node))
		abort();
	urcu_memb_read_unlock();
	urcu_memb_unregister_thread();
}

WEAK_INLINE uint64_t
read_id(void *table, const void *refs, size_t i)
{
	uint64_t id = ((const uint64_t *)refs)[i];
	struct cds_lfht_node *node;
	struct cds_lfht_iter iter;

	cds_lfht_lookup(table, cubby_weak_hash(id), is_it, &id, &iter);
	node = cds_lfht_iter_get_node(&iter);
	return node ? caa_container_of(node, struct entry, node)->number : 0;
}

WEAK_INLINE uint64_t
read_id_pair(void *table, const void *refs, size_t i)
{
	uint64_t number;

	urcu_memb_read_lock();
	number = read_id(table, refs, i);
	urcu_memb_read_unlock();
	return number;
}

WEAK_INSTANCE uint64_t
follow(void *arg, const void *refs, size_t n, size_t n_turns)
{
	return weak_follow(read_id, ((struct pool *)arg)->table, refs, n,
			   n_turns);
}

WEAK_INSTANCE uint64_t
follow_pair(void *arg, const void *refs, size_t n, size_t n_turns)
{
	return weak_follow(read_id_pair, ((struct pool *)arg)->table, refs, n,
			   n_turns);
}

const struct weak_way weak_lfht = {
	.name = "lfht",
	.create = create,
	.refer = refer,
	.enter = enter_section,
	.leave = leave_section,
	.follow = follow,
	.end = end,
};

const struct weak_way weak_lfht_pair = {
	.name = "lfht-pair",
	.create = create,
	.refer = refer,
	.enter = enter,
	.leave = leave,
	.follow = follow_pair,
	.end = end,
};

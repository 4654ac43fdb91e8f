/* SPDX-License-Identifier: MIT */
/*
 * malloc, and one call_rcu() an object when it is freed, flavour memb: what
 * liburcu's manual tells a program to do.
 *
 *	call-rcu  the object has a word that says whether it lives, which is
 *	          changed at its death as Cubby changes the generation
 *	lfht      it has an id too, which is in a hash table while it lives, so
 *	          that it can be referred to after its death
 */
#define _GNU_SOURCE
#define _LGPL_SOURCE
#include "weak_rival.h"

#include <cubby/weak.h>

#include <urcu/urcu-memb.h>

#include <urcu/rculfhash.h>

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>

enum {
	/* Of the few that live at once. */
	N_BUCKETS = 1 << 10,
	/* What glibc keeps in front of a block. */
	BLOCK_HEAD_BYTES = 8
};

struct pool {
	struct cds_lfht *table; /* NULL: there are no ids */
	uint64_t n_waiting_peak;
	uint64_t n_freed; /* by this thread */
	uint64_t next_id;

	/* Written by liburcu's thread. */
	_Alignas(64) uint64_t n_ended;
};

/* The one of this process: an object need not know it. */
static struct pool *the_pool;

struct entry {
	struct rcu_head head;
	uint64_t is_live;
	uint64_t words[WEAK_OBJECT_WORDS];
};

struct entry_with_id {
	struct entry entry;
	struct cds_lfht_node node;
	uint64_t id;
};

static void *
create(const void *setting, uint64_t limit_bytes)
{
	struct pool *pool = aligned_alloc(64, sizeof(*pool));

	(void)setting;
	(void)limit_bytes; /* it has none */
	if (pool)
		*pool = (struct pool){ 0 };
	the_pool = pool;
	return pool;
}

static void *
create_with_ids(const void *setting, uint64_t limit_bytes)
{
	struct pool *pool = create(setting, limit_bytes);

	if (!pool)
		return NULL;
	pool->table = cds_lfht_new_flavor(N_BUCKETS, N_BUCKETS, 0, 0,
					  &urcu_memb_flavor, NULL);
	return pool->table ? pool : NULL;
}

static void
enter(void *pool)
{
	(void)pool;
	urcu_memb_register_thread();
}

static void
leave(void *pool)
{
	(void)pool;
	urcu_memb_unregister_thread();
}

static void
lock(void *pool)
{
	(void)pool;
	urcu_memb_read_lock();
}

static void
unlock(void *pool)
{
	(void)pool;
	urcu_memb_read_unlock();
}

/* One thread calls it, liburcu's. */
static void
reclaim(struct rcu_head *head)
{
	struct entry *entry = caa_container_of(head, struct entry, head);

	free(entry);
	__atomic_store_n(&the_pool->n_ended, the_pool->n_ended + 1,
			 __ATOMIC_RELAXED);
}

static void
look(struct pool *pool)
{
	uint64_t n_waiting = pool->n_freed -
			     __atomic_load_n(&pool->n_ended, __ATOMIC_RELAXED);

	if (pool->n_waiting_peak < n_waiting)
		pool->n_waiting_peak = n_waiting;
}

WEAK_INLINE void
end_life(struct entry *entry)
{
	uint64_t is_live = 1;

	/* One caller ends it, as with Cubby. */
	if (!__atomic_compare_exchange_n(&entry->is_live, &is_live, 0, 0,
					 __ATOMIC_ACQ_REL, __ATOMIC_RELAXED))
		abort();
}

WEAK_INSTANCE size_t
live(void *arg, size_t n)
{
	struct pool *pool = arg;

	for (size_t i = 0; i < n; i++) {
		struct entry *entry = malloc(sizeof(*entry));

		if (!entry)
			return i;
		*(volatile uint64_t *)entry->words = i;
		__atomic_store_n(&entry->is_live, 1, __ATOMIC_RELEASE);
		end_life(entry);
		urcu_memb_call_rcu(&entry->head, reclaim);
		if (++pool->n_freed % WEAK_LIVES_PER_TURN == 0)
			look(pool);
	}
	return n;
}

WEAK_INSTANCE size_t
live_with_id(void *arg, size_t n)
{
	struct pool *pool = arg;

	for (size_t i = 0; i < n; i++) {
		struct entry_with_id *entry = malloc(sizeof(*entry));

		if (!entry)
			return i;
		*(volatile uint64_t *)entry->entry.words = i;
		entry->id = ++pool->next_id;
		__atomic_store_n(&entry->entry.is_live, 1, __ATOMIC_RELEASE);
		urcu_memb_read_lock();
		cds_lfht_add(pool->table, cubby_weak_hash(entry->id),
			     &entry->node);
		if (cds_lfht_del(pool->table, &entry->node))
			abort();
		urcu_memb_read_unlock();
		end_life(&entry->entry);
		urcu_memb_call_rcu(&entry->entry.head, reclaim);
		if (++pool->n_freed % WEAK_LIVES_PER_TURN == 0)
			look(pool);
	}
	return n;
}

static void
settle(void *pool)
{
	(void)pool;
	urcu_memb_barrier();
}

static int
count(void *arg, uint64_t n_done, struct weak_lives_count *ret_count)
{
	const struct pool *pool = arg;
	struct entry *entry = malloc(pool->table ?
					     sizeof(struct entry_with_id) :
					     sizeof(struct entry));

	*ret_count = (struct weak_lives_count){
		.n_ended = pool->n_ended,
		.n_waiting_peak = pool->n_waiting_peak,
		.bytes_each = malloc_usable_size(entry) + BLOCK_HEAD_BYTES,
	};
	free(entry);
	return pool->n_ended == n_done ? 0 : -EBADMSG;
}

const struct weak_lives weak_lives_call_rcu = {
	.name = "call-rcu",
	.create = create,
	.enter = enter,
	.leave = leave,
	.lock = lock,
	.unlock = unlock,
	.live = live,
	.settle = settle,
	.count = count,
};

const struct weak_lives weak_lives_lfht = {
	.name = "lfht",
	.create = create_with_ids,
	.enter = enter,
	.leave = leave,
	.lock = lock,
	.unlock = unlock,
	.live = live_with_id,
	.settle = settle,
	.count = count,
};

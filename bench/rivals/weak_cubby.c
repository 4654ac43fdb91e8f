/* SPDX-License-Identifier: MIT */
/*
 * Cubby's handles, by what can be done with them, and pointers into the same
 * kind of cache, which is what they are compared with.
 *
 * The read sections are liburcu's own, inline: small enough that its licence
 * allows them to everybody.  What is read through a handle is what
 * <cubby/weak.h> compiles in; the cache is a parameter.
 */
#define _GNU_SOURCE
#define _LGPL_SOURCE
#include "weak_rival.h"

#include <cubby/cubby.h>

#include <urcu/urcu-memb.h>

#include <stdio.h>
#include <stdlib.h>

struct pool {
	struct cubby_cache *cache;
	uint64_t **objects;
	size_t n_objects;
};

/* --------------------------------- the pool ------------------------------- */

static struct cubby_cache *
create_cache(size_t object_bytes, uint64_t mode, uint64_t is_strong)
{
	struct cubby_cache_attr attr;
	struct cubby_cache *cache;

	cubby_cache_attr_init(&attr);
	attr.weak = mode;
	attr.is_strong = is_strong;
	if (mode == CUBBY_WEAK_RCU)
		attr.rcu = &urcu_memb_flavor;
	if (!cubby_cache_create_sized(
		    &cache, "bench", object_bytes,
		    object_bytes % WEAK_ALIGN_BYTES ? 0 : WEAK_ALIGN_BYTES,
		    &attr))
		return cache;
	fprintf(stderr, "bench: %s\n", cubby_error_detail());
	return NULL;
}

static void *
create(size_t n_objects, uint64_t mode, uint64_t is_strong)
{
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->cache = create_cache(WEAK_OBJECT_BYTES, mode, is_strong);
	pool->objects = calloc(n_objects, sizeof(*pool->objects));
	pool->n_objects = n_objects;
	if (!pool->cache || !pool->objects)
		return NULL;
	for (size_t i = 0; i < n_objects; i++) {
		pool->objects[i] = cubby_alloc(pool->cache);
		if (!pool->objects[i])
			return NULL;
		pool->objects[i][0] = i + 1;
	}
	return pool;
}

static void *
create_rcu(size_t n_objects)
{
	return create(n_objects, CUBBY_WEAK_RCU, 0);
}

static void *
create_both(size_t n_objects)
{
	return create(n_objects, CUBBY_WEAK_RCU, 1);
}

static void *
create_strong(size_t n_objects)
{
	return create(n_objects, CUBBY_WEAK_STRONG, 0);
}

static void *
create_reuse(size_t n_objects)
{
	return create(n_objects, CUBBY_WEAK_REUSE, 0);
}

static void *
refer_by_pointer(void *arg, size_t n, const uint32_t *targets)
{
	const struct pool *pool = arg;
	uint64_t **refs = malloc(n * sizeof(*refs));

	for (size_t i = 0; refs && i < n; i++)
		refs[i] = pool->objects[targets[i]];
	return refs;
}

static void *
refer(void *arg, size_t n, const uint32_t *targets)
{
	const struct pool *pool = arg;
	cubby_weak *refs = malloc(n * sizeof(*refs));

	for (size_t i = 0; refs && i < n; i++) {
		refs[i] = cubby_weak_of(pool->cache,
					pool->objects[targets[i]]);
		if (refs[i] == CUBBY_WEAK_NULL)
			return NULL;
	}
	return refs;
}

static void
end(void *arg, size_t object)
{
	const struct pool *pool = arg;

	cubby_free(pool->cache, pool->objects[object]);
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

/* --------------------------------- the loops ------------------------------ */

WEAK_INLINE uint64_t
read_pointer(void *arg, const void *refs, size_t i)
{
	const uint64_t *object = ((uint64_t *const *)refs)[i];

	(void)arg;
	return object ? *object : 0;
}

WEAK_INLINE uint64_t
read_handle(void *cache, const void *refs, size_t i)
{
	const uint64_t *object = cubby_weak_get(cache,
						((const cubby_weak *)refs)[i]);

	return object ? *object : 0;
}

WEAK_INLINE uint64_t
read_handle_pair(void *cache, const void *refs, size_t i)
{
	uint64_t number;

	urcu_memb_read_lock();
	number = read_handle(cache, refs, i);
	urcu_memb_read_unlock();
	return number;
}

WEAK_INLINE uint64_t
read_copy(void *cache, const void *refs, size_t i)
{
	uint64_t number;

	return cubby_weak_copy(cache, ((const cubby_weak *)refs)[i], &number,
			       0, sizeof(number)) ?
		       0 :
		       number;
}

WEAK_INLINE uint64_t
read_strong(void *cache, const void *refs, size_t i)
{
	uint64_t *object = cubby_weak_upgrade(cache,
					      ((const cubby_weak *)refs)[i]);
	uint64_t number;

	if (!object)
		return 0;
	number = *object;
	cubby_ref_put(cache, object);
	return number;
}

#define FOLLOW(word)                                                          \
	WEAK_INSTANCE uint64_t follow_##word(void *arg, const void *refs,     \
					     size_t n, size_t n_turns)        \
	{                                                                     \
		const struct pool *pool = arg;                                \
                                                                              \
		return weak_follow(read_##word, pool->cache, refs, n,         \
				   n_turns);                                  \
	}

FOLLOW(pointer)
FOLLOW(handle)
FOLLOW(handle_pair)
FOLLOW(copy)
FOLLOW(strong)

/* ---------------------------------- the ways ------------------------------ */

const struct weak_way weak_pointer = {
	.name = "pointer",
	.create = create_rcu,
	.refer = refer_by_pointer,
	.enter = enter_section,
	.leave = leave_section,
	.follow = follow_pointer,
};

const struct weak_way weak_cubby = {
	.name = "cubby",
	.create = create_rcu,
	.refer = refer,
	.enter = enter_section,
	.leave = leave_section,
	.follow = follow_handle,
	.end = end,
};

const struct weak_way weak_cubby_pair = {
	.name = "cubby-pair",
	.create = create_rcu,
	.refer = refer,
	.enter = enter,
	.leave = leave,
	.follow = follow_handle_pair,
	.end = end,
};

const struct weak_way weak_cubby_counted = {
	.name = "cubby-counted",
	.create = create_both,
	.refer = refer,
	.enter = enter_section,
	.leave = leave_section,
	.follow = follow_handle,
	.end = end,
};

const struct weak_way weak_cubby_copy = {
	.name = "cubby-copy",
	.create = create_reuse,
	.refer = refer,
	.follow = follow_copy,
	.end = end,
};

const struct weak_way weak_cubby_strong = {
	.name = "cubby-strong",
	.create = create_strong,
	.refer = refer,
	.follow = follow_strong,
	.end = end,
};

const struct weak_way weak_cubby_both = {
	.name = "cubby-both",
	.create = create_both,
	.refer = refer,
	.enter = enter,
	.leave = leave,
	.follow = follow_strong,
	.end = end,
};

/* ---------------------------------- the kinds ----------------------------- */

struct place {
	void *object;
	cubby_weak handle;
};

static void *
kind_create_plain(size_t object_bytes)
{
	return create_cache(object_bytes, CUBBY_WEAK_NONE, 0);
}

static void *
kind_create_rcu(size_t object_bytes)
{
	return create_cache(object_bytes, CUBBY_WEAK_RCU, 0);
}

static void *
kind_create_reuse(size_t object_bytes)
{
	return create_cache(object_bytes, CUBBY_WEAK_REUSE, 0);
}

static void *
kind_create_strong(size_t object_bytes)
{
	return create_cache(object_bytes, CUBBY_WEAK_STRONG, 0);
}

static void *
kind_create_both(size_t object_bytes)
{
	return create_cache(object_bytes, CUBBY_WEAK_RCU, 1);
}

static void
kind_destroy(void *cache)
{
	if (cubby_rcu_barrier(cache) || cubby_cache_destroy(cache))
		abort();
}

static void *
kind_make(void *cache, struct weak_place *ret_place)
{
	struct place *place = (struct place *)ret_place;

	place->object = cubby_alloc(cache);
	place->handle = cubby_weak_of(cache, place->object);
	return place->handle == CUBBY_WEAK_NULL ? NULL : place->object;
}

static void *
kind_make_plain(void *cache, struct weak_place *ret_place)
{
	struct place *place = (struct place *)ret_place;

	place->object = cubby_alloc(cache);
	return place->object;
}

/* Nobody frees anything meanwhile. */
static void *
kind_find(void *cache, const struct weak_place *arg)
{
	const struct place *place = (const struct place *)arg;

	return cubby_weak_is_live(cache, place->handle) ? place->object : NULL;
}

static void *
kind_find_plain(void *cache, const struct weak_place *arg)
{
	(void)cache;
	return ((const struct place *)arg)->object;
}

static void
kind_end(void *cache, struct weak_place *arg)
{
	cubby_free(cache, ((struct place *)arg)->object);
}

#define KIND(word, text, bytes, ending)                                       \
	const struct weak_kind weak_kind_##word = {                           \
		.name = text,                                                 \
		.place_bytes = bytes,                                         \
		.create = kind_create_##word,                                 \
		.destroy = kind_destroy,                                      \
		.make = kind_make##ending,                                    \
		.find = kind_find##ending,                                    \
		.end = kind_end,                                              \
	}

KIND(plain, "cubby-plain", sizeof(void *), _plain);
KIND(rcu, "cubby", sizeof(struct place), );
KIND(reuse, "cubby-reuse", sizeof(struct place), );
KIND(strong, "cubby-strong", sizeof(struct place), );
KIND(both, "cubby-both", sizeof(struct place), );

/* SPDX-License-Identifier: MIT */
/*
 * GObject, and GWeakRef to refer to it; its 24 bytes are not counted as the
 * object's own.  An object of S7 and S8 has one word: 32 bytes with them, at
 * its best.
 */
#define _GNU_SOURCE
#include <glib-object.h>

#include "weak_rival.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { NAME_BYTES_MAX = 32 };

struct object {
	GObject head;
	uint64_t number;
};

struct pool {
	struct object **objects;
	GWeakRef *refs;
};

/* A type of objects with so many bytes behind the head. */
static GType
type_of(size_t object_bytes)
{
	char name[NAME_BYTES_MAX];
	GType type;

	snprintf(name, sizeof(name), "BenchOf%zu", object_bytes);
	type = g_type_from_name(name);
	if (type)
		return type;
	return g_type_register_static_simple(
		G_TYPE_OBJECT, g_intern_string(name), sizeof(GObjectClass),
		NULL, (guint)(sizeof(GObject) + object_bytes), NULL, 0);
}

/* ----------------------------------- way ---------------------------------- */

static void *
create(size_t n_objects)
{
	GType type = type_of(sizeof(uint64_t));
	struct pool *pool = calloc(1, sizeof(*pool));

	if (!pool)
		return NULL;
	pool->objects = calloc(n_objects, sizeof(*pool->objects));
	if (!pool->objects)
		return NULL;
	for (size_t i = 0; i < n_objects; i++) {
		pool->objects[i] = (struct object *)g_object_new(type, NULL);
		pool->objects[i]->number = i + 1;
	}
	return pool;
}

static void *
refer(void *arg, size_t n, const uint32_t *targets)
{
	const struct pool *pool = arg;
	GWeakRef *refs = calloc(n, sizeof(*refs));

	for (size_t i = 0; refs && i < n; i++)
		g_weak_ref_init(&refs[i], pool->objects[targets[i]]);
	return refs;
}

static void
end(void *arg, size_t object)
{
	g_object_unref(((const struct pool *)arg)->objects[object]);
}

WEAK_INLINE uint64_t
read_ref(void *arg, const void *refs, size_t i)
{
	struct object *object = g_weak_ref_get((GWeakRef *)refs + i);
	uint64_t number;

	(void)arg;
	if (!object)
		return 0;
	number = object->number;
	g_object_unref(object);
	return number;
}

WEAK_INSTANCE uint64_t
follow(void *arg, const void *refs, size_t n, size_t n_turns)
{
	return weak_follow(read_ref, arg, refs, n, n_turns);
}

const struct weak_way weak_gref = {
	.name = "gweakref",
	.create = create,
	.refer = refer,
	.follow = follow,
	.end = end,
};

/* ---------------------------------- kind ---------------------------------- */

struct place {
	GObject *object;
	GWeakRef ref;
};

_Static_assert(sizeof(struct place) <= sizeof(struct weak_place), "its room");

static void *
kind_create(size_t object_bytes)
{
	GType *type = malloc(sizeof(*type));

	if (type)
		*type = type_of(object_bytes);
	return type;
}

static void
kind_destroy(void *pool)
{
	free(pool);
}

static void *
kind_make(void *pool, struct weak_place *ret_place)
{
	struct place *place = (struct place *)ret_place;

	place->object = g_object_new(*(GType *)pool, NULL);
	g_weak_ref_init(&place->ref, place->object);
	return place->object + 1;
}

/* The owner's reference keeps the object that is returned. */
static void *
kind_find(void *pool, const struct weak_place *arg)
{
	GObject *object = g_weak_ref_get(
		(GWeakRef *)&((const struct place *)arg)->ref);

	(void)pool;
	if (!object)
		return NULL;
	g_object_unref(object);
	return object + 1;
}

static void
kind_end(void *pool, struct weak_place *arg)
{
	struct place *place = (struct place *)arg;

	(void)pool;
	g_object_unref(place->object);
	g_weak_ref_clear(&place->ref);
}

const struct weak_kind weak_kind_gref = {
	.name = "gweakref",
	.place_bytes = sizeof(struct place),
	.create = kind_create,
	.destroy = kind_destroy,
	.make = kind_make,
	.find = kind_find,
	.end = kind_end,
};

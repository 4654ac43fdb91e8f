/* SPDX-License-Identifier: MIT */
/*
 * truck_glib.c - a GLib GHashTable per truck, from attribute names to boxed
 * values.  At its best: the truck is the table, with no struct around it;
 * names are interned, so that they are hashed and compared as pointers.
 * GLib cannot be told a table's size beforehand.  It keeps keys and values in
 * 32 bits where all of a table's fit: in a program linked with -no-pie, whose
 * heap lies low, a table is 64 bytes smaller.
 */
#include <glib.h>

#include "truck_box.h"
#include "truck_malloc.h"
#include "truck_measure.h"

static const char *name_id, *name_lat, *name_lon;

static void
glib_open(struct fleet *fleet, const struct shape *shape)
{
	(void)fleet;
	(void)shape;
	name_id = g_intern_static_string("truck_id");
	name_lat = g_intern_static_string("lat");
	name_lon = g_intern_static_string("lon");
}

static void *
glib_alloc(struct fleet *fleet, const struct shape *shape)
{
	(void)fleet;
	(void)shape;
	return g_hash_table_new_full(NULL, NULL, NULL, free);
}

static void
glib_free(struct fleet *fleet, void *truck)
{
	(void)fleet;
	g_hash_table_destroy(truck);
}

static void
insert_all(GHashTable *truck, void *id, size_t number)
{
	g_hash_table_insert(truck, (gpointer)name_id, id);
	g_hash_table_insert(truck, (gpointer)name_lat,
			    box_double(truck_lat(number)));
	g_hash_table_insert(truck, (gpointer)name_lon,
			    box_double(truck_lon(number)));
}

static void
glib_fill_text(void *truck, size_t number)
{
	insert_all(truck, box_id_text(number), number);
}

static void
glib_fill_integer(void *truck, size_t number)
{
	insert_all(truck, box_id_integer(number), number);
}

static double *
glib_lat(void *truck)
{
	return unbox_double(g_hash_table_lookup(truck, name_lat));
}

static void
glib_read(void *truck, struct truck_values *ret)
{
	ret->number = unbox_id(g_hash_table_lookup(truck, name_id));
	ret->lat = *glib_lat(truck);
	ret->lon = *unbox_double(g_hash_table_lookup(truck, name_lon));
}

static size_t
glib_boxes_bytes(void *truck)
{
	return malloc_chunk_bytes(g_hash_table_lookup(truck, name_id)) +
	       malloc_chunk_bytes(g_hash_table_lookup(truck, name_lat)) +
	       malloc_chunk_bytes(g_hash_table_lookup(truck, name_lon));
}

static const struct store glib_store = {
	.open = glib_open,
	.alloc = glib_alloc,
	.free = glib_free,
	.own_bytes = malloc_own_bytes,
};

static const struct shape glib_text = {
	.fill = glib_fill_text,
	.lat = glib_lat,
	.read = glib_read,
	.boxes_bytes = glib_boxes_bytes,
};

static const struct shape glib_integer = {
	.fill = glib_fill_integer,
	.lat = glib_lat,
	.read = glib_read,
	.boxes_bytes = glib_boxes_bytes,
};

TRUCK_JOB(truck_glib_text, glib_store, glib_text)
TRUCK_JOB(truck_glib_integer, glib_store, glib_integer)

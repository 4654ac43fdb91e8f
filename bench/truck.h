/* SPDX-License-Identifier: MIT */
/*
 * truck.h - the main job: a fleet of trucks, the same for every rival.
 *
 * A truck has an id, a latitude and a longitude, in two versions: with a text
 * id (32 bytes as a C struct) and with an integer id (24 bytes).  A rival is
 * a store (where objects come from and go to) together with a shape (how one
 * object keeps its values).  truck_measure.h runs the same sequence over any
 * of them; truck.c names them and prints what was measured.
 *
 * Every value is a function of the truck's number.  The coordinates are
 * multiples of 2^-20, so sums over a fleet are exact and come out bit for bit
 * the same in any order: that is how the rivals are compared with each other.
 */
#ifndef BENCH_TRUCK_H
#define BENCH_TRUCK_H

#include <stdint.h>
#include <stddef.h>

#include <cubby/cubby.h>

#define TRUCK_ID_BYTES 12         /* "TRK-0000001" and its NUL */
#define TRUCK_N_MAX 9999999u      /* seven digits */
#define TRUCK_DEGREE_STEP 0x1p-20 /* about a tenth of a metre */
#define TRUCK_LAT_FIRST 40.0      /* latitudes as created ... */
#define TRUCK_LAT_FIRST_SET 30.0  /* ... and as set later */
#define TRUCK_LON_FIRST (-74.0)

#define TRUCK_SLOTS(SLOT)                                                     \
	SLOT(char[TRUCK_ID_BYTES], truck_id, "for example TRK-0001001")       \
	SLOT(double, lat, "degrees north")                                    \
	SLOT(double, lon, "degrees east")
CUBBY_LAYOUT(truck, TRUCK_SLOTS);

#define NUMBERED_TRUCK_SLOTS(SLOT)                                            \
	SLOT(uint64_t, truck_id, "for example 1001")                          \
	SLOT(double, lat, "degrees north")                                    \
	SLOT(double, lon, "degrees east")
CUBBY_LAYOUT(numbered_truck, NUMBERED_TRUCK_SLOTS);

static inline double
truck_lat(size_t number)
{
	return TRUCK_LAT_FIRST + (double)number * TRUCK_DEGREE_STEP;
}

static inline double
truck_lat_set(size_t number)
{
	return TRUCK_LAT_FIRST_SET + (double)number * TRUCK_DEGREE_STEP;
}

static inline double
truck_lon(size_t number)
{
	return TRUCK_LON_FIRST - (double)number * TRUCK_DEGREE_STEP;
}

/* Not snprintf: it would cost more than most of what is measured here. */
static inline void
truck_id_write(char id[TRUCK_ID_BYTES], size_t number)
{
	uint32_t rest = (uint32_t)number;

	__builtin_memcpy(id, "TRK-0000000", TRUCK_ID_BYTES);
	for (char *digit = id + TRUCK_ID_BYTES - 2; rest; rest /= 10)
		*digit-- = (char)('0' + rest % 10);
}

/* A truck's values, taken out of whatever shape it has. */
struct truck_values {
	uint64_t number;
	double lat;
	double lon;
};

uint64_t truck_id_read(const char id[TRUCK_ID_BYTES]);

/* What all trucks of a fleet add up to. */
struct truck_sums {
	uint64_t numbers;
	uint64_t pairs; /* number times latitude in steps: nothing mixed up */
	double lat;
	double lon;
};

static inline void
truck_sums_add(struct truck_sums *sums, const struct truck_values *values)
{
	const double lat_steps = values->lat / TRUCK_DEGREE_STEP;

	sums->numbers += values->number;
	sums->pairs += values->number * (uint64_t)lat_steps;
	sums->lat += values->lat;
	sums->lon += values->lon;
}

struct fleet {
	size_t n;
	void **trucks; /* in order of creation */
	void **visit;  /* the same, shuffled; populated from the start */

	/* for the stores' own use */
	struct cubby_cache *cache;
	char *array;
	size_t n_taken;
};

/* How one object keeps its values. */
struct shape {
	size_t object_bytes;
	const struct cubby_layout *layout; /* of a plain struct, else NULL */
	void (*fill)(void *truck, size_t number);
	double *(*lat)(void *truck); /* by the shape's natural access */
	void (*read)(void *truck, struct truck_values *ret);
	size_t (*boxes_bytes)(void *truck); /* NULL: values are inline */
};

/*
 * Where objects come from and go to: one at a time through alloc and free, or
 * all at once where a function for that is given; those return how many
 * objects they handled.
 */
struct store {
	void (*open)(struct fleet *fleet, const struct shape *shape);
	void *(*alloc)(struct fleet *fleet, const struct shape *shape);
	void (*free)(struct fleet *fleet, void *truck);
	size_t (*create_all)(struct fleet *fleet, const struct shape *shape);
	size_t (*scan_all)(struct fleet *fleet, const struct shape *shape,
			   double *ret_sum);
	size_t (*free_all)(struct fleet *fleet, const struct shape *shape);
	void (*close)(struct fleet *fleet);

	/* All bytes in use, by the allocator's own count ... */
	uint64_t (*own_bytes)(struct fleet *fleet);
	/* ... of them one object's; NULL: an object is its hash table. */
	size_t (*cell_bytes)(struct fleet *fleet, void *truck);
};

/* Nanoseconds are of the whole loop; bytes are of the whole fleet. */
struct truck_result {
	uint64_t loop_ns; /* passing over the pointers, doing nothing */
	uint64_t create_ns;
	uint64_t get_ns;
	uint64_t scan_ns;
	uint64_t set_ns;
	uint64_t free_ns;

	size_t n_created;
	size_t n_got;
	size_t n_scanned;
	size_t n_set;
	size_t n_freed;

	uint64_t rss_bytes;
	uint64_t page_table_bytes;
	uint64_t own_bytes;
	uint64_t object_bytes; /* these three are parts of own_bytes */
	uint64_t boxes_bytes;
	uint64_t table_bytes;
	uint64_t rss_left_bytes; /* after the last free */

	struct truck_sums created; /* what the objects held after creation */
	struct truck_sums set;     /* ... and after set */
	double got_sum;
	double scanned_sum;
};

typedef void truck_job_fn(struct fleet *fleet, struct truck_result *ret);

truck_job_fn truck_cubby_text, truck_cubby_integer;
truck_job_fn truck_cubby_bulk_text, truck_cubby_bulk_integer;
truck_job_fn truck_array_text, truck_array_integer;
truck_job_fn truck_malloc_text, truck_malloc_integer;
truck_job_fn truck_glib_text, truck_glib_integer;
truck_job_fn truck_shared_text, truck_shared_integer;

#endif /* BENCH_TRUCK_H */

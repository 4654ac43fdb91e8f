/* SPDX-License-Identifier: MIT */
/* LAYER 8: class - one cache for each size of small blocks */
#include "class.h"

#include "boot.h"
#include "setting.h"

#include <cubby/cache.h>

#include <errno.h>
#include <string.h>

/* Of the cells in one magazine, of which a CPU has two. */
#define MAGAZINE_BYTES_MAX (32 * KIB)

struct cubby_cache *cubby__class_caches[N_CLASSES];
struct cubby_cache *cubby__class_eighths[N_EIGHTHS];

/* "zero": what is freed is cleared. */
static void
clear(void *object, void *context)
{
	memset(object, 0, *(const size_t *)context);
}

static size_t sizes[N_CLASSES];

struct cubby_cache *
cubby__class_make(struct cubby_cache **place, const char *name, size_t bytes,
		  size_t align_bytes, const struct cubby_cache_attr *attr)
{
	struct cubby_cache *there = __atomic_load_n(place, __ATOMIC_ACQUIRE);
	struct cubby_cache *made;
	int saved_errno = errno;

	if (there != NULL)
		return there;
	cubby__boot_begin();
	if (cubby_cache_create_sized(&made, name, bytes, align_bytes, attr) ==
	    0) {
		if (__atomic_compare_exchange_n(place, &there, made, false,
						__ATOMIC_ACQ_REL,
						__ATOMIC_ACQUIRE))
			there = made;
		else /* it has no objects: nothing keeps it */
			(void)!cubby_cache_destroy(made);
	}
	cubby__boot_end();
	errno = saved_errno;
	return there;
}

/* Whoever comes first; the others see the same. */
static void
publish_eighths(unsigned number, struct cubby_cache *cache)
{
	for (size_t i = 0; i < N_EIGHTHS; i++)
		if (class_of(8 * i) == number)
			__atomic_store_n(&cubby__class_eighths[i], cache,
					 __ATOMIC_RELEASE);
}

struct cubby_cache *
cubby__class_reach(unsigned number)
{
	struct cubby_cache *cache = class_cache(number);
	struct cubby_cache_attr attr = CUBBY_CACHE_ATTR();
	size_t bytes = class_bytes(number);
	char buffer[CUBBY_NAME_BYTES_MAX];
	struct text name;

	if (cache != NULL)
		return cache;
	cubby__text_init(&name, buffer, sizeof(buffer));
	cubby__text_printf(&name, "malloc-%zu", bytes);
	attr.magazine_capacity = min_u64(max_u64(MAGAZINE_BYTES_MAX / bytes,
						 1),
					 CUBBY_MAGAZINE_CAPACITY_MAX);
	cubby__setting_read();
	if (cubby__setting_zero) {
		sizes[number] = bytes;
		attr.dtor = clear;
		attr.context = &sizes[number];
	}
	cache = cubby__class_make(&cubby__class_caches[number], buffer, bytes,
				  min_u64(bytes, CLASS_STEP_BYTES), &attr);
	if (cache != NULL)
		publish_eighths(number, cache);
	return cache;
}

unsigned
cubby__class_of_aligned(size_t bytes, size_t align_bytes)
{
	unsigned number = class_of(align_up(bytes, align_bytes));

	/* A power of two is a class, so this ends. */
	while (class_bytes(number) % align_bytes != 0)
		number++;
	return number;
}

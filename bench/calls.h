/* SPDX-License-Identifier: MIT */
/*
 * calls.h - the calls of a rival as a program that is written for it has them.
 *
 * A loop that is to be timed is a CALLS_INLINE function of a `struct calls`,
 * and is instantiated once a rival over one of the constants below: the
 * compiler sees through its pointers, and the loop holds direct calls of
 * cubby_alloc(), malloc() or floor_alloc(), or what cubby_alloc() is inline.
 */
#ifndef BENCH_CALLS_H
#define BENCH_CALLS_H

#include "rivals/cubby.h"

#include "floor/floor.h"
#include "rivals/rival.h"

#include <stdlib.h>

#define CALLS_INLINE static inline __attribute__((always_inline))

/* All instances of a loop begin alike, wherever the linker put them. */
#define CALLS_INSTANCE static __attribute__((noinline, aligned(64)))

struct calls {
	void *(*alloc)(void *pool, size_t object_bytes);
	void (*free)(void *pool, void *object);
};

static inline void *
calls_cubby_alloc(void *pool, size_t object_bytes)
{
	(void)object_bytes;
	return library_alloc(pool);
}

static inline void
calls_cubby_free(void *pool, void *object)
{
	library_free(pool, object);
}

CALLS_INLINE void *
calls_inline_alloc(void *pool, size_t object_bytes)
{
	(void)object_bytes;
	return cubby_alloc(pool);
}

CALLS_INLINE void
calls_inline_free(void *pool, void *object)
{
	cubby_free(pool, object);
}

static inline void *
calls_malloc_alloc(void *pool, size_t object_bytes)
{
	(void)pool;
	return malloc(object_bytes);
}

static inline void
calls_malloc_free(void *pool, void *object)
{
	(void)pool;
	free(object);
}

static inline void *
calls_floor_alloc(void *pool, size_t object_bytes)
{
	(void)object_bytes;
	return floor_alloc(pool);
}

static const struct calls calls_cubby = { calls_cubby_alloc,
					  calls_cubby_free };
static const struct calls calls_inline = { calls_inline_alloc,
					   calls_inline_free };
static const struct calls calls_malloc = { calls_malloc_alloc,
					   calls_malloc_free };
static const struct calls calls_floor = { calls_floor_alloc, floor_free };

/* What a program does with a new object before anything else: it writes. */
static inline void
calls_stamp(void *object, uint64_t number)
{
	*(volatile uint64_t *)object = number;
}

#endif /* BENCH_CALLS_H */

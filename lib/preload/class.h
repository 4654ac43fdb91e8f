/* SPDX-License-Identifier: MIT */
/*
 * LAYER 8: class - one cache for each size of small blocks
 *
 *	class     blocks of             step
 *	0         8 bytes
 *	1 .. 64   16 .. 1,024 bytes     16
 *	65 ..     1,152 .. 64 KiB       an eighth of the power of two below
 *
 * A class's cache is made when its first block is asked for.  No lock: of
 * several threads that make it at once one publishes its own, and the others
 * destroy theirs.  It is never destroyed then.
 *
 * Internals of the core are used, and not its public calls alone, because
 * malloc() is the fast way itself and not a call around it.
 */
#ifndef CUBBY__CLASS_H
#define CUBBY__CLASS_H

#include "bits.h"
#include "cache.h"
#include "compiler.h"

#define CLASS_STEP_BYTES 16
#define CLASS_STEPS_MAX_BYTES 1024 /* above it, steps of an eighth */
#define CLASS_BYTES_MAX (64 * KIB)
#define N_CLASSES 113

/* By number; NULL until a block was asked for. */
extern struct cubby_cache *cubby__class_caches[N_CLASSES]
	__attribute__((visibility("hidden")));

/* The same by eighths of the size, up to CLASS_STEPS_MAX_BYTES: no compare. */
#define N_EIGHTHS (CLASS_STEPS_MAX_BYTES / 8 + 1)

extern struct cubby_cache *cubby__class_eighths[N_EIGHTHS]
	__attribute__((visibility("hidden")));

/* The least class for so many bytes, at most CLASS_BYTES_MAX. */
static ALWAYS_INLINE unsigned
class_of(size_t bytes)
{
	unsigned top;

	if (likely(bytes <= CLASS_STEPS_MAX_BYTES))
		return bytes <= 8 ? 0 :
				    (unsigned)(bytes + CLASS_STEP_BYTES - 1) /
					    CLASS_STEP_BYTES;
	/* bytes - 1 has this highest bit, and three more that count. */
	top = 63 - (unsigned)__builtin_clzl(bytes - 1);
	return 65 + (top - 10) * 8 +
	       ((unsigned)((bytes - 1) >> (top - 3)) & 7);
}

static inline size_t
class_bytes(unsigned number)
{
	unsigned beyond = number - 65;

	if (number == 0)
		return 8;
	if (number < 65)
		return (size_t)number * CLASS_STEP_BYTES;
	return (size_t)(9 + beyond % 8) << (beyond / 8 + 7);
}

static ALWAYS_INLINE struct cubby_cache *
class_cache(unsigned number)
{
	/* Pairs with the release of who published it. */
	return __atomic_load_n(&cubby__class_caches[number], __ATOMIC_ACQUIRE);
}

/* Of the class for so many bytes, at most CLASS_BYTES_MAX. */
static ALWAYS_INLINE struct cubby_cache *
class_cache_for(size_t bytes)
{
	if (likely(bytes <= CLASS_STEPS_MAX_BYTES))
		return __atomic_load_n(&cubby__class_eighths[(bytes + 7) / 8],
				       __ATOMIC_ACQUIRE);
	return class_cache(class_of(bytes));
}

/*
 * The cache that is at a place, made if there is none; NULL: no memory.  Of several
 * threads that make it at once the first one's stays.
 */
struct cubby_cache *cubby__class_make(struct cubby_cache **place,
				      const char *name, size_t bytes,
				      size_t align_bytes,
				      const struct cubby_cache_attr *attr);

/* A class's cache, made if need be; NULL: no memory. */
struct cubby_cache *cubby__class_reach(unsigned number);

/* The least class whose blocks are aligned to a power of two up to a page. */
unsigned cubby__class_of_aligned(size_t bytes, size_t align_bytes);

#endif /* CUBBY__CLASS_H */

/* SPDX-License-Identifier: MIT */
/*
 * cubby/inline/weak.h - what cubby_weak_get(), cubby_weak_upgrade() and
 * cubby_ref_put() compile to.
 *
 * Included by <cubby/weak.h>; not for other use.  The struct below stands 24
 * bytes into every cache.  It and what the code assumes are ABI; its version is
 * in the names of the functions that the code calls when it does not know the
 * answer itself, so that a program does not link or load with a library that
 * has another.
 *
 * Under -fsanitize=thread, which does not see the library's side, and where
 * CUBBY_DEBUG or CUBBY_NO_WEAK_INLINE is defined, these are plain calls.
 */
#ifndef CUBBY_INLINE_WEAK_H
#define CUBBY_INLINE_WEAK_H

#include <cubby/base.h>

CUBBY_BEGIN_DECLS

struct cubby_cache;

struct cubby__weak {
	uint64_t key;
	const char *words;     /* the word of cell 0: 32 bits */
	char *objects;         /* the object of cell 0 */
	uint32_t get_cells;    /* cells that may be borrowed, by this code */
	uint32_t strong_cells; /* cells that may be upgraded */
	uint32_t cell_bytes;
	uint32_t word_bytes; /* from one cell's word to the next one's */
};

#define CUBBY__WEAK_OF(cache)                                                 \
	((const struct cubby__weak *)(const void *)((const char *)(cache) +   \
						    24))

/*
 * The word in front of a counted object; its high half is the state word.
 *
 *	63           33   32      31       30        0
 *	+--------------+-------+-------+-------------+
 *	| generation   | taken | dying | holds       |
 *	+--------------+-------+-------+-------------+
 *
 * holds: references beyond the one that alloc gave; or, of a dying one, all.
 * A put lowers the low half by 1.  What was 0 is all ones then, which is dying
 * and held by as many as can be, so that nobody comes to hold it, until who put
 * makes it so.
 */
#define CUBBY__STRONG_DYING (1ull << 31)
#define CUBBY__STRONG_HOLDS (CUBBY__STRONG_DYING - 1)

/* What the inline code calls when a cell is beyond its bound, and so on. */
CUBBY_API void *cubby__weak_get_1(struct cubby_cache *cache, uint64_t handle);
CUBBY_API void *cubby__weak_upgrade_1(struct cubby_cache *cache,
				      uint64_t handle);
CUBBY_API void cubby__ref_put_1(struct cubby_cache *cache, void *object,
				int32_t had);

/* The public calls, where the inline code does not apply. */
CUBBY_API void cubby_ref_put(struct cubby_cache *cache, void *object);

static inline void *
cubby__weak_get_inline(struct cubby_cache *cache, uint64_t handle)
{
	const struct cubby__weak *weak = CUBBY__WEAK_OF(cache);
	uint64_t plain = handle ^ weak->key;
	uint64_t cell = (uint32_t)plain;
	uint32_t word;
	char *object;

	if (__builtin_expect(cell >= __atomic_load_n(&weak->get_cells,
						     __ATOMIC_RELAXED),
			     0))
		return cubby__weak_get_1(cache, handle);
	/* Pairs with the release of whoever made the handle. */
	word = __atomic_load_n(
		(const uint32_t *)(const void *)(weak->words +
						 cell * weak->word_bytes),
		__ATOMIC_ACQUIRE);
	if (__builtin_expect(word != plain >> 32, 0) || !(plain >> 32 & 1))
		return NULL;
	object = weak->objects + cell * weak->cell_bytes;
	if (object == NULL)
		__builtin_unreachable(); /* so the caller asks only once */
	return object;
}

static inline void *
cubby__weak_upgrade_inline(struct cubby_cache *cache, uint64_t handle)
{
	const struct cubby__weak *weak = CUBBY__WEAK_OF(cache);
	uint64_t plain = handle ^ weak->key;
	uint64_t cell = (uint32_t)plain;
	uint64_t word, *place;
	char *object;

	if (__builtin_expect(cell >= __atomic_load_n(&weak->strong_cells,
						     __ATOMIC_RELAXED),
			     0))
		return cubby__weak_upgrade_1(cache, handle);
	object = weak->objects + cell * weak->cell_bytes;
	place = (uint64_t *)(void *)object - 1;
	word = __atomic_load_n(place, __ATOMIC_RELAXED);
	do {
		/* Identity and count are one word: see docs/design.md. */
		if (__builtin_expect(word >> 32 != plain >> 32, 0) ||
		    !(plain >> 32 & 1) ||
		    __builtin_expect((word & CUBBY__STRONG_HOLDS) >=
					     CUBBY__STRONG_HOLDS - 1,
				     0))
			return NULL;
	} while (!__atomic_compare_exchange_n(place, &word, word + 1, 1,
					      __ATOMIC_ACQUIRE,
					      __ATOMIC_RELAXED));
	return object;
}

static inline void
cubby__ref_put_inline(struct cubby_cache *cache, void *object)
{
	/* The low half, as a signed number: negative if it is dying. */
	int32_t had;

	if (__builtin_expect(object == NULL, 0))
		return;
	if (__builtin_expect(CUBBY__WEAK_OF(cache)->strong_cells == 0, 0)) {
		cubby_ref_put(cache, object);
		return;
	}
	had = __atomic_fetch_sub((int32_t *)object - 2, 1, __ATOMIC_RELEASE);
	if (__builtin_expect(had <= 0, 0))
		cubby__ref_put_1(cache, object, had);
}

CUBBY_END_DECLS

#endif /* CUBBY_INLINE_WEAK_H */

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 3: guard - bytes in and around objects that nobody may have changed
 *
 *	0            prefix_bytes                              cell_bytes
 *	+----------+------+---------------------+---------------------+
 *	| red zone | word | object              | red zone            |
 *	+----------+------+---------------------+---------------------+
 *	             counted objects have one
 *
 *	            red zones   object
 *	live        0xcc        0x5a at first; the program's
 *	free        0xbb        0x6b ... 0x6b 0xa5
 *
 * The bytes are the Linux kernel's (include/linux/poison.h).  Red zones exist if
 * the geometry has them; what the object is filled with, if it `poisons`.
 *
 * Threads: the caller has the cell to himself.
 */
#ifndef CUBBY__GUARD_H
#define CUBBY__GUARD_H

#include "compiler.h"
#include "geometry.h"

#define GUARD_ZONE_BYTES 16 /* at least, on each side */

#define GUARD_ZONE_FREE 0xbb
#define GUARD_ZONE_LIVE 0xcc
#define GUARD_NEW 0x5a
#define GUARD_FREED 0x6b
#define GUARD_FREED_END 0xa5

struct guard {
	const struct geometry *geometry;
	uint32_t word_bytes; /* in front of the object, and not guarded */
	bool has_zones;
	bool poisons;
};

#define GUARD_BYTES_KEPT 16

enum guard_place { GUARD_BEFORE, GUARD_OBJECT, GUARD_AFTER };

/* The first place of a cell that is damaged, and its bytes from .. to. */
struct guard_damage {
	enum guard_place place;
	const uint8_t *first;
	size_t n_bytes; /* from the first to the last wrong one */
	uint8_t found, expected;
	uint8_t bytes[GUARD_BYTES_KEPT]; /* the first of them, as they were */
};

/* Fill what belongs to a live object, or to a free cell. */
void cubby__guard_fill_live(const struct guard *guard, void *object);
void cubby__guard_fill_free(const struct guard *guard, void *object);

/* The red zones alone. */
void cubby__guard_fill_zones(const struct guard *guard, void *object,
			     uint8_t byte);

/* Is all as it was filled?  Else *ret_damage. */
bool cubby__guard_check_live(const struct guard *guard, const void *object,
			     struct guard_damage *ret_damage);
bool cubby__guard_check_free(const struct guard *guard, const void *object,
			     struct guard_damage *ret_damage);

/* Its bytes from and to which a place reaches. */
const uint8_t *cubby__guard_place(const struct guard *guard,
				  const void *object, enum guard_place place,
				  size_t *ret_bytes);

#endif /* CUBBY__GUARD_H */

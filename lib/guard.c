/* SPDX-License-Identifier: MIT */
/* LAYER 3: guard - bytes in and around objects that nobody may have changed */
#include "guard.h"

#include "bits.h"

#include <string.h>

#define SHORT_BYTES_MAX 128
#define BYTES_OF_ONE 0x0101010101010101ull

const uint8_t *
cubby__guard_place(const struct guard *guard, const void *object,
		   enum guard_place place, size_t *ret_bytes)
{
	const struct geometry *geometry = guard->geometry;
	const uint8_t *start = object;

	switch (place) {
	case GUARD_BEFORE:
		*ret_bytes = geometry->prefix_bytes - guard->word_bytes;
		return start - geometry->prefix_bytes;
	case GUARD_AFTER:
		start += geometry->object_bytes;
		*ret_bytes = geometry->cell_bytes - geometry->prefix_bytes -
			     geometry->object_bytes;
		return start;
	default:
		*ret_bytes = geometry->object_bytes;
		return start;
	}
}

/*
 * Red zones and most objects are short, and then calls of memset() and memcmp()
 * are most of what a watched pair costs; words overlap at the end.
 */
static inline bool
is_short(size_t n_bytes)
{
	return n_bytes >= sizeof(uint64_t) && n_bytes <= SHORT_BYTES_MAX;
}

static inline void
fill_bytes(uint8_t *start, size_t n_bytes, uint8_t byte)
{
	uint64_t word = byte * BYTES_OF_ONE;

	if (unlikely(!is_short(n_bytes))) {
		memset(start, byte, n_bytes);
		return;
	}
	for (size_t i = 0; i + sizeof(word) < n_bytes; i += sizeof(word))
		memcpy(start + i, &word, sizeof(word));
	memcpy(start + n_bytes - sizeof(word), &word, sizeof(word));
}

static void
fill(const struct guard *guard, const void *object, enum guard_place place,
     uint8_t byte)
{
	size_t n_bytes;
	const uint8_t *start = cubby__guard_place(guard, object, place,
						  &n_bytes);

	fill_bytes((uint8_t *)(uintptr_t)start, n_bytes, byte);
}

void
cubby__guard_fill_zones(const struct guard *guard, void *object, uint8_t byte)
{
	if (!guard->has_zones)
		return;
	fill(guard, object, GUARD_BEFORE, byte);
	fill(guard, object, GUARD_AFTER, byte);
}

void
cubby__guard_fill_live(const struct guard *guard, void *object)
{
	cubby__guard_fill_zones(guard, object, GUARD_ZONE_LIVE);
	if (guard->poisons)
		fill(guard, object, GUARD_OBJECT, GUARD_NEW);
}

void
cubby__guard_fill_free(const struct guard *guard, void *object)
{
	cubby__guard_fill_zones(guard, object, GUARD_ZONE_FREE);
	if (!guard->poisons)
		return;
	fill(guard, object, GUARD_OBJECT, GUARD_FREED);
	((uint8_t *)object)[guard->geometry->object_bytes - 1] =
		GUARD_FREED_END;
}

static inline bool
has_word(const uint8_t *at, uint64_t word)
{
	uint64_t found;

	memcpy(&found, at, sizeof(found));
	return found == word;
}

/* All the same byte: where it is long, the first is, and each as its neighbour. */
static inline bool
is_filled(const uint8_t *start, size_t n_bytes, uint8_t byte)
{
	uint64_t word = byte * BYTES_OF_ONE;

	if (unlikely(!is_short(n_bytes)))
		return n_bytes == 0 ||
		       (start[0] == byte &&
			memcmp(start, start + 1, n_bytes - 1) == 0);
	for (size_t i = 0; i + sizeof(word) < n_bytes; i += sizeof(word))
		if (unlikely(!has_word(start + i, word)))
			return false;
	return has_word(start + n_bytes - sizeof(word), word);
}

static void
keep(struct guard_damage *damage)
{
	memcpy(damage->bytes, damage->first,
	       min_u64(damage->n_bytes, GUARD_BYTES_KEPT));
}

/* false: it was changed back meanwhile. */
static bool
note(const uint8_t *start, size_t n_bytes, uint8_t byte,
     enum guard_place place, struct guard_damage *ret_damage)
{
	const uint8_t *end = start + n_bytes;

	while (start < end && *start == byte)
		start++;
	while (start < end && end[-1] == byte)
		end--;
	if (start == end)
		return false;
	*ret_damage = (struct guard_damage){
		.place = place,
		.first = start,
		.n_bytes = (size_t)(end - start),
		.found = *start,
		.expected = byte,
	};
	keep(ret_damage);
	return true;
}

static bool
check(const struct guard *guard, const void *object, enum guard_place place,
      uint8_t byte, struct guard_damage *ret_damage)
{
	size_t n_bytes;
	const uint8_t *start = cubby__guard_place(guard, object, place,
						  &n_bytes);

	if (likely(is_filled(start, n_bytes, byte)))
		return true;
	return !note(start, n_bytes, byte, place, ret_damage);
}

/* All but the last byte are the same; the damage may reach to that. */
static bool
check_poison(const struct guard *guard, const void *object,
	     struct guard_damage *ret_damage)
{
	size_t n_bytes = guard->geometry->object_bytes - 1;
	const uint8_t *start = object, *end = start + n_bytes;
	bool is_end_whole = *end == GUARD_FREED_END;

	if (likely(is_filled(start, n_bytes, GUARD_FREED) && is_end_whole))
		return true;
	if (!note(start, n_bytes, GUARD_FREED, GUARD_OBJECT, ret_damage))
		return !note(end, 1, GUARD_FREED_END, GUARD_OBJECT,
			     ret_damage);
	if (!is_end_whole) {
		ret_damage->n_bytes = (size_t)(end + 1 - ret_damage->first);
		keep(ret_damage);
	}
	return false;
}

bool
cubby__guard_check_live(const struct guard *guard, const void *object,
			struct guard_damage *ret_damage)
{
	return !guard->has_zones || (check(guard, object, GUARD_BEFORE,
					   GUARD_ZONE_LIVE, ret_damage) &&
				     check(guard, object, GUARD_AFTER,
					   GUARD_ZONE_LIVE, ret_damage));
}

bool
cubby__guard_check_free(const struct guard *guard, const void *object,
			struct guard_damage *ret_damage)
{
	if (guard->has_zones &&
	    !check(guard, object, GUARD_BEFORE, GUARD_ZONE_FREE, ret_damage))
		return false;
	if (guard->poisons && !check_poison(guard, object, ret_damage))
		return false;
	return !guard->has_zones ||
	       check(guard, object, GUARD_AFTER, GUARD_ZONE_FREE, ret_damage);
}

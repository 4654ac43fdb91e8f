/* SPDX-License-Identifier: MIT */
/* Each byte that is guarded is, and no other. */
#include "unit.h"

#include "guard.h"

#include <string.h>

static char memory[16384] __attribute__((aligned(4096)));

struct shape {
	size_t object_bytes, align_bytes;
	bool is_strong, has_zones, poisons;
};

static struct geometry geometry;

static struct guard
make_guard(const struct shape *shape)
{
	assert_int_equal(
		cubby__geometry_init(&geometry, shape->object_bytes,
				     shape->align_bytes, shape->is_strong,
				     shape->has_zones ? GUARD_ZONE_BYTES : 0),
		0);
	assert_true(2 * geometry.cell_bytes <= sizeof(memory));
	memset(memory, 0x11, sizeof(memory));
	return (struct guard){ .geometry = &geometry,
			       .word_bytes = shape->is_strong ? 8 : 0,
			       .has_zones = shape->has_zones,
			       .poisons = shape->poisons };
}

static bool
is_zone(const struct guard *guard, size_t offset)
{
	size_t prefix = geometry.prefix_bytes;

	return guard->has_zones && (offset < prefix - guard->word_bytes ||
				    offset >= prefix + geometry.object_bytes);
}

static bool
is_object(size_t offset)
{
	return offset >= geometry.prefix_bytes &&
	       offset < geometry.prefix_bytes + geometry.object_bytes;
}

/* Change one byte, and see what is said of it. */
static void
check_byte(const struct guard *guard, uint8_t *cell, size_t offset,
	   bool is_live)
{
	uint8_t *object = cell + geometry.prefix_bytes;
	struct guard_damage damage;
	uint8_t before = cell[offset];
	bool guarded = is_zone(guard, offset) ||
		       (!is_live && guard->poisons && is_object(offset));
	bool whole;

	cell[offset] = 0x42;
	whole = is_live ? cubby__guard_check_live(guard, object, &damage) :
			  cubby__guard_check_free(guard, object, &damage);
	cell[offset] = before;
	assert_int_equal(whole, !guarded);
	if (whole)
		return;
	assert_ptr_equal(damage.first, cell + offset);
	assert_int_equal(damage.n_bytes, 1);
	assert_int_equal(damage.found, 0x42);
	assert_int_equal(damage.bytes[0], 0x42);
	assert_int_equal(damage.expected, before);
	assert_int_equal(damage.place, is_object(offset)      ? GUARD_OBJECT :
				       cell + offset < object ? GUARD_BEFORE :
								GUARD_AFTER);
}

static void
check_shape(const struct shape *shape)
{
	struct guard guard = make_guard(shape);
	uint8_t *cell = (uint8_t *)memory + geometry.cell_bytes;
	uint8_t *object = cell + geometry.prefix_bytes;
	struct guard_damage damage;

	for (int is_live = 0; is_live < 2; is_live++) {
		if (is_live)
			cubby__guard_fill_live(&guard, object);
		else
			cubby__guard_fill_free(&guard, object);
		/* The cell's neighbours, and the word, are not touched. */
		assert_int_equal(cell[-1], 0x11);
		assert_int_equal(cell[geometry.cell_bytes], 0x11);
		for (size_t i = 1; i <= guard.word_bytes; i++)
			assert_int_equal(object[-i], 0x11);
		assert_true(is_live ? cubby__guard_check_live(&guard, object,
							      &damage) :
				      cubby__guard_check_free(&guard, object,
							      &damage));
		for (size_t i = 0; i < geometry.cell_bytes; i++)
			check_byte(&guard, cell, i, is_live);
	}
	if (shape->poisons) {
		assert_int_equal(object[geometry.object_bytes - 1], 0x5a);
		cubby__guard_fill_free(&guard, object);
		assert_int_equal(object[geometry.object_bytes - 1], 0xa5);
		if (geometry.object_bytes > 1)
			assert_int_equal(object[0], 0x6b);
	} else {
		for (size_t i = 0; i < geometry.object_bytes; i++)
			assert_int_equal(object[i], 0x11);
	}
}

static void
every_guarded_byte_is_seen(void **state)
{
	static const size_t sizes[] = { 1, 7, 8, 13, 24, 40, 64, 200, 1000 };
	static const size_t aligns[] = { 0, 1, 16, 64, 1024 };

	(void)state;
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (size_t j = 0; j < sizeof(aligns) / sizeof(aligns[0]); j++)
			for (unsigned bits = 0; bits < 8; bits++)
				check_shape(&(struct shape){
					sizes[i], aligns[j], bits & 1,
					bits & 2, bits & 4 });
}

static void
damage_reaches_from_the_first_to_the_last_byte(void **state)
{
	struct shape shape = { 40, 0, false, true, true };
	struct guard guard = make_guard(&shape);
	uint8_t *object = (uint8_t *)memory + geometry.cell_bytes +
			  geometry.prefix_bytes;
	struct guard_damage damage;

	(void)state;
	cubby__guard_fill_free(&guard, object);
	object[3] = object[30] = 1;
	assert_false(cubby__guard_check_free(&guard, object, &damage));
	assert_ptr_equal(damage.first, object + 3);
	assert_int_equal(damage.n_bytes, 28);
	assert_int_equal(damage.bytes[1], GUARD_FREED);
	object[39] = 2;
	assert_false(cubby__guard_check_free(&guard, object, &damage));
	assert_int_equal(damage.n_bytes, 37);
	cubby__guard_fill_free(&guard, object);
	object[38] = object[39] = 7;
	assert_false(cubby__guard_check_free(&guard, object, &damage));
	assert_ptr_equal(damage.first, object + 38);
	assert_int_equal(damage.n_bytes, 2);
	assert_int_equal(damage.bytes[1], 7);
	cubby__guard_fill_free(&guard, object);
	assert_true(cubby__guard_check_free(&guard, object, &damage));
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(every_guarded_byte_is_seen),
		cmocka_unit_test(
			damage_reaches_from_the_first_to_the_last_byte),
	};

	return cmocka_run_group_tests_name("guard", tests, NULL, NULL);
}

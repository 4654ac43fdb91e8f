/* SPDX-License-Identifier: MIT */
/*
 * Slots by name: found, refused, and answered with the name that was meant;
 * lib/layout.c says above name_distance() which one that is.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include <cubby/cubby.h>

#include <errno.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

#define TRUCK_SLOTS(SLOT)                                                     \
	SLOT(char[12], truck_id, "for example TRK-1001")                      \
	SLOT(double, lat, "degrees north")                                    \
	SLOT(double, lon, "degrees east")

CUBBY_LAYOUT(truck, TRUCK_SLOTS);

#define VEHICLE_SLOTS(SLOT)                                                   \
	SLOT(int, lat, "")                                                    \
	SLOT(int, lon, "")                                                    \
	SLOT(int, latitude, "")                                               \
	SLOT(int, MaxSpeed, "")                                               \
	SLOT(int, max_weight, "")                                             \
	SLOT(int, n_wheels, "")                                               \
	SLOT(int, colour, "")                                                 \
	SLOT(int, owner_name, "")                                             \
	SLOT(int, owner_mail, "")                                             \
	SLOT(int, x, "")                                                      \
	SLOT(int, id, "")

CUBBY_LAYOUT(vehicle, VEHICLE_SLOTS);

/* --------------------------------- names --------------------------------- */

static void
find_slot_every_name_is_found(void **state)
{
	(void)state;
	errno = EXDEV;
	for (uint32_t i = 0; i < vehicle_layout.n_slots; i++) {
		const struct cubby_slot *slot = NULL;
		const struct cubby_slot_name *name =
			&vehicle_layout.names->slots[i];

		assert_int_equal(cubby_layout_find_slot(&vehicle_layout,
							name->name, &slot),
				 0);
		assert_ptr_equal(slot, &vehicle_layout.slots[i]);
		assert_ptr_equal(cubby_layout_slot_name(&vehicle_layout, slot),
				 name);
	}
	assert_int_equal(errno, EXDEV);
}

static void
find_slot_null_argument_is_refused(void **state)
{
	const struct cubby_slot *slot = &truck_layout.slots[2];
	struct cubby_layout nameless = truck_layout;

	(void)state;
	assert_int_equal(cubby_layout_find_slot(NULL, "lat", &slot), -EINVAL);
	assert_string_equal(cubby_error_detail(), "layout is NULL");
	assert_int_equal(cubby_layout_find_slot(&truck_layout, NULL, &slot),
			 -EINVAL);
	assert_string_equal(cubby_error_detail(), "name is NULL");
	assert_int_equal(cubby_layout_find_slot(&truck_layout, "lat", NULL),
			 -EINVAL);
	assert_string_equal(cubby_error_detail(), "ret_slot is NULL");
	nameless.names = NULL;
	assert_int_equal(cubby_layout_find_slot(&nameless, "lat", &slot),
			 -EINVAL);
	assert_string_equal(cubby_error_detail(),
			    "the layout has no names, so slot 'lat' cannot be "
			    "found: was it compiled with CUBBY_NO_NAMES?");
	assert_ptr_equal(slot, &truck_layout.slots[2]);
}

static void
slot_name_of_a_foreign_slot_is_null(void **state)
{
	const struct cubby_slot *slots = truck_layout.slots;
	struct cubby_layout tail = truck_layout;
	struct cubby_layout nameless = truck_layout;

	(void)state;
	assert_null(cubby_layout_slot_name(&truck_layout, NULL));
	assert_null(cubby_layout_slot_name(NULL, &slots[0]));
	assert_null(cubby_layout_slot_name(&truck_layout,
					   &vehicle_layout.slots[0]));
	assert_null(cubby_layout_slot_name(&truck_layout, slots + 3));
	assert_null(cubby_layout_slot_name(
		&truck_layout, (const void *)((const char *)&slots[1] + 4)));

	/* in front of the table */
	tail.slots = slots + 1;
	tail.n_slots = 2;
	assert_null(cubby_layout_slot_name(&tail, &slots[0]));
	assert_non_null(cubby_layout_slot_name(&tail, &slots[1]));

	nameless.names = NULL;
	assert_null(cubby_layout_slot_name(&nameless, &slots[0]));
}

/* -------------------------------- suggestions ---------------------------- */

#define ONLY_SLOTS(SLOT) SLOT(int, only, "")

CUBBY_LAYOUT(single, ONLY_SLOTS);

#define PLACE_SLOTS(SLOT) SLOT(int, altitude, "") SLOT(int, lat, "")

CUBBY_LAYOUT(place, PLACE_SLOTS);

#define EIGHT_SLOTS(SLOT)                                                     \
	SLOT(int, slot1, "")                                                  \
	SLOT(int, slot2, "")                                                  \
	SLOT(int, slot3, "")                                                  \
	SLOT(int, slot4, "")                                                  \
	SLOT(int, slot5, "")                                                  \
	SLOT(int, slot6, "")                                                  \
	SLOT(int, slot7, "")                                                  \
	SLOT(int, slot8, "")

CUBBY_LAYOUT(eight, EIGHT_SLOTS);

#define MEANT(asked, near)                                                    \
	{                                                                     \
		&vehicle_layout, asked,                                       \
			"'vehicle' has no slot '" asked                       \
			"' (did you mean '" near "'?)"                        \
	}
#define VEHICLE_LISTING                                                       \
	"'; its slots are lat, lon, latitude, MaxSpeed, max_weight, "         \
	"n_wheels, colour, owner_name, ..."
#define UNLIKE(asked)                                                         \
	{                                                                     \
		&vehicle_layout, asked,                                       \
			"'vehicle' has no slot '" asked VEHICLE_LISTING       \
	}

static const struct {
	const struct cubby_layout *layout;
	const char *asked;
	const char *detail;
} unknown_names[] = {
	{ &truck_layout, "lattitude",
	  "'truck' has no slot 'lattitude' (did you mean 'lat'?)" },
	{ &truck_layout, "xyz",
	  "'truck' has no slot 'xyz'; its slots are truck_id, lat, lon" },
	{ &truck_layout, "",
	  "'truck' has no slot ''; its slots are truck_id, lat, lon" },
	{ &single_layout, "xyz",
	  "'single' has no slot 'xyz'; its slots are only" },
	{ &eight_layout, "xyz",
	  "'eight' has no slot 'xyz'; its slots are slot1, slot2, slot3, "
	  "slot4, slot5, slot6, slot7, slot8" },

	/* one edit: insert, delete, substitute, transpose */
	MEANT("colours", "colour"),
	MEANT("colur", "colour"),
	MEANT("kolour", "colour"),
	MEANT("oclour", "colour"),
	MEANT("lno", "lon"),
	/* two edits, also where they touch */
	MEANT("clooru", "colour"),
	MEANT("max_wheigth", "max_weight"),
	/* three in a name long enough */
	MEANT("onwer_nmea", "owner_name"),
	UNLIKE("culeurs"),
	/* case costs less than a letter, and only case least of all */
	MEANT("maxspeed", "MaxSpeed"),
	MEANT("LATITUDE", "latitude"),
	MEANT("LOn", "lon"),
	MEANT("Lan", "lat"),
	/* prefixes, either way, but the nearer name wins */
	MEANT("longitude", "lon"),
	MEANT("own", "owner_name"),
	MEANT("owner_m", "owner_mail"),
	MEANT("n", "n_wheels"),
	MEANT("Max", "MaxSpeed"),
	MEANT("lattitude", "latitude"),
	MEANT("xy", "x"),
	{ &place_layout, "lattitude",
	  "'place' has no slot 'lattitude' (did you mean 'lat'?)" },
	/* as near as each other: the first of the list */
	MEANT("lan", "lat"),
	MEANT("owner_", "owner_name"),
	/* nothing in common, or less than half of it */
	UNLIKE("foo"),
	UNLIKE("y"),
	UNLIKE("qq"),
	UNLIKE("height"),
};

static void
find_slot_unknown_name_is_answered_with_the_nearest(void **state)
{
	const struct cubby_slot *slot = NULL;

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(unknown_names); i++) {
		int err = cubby_layout_find_slot(unknown_names[i].layout,
						 unknown_names[i].asked,
						 &slot);

		assert_int_equal(err, -CUBBY_ENOSLOT);
		assert_string_equal(cubby_error_detail(),
				    unknown_names[i].detail);
		assert_null(slot);
	}
}

static void
find_slot_in_a_layout_without_slots_says_so(void **state)
{
	struct cubby_layout empty = truck_layout;
	const struct cubby_slot *slot;

	(void)state;
	empty.n_slots = 0;
	assert_int_equal(cubby_layout_find_slot(&empty, "lat", &slot),
			 -CUBBY_ENOSLOT);
	assert_string_equal(cubby_error_detail(),
			    "'truck' has no slot 'lat': it has none");
}

/* 63 bytes are compared, 64 are not; either way nothing is overrun. */
static void
find_slot_long_names_get_suggestions_up_to_63_bytes(void **state)
{
	static const struct {
		size_t asked_bytes, slot_bytes;
		bool suggested;
	} cases[] = {
		{ 62, 63, true },  { 63, 62, true },  { 63, 64, false },
		{ 64, 63, false }, { 64, 65, false }, { 500, 600, false },
	};

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(cases); i++) {
		char asked[501] = "", long_name[601] = "";
		struct cubby_slot_name slot_name = { long_name, "double", "" };
		struct cubby_layout_names names = { "long_names", &slot_name };
		struct cubby_layout layout = truck_layout;
		const struct cubby_slot *slot;
		const char *found;

		memset(asked, 'a', cases[i].asked_bytes);
		memset(long_name, 'a', cases[i].slot_bytes);
		layout.names = &names;
		layout.n_slots = 1;
		assert_int_equal(cubby_layout_verify(&layout), 0);
		assert_int_equal(cubby_layout_find_slot(&layout, asked, &slot),
				 -CUBBY_ENOSLOT);
		found = strstr(cubby_error_detail(), "did you mean");
		assert_int_equal(found != NULL, cases[i].suggested);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(find_slot_every_name_is_found),
		cmocka_unit_test(find_slot_null_argument_is_refused),
		cmocka_unit_test(slot_name_of_a_foreign_slot_is_null),
		cmocka_unit_test(
			find_slot_unknown_name_is_answered_with_the_nearest),
		cmocka_unit_test(find_slot_in_a_layout_without_slots_says_so),
		cmocka_unit_test(
			find_slot_long_names_get_suggestions_up_to_63_bytes),
	};

	return cmocka_run_group_tests_name("layout_find", tests, NULL, NULL);
}

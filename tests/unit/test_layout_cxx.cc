/* SPDX-License-Identifier: MIT */
/*
 * The public headers from C++11: a layout declared by the macro, one of a
 * struct that was there before, a cache by the plain form of its attributes,
 * an object's life.  Writes TAP; exit status 1 if a case failed.
 */
#include <cubby/cubby.h>

#include <cstdio>
#include <cstring>
#include <new>

static int n_cases;
static int n_failed;

static void
check(bool passed, const char *name)
{
	n_cases++;
	if (!passed)
		n_failed++;
	std::printf("%s %d - %s\n", passed ? "ok" : "not ok", n_cases, name);
	if (!passed && *cubby_error_detail() != '\0')
		std::printf("# detail: %s\n", cubby_error_detail());
}

struct point {
	int x, y;
};

enum colour { red, green };

#define EVERY_SLOTS(SLOT)                                                     \
	SLOT(bool, flag, "")                                                  \
	SLOT(signed char, i8, "")                                             \
	SLOT(unsigned char, u8, "")                                           \
	SLOT(int16_t, i16, "")                                                \
	SLOT(uint16_t, u16, "")                                               \
	SLOT(int32_t, i32, "")                                                \
	SLOT(uint32_t, u32, "")                                               \
	SLOT(int64_t, i64, "")                                                \
	SLOT(uint64_t, u64, "")                                               \
	SLOT(long long, i64_long, "")                                         \
	SLOT(unsigned long long, u64_long, "")                                \
	SLOT(float, f32, "")                                                  \
	SLOT(double, f64, "")                                                 \
	SLOT(colour, by_enum, "")                                             \
	SLOT(char[12], text, "")                                              \
	SLOT(int[4], array, "")                                               \
	SLOT(point, by_value, "")                                             \
	SLOT(const void *, pointer, "")                                       \
	SLOT(int (*)(void), function, "")                                     \
	SLOT(cubby_weak_slot, weak, "")                                       \
	SLOT(const struct cubby_weak_slot, const_weak, "")                    \
	SLOT(cubby_weak_slot[2], weak_array, "")

CUBBY_LAYOUT(every, EVERY_SLOTS);

static void
test_every_type()
{
	static const struct {
		const char *name;
		unsigned type;
		size_t offset_bytes, size_bytes;
	} expected[] = {
#define ROW(name, type)                                                       \
	{ #name, type, offsetof(every, name), sizeof(every::name) }
		ROW(flag, CUBBY_BOOL),
		ROW(i8, CUBBY_I8),
		ROW(u8, CUBBY_U8),
		ROW(i16, CUBBY_I16),
		ROW(u16, CUBBY_U16),
		ROW(i32, CUBBY_I32),
		ROW(u32, CUBBY_U32),
		ROW(i64, CUBBY_I64),
		ROW(u64, CUBBY_U64),
		ROW(i64_long, CUBBY_I64),
		ROW(u64_long, CUBBY_U64),
		ROW(f32, CUBBY_F32),
		ROW(f64, CUBBY_F64),
		ROW(by_enum, CUBBY_U32),
		ROW(text, CUBBY_TEXT),
		ROW(array, CUBBY_OPAQUE),
		ROW(by_value, CUBBY_OPAQUE),
		ROW(pointer, CUBBY_POINTER),
		ROW(function, CUBBY_POINTER),
		ROW(weak, CUBBY_WEAK),
		ROW(const_weak, CUBBY_WEAK),
		ROW(weak_array, CUBBY_OPAQUE),
#undef ROW
	};
	const uint32_t n_expected = sizeof(expected) / sizeof(expected[0]);

	check(every_layout.n_slots == n_expected, "layout_has_every_slot");
	for (uint32_t i = 0; i < n_expected; i++) {
		const cubby_slot *slot = nullptr;
		int err = cubby_layout_find_slot(&every_layout,
						 expected[i].name, &slot);

		check(err == 0 && slot == &every_layout.slots[i] &&
			      slot->type == expected[i].type &&
			      slot->offset_bytes == expected[i].offset_bytes &&
			      slot->size_bytes == expected[i].size_bytes,
		      expected[i].name);
	}
	check(cubby_layout_verify(&every_layout) == 0, "layout_verifies");
}

/* A type that C has not: constructor, default, method, private member. */
struct parcel {
	uint64_t number;
	char label[20];
	explicit parcel(uint64_t n) : number(n), label()
	{
	}
	int touched() const
	{
		return touches;
	}
	double weight = 1.5;

      private:
	int touches = 7;
};

#define PARCEL_SLOTS(SLOT)                                                    \
	SLOT(double, weight, "kilograms")                                     \
	SLOT(uint64_t, number, "")

/* offsetof in a class with private members is supported, not standard */
#pragma GCC diagnostic ignored "-Winvalid-offsetof"
CUBBY_LAYOUT_OF(parcel, PARCEL_SLOTS);

static void
test_layout_of()
{
	parcel sample(3);
	const cubby_slot *slot = nullptr;

	check(cubby_layout_verify(&parcel_layout) == 0,
	      "layout_of_class_verifies");
	check(cubby_layout_find_slot(&parcel_layout, "weight", &slot) == 0 &&
		      slot->offset_bytes == (size_t)((char *)&sample.weight -
						     (char *)&sample) &&
		      sample.touched() == 7,
	      "layout_of_class_has_the_members_offset");
}

#define TRUCK_SLOTS(SLOT)                                                     \
	SLOT(char[12], truck_id, "for example TRK-1001")                      \
	SLOT(double, lat, "degrees north")                                    \
	SLOT(double, lon, "degrees east")

CUBBY_LAYOUT(truck, TRUCK_SLOTS);

#define CAR_SLOTS(SLOT)                                                       \
	SLOT(char[12], car_id, "")                                            \
	SLOT(cubby_weak_slot, trailer, "what it pulls")

CUBBY_WEAK_LAYOUT(car, CAR_SLOTS);

/* With a constructor, so that it cannot be zeroed by hand. */
struct trailer {
	double weight;
	cubby_weak_slot puller;
	explicit trailer(double w) : weight(w), puller()
	{
	}
};

#define TRAILER_SLOTS(SLOT) SLOT(cubby_weak_slot, puller, "")

CUBBY_WEAK_LAYOUT_OF(trailer, TRAILER_SLOTS);

static void
test_weak_layouts()
{
	cubby_cache *cars = nullptr, *trailers = nullptr;
	cubby_cache_attr attr;

	check(car_layout.options == CUBBY_LAYOUT_WEAK &&
		      cubby_layout_verify(&car_layout) == 0 &&
		      car_layout.slots[1].type == CUBBY_WEAK,
	      "weak_layout_has_the_option_and_its_slot");
	check(trailer_layout.options == CUBBY_LAYOUT_WEAK &&
		      cubby_layout_verify(&trailer_layout) == 0 &&
		      trailer_layout.slots[0].offset_bytes == 8,
	      "weak_layout_of_class_has_the_option_and_its_slot");

	cubby_cache_attr_init(&attr);
	attr.weak = CUBBY_WEAK_STRONG;
	bool made = car_cache_create(&cars, &attr) == 0 &&
		    trailer_cache_create(&trailers, &attr) == 0;
	check(made, "weak_cache_create_works");
	if (!made)
		return;

	car *one = car_zalloc(cars);
	trailer *load = new (trailer_alloc(trailers)) trailer(3.5);
	cubby_weak handle = trailer_weak_of(trailers, load);
	cubby_weak_slot_set(&one->trailer, cubby_weak_of(trailers, load));
	check(handle != CUBBY_WEAK_NULL &&
		      cubby_weak_slot_handle(&one->trailer) == handle,
	      "weak_slot_holds_the_handle");
	trailer *held = trailer_weak_upgrade(trailers, handle);
	check(held == load && held->weight == 3.5,
	      "weak_upgrade_gives_the_object");
	cubby_ref_put(trailers, held);
	check(cubby_weak_free(trailers, handle) == 0 &&
		      trailer_weak_upgrade(trailers, handle) == nullptr,
	      "weak_upgrade_of_a_dead_object_gives_nothing");
	check(cubby_weak_slot_upgrade(&one->trailer, trailers) == nullptr &&
		      cubby_weak_slot_handle(&one->trailer) == CUBBY_WEAK_NULL,
	      "weak_slot_of_a_dead_object_is_cleared");
	car_free(cars, one);
	check(cubby_cache_destroy(cars) == 0 &&
		      cubby_cache_destroy(trailers) == 0,
	      "weak_caches_are_empty");
}

static void
test_object_life()
{
	cubby_cache *trucks = nullptr;
	cubby_cache_attr attr;

	cubby_cache_attr_init(&attr);
	attr.name = "lorries";
	attr.max_objects = 2;
	int err = truck_cache_create(&trucks, &attr);
	check(err == 0 && trucks != nullptr, "cache_create_plain_attr_works");
	if (err != 0)
		return;
	check(std::strcmp(cubby_cache_name(trucks), "lorries") == 0 &&
		      cubby_cache_cell_bytes(trucks) == sizeof(truck),
	      "cache_has_the_attributes");

	truck *first = truck_alloc(trucks);
	truck *second = truck_zalloc(trucks);
	check(first != nullptr && second != nullptr && first != second,
	      "alloc_gives_two_objects");
	check(second != nullptr && second->lat == 0 &&
		      second->truck_id[0] == '\0',
	      "zalloc_clears");
	check(truck_alloc(trucks) == nullptr, "alloc_over_max_objects_fails");
	check(cubby_cache_destroy(trucks) == -CUBBY_ELIVE,
	      "destroy_with_live_objects_is_refused");
	truck_free(trucks, first);
	truck_free(trucks, second);
	truck_free(trucks, nullptr);
	check(cubby_cache_destroy(trucks) == 0, "destroy_empty_cache_works");
}

static void
test_suggestion()
{
	const cubby_slot *slot = nullptr;

	check(cubby_layout_find_slot(&truck_layout, "lattitude", &slot) ==
			      -CUBBY_ENOSLOT &&
		      slot == nullptr &&
		      std::strcmp(cubby_error_detail(),
				  "'truck' has no slot 'lattitude' (did you "
				  "mean 'lat'?)") == 0,
	      "find_slot_unknown_name_is_answered_with_the_nearest");
}

int
main()
{
	test_every_type();
	test_layout_of();
	test_weak_layouts();
	test_object_life();
	test_suggestion();
	std::printf("1..%d\n", n_cases);
	return n_failed == 0 ? 0 : 1;
}

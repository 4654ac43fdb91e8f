/* SPDX-License-Identifier: MIT */
/*
 * What the macros of cubby/layout.h make of every C type, and each rule of
 * cubby_layout_verify() with its exact text.  Finding slots by name is
 * test_layout_find's.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include <cubby/cubby.h>

#include <errno.h>

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

/* ------------------------------ every C type ----------------------------- */

struct point {
	int x, y;
};

union number {
	int i;
	float f;
};

enum colour { RED, GREEN };
enum level { BELOW = -1, ABOVE };

typedef unsigned long word_alias;
typedef char id_text[12];
typedef int (*callback)(void *, int);
typedef struct point *point_alias;
typedef struct cubby_weak_slot weak_alias;

#define EVERY_SLOTS(SLOT)                                                     \
	SLOT(bool, flag, "")                                                  \
	SLOT(char, letter, "")                                                \
	SLOT(signed char, i8, "")                                             \
	SLOT(unsigned char, u8, "")                                           \
	SLOT(short, i16, "")                                                  \
	SLOT(unsigned short, u16, "")                                         \
	SLOT(int, i32, "")                                                    \
	SLOT(unsigned int, u32, "")                                           \
	SLOT(long, i64, "")                                                   \
	SLOT(unsigned long, u64, "")                                          \
	SLOT(long long, i64_long, "")                                         \
	SLOT(unsigned long long, u64_long, "")                                \
	SLOT(float, f32, "")                                                  \
	SLOT(double, f64, "")                                                 \
	SLOT(long double, extended, "")                                       \
	SLOT(double _Complex, complex_pair, "")                               \
	SLOT(int8_t, std_i8, "")                                              \
	SLOT(uint8_t, std_u8, "")                                             \
	SLOT(int16_t, std_i16, "")                                            \
	SLOT(uint16_t, std_u16, "")                                           \
	SLOT(int32_t, std_i32, "")                                            \
	SLOT(uint32_t, std_u32, "")                                           \
	SLOT(int64_t, std_i64, "")                                            \
	SLOT(uint64_t, std_u64, "")                                           \
	SLOT(size_t, std_size, "")                                            \
	SLOT(intptr_t, std_intptr, "")                                        \
	SLOT(word_alias, alias_u64, "")                                       \
	SLOT(enum colour, unsigned_enum, "")                                  \
	SLOT(enum level, signed_enum, "")                                     \
	SLOT(char[12], text, "")                                              \
	SLOT(char[1], text_of_one, "")                                        \
	SLOT(id_text, text_alias, "")                                         \
	SLOT(signed char[12], i8_array, "")                                   \
	SLOT(unsigned char[12], u8_array, "")                                 \
	SLOT(char[3][4], text_array, "")                                      \
	SLOT(int[4], int_array, "")                                           \
	SLOT(void *[2], pointer_array, "")                                    \
	SLOT(struct point, by_value, "")                                      \
	SLOT(struct point[2], struct_array, "")                               \
	SLOT(union number, by_union, "")                                      \
	SLOT(void *, pointer, "")                                             \
	SLOT(const void *, const_pointee, "")                                 \
	SLOT(char *, text_pointer, "")                                        \
	SLOT(struct point *, struct_pointer, "")                              \
	SLOT(struct incomplete *, incomplete_pointer, "")                     \
	SLOT(point_alias, alias_pointer, "")                                  \
	SLOT(void **, pointer_pointer, "")                                    \
	SLOT(int(*)[4], array_pointer, "")                                    \
	SLOT(int (*)(void), function, "")                                     \
	SLOT(callback, function_alias, "")                                    \
	SLOT(callback[2], function_array, "")                                 \
	SLOT(struct cubby_weak_slot, weak, "")                                \
	SLOT(weak_alias, alias_weak, "")                                      \
	SLOT(const struct cubby_weak_slot, const_weak, "")                    \
	SLOT(struct cubby_weak_slot[2], weak_array, "")                       \
	SLOT(struct cubby_weak_slot *, weak_pointer, "")

CUBBY_LAYOUT(every, EVERY_SLOTS);

#define CHAR_CODE ((char)-1 < 0 ? CUBBY_I8 : CUBBY_U8)

static const struct {
	const char *name;
	uint16_t type;
	size_t offset_bytes, size_bytes, align_bytes;
} expected_slots[] = {
#define ROW(name, type)                                                       \
	{                                                                     \
#name, type, offsetof(struct every, name),                    \
			sizeof(((struct every *)0)->name),                    \
			__alignof__(((struct every *)0)->name)                \
	}
	ROW(flag, CUBBY_BOOL),
	ROW(letter, CHAR_CODE),
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
	ROW(extended, CUBBY_OPAQUE),
	ROW(complex_pair, CUBBY_OPAQUE),
	ROW(std_i8, CUBBY_I8),
	ROW(std_u8, CUBBY_U8),
	ROW(std_i16, CUBBY_I16),
	ROW(std_u16, CUBBY_U16),
	ROW(std_i32, CUBBY_I32),
	ROW(std_u32, CUBBY_U32),
	ROW(std_i64, CUBBY_I64),
	ROW(std_u64, CUBBY_U64),
	ROW(std_size, CUBBY_U64),
	ROW(std_intptr, CUBBY_I64),
	ROW(alias_u64, CUBBY_U64),
	ROW(unsigned_enum, CUBBY_U32),
	ROW(signed_enum, CUBBY_I32),
	ROW(text, CUBBY_TEXT),
	ROW(text_of_one, CUBBY_TEXT),
	ROW(text_alias, CUBBY_TEXT),
	ROW(i8_array, CUBBY_OPAQUE),
	ROW(u8_array, CUBBY_OPAQUE),
	ROW(text_array, CUBBY_OPAQUE),
	ROW(int_array, CUBBY_OPAQUE),
	ROW(pointer_array, CUBBY_OPAQUE),
	ROW(by_value, CUBBY_OPAQUE),
	ROW(struct_array, CUBBY_OPAQUE),
	ROW(by_union, CUBBY_OPAQUE),
	ROW(pointer, CUBBY_POINTER),
	ROW(const_pointee, CUBBY_POINTER),
	ROW(text_pointer, CUBBY_POINTER),
	ROW(struct_pointer, CUBBY_POINTER),
	ROW(incomplete_pointer, CUBBY_POINTER),
	ROW(alias_pointer, CUBBY_POINTER),
	ROW(pointer_pointer, CUBBY_POINTER),
	ROW(array_pointer, CUBBY_POINTER),
	ROW(function, CUBBY_POINTER),
	ROW(function_alias, CUBBY_POINTER),
	ROW(function_array, CUBBY_OPAQUE),
	ROW(weak, CUBBY_WEAK),
	ROW(alias_weak, CUBBY_WEAK),
	ROW(const_weak, CUBBY_WEAK),
	ROW(weak_array, CUBBY_OPAQUE),
	ROW(weak_pointer, CUBBY_POINTER),
#undef ROW
};

static void
layout_every_c_type_is_described(void **state)
{
	(void)state;
	assert_int_equal(every_layout.n_slots, N_ELEMENTS(expected_slots));
	for (size_t i = 0; i < N_ELEMENTS(expected_slots); i++) {
		const struct cubby_slot *slot = &every_layout.slots[i];

		assert_string_equal(every_layout.names->slots[i].name,
				    expected_slots[i].name);
		if (slot->type != expected_slots[i].type)
			fail_msg("slot '%s' has type %s, expected %s",
				 expected_slots[i].name,
				 cubby_type_name(slot->type),
				 cubby_type_name(expected_slots[i].type));
		assert_int_equal(slot->offset_bytes,
				 expected_slots[i].offset_bytes);
		assert_int_equal(slot->size_bytes,
				 expected_slots[i].size_bytes);
		assert_int_equal(slot->align_bytes,
				 expected_slots[i].align_bytes);
		assert_int_equal(slot->options, 0);
	}
	assert_int_equal(cubby_layout_verify(&every_layout), 0);
}

static void
type_name_every_code_has_its_word(void **state)
{
	static const char *const words[] = {
		"opaque", "bool", "i8",   "u8",      "i16",
		"u16",    "i32",  "u32",  "i64",     "u64",
		"f32",    "f64",  "text", "pointer", "weak",
	};

	(void)state;
	assert_int_equal(N_ELEMENTS(words), CUBBY_WEAK + 1);
	for (uint32_t type = 0; type < N_ELEMENTS(words); type++)
		assert_string_equal(cubby_type_name(type), words[type]);
	assert_string_equal(cubby_type_name(N_ELEMENTS(words)), "?");
	assert_string_equal(cubby_type_name(UINT32_MAX), "?");
}

/* ------------------------------ declared layouts ------------------------- */

#define TRUCK_SLOTS(SLOT)                                                     \
	SLOT(char[12], truck_id, "for example TRK-1001")                      \
	SLOT(double, lat, "degrees north")                                    \
	SLOT(double, lon, "degrees east")

CUBBY_LAYOUT(truck, TRUCK_SLOTS);

/* A struct with private members, described out of order and in part. */
struct parcel {
	uint64_t secret;
	char label[20];
	const char *note;
	float weight;
};

#define PARCEL_SLOTS(SLOT)                                                    \
	SLOT(float, weight, "kilograms")                                      \
	SLOT(char[20], label, "")                                             \
	SLOT(const char *, note, "")

CUBBY_LAYOUT_OF(parcel, PARCEL_SLOTS);

struct page_record {
	_Alignas(4096) char bytes[8192];
};

#define PAGE_RECORD_SLOTS(SLOT) SLOT(char[8192], bytes, "")

CUBBY_LAYOUT_OF(page_record, PAGE_RECORD_SLOTS);

#define LARGEST_SLOTS(SLOT) SLOT(char[1 << 20], bytes, "")

CUBBY_LAYOUT(largest, LARGEST_SLOTS);

static void
layout_truck_has_sizes_and_texts(void **state)
{
	const struct cubby_slot_name *names = truck_layout.names->slots;

	(void)state;
	assert_int_equal(truck_layout.layout_bytes,
			 sizeof(struct cubby_layout));
	assert_int_equal(truck_layout.n_slots, 3);
	assert_int_equal(truck_layout.object_bytes, 32);
	assert_int_equal(sizeof(struct truck), 32);
	assert_int_equal(truck_layout.align_bytes, 8);
	assert_int_equal(truck_layout.options, 0);
	assert_null(truck_layout.base);
	assert_string_equal(truck_layout.names->name, "truck");
	assert_string_equal(names[0].name, "truck_id");
	assert_string_equal(names[0].c_type, "char[12]");
	assert_string_equal(names[0].doc, "for example TRK-1001");
	assert_string_equal(names[2].name, "lon");
	assert_string_equal(names[2].c_type, "double");
	assert_string_equal(names[2].doc, "degrees east");
	assert_int_equal(cubby_layout_verify(&truck_layout), 0);
}

static void
layout_hot_slot_is_sixteen_bytes(void **state)
{
	(void)state;
	assert_int_equal(sizeof(struct cubby_slot), 16);
	assert_int_equal(sizeof(struct cubby_layout), 48);
}

static void
layout_of_struct_describes_the_listed_members(void **state)
{
	const struct cubby_slot *slots = parcel_layout.slots;

	(void)state;
	assert_int_equal(parcel_layout.n_slots, 3);
	assert_int_equal(parcel_layout.object_bytes, sizeof(struct parcel));
	assert_int_equal(slots[0].offset_bytes,
			 offsetof(struct parcel, weight));
	assert_int_equal(slots[0].type, CUBBY_F32);
	assert_int_equal(slots[1].offset_bytes,
			 offsetof(struct parcel, label));
	assert_int_equal(slots[1].size_bytes, 20);
	assert_int_equal(slots[2].offset_bytes, offsetof(struct parcel, note));
	assert_string_equal(parcel_layout.names->slots[2].c_type,
			    "const char *");
	assert_int_equal(cubby_layout_verify(&parcel_layout), 0);
}

static void
layout_at_the_limits_verifies(void **state)
{
	(void)state;
	assert_int_equal(page_record_layout.align_bytes, 4096);
	assert_int_equal(cubby_layout_verify(&page_record_layout), 0);
	assert_int_equal(largest_layout.object_bytes, CUBBY_OBJECT_BYTES_MAX);
	assert_int_equal(cubby_layout_verify(&largest_layout), 0);
}

/* Layouts whose objects may have handles, of both kinds. */
#define CAR_SLOTS(SLOT)                                                       \
	SLOT(char[12], car_id, "for example CAR-1001")                        \
	SLOT(struct cubby_weak_slot, trailer, "what it pulls")

CUBBY_WEAK_LAYOUT(car, CAR_SLOTS);

struct trailer {
	uint64_t secret;
	struct cubby_weak_slot puller;
};

#define TRAILER_SLOTS(SLOT) SLOT(struct cubby_weak_slot, puller, "")

CUBBY_WEAK_LAYOUT_OF(trailer, TRAILER_SLOTS);

static void
weak_layout_has_the_option_and_its_slots(void **state)
{
	const struct cubby_slot *slot = NULL;

	(void)state;
	assert_int_equal(car_layout.options, CUBBY_LAYOUT_WEAK);
	assert_int_equal(cubby_layout_verify(&car_layout), 0);
	assert_int_equal(sizeof(struct car), 24);
	assert_int_equal(cubby_layout_find_slot(&car_layout, "trailer", &slot),
			 0);
	assert_int_equal(slot->type, CUBBY_WEAK);
	assert_int_equal(slot->offset_bytes, offsetof(struct car, trailer));
	assert_int_equal(slot->size_bytes, 8);
	assert_int_equal(slot->align_bytes, 8);
	assert_int_equal(slot->options, 0);
	assert_string_equal(car_layout.names->slots[1].c_type,
			    "struct cubby_weak_slot");

	assert_int_equal(trailer_layout.options, CUBBY_LAYOUT_WEAK);
	assert_int_equal(cubby_layout_verify(&trailer_layout), 0);
	assert_int_equal(trailer_layout.n_slots, 1);
	assert_int_equal(trailer_layout.slots[0].offset_bytes,
			 offsetof(struct trailer, puller));
	assert_int_equal(trailer_layout.slots[0].type, CUBBY_WEAK);
}

/* Calling them is test_weak_slot's. */
static void
weak_layout_wrappers_have_their_types(void **state)
{
	int (*create)(struct cubby_cache **,
		      const struct cubby_cache_attr *) = car_cache_create;
	struct car *(*alloc)(struct cubby_cache *) = car_alloc;
	cubby_weak (*of)(struct cubby_cache *,
			 const struct car *) = car_weak_of;
	struct car *(*get)(struct cubby_cache *, cubby_weak) = car_weak_get;
	struct trailer *(*upgrade)(struct cubby_cache *,
				   cubby_weak) = trailer_weak_upgrade;

	(void)state;
	assert_non_null(create);
	assert_non_null(alloc);
	assert_non_null(of);
	assert_non_null(get);
	assert_non_null(upgrade);
}

/* The wrappers have the documented types; calling them is test_cache's. */
static void
layout_wrappers_have_their_types(void **state)
{
	int (*create)(struct cubby_cache **,
		      const struct cubby_cache_attr *) = truck_cache_create;
	struct truck *(*alloc)(struct cubby_cache *) = truck_alloc;
	struct truck *(*zalloc)(struct cubby_cache *) = truck_zalloc;
	void (*release)(struct cubby_cache *, struct truck *) = truck_free;

	(void)state;
	assert_non_null(create);
	assert_non_null(alloc);
	assert_non_null(zalloc);
	assert_non_null(release);
}

/* ---------------------------- tables made by hand ------------------------ */

#define MADE_SLOTS 3

/* A good layout with everything in reach, so that a case breaks one thing. */
struct made {
	struct cubby_layout layout;
	struct cubby_slot slots[MADE_SLOTS];
	struct cubby_layout_names names;
	struct cubby_slot_name slot_names[MADE_SLOTS];
};

static void
make(struct made *made)
{
	*made = (struct made){
		.layout = {
			.layout_bytes = sizeof(struct cubby_layout),
			.n_slots = MADE_SLOTS,
			.object_bytes = 32,
			.align_bytes = 8,
			.slots = made->slots,
			.names = &made->names,
		},
		.slots = {
			{ 0, 12, CUBBY_TEXT, 1, 0 },
			{ 16, 8, CUBBY_F64, 8, 0 },
			{ 24, 8, CUBBY_F64, 8, 0 },
		},
		.names = { "truck", made->slot_names },
		.slot_names = {
			{ "truck_id", "char[12]", "" },
			{ "lat", "double", "" },
			{ "lon", "double", "" },
		},
	};
}

static int
setup(void **state)
{
	static struct made made;

	make(&made);
	*state = &made;
	return 0;
}

static void
verify_good_layouts_are_accepted(void **state)
{
	struct made *made = *state;

	assert_int_equal(cubby_layout_verify(&made->layout), 0);

	/* in any order of offsets */
	made->slots[1].offset_bytes = 24;
	made->slots[2].offset_bytes = 16;
	assert_int_equal(cubby_layout_verify(&made->layout), 0);

	/* a slot may ask for less alignment than its C type has */
	made->slots[1] = (struct cubby_slot){ 13, 8, CUBBY_F64, 1, 0 };
	made->slots[2].offset_bytes = 24;
	assert_int_equal(cubby_layout_verify(&made->layout), 0);

	made->layout.names = NULL;
	assert_int_equal(cubby_layout_verify(&made->layout), 0);

	made->layout.n_slots = 0;
	made->layout.slots = NULL;
	assert_int_equal(cubby_layout_verify(&made->layout), 0);
}

static void
verify_success_leaves_errno(void **state)
{
	struct made *made = *state;

	errno = EXDEV;
	assert_int_equal(cubby_layout_verify(&made->layout), 0);
	assert_int_equal(errno, EXDEV);
}

static void
verify_null_is_refused(void **state)
{
	(void)state;
	assert_int_equal(cubby_layout_verify(NULL), -EINVAL);
	assert_string_equal(cubby_error_detail(), "layout is NULL");
}

/* ------------------------- each rule, violated once ---------------------- */

struct violation {
	void (*break_it)(struct made *made);
	const char *detail;
};

#define BREAK(name, statement)                                                \
	static void break_##name(struct made *made)                           \
	{                                                                     \
		statement;                                                    \
	}

BREAK(layout_bytes_less, made->layout.layout_bytes = 40)
BREAK(layout_bytes_more, made->layout.layout_bytes = 56)
BREAK(name_null, made->names.name = NULL)
BREAK(name_empty, made->names.name = "")
BREAK(name_space, made->names.name = "big truck")
BREAK(name_digit, made->names.name = "2cv")
BREAK(options, made->layout.options = 1ull << 40)
BREAK(options_beside_weak, made->layout.options = CUBBY_LAYOUT_WEAK | 6)
BREAK(base, made->layout.base = &truck_layout)
BREAK(align_0, made->layout.align_bytes = 0)
BREAK(align_12, made->layout.align_bytes = 12)
BREAK(align_8192, made->layout.align_bytes = 8192)
BREAK(object_0, made->layout.object_bytes = 0)
BREAK(object_large, made->layout.object_bytes = (1 << 20) + 8)
BREAK(object_multiple, made->layout.object_bytes = 36)
BREAK(too_many, made->layout.n_slots = 33)
BREAK(slots_null, made->layout.slots = NULL)
BREAK(names_null, made->names.slots = NULL)
BREAK(slot_name_null, made->slot_names[1].name = NULL)
BREAK(slot_name_empty, made->slot_names[1].name = "")
BREAK(slot_name_digit, made->slot_names[1].name = "1at")
BREAK(slot_name_dash, made->slot_names[1].name = "l-at")
BREAK(slot_name_utf8, made->slot_names[1].name = "l\xc3\xa4t")
BREAK(slot_name_twice, made->slot_names[2].name = "truck_id")
BREAK(slot_c_type, made->slot_names[1].c_type = NULL)
BREAK(slot_doc, made->slot_names[2].doc = NULL)
BREAK(slot_options, made->slots[1].options = 6)
BREAK(slot_type, made->slots[1].type = 15)
BREAK(slot_empty, made->slots[0].size_bytes = 0)
BREAK(slot_beyond, made->slots[2].offset_bytes = 32)
BREAK(slot_wraps, made->slots[2].offset_bytes = UINT32_MAX - 7)
BREAK(slot_long, made->slots[0].size_bytes = 33)
BREAK(slot_align_0, made->slots[1].align_bytes = 0)
BREAK(slot_align_6, made->slots[1].align_bytes = 6)
BREAK(slot_align_16, made->slots[1].align_bytes = 16)
BREAK(slot_weak_align, made->slots[1].type = CUBBY_WEAK;
      made->slots[1].align_bytes = 4)
BREAK(slot_misplaced, made->slots[1].offset_bytes = 12)
BREAK(overlap_tail, made->slots[0].size_bytes = 17)
BREAK(overlap_same, made->slots[2].offset_bytes = 16)
BREAK(overlap_inside,
      made->slots[2] = ((struct cubby_slot){ 4, 2, CUBBY_I16, 2, 0 }))
BREAK(overlap_around,
      made->slots[2] = ((struct cubby_slot){ 15, 10, CUBBY_TEXT, 1, 0 }))
BREAK(nameless_slot, made->layout.names = NULL;
      made->slots[1].offset_bytes = 12)
BREAK(nameless_overlap, made->layout.names = NULL;
      made->slots[2].offset_bytes = 16)
BREAK(nameless_object, made->layout.names = NULL;
      made->layout.object_bytes = 0)

#define IDENTIFIER "identifier of A-Z, a-z, 0-9 and _"

static const struct violation violations[] = {
	{ break_layout_bytes_less,
	  "layout_bytes is 40, but this library's struct cubby_layout has 48 "
	  "bytes: compile the program with the library's own headers" },
	{ break_layout_bytes_more,
	  "layout_bytes is 56, but this library's struct cubby_layout has 48 "
	  "bytes: compile the program with the library's own headers" },
	{ break_name_null, "layout has names but names->name is NULL: set it, "
			   "or leave names NULL" },
	{ break_name_empty, "layout '': its name is not an " IDENTIFIER },
	{ break_name_space,
	  "layout 'big truck': its name is not an " IDENTIFIER },
	{ break_name_digit, "layout '2cv': its name is not an " IDENTIFIER },
	{ break_options, "layout 'truck': options 0x10000000000 are not known "
			 "to this version of Cubby: clear them" },
	{ break_options_beside_weak,
	  "layout 'truck': options 0x6 are not known "
	  "to this version of Cubby: clear them" },
	{ break_base, "layout 'truck': a base is not known to this version of "
		      "Cubby: must be NULL" },
	{ break_align_0, "layout 'truck': align_bytes 0 is not a power of two "
			 "from 1 to 4096" },
	{ break_align_12, "layout 'truck': align_bytes 12 is not a power of "
			  "two from 1 to 4096" },
	{ break_align_8192, "layout 'truck': align_bytes 8192 is not a power "
			    "of two from 1 to 4096" },
	{ break_object_0,
	  "layout 'truck': object_bytes 0 is not in 1 .. 1048576" },
	{ break_object_large,
	  "layout 'truck': object_bytes 1048584 is not in 1 .. 1048576" },
	{ break_object_multiple, "layout 'truck': object_bytes 36 is not a "
				 "multiple of align_bytes 8" },
	{ break_too_many,
	  "layout 'truck': n_slots 33 is more than the object's 32 bytes" },
	{ break_slots_null, "layout 'truck': n_slots is 3 but slots is NULL" },
	{ break_names_null, "layout 'truck': n_slots is 3 but names->slots is "
			    "NULL: name the slots, or leave names NULL" },
	{ break_slot_name_null, "layout 'truck': slot 1 has no name: NULL" },
	{ break_slot_name_empty,
	  "layout 'truck': slot 1: its name '' is not an " IDENTIFIER },
	{ break_slot_name_digit,
	  "layout 'truck': slot 1: its name '1at' is not an " IDENTIFIER },
	{ break_slot_name_dash,
	  "layout 'truck': slot 1: its name 'l-at' is not an " IDENTIFIER },
	{ break_slot_name_utf8, "layout 'truck': slot 1: its name "
				"'l\xc3\xa4t' is not an " IDENTIFIER },
	{ break_slot_name_twice,
	  "layout 'truck': slots 0 and 2 are both named 'truck_id'" },
	{ break_slot_c_type, "layout 'truck': slot 'lat' (offset 16, 8 bytes) "
			     "has the C type NULL: must be text" },
	{ break_slot_doc,
	  "layout 'truck': slot 'lon' (offset 24, 8 bytes) has "
	  "the documentation NULL: must be text, \"\" if there "
	  "is none" },
	{ break_slot_options,
	  "layout 'truck': slot 'lat' (offset 16, 8 bytes) has options 0x6, "
	  "which are not known to this version of Cubby: must be 0" },
	{ break_slot_type, "layout 'truck': slot 'lat' (offset 16, 8 bytes) "
			   "has the unknown type 15" },
	{ break_slot_empty, "layout 'truck': slot 'truck_id' (offset 0, 0 "
			    "bytes) is empty: must have 1 byte or more" },
	{ break_slot_beyond, "layout 'truck': slot 'lon' (offset 32, 8 bytes) "
			     "reaches beyond the object's 32 bytes" },
	{ break_slot_wraps,
	  "layout 'truck': slot 'lon' (offset 4294967288, 8 bytes) reaches "
	  "beyond the object's 32 bytes" },
	{ break_slot_long,
	  "layout 'truck': slot 'truck_id' (offset 0, 33 bytes) reaches "
	  "beyond the object's 32 bytes" },
	{ break_slot_align_0,
	  "layout 'truck': slot 'lat' (offset 16, 8 bytes) "
	  "has align_bytes 0, not a power of two" },
	{ break_slot_align_6,
	  "layout 'truck': slot 'lat' (offset 16, 8 bytes) "
	  "has align_bytes 6, not a power of two" },
	{ break_slot_align_16,
	  "layout 'truck': slot 'lat' (offset 16, 8 bytes) has align_bytes "
	  "16, more than the layout's 8" },
	{ break_slot_weak_align,
	  "layout 'truck': slot 'lat' (offset 16, 8 bytes) has type weak, "
	  "which is read and written atomically, but align_bytes 4: must be 8 "
	  "or more" },
	{ break_slot_misplaced, "layout 'truck': slot 'lat' (offset 12, 8 "
				"bytes) is not aligned to 8" },
	{ break_overlap_tail,
	  "layout 'truck': slot 'lat' (offset 16, 8 bytes) overlaps slot "
	  "'truck_id' (offset 0, 17 bytes)" },
	{ break_overlap_same,
	  "layout 'truck': slot 'lon' (offset 16, 8 bytes) overlaps slot "
	  "'lat' (offset 16, 8 bytes)" },
	{ break_overlap_inside,
	  "layout 'truck': slot 'lon' (offset 4, 2 bytes) overlaps slot "
	  "'truck_id' (offset 0, 12 bytes)" },
	{ break_overlap_around,
	  "layout 'truck': slot 'lon' (offset 15, 10 bytes) overlaps slot "
	  "'lat' (offset 16, 8 bytes)" },
	{ break_nameless_slot, "layout without names: slot 1 (offset 12, 8 "
			       "bytes) is not aligned to 8" },
	{ break_nameless_overlap,
	  "layout without names: slot 2 (offset 16, 8 bytes) overlaps slot 1 "
	  "(offset 16, 8 bytes)" },
	{ break_nameless_object,
	  "layout without names: object_bytes 0 is not in 1 .. 1048576" },
};

static void
verify_each_violation_is_refused_with_its_text(void **state)
{
	struct made *made = *state;

	for (size_t i = 0; i < N_ELEMENTS(violations); i++) {
		make(made);
		violations[i].break_it(made);
		assert_int_equal(cubby_layout_verify(&made->layout),
				 -CUBBY_ELAYOUT);
		assert_string_equal(cubby_error_detail(),
				    violations[i].detail);
	}
}

/* Every type with a size, given one byte more. */
static void
verify_size_other_than_the_types_is_refused(void **state)
{
	static const uint32_t sizes[] = {
		[CUBBY_BOOL] = 1, [CUBBY_I8] = 1,  [CUBBY_U8] = 1,
		[CUBBY_I16] = 2,  [CUBBY_U16] = 2, [CUBBY_I32] = 4,
		[CUBBY_U32] = 4,  [CUBBY_I64] = 8, [CUBBY_U64] = 8,
		[CUBBY_F32] = 4,  [CUBBY_F64] = 8, [CUBBY_POINTER] = 8,
		[CUBBY_WEAK] = 8,
	};
	struct made *made = *state;
	struct cubby_slot *slot = &made->slots[0];

	for (uint16_t type = 0; type < N_ELEMENTS(sizes); type++) {
		char detail[128];

		*slot = (struct cubby_slot){ 0, 9, type, 8, 0 };
		if (sizes[type] == 0) {
			assert_int_equal(cubby_layout_verify(&made->layout),
					 0);
			continue;
		}
		assert_int_equal(cubby_layout_verify(&made->layout),
				 -CUBBY_ELAYOUT);
		snprintf(detail, sizeof(detail),
			 "layout 'truck': slot 'truck_id' (offset 0, 9 bytes) "
			 "has type %s, which is %u bytes",
			 cubby_type_name(type), sizes[type]);
		assert_string_equal(cubby_error_detail(), detail);

		slot->size_bytes = sizes[type];
		assert_int_equal(cubby_layout_verify(&made->layout), 0);
	}
}

/* A list that names a member twice compiles in CUBBY_LAYOUT_OF. */
#define TWICE_SLOTS(SLOT) SLOT(float, weight, "") SLOT(float, weight, "")

struct crate {
	float weight;
	float height;
};
CUBBY_LAYOUT_OF(crate, TWICE_SLOTS);

static void
verify_member_listed_twice_is_refused(void **state)
{
	(void)state;
	assert_int_equal(cubby_layout_verify(&crate_layout), -CUBBY_ELAYOUT);
	assert_string_equal(cubby_error_detail(),
			    "layout 'crate': slots 0 and 1 are both named "
			    "'weight'");
}

struct __attribute__((packed)) tight {
	char tag;
	double value;
};

#define TIGHT_SLOTS(SLOT) SLOT(char, tag, "") SLOT(double, value, "")

CUBBY_LAYOUT_OF(tight, TIGHT_SLOTS);

static void
verify_packed_struct_is_refused(void **state)
{
	(void)state;
	assert_int_equal(cubby_layout_verify(&tight_layout), -CUBBY_ELAYOUT);
	assert_string_equal(cubby_error_detail(),
			    "layout 'tight': slot 'value' (offset 1, 8 bytes) "
			    "has align_bytes 8, more than the layout's 1");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(layout_every_c_type_is_described),
		cmocka_unit_test(type_name_every_code_has_its_word),
		cmocka_unit_test(layout_truck_has_sizes_and_texts),
		cmocka_unit_test(layout_hot_slot_is_sixteen_bytes),
		cmocka_unit_test(
			layout_of_struct_describes_the_listed_members),
		cmocka_unit_test(layout_at_the_limits_verifies),
		cmocka_unit_test(weak_layout_has_the_option_and_its_slots),
		cmocka_unit_test(weak_layout_wrappers_have_their_types),
		cmocka_unit_test(layout_wrappers_have_their_types),
		cmocka_unit_test_setup(verify_good_layouts_are_accepted,
				       setup),
		cmocka_unit_test_setup(verify_success_leaves_errno, setup),
		cmocka_unit_test(verify_null_is_refused),
		cmocka_unit_test_setup(
			verify_each_violation_is_refused_with_its_text, setup),
		cmocka_unit_test_setup(
			verify_size_other_than_the_types_is_refused, setup),
		cmocka_unit_test(verify_member_listed_twice_is_refused),
		cmocka_unit_test(verify_packed_struct_is_refused),
	};

	return cmocka_run_group_tests_name("layout", tests, NULL, NULL);
}

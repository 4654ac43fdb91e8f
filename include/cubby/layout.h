/* SPDX-License-Identifier: MIT */
/*
 * cubby/layout.h - a type's slots, declared once.
 *
 * One list names the slots: C type, name, documentation.
 *
 *	#define TRUCK_SLOTS(SLOT)                                    \
 *		SLOT(char[12], truck_id, "for example TRK-1001")     \
 *		SLOT(double, lat, "degrees north")                   \
 *		SLOT(double, lon, "degrees east")
 *
 *	CUBBY_LAYOUT(truck, TRUCK_SLOTS);
 *
 * declares, at file scope, in C and in C++:
 *
 *	struct truck { char truck_id[12]; double lat; double lon; };
 *	static const struct cubby_layout truck_layout;
 *	int truck_cache_create(struct cubby_cache **ret_cache,
 *			       const struct cubby_cache_attr *attr);
 *	struct truck *truck_alloc(struct cubby_cache *cache);
 *	struct truck *truck_zalloc(struct cubby_cache *cache);
 *	void truck_free(struct cubby_cache *cache, struct truck *object);
 *
 * so those names must be free.  The slots keep the list's order and C's own
 * offsets; an object is the struct, without a header.  A type that cannot be
 * written in front of a name goes through __typeof__, which the list does by
 * itself: `char[12]`, `int (*)(void)` and `struct point` are all fine.
 *
 * A tag is a struct's tag, and a type has no comma outside parentheses.
 *
 * The plain form: write the struct yourself and describe it with
 * CUBBY_LAYOUT_OF(tag, SLOTS) (same list; a type that differs from the member's
 * does not compile), or fill the tables below by hand: they are ordinary const
 * data, and cubby_layout_verify() checks them.
 *
 * Shape of memory: a layout has a hot half (struct cubby_layout and its slots:
 * numbers only) and a reflection half (struct cubby_layout_names: text only),
 * joined by one pointer.  With CUBBY_NO_NAMES defined before the include, the
 * macros leave that pointer NULL and no text is linked; slots can then not be
 * found by name, and a cache needs a name in its attributes.
 */
#ifndef CUBBY_LAYOUT_H
#define CUBBY_LAYOUT_H

#include <cubby/base.h>

CUBBY_BEGIN_DECLS

/* The largest object, and so the largest offset + size of a slot. */
#define CUBBY_OBJECT_BYTES_MAX ((size_t)1 << 20)

/* What a slot holds.  Numbers are never reused: they are part of the ABI. */
enum cubby_type {
	CUBBY_OPAQUE = 0, /* a struct, an array, anything else: bytes */
	CUBBY_BOOL = 1,
	CUBBY_I8 = 2,
	CUBBY_U8 = 3,
	CUBBY_I16 = 4,
	CUBBY_U16 = 5,
	CUBBY_I32 = 6,
	CUBBY_U32 = 7,
	CUBBY_I64 = 8,
	CUBBY_U64 = 9,
	CUBBY_F32 = 10,
	CUBBY_F64 = 11,
	CUBBY_TEXT = 12,    /* char[N]: up to N bytes, NUL-padded */
	CUBBY_POINTER = 13, /* a pointer to anything */
	CUBBY_WEAK = 14     /* struct cubby_weak_slot: refers to an object */
};

/* Bits of cubby_layout.options. */
#define CUBBY_LAYOUT_WEAK (1ull << 0) /* its objects may have weak handles */

/*
 * A slot that refers weakly to an object: a handle of it, or 0.  Used by the
 * cubby_weak_slot_ functions of cubby/weak.h.
 */
struct cubby_weak_slot {
	uint64_t handle;
};

/* The hot half of a slot: 16 bytes, no text. */
struct cubby_slot {
	uint32_t offset_bytes; /* from the object's first byte */
	uint32_t size_bytes;
	uint16_t type;        /* enum cubby_type */
	uint16_t align_bytes; /* a power of two */
	uint32_t options;     /* 0; other bits are refused by this version */
};

/* The reflection half of a slot. */
struct cubby_slot_name {
	const char *name;   /* a C identifier */
	const char *c_type; /* as it was written in the list: "char[12]" */
	const char *doc;    /* what the list says, "" if nothing */
};

/* The reflection half of a layout; `slots` runs parallel to its slots. */
struct cubby_layout_names {
	const char *name; /* a C identifier */
	const struct cubby_slot_name *slots;
};

struct cubby_layout {
	uint32_t layout_bytes; /* sizeof(struct cubby_layout) */
	uint32_t n_slots;
	uint32_t object_bytes; /* 1 .. CUBBY_OBJECT_BYTES_MAX */
	uint32_t align_bytes;  /* a power of two, at most 4096 */
	uint64_t options;      /* CUBBY_LAYOUT_WEAK; other bits are refused */
	const struct cubby_layout *base; /* NULL in this version */
	const struct cubby_slot *slots;
	const struct cubby_layout_names *names; /* NULL if built without */
};

/*
 * Check a layout's tables: sizes in range, alignments powers of two, every
 * slot inside the object and aligned, no two slots over each other, names
 * that are C identifiers and distinct, options that this version knows.
 * cubby_cache_create() does it by itself.
 *
 * Returns 0, -EINVAL (NULL) or -CUBBY_ELAYOUT; the detail names the slot.
 * Threads: MT-safe.  Cost: quadratic in the number of slots.
 */
CUBBY_API CUBBY_MUST_USE int
cubby_layout_verify(const struct cubby_layout *layout);

/*
 * Find a slot by its name.
 *
 * @layout: a verified layout with names.
 * @name: NUL-terminated, exact: case counts.
 * @ret_slot: the slot, static as the layout is; written only on success.
 *
 * Returns 0; -CUBBY_ENOSLOT for a name that the layout does not have, with a
 * detail like "'truck' has no slot 'lattitude' (did you mean 'lat'?)" (the
 * nearest name by edit distance, if any is near); -EINVAL for a NULL argument
 * or a layout without names.
 * Threads: MT-safe, async-signal-safe when it succeeds.
 * Cost: a comparison of names per slot.
 */
CUBBY_API CUBBY_MUST_USE int
cubby_layout_find_slot(const struct cubby_layout *layout, const char *name,
		       const struct cubby_slot **ret_slot);

/*
 * The names of a slot of this layout; NULL if the layout has none or `slot`
 * is not one of its slots.
 */
CUBBY_API const struct cubby_slot_name *
cubby_layout_slot_name(const struct cubby_layout *layout,
		       const struct cubby_slot *slot);

/* "u32", "text", ...: the word for an enum cubby_type; "?" for no type. */
CUBBY_API const char *cubby_type_name(uint32_t type);

CUBBY_END_DECLS

/* ------------------------------------------------------------------------ *
 * The declaration macros.
 *
 * A list is expanded several times, each time with another macro in place
 * of SLOT.  A use of SLOT has three arguments and does not name the struct;
 * CUBBY__HOT_ENTRY(tag) smuggles the name in: it expands to the *beginning*
 * of a table entry, which ends in the name of a function-like macro that then
 * takes SLOT's own argument list and writes the end.
 * ------------------------------------------------------------------------ */

/* clang-format off */

#ifdef __cplusplus

template <typename T, bool is_enum> struct cubby__type_of_other {
	static constexpr uint16_t value = CUBBY_OPAQUE;
};
template <typename T>
struct cubby__type_of : cubby__type_of_other<T, __is_enum(T)> {};
template <typename T> struct cubby__type_of<const T> : cubby__type_of<T> {};
template <typename T> struct cubby__type_of<volatile T> : cubby__type_of<T> {};
template <typename T>
struct cubby__type_of<const volatile T> : cubby__type_of<T> {};
template <typename T> struct cubby__type_of<T *> {
	static constexpr uint16_t value = CUBBY_POINTER;
};
template <size_t n> struct cubby__type_of<char[n]> {
	static constexpr uint16_t value = CUBBY_TEXT;
};
template <size_t n> struct cubby__type_of<const char[n]> {
	static constexpr uint16_t value = CUBBY_TEXT;
};
#define CUBBY__TYPE_IS(T, code)                                               \
	template <> struct cubby__type_of<T> {                                \
		static constexpr uint16_t value = (code);                     \
	};
CUBBY__TYPE_IS(bool, CUBBY_BOOL)
CUBBY__TYPE_IS(char, (char)-1 < 0 ? CUBBY_I8 : CUBBY_U8)
CUBBY__TYPE_IS(signed char, CUBBY_I8)
CUBBY__TYPE_IS(unsigned char, CUBBY_U8)
CUBBY__TYPE_IS(short, CUBBY_I16)
CUBBY__TYPE_IS(unsigned short, CUBBY_U16)
CUBBY__TYPE_IS(int, CUBBY_I32)
CUBBY__TYPE_IS(unsigned int, CUBBY_U32)
CUBBY__TYPE_IS(long, CUBBY_I64)
CUBBY__TYPE_IS(unsigned long, CUBBY_U64)
CUBBY__TYPE_IS(long long, CUBBY_I64)
CUBBY__TYPE_IS(unsigned long long, CUBBY_U64)
CUBBY__TYPE_IS(float, CUBBY_F32)
CUBBY__TYPE_IS(double, CUBBY_F64)
CUBBY__TYPE_IS(struct cubby_weak_slot, CUBBY_WEAK)
#undef CUBBY__TYPE_IS

/* An enum is what it is stored in, as in C. */
template <typename T>
struct cubby__type_of_other<T, true>
	: cubby__type_of<__underlying_type(T)> {};

#define CUBBY__TYPE_OF(ctype) (cubby__type_of<__typeof__(ctype)>::value)
#define CUBBY__SAME_TYPE __is_same

#else /* C */

/* An array decays under a comma, a pointer does not. */
#define CUBBY__IS_POINTER(ctype)                                              \
	(__builtin_classify_type(*(__typeof__(ctype) *)0) ==                  \
		 __builtin_classify_type((void *)0) &&                        \
	 __builtin_types_compatible_p(                                        \
		 __typeof__(ctype),                                           \
		 __typeof__(((void)0, *(__typeof__(ctype) *)0))))

#define CUBBY__TYPE_OF(ctype)                                                 \
	(__builtin_types_compatible_p(__typeof__(ctype),                      \
				      char[sizeof(ctype)]) ?                  \
		 CUBBY_TEXT :                                                 \
	 CUBBY__IS_POINTER(ctype) ?                                           \
		 CUBBY_POINTER :                                              \
		 _Generic(*(__typeof__(ctype) *)0,                                             \
			_Bool: CUBBY_BOOL,                                    \
			char: (char)-1 < 0 ? CUBBY_I8 : CUBBY_U8,             \
			signed char: CUBBY_I8,                                \
			unsigned char: CUBBY_U8,                              \
			short: CUBBY_I16,                                     \
			unsigned short: CUBBY_U16,                            \
			int: CUBBY_I32,                                       \
			unsigned int: CUBBY_U32,                              \
			long: CUBBY_I64,                                      \
			unsigned long: CUBBY_U64,                             \
			long long: CUBBY_I64,                                 \
			unsigned long long: CUBBY_U64,                        \
			float: CUBBY_F32,                                     \
			double: CUBBY_F64,                                    \
			struct cubby_weak_slot: CUBBY_WEAK,                   \
			default: CUBBY_OPAQUE))
#define CUBBY__SAME_TYPE __builtin_types_compatible_p

#endif

/* The struct. */
#define CUBBY__MEMBER(ctype, name, doc) __typeof__(ctype) name;

/* The hot table: { offset, size, type, align, options }. */
#define CUBBY__HOT_ENTRY(tag)                                                 \
	{ (uint32_t)__builtin_offsetof(struct tag, CUBBY__HOT_ENTRY_END
#define CUBBY__HOT_ENTRY_END(ctype, name, doc)                                \
		name), (uint32_t)sizeof(ctype),                               \
		(uint16_t)CUBBY__TYPE_OF(ctype),                              \
		(uint16_t)CUBBY__ALIGNOF(__typeof__(ctype)), 0 },

/* The reflection table: { name, C type, documentation }. */
#define CUBBY__NAME_ENTRY(ctype, name, doc) { #name, #ctype, doc },

/* In CUBBY_LAYOUT_OF, the list's type must be the member's. */
#define CUBBY__CHECK_ENTRY(tag)                                               \
	CUBBY__STATIC_ASSERT(CUBBY__SAME_TYPE(                                \
		__typeof__(((struct tag *)0)->CUBBY__CHECK_ENTRY_END
#define CUBBY__CHECK_ENTRY_END(ctype, name, doc)                              \
		name), __typeof__(ctype)),                                    \
		"slot '" #name "' has another type in its struct");

#ifdef CUBBY_NO_NAMES
#define CUBBY__NAMES(tag, SLOTS)
#define CUBBY__NAMES_OF(tag) NULL
#else
#define CUBBY__NAMES(tag, SLOTS)                                              \
	static const struct cubby_slot_name tag##__slot_names[] = {           \
		SLOTS(CUBBY__NAME_ENTRY)                                      \
	};                                                                    \
	static const struct cubby_layout_names tag##__layout_names = {        \
		#tag, tag##__slot_names                                       \
	};
#define CUBBY__NAMES_OF(tag) &tag##__layout_names
#endif

#define CUBBY__TABLES(tag, SLOTS, options)                                    \
	CUBBY__STATIC_ASSERT(sizeof(struct tag) <= CUBBY_OBJECT_BYTES_MAX,    \
			     "struct " #tag " is larger than 1 MiB");         \
	static const struct cubby_slot tag##__slots[] = {                     \
		SLOTS(CUBBY__HOT_ENTRY(tag))                                  \
	};                                                                    \
	CUBBY__NAMES(tag, SLOTS)                                              \
	__attribute__((unused)) static const struct cubby_layout              \
		tag##_layout = {                                              \
			(uint32_t)sizeof(struct cubby_layout),                \
			(uint32_t)(sizeof(tag##__slots) /                     \
				   sizeof(tag##__slots[0])),                  \
			(uint32_t)sizeof(struct tag),                         \
			(uint32_t)CUBBY__ALIGNOF(struct tag),                 \
			options, NULL, tag##__slots, CUBBY__NAMES_OF(tag)     \
		};

#define CUBBY__WRAPPERS(tag)                                                  \
	__attribute__((unused)) CUBBY_MUST_USE static inline int              \
	tag##_cache_create(struct cubby_cache **ret_cache,                    \
			   const struct cubby_cache_attr *attr)               \
	{                                                                     \
		return cubby_cache_create(ret_cache, &tag##_layout, attr);    \
	}                                                                     \
	__attribute__((unused)) CUBBY_MUST_USE static inline struct tag *     \
	tag##_alloc(struct cubby_cache *cache)                                \
	{                                                                     \
		return (struct tag *)cubby_alloc(cache);                      \
	}                                                                     \
	__attribute__((unused)) CUBBY_MUST_USE static inline struct tag *     \
	tag##_zalloc(struct cubby_cache *cache)                               \
	{                                                                     \
		return (struct tag *)cubby_zalloc(cache);                     \
	}                                                                     \
	__attribute__((unused)) static inline void                            \
	tag##_free(struct cubby_cache *cache, struct tag *object)             \
	{                                                                     \
		cubby_free(cache, object);                                    \
	}

#define CUBBY__LAYOUT_OPTIONS(tag, SLOTS, options)                            \
	struct tag {                                                          \
		SLOTS(CUBBY__MEMBER)                                          \
	};                                                                    \
	CUBBY__TABLES(tag, SLOTS, options)                                    \
	CUBBY__WRAPPERS(tag)

#define CUBBY__LAYOUT_OF_OPTIONS(tag, SLOTS, options)                         \
	SLOTS(CUBBY__CHECK_ENTRY(tag))                                        \
	CUBBY__TABLES(tag, SLOTS, options)                                    \
	CUBBY__WRAPPERS(tag)

/*
 * Declare struct `tag`, its layout and its typed wrappers from one list.  At
 * file scope, ended by a semicolon.
 */
#define CUBBY_LAYOUT(tag, SLOTS)                                              \
	CUBBY__LAYOUT_OPTIONS(tag, SLOTS, 0)                                  \
	struct tag

/*
 * The same for a struct that is already written; the list may leave members
 * out (they are then private: not found by name).
 */
#define CUBBY_LAYOUT_OF(tag, SLOTS)                                           \
	CUBBY__LAYOUT_OF_OPTIONS(tag, SLOTS, 0)                               \
	struct tag

/* clang-format on */

#endif /* CUBBY_LAYOUT_H */

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 2: layout - a type's slots: checking its tables, finding by name
 *
 * Pure: reads const tables, writes nothing but the error detail.  Three parts:
 * the types, the check of a layout, and the search with its suggestion.  Over
 * 500 lines because each rule below has a message of its own.
 *
 * What cubby_layout_verify() has checked, everything else may rely on:
 *
 *   L1  1 <= object_bytes <= CUBBY_OBJECT_BYTES_MAX, a multiple of align_bytes
 *   L2  every align_bytes is a power of two, a slot's at most its layout's,
 *       and a slot's offset is a multiple of its own; a weak slot's is 8 or
 *       more, as it is read and written atomically
 *   L3  every slot has 1 or more bytes, all of them inside the object, and no
 *       byte belongs to two slots; so there are at most object_bytes slots
 *   L4  every type is known, and a slot of a type with a size has that size
 *   L5  with names: the layout's and every slot's is an identifier of A-Z,
 *       a-z, 0-9 and _, the slots' are distinct, and no text is NULL
 *   L6  options has no bit but CUBBY_LAYOUT_WEAK; those of slots and base,
 *       which this version does not know, are 0 and NULL
 */
#include <cubby/cache.h>
#include <cubby/error.h>
#include <cubby/layout.h>

#include "bits.h"
#include "error.h"
#include "text.h"

#include <errno.h>
#include <string.h>

ERROR_ROW(CUBBY_ENOSLOT, "the layout has no slot of that name");
ERROR_ROW(CUBBY_ELAYOUT, "the layout's tables contradict themselves");

/* --------------------------------- types --------------------------------- */

struct type_info {
	const char *name;
	uint32_t size_bytes; /* 0: any */
};

static const struct type_info types[] = {
	[CUBBY_OPAQUE] = { "opaque", 0 }, [CUBBY_BOOL] = { "bool", 1 },
	[CUBBY_I8] = { "i8", 1 },         [CUBBY_U8] = { "u8", 1 },
	[CUBBY_I16] = { "i16", 2 },       [CUBBY_U16] = { "u16", 2 },
	[CUBBY_I32] = { "i32", 4 },       [CUBBY_U32] = { "u32", 4 },
	[CUBBY_I64] = { "i64", 8 },       [CUBBY_U64] = { "u64", 8 },
	[CUBBY_F32] = { "f32", 4 },       [CUBBY_F64] = { "f64", 8 },
	[CUBBY_TEXT] = { "text", 0 },     [CUBBY_POINTER] = { "pointer", 8 },
	[CUBBY_WEAK] = { "weak", 8 },
};

const char *
cubby_type_name(uint32_t type)
{
	return type < ARRAY_SIZE(types) ? types[type].name : "?";
}

/* --------------------------------- verify -------------------------------- */

/* What a message says after its subject; a longer one is cut. */
#define FAULT_BYTES_MAX 256

/* "layout 'truck': FAULT" */
CUBBY_PRINTF(2, 3)
static int
layout_fault(const struct cubby_layout *layout, const char *format, ...)
{
	char buffer[FAULT_BYTES_MAX];
	struct text fault;
	va_list arguments;

	cubby__text_init(&fault, buffer, sizeof(buffer));
	va_start(arguments, format);
	cubby__text_vprintf(&fault, format, arguments);
	va_end(arguments);
	if (layout->names == NULL)
		return cubby__error_set(-CUBBY_ELAYOUT,
					"layout without names: %s", buffer);
	return cubby__error_set(-CUBBY_ELAYOUT, "layout '%s': %s",
				layout->names->name, buffer);
}

/* "layout 'truck': slot 'lat' (offset 12, 8 bytes) FAULT" */
CUBBY_PRINTF(3, 4)
static int
slot_fault(const struct cubby_layout *layout, uint32_t i, const char *format,
	   ...)
{
	const struct cubby_slot *slot = &layout->slots[i];
	char buffer[FAULT_BYTES_MAX];
	struct text fault;
	va_list arguments;

	cubby__text_init(&fault, buffer, sizeof(buffer));
	va_start(arguments, format);
	cubby__text_vprintf(&fault, format, arguments);
	va_end(arguments);
	if (layout->names == NULL)
		return layout_fault(layout, "slot %u (offset %u, %u bytes) %s",
				    i, slot->offset_bytes, slot->size_bytes,
				    buffer);
	return layout_fault(layout, "slot '%s' (offset %u, %u bytes) %s",
			    layout->names->slots[i].name, slot->offset_bytes,
			    slot->size_bytes, buffer);
}

/* ASCII whatever the locale says. */
static bool
is_identifier_byte(char c)
{
	return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' ||
	       (c >= '0' && c <= '9');
}

static bool
is_identifier(const char *name)
{
	if (*name == '\0' || (*name >= '0' && *name <= '9'))
		return false;
	while (is_identifier_byte(*name))
		name++;
	return *name == '\0';
}

/* L5 of the layout's own name, which every later message begins with. */
static int
verify_layout_name(const struct cubby_layout *layout)
{
	const char *name;

	if (layout->names == NULL)
		return 0;
	name = layout->names->name;
	if (name == NULL)
		return cubby__error_set(-CUBBY_ELAYOUT,
					"layout has names but names->name is "
					"NULL: set it, or leave names NULL");
	if (!is_identifier(name))
		return layout_fault(layout, "its name is not an identifier of "
					    "A-Z, a-z, 0-9 and _");
	return 0;
}

#define KNOWN_OPTIONS CUBBY_LAYOUT_WEAK

/* L6 */
static int
verify_unknown(const struct cubby_layout *layout)
{
	uint64_t unknown = layout->options & ~KNOWN_OPTIONS;

	if (unknown != 0)
		return layout_fault(layout,
				    "options 0x%lx are not known to this "
				    "version of Cubby: clear them",
				    (unsigned long)unknown);
	if (layout->base != NULL)
		return layout_fault(layout, "a base is not known to this "
					    "version of Cubby: must be NULL");
	return 0;
}

/* L1, and L2 of the layout itself */
static int
verify_object(const struct cubby_layout *layout)
{
	uint32_t object_bytes = layout->object_bytes;
	uint32_t align_bytes = layout->align_bytes;

	if (!is_pow2(align_bytes) || align_bytes > CUBBY_ALIGN_BYTES_MAX)
		return layout_fault(
			layout,
			"align_bytes %u is not a power of two from 1 to %u",
			align_bytes, CUBBY_ALIGN_BYTES_MAX);
	if (object_bytes == 0 || object_bytes > CUBBY_OBJECT_BYTES_MAX)
		return layout_fault(layout,
				    "object_bytes %u is not in 1 .. %zu",
				    object_bytes, CUBBY_OBJECT_BYTES_MAX);
	if (object_bytes % align_bytes != 0)
		return layout_fault(layout,
				    "object_bytes %u is not a multiple of "
				    "align_bytes %u",
				    object_bytes, align_bytes);
	return 0;
}

/* That the tables are there at all, and L3's bound on their length. */
static int
verify_tables(const struct cubby_layout *layout)
{
	if (layout->n_slots == 0)
		return 0;
	if (layout->n_slots > layout->object_bytes)
		return layout_fault(layout,
				    "n_slots %u is more than the object's %u "
				    "bytes",
				    layout->n_slots, layout->object_bytes);
	if (layout->slots == NULL)
		return layout_fault(layout, "n_slots is %u but slots is NULL",
				    layout->n_slots);
	if (layout->names != NULL && layout->names->slots == NULL)
		return layout_fault(layout,
				    "n_slots is %u but names->slots is NULL: "
				    "name the slots, or leave names NULL",
				    layout->n_slots);
	return 0;
}

/*
 * L5 of one slot.  By index, not slot_fault(): the name may not be fit for a
 * message.
 */
static int
verify_slot_name(const struct cubby_layout *layout, uint32_t i)
{
	const struct cubby_slot_name *names;

	if (layout->names == NULL)
		return 0;
	names = layout->names->slots;
	if (names[i].name == NULL)
		return layout_fault(layout, "slot %u has no name: NULL", i);
	if (!is_identifier(names[i].name))
		return layout_fault(layout,
				    "slot %u: its name '%s' is not an "
				    "identifier of A-Z, a-z, 0-9 and _",
				    i, names[i].name);
	for (uint32_t j = 0; j < i; j++)
		if (strcmp(names[j].name, names[i].name) == 0)
			return layout_fault(layout,
					    "slots %u and %u are both named "
					    "'%s'",
					    j, i, names[i].name);
	if (names[i].c_type == NULL)
		return slot_fault(layout, i,
				  "has the C type NULL: must be text");
	if (names[i].doc == NULL)
		return slot_fault(layout, i,
				  "has the documentation NULL: must be "
				  "text, \"\" if there is none");
	return 0;
}

/* L4, and L6 of one slot */
static int
verify_slot_type(const struct cubby_layout *layout, uint32_t i)
{
	const struct cubby_slot *slot = &layout->slots[i];
	const struct type_info *type;

	if (slot->options != 0)
		return slot_fault(layout, i,
				  "has options 0x%x, which are not known to "
				  "this version of Cubby: must be 0",
				  slot->options);
	if (slot->type >= ARRAY_SIZE(types))
		return slot_fault(layout, i, "has the unknown type %u",
				  slot->type);
	type = &types[slot->type];
	if (type->size_bytes != 0 && slot->size_bytes != type->size_bytes)
		return slot_fault(layout, i, "has type %s, which is %u bytes",
				  type->name, type->size_bytes);
	return 0;
}

/* L2 and the first half of L3, of one slot */
static int
verify_slot_place(const struct cubby_layout *layout, uint32_t i)
{
	const struct cubby_slot *slot = &layout->slots[i];

	if (slot->size_bytes == 0)
		return slot_fault(layout, i,
				  "is empty: must have 1 byte or more");
	if ((uint64_t)slot->offset_bytes + slot->size_bytes >
	    layout->object_bytes)
		return slot_fault(layout, i,
				  "reaches beyond the object's %u bytes",
				  layout->object_bytes);
	if (!is_pow2(slot->align_bytes))
		return slot_fault(layout, i,
				  "has align_bytes %u, not a power of two",
				  slot->align_bytes);
	if (slot->type == CUBBY_WEAK &&
	    slot->align_bytes < sizeof(struct cubby_weak_slot))
		return slot_fault(layout, i,
				  "has type weak, which is read and written "
				  "atomically, but align_bytes %u: must be 8 "
				  "or more",
				  slot->align_bytes);
	if (slot->align_bytes > layout->align_bytes)
		return slot_fault(layout, i,
				  "has align_bytes %u, more than the layout's "
				  "%u",
				  slot->align_bytes, layout->align_bytes);
	if (slot->offset_bytes % slot->align_bytes != 0)
		return slot_fault(layout, i, "is not aligned to %u",
				  slot->align_bytes);
	return 0;
}

/* The second half of L3, of one slot and those before it */
static int
verify_slot_apart(const struct cubby_layout *layout, uint32_t i)
{
	const struct cubby_slot *slot = &layout->slots[i];

	for (uint32_t j = 0; j < i; j++) {
		const struct cubby_slot *other = &layout->slots[j];

		if (slot->offset_bytes >=
			    other->offset_bytes + other->size_bytes ||
		    other->offset_bytes >=
			    slot->offset_bytes + slot->size_bytes)
			continue;
		if (layout->names == NULL)
			return slot_fault(layout, i,
					  "overlaps slot %u (offset %u, %u "
					  "bytes)",
					  j, other->offset_bytes,
					  other->size_bytes);
		return slot_fault(layout, i,
				  "overlaps slot '%s' (offset %u, %u bytes)",
				  layout->names->slots[j].name,
				  other->offset_bytes, other->size_bytes);
	}
	return 0;
}

static int
verify_slots(const struct cubby_layout *layout)
{
	/* In this order within a slot: each may rely on the ones before it. */
	static int (*const rules[])(const struct cubby_layout *, uint32_t) = {
		verify_slot_name,
		verify_slot_type,
		verify_slot_place,
		verify_slot_apart,
	};

	for (uint32_t i = 0; i < layout->n_slots; i++) {
		for (size_t rule = 0; rule < ARRAY_SIZE(rules); rule++) {
			int err = rules[rule](layout, i);

			if (err != 0)
				return err;
		}
	}
	return 0;
}

int
cubby_layout_verify(const struct cubby_layout *layout)
{
	static int (*const rules[])(const struct cubby_layout *) = {
		verify_layout_name, verify_unknown, verify_object,
		verify_tables,      verify_slots,
	};

	if (layout == NULL)
		return cubby__error_set(-EINVAL, "layout is NULL");
	/* Where this differs, no other field can be trusted, names least. */
	if (layout->layout_bytes != sizeof(*layout))
		return cubby__error_set(
			-CUBBY_ELAYOUT,
			"layout_bytes is %u, but this "
			"library's struct cubby_layout has %zu "
			"bytes: compile the program with the "
			"library's own headers",
			layout->layout_bytes, sizeof(*layout));
	for (size_t rule = 0; rule < ARRAY_SIZE(rules); rule++) {
		int err = rules[rule](layout);

		if (err != 0)
			return err;
	}
	return 0;
}

/* ------------------------------- suggestions ----------------------------- */

/*
 * Which name was meant?  Distances are optimal string alignment (Damerau-
 * Levenshtein in which no letter is moved twice), in half edits, so that a
 * letter in the wrong case can cost less than a wrong letter (as in CPython's
 * suggestions).  A name is near
 *
 *   - if it is the same but for case: CASE_ONLY_COST, nearer than any edit;
 *   - if one is a prefix of the other but for case: PREFIX_COST or its
 *     distance, whichever is less; so "lat" for "lattitude", but rather
 *     "latitude" if there is one;
 *   - if its distance is at most two edits, or an edit for every three bytes
 *     of the longer of the two (as in gcc's), and at most half of the longer
 *     one is edited: "foo" is not a misspelt "lon".
 *
 * Source: B. Oommen, R. Loke, "Pattern Recognition of Strings with
 * Substitutions, Insertions, Deletions and Generalized Transpositions", 1997.
 */
#define EDIT_COST 2u      /* insert, delete, substitute, transpose */
#define CASE_COST 1u      /* substitute by the same letter in the other case */
#define CASE_ONLY_COST 1u /* however many letters */
#define PREFIX_COST 3u
#define ANY_LENGTH_EDITS 2u /* allowed in names of any length */
#define BYTES_PER_EDIT 3u
#define TOO_FAR UINT32_MAX

/* Longer names are not compared: the stack may be a signal handler's. */
#define SUGGEST_BYTES_MAX 63u

/* Slots that a message lists when no name is near. */
#define LISTED_SLOTS_MAX 8

static char
to_lower(char c)
{
	return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

static unsigned
substitute_cost(char a, char b)
{
	if (a == b)
		return 0;
	return to_lower(a) == to_lower(b) ? CASE_COST : EDIT_COST;
}

/* Both lengths at most SUGGEST_BYTES_MAX, so that a cost fits a byte. */
static unsigned
edit_distance(const char *a, size_t a_bytes, const char *b, size_t b_bytes)
{
	/* rows[i % 3][j]: cost of turning a[0 .. i) into b[0 .. j) */
	uint8_t rows[3][SUGGEST_BYTES_MAX + 1];

	for (size_t j = 0; j <= b_bytes; j++)
		rows[0][j] = (uint8_t)(j * EDIT_COST);
	for (size_t i = 1; i <= a_bytes; i++) {
		uint8_t *row = rows[i % 3];
		const uint8_t *above = rows[(i - 1) % 3];
		const uint8_t *above2 = rows[(i + 1) % 3];

		row[0] = (uint8_t)(i * EDIT_COST);
		for (size_t j = 1; j <= b_bytes; j++) {
			uint64_t cost = above[j - 1] +
					substitute_cost(a[i - 1], b[j - 1]);

			cost = min_u64(cost, above[j] + EDIT_COST);
			cost = min_u64(cost, row[j - 1] + EDIT_COST);
			if (i > 1 && j > 1 && a[i - 1] == b[j - 2] &&
			    a[i - 2] == b[j - 1])
				cost = min_u64(cost,
					       above2[j - 2] + EDIT_COST);
			row[j] = (uint8_t)cost;
		}
	}
	return rows[a_bytes % 3][b_bytes];
}

static bool
same_but_for_case(const char *a, const char *b, size_t n_bytes)
{
	for (size_t i = 0; i < n_bytes; i++)
		if (to_lower(a[i]) != to_lower(b[i]))
			return false;
	return true;
}

/* In half edits; TOO_FAR if `candidate` is no suggestion for `name`. */
static unsigned
name_distance(const char *name, const char *candidate)
{
	size_t name_bytes = strlen(name);
	size_t candidate_bytes = strlen(candidate);
	size_t shorter = min_u64(name_bytes, candidate_bytes);
	size_t longer = max_u64(name_bytes, candidate_bytes);
	unsigned distance;

	if (shorter == 0 || longer > SUGGEST_BYTES_MAX)
		return TOO_FAR;
	distance = edit_distance(name, name_bytes, candidate, candidate_bytes);
	if (same_but_for_case(name, candidate, shorter))
		return shorter == longer ?
			       CASE_ONLY_COST :
			       (unsigned)min_u64(distance, PREFIX_COST);
	if (distance >
	    EDIT_COST * max_u64(ANY_LENGTH_EDITS, longer / BYTES_PER_EDIT))
		return TOO_FAR;
	return distance > EDIT_COST * longer / 2 ? TOO_FAR : distance;
}

/* The nearest name, the first of several; NULL if none is near. */
static const char *
suggestion(const struct cubby_layout *layout, const char *name)
{
	const char *nearest = NULL;
	unsigned nearest_distance = TOO_FAR;

	for (uint32_t i = 0; i < layout->n_slots; i++) {
		const char *candidate = layout->names->slots[i].name;
		unsigned distance = name_distance(name, candidate);

		if (distance < nearest_distance) {
			nearest = candidate;
			nearest_distance = distance;
		}
	}
	return nearest;
}

/* Names have no bound: as separate arguments they need no buffer here. */
static int
no_slot_listing(const struct cubby_layout *layout, const char *name)
{
	const char *part[2 * LISTED_SLOTS_MAX + 1];
	size_t n_parts = 0;

	for (uint32_t i = 0; i < layout->n_slots; i++) {
		if (i == LISTED_SLOTS_MAX) {
			part[n_parts++] = ", ...";
			break;
		}
		part[n_parts++] = i == 0 ? "" : ", ";
		part[n_parts++] = layout->names->slots[i].name;
	}
	while (n_parts < ARRAY_SIZE(part))
		part[n_parts++] = "";
	return cubby__error_set(-CUBBY_ENOSLOT,
				"'%s' has no slot '%s'; its slots are "
				"%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s%s",
				layout->names->name, name, part[0], part[1],
				part[2], part[3], part[4], part[5], part[6],
				part[7], part[8], part[9], part[10], part[11],
				part[12], part[13], part[14], part[15],
				part[16]);
}

static int
no_slot(const struct cubby_layout *layout, const char *name)
{
	const char *near = suggestion(layout, name);

	if (layout->n_slots == 0)
		return cubby__error_set(-CUBBY_ENOSLOT,
					"'%s' has no slot '%s': it has none",
					layout->names->name, name);
	if (near == NULL)
		return no_slot_listing(layout, name);
	return cubby__error_set(-CUBBY_ENOSLOT,
				"'%s' has no slot '%s' (did you mean '%s'?)",
				layout->names->name, name, near);
}

/* ---------------------------------- names -------------------------------- */

int
cubby_layout_find_slot(const struct cubby_layout *layout, const char *name,
		       const struct cubby_slot **ret_slot)
{
	if (layout == NULL)
		return cubby__error_set(-EINVAL, "layout is NULL");
	if (name == NULL)
		return cubby__error_set(-EINVAL, "name is NULL");
	if (ret_slot == NULL)
		return cubby__error_set(-EINVAL, "ret_slot is NULL");
	if (layout->names == NULL)
		return cubby__error_set(
			-EINVAL,
			"the layout has no names, so slot '%s' "
			"cannot be found: was it compiled with "
			"CUBBY_NO_NAMES?",
			name);
	for (uint32_t i = 0; i < layout->n_slots; i++) {
		if (strcmp(layout->names->slots[i].name, name) == 0) {
			*ret_slot = &layout->slots[i];
			return 0;
		}
	}
	return no_slot(layout, name);
}

const struct cubby_slot_name *
cubby_layout_slot_name(const struct cubby_layout *layout,
		       const struct cubby_slot *slot)
{
	uintptr_t distance_bytes;

	if (layout == NULL || layout->names == NULL || slot == NULL)
		return NULL;
	/* As numbers: `slot` may point anywhere, before the table too. */
	distance_bytes = (uintptr_t)slot - (uintptr_t)layout->slots;
	if (distance_bytes % sizeof(*slot) != 0 ||
	    distance_bytes / sizeof(*slot) >= layout->n_slots)
		return NULL;
	return &layout->names->slots[distance_bytes / sizeof(*slot)];
}

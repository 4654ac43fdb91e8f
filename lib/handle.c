/* SPDX-License-Identifier: MIT */
/*
 * LAYER 6: handle - handles as text, sealed, and in slots
 *
 * What can be done with a handle without knowing how an object lives and dies;
 * that is weak.c's.
 *
 * Text.  Every handle has one text and every text one handle, so each is read
 * back as what it was:
 *
 *	weak:0                       nothing
 *	weak:0x0123456789abcdef      raw: 16 digits, lower case
 *	truck#17.3                   name of the cache, cell, generation
 *
 * Names may have '#', '.' and digits in them, so the name ends at the last '#';
 * a text without one is raw.
 *
 * Sealed.  A cipher permutes all 64-bit numbers, but 0 has to stay 0.  So what
 * it maps to 0 goes to what it maps 0 to ("cycle walking": out of the set and
 * back into it), and the rest is as the cipher says.
 * Source: J. Black, P. Rogaway, "Ciphers with Arbitrary Finite Domains", 2002.
 *
 * Slots.  A slot is one word, and each change of it one atomic instruction.  An
 * expired handle is taken out by compare-exchange, so that a slot which was set
 * meanwhile keeps what was set; a handle that has expired once is never good
 * again, so it does not matter if it was taken out and put back in between.
 */
#include <cubby/weak.h>

#include "cache.h"
#include "error.h"
#include "speck.h"
#include "text.h"
#include "weak.h"

#include <cubby/error.h>
#include <cubby/walk.h>

#include <errno.h>
#include <string.h>

/* A handle has 31 bits for the generation, also where fewer are used. */
#define TEXT_CELL_MAX UINT32_MAX
#define TEXT_GENERATION_MAX ((uint32_t)INT32_MAX)

#define RAW_PREFIX "weak:"
#define RAW_DIGITS 16
#define FORMS                                                                 \
	"'weak:0x' and 16 digits 0-9 a-f, 'weak:0' or 'NAME#CELL.GENERATION'"

/* Bytes of a text that a detail quotes: the longest that is one, and more. */
#define QUOTED_BYTES_MAX (CUBBY_WEAK_TEXT_BYTES_MAX + 8)

/* A live cache with handles?  0, or a negative code with a detail. */
static int
has_handles_or_error(struct cubby_cache *cache, const char *call)
{
	int err = cubby__usable_or_error(cache, call);

	if (err || cubby__weak_usable(cache, call))
		return err;
	return cubby__error_set(-EINVAL,
				"cache '%s' has no handles: create it with "
				"attr.weak",
				cache->name);
}

/* --------------------------------- sealed -------------------------------- */

uint64_t
cubby_weak_seal(struct cubby_cache *cache, cubby_weak handle)
{
	const uint64_t *key;
	uint64_t sealed;

	if (!cubby__weak_usable(cache, "cubby_weak_seal") ||
	    handle == CUBBY_WEAK_NULL)
		return 0;
	key = cache->weak.seal_key;
	sealed = speck_encrypt(key, handle);
	return sealed ? sealed : speck_encrypt(key, 0);
}

cubby_weak
cubby_weak_unseal(struct cubby_cache *cache, uint64_t sealed)
{
	const uint64_t *key;
	cubby_weak handle;

	if (!cubby__weak_usable(cache, "cubby_weak_unseal") || sealed == 0)
		return CUBBY_WEAK_NULL;
	key = cache->weak.seal_key;
	handle = speck_decrypt(key, sealed);
	return handle ? handle : speck_decrypt(key, 0);
}

/* --------------------------------- print --------------------------------- */

static void
print_raw(struct text *text, cubby_weak handle)
{
	if (handle == CUBBY_WEAK_NULL) {
		cubby__text_printf(text, RAW_PREFIX "0");
		return;
	}
	cubby__text_printf(text, RAW_PREFIX "0x");
	for (unsigned i = RAW_DIGITS; i-- > 0;)
		cubby__text_printf(text, "%x",
				   (unsigned)(handle >> (4 * i) & 0xf));
}

size_t
cubby_weak_print(struct cubby_cache *cache, cubby_weak handle, char *buffer,
		 size_t buffer_bytes)
{
	char whole[CUBBY_WEAK_TEXT_BYTES_MAX];
	struct text text;
	uint64_t cell;
	uint32_t generation;
	size_t n_bytes;

	cubby__text_init(&text, whole, sizeof(whole));
	if (cache != NULL && cubby__weak_usable(cache, "cubby_weak_print") &&
	    cubby__weak_decode(cache, handle, &cell, &generation))
		cubby__text_printf(&text, "%s#%lu.%u", cache->name,
				   (unsigned long)cell, generation);
	else
		print_raw(&text, handle);
	if (buffer_bytes != 0) {
		n_bytes = text.used_bytes < buffer_bytes ? text.used_bytes :
							   buffer_bytes - 1;
		memcpy(buffer, whole, n_bytes);
		buffer[n_bytes] = '\0';
	}
	return text.used_bytes;
}

/* --------------------------------- parse --------------------------------- */

/* "handle 'truck#x.3', byte 6: FAULT"; the text may be anything. */
CUBBY_PRINTF(3, 4)
static int
text_fault(const char *text, const char *at, const char *format, ...)
{
	char quoted[QUOTED_BYTES_MAX], faulty[2 * QUOTED_BYTES_MAX];
	struct text fault;
	va_list arguments;
	size_t n;

	for (n = 0; n + 1 < sizeof(quoted) && text[n] != '\0'; n++)
		quoted[n] = text[n] >= ' ' && text[n] < 0x7f ? text[n] : '?';
	quoted[n] = '\0';
	cubby__text_init(&fault, faulty, sizeof(faulty));
	va_start(arguments, format);
	cubby__text_vprintf(&fault, format, arguments);
	va_end(arguments);
	return cubby__error_set(-EINVAL, "handle '%s%s', byte %zu: %s", quoted,
				text[n] == '\0' ? "" : "...",
				(size_t)(at - text), faulty);
}

static bool
is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static int
hex_digit(char c)
{
	if (is_digit(c))
		return c - '0';
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int
parse_raw(const char *text, cubby_weak *ret_handle)
{
	const char *expected = RAW_PREFIX "0x", *at = text;
	cubby_weak handle = 0;

	if (strcmp(text, RAW_PREFIX "0") == 0) {
		*ret_handle = CUBBY_WEAK_NULL;
		return CUBBY_WEAK_FORM_RAW;
	}
	for (; *expected != '\0'; at++, expected++)
		if (*at != *expected)
			return text_fault(text, at, "expected " FORMS);
	for (unsigned i = 0; i < RAW_DIGITS; i++, at++) {
		int digit = hex_digit(*at);

		if (digit < 0)
			return text_fault(text, at, "expected " FORMS);
		handle = handle << 4 | (unsigned)digit;
	}
	if (*at != '\0')
		return text_fault(text, at, "expected the end after %u digits",
				  RAW_DIGITS);
	if (handle == CUBBY_WEAK_NULL)
		return text_fault(text, at, "nothing is written 'weak:0'");
	*ret_handle = handle;
	return CUBBY_WEAK_FORM_RAW;
}

/*
 * A number as it is printed, without leading zeroes: what follows it, or NULL
 * if there is none, or it is more than max.
 */
static const char *
read_number(const char *at, uint64_t max, uint64_t *ret_number)
{
	uint64_t number = 0;

	if (!is_digit(at[0]) || (at[0] == '0' && is_digit(at[1])))
		return NULL;
	for (; is_digit(*at); at++) {
		number = number * 10 + (uint64_t)(*at - '0');
		if (number > max)
			return NULL;
	}
	*ret_number = number;
	return at;
}

/* `hash`: where the name ends. */
static int
parse_decoded(struct cubby_cache *cache, const char *text, const char *hash,
	      cubby_weak *ret_handle)
{
	size_t name_bytes = (size_t)(hash - text);
	uint64_t cell, generation;
	uint32_t decoded_generation;
	const char *at = hash + 1, *next;
	cubby_weak handle;

	if (cache == NULL)
		return text_fault(text, text,
				  "it is of the cache of that name: pass it");
	if (strlen(cache->name) != name_bytes ||
	    memcmp(cache->name, text, name_bytes) != 0)
		return text_fault(text, text, "it is not of cache '%s'",
				  cache->name);
	next = read_number(at, TEXT_CELL_MAX, &cell);
	if (next == NULL)
		return text_fault(text, at,
				  "expected a cell, a number from 0 to %u "
				  "without leading zeroes",
				  TEXT_CELL_MAX);
	if (*next != '.')
		return text_fault(text, next,
				  "expected a '.' and the generation");
	at = next + 1;
	next = read_number(at, TEXT_GENERATION_MAX, &generation);
	if (next == NULL)
		return text_fault(text, at,
				  "expected a generation, a number from 0 to "
				  "%u without leading zeroes",
				  TEXT_GENERATION_MAX);
	if (*next != '\0')
		return text_fault(text, next,
				  "expected the end after the generation");
	handle = cubby__weak_encode(cache, cell, (uint32_t)generation);
	if (!cubby__weak_decode(cache, handle, &cell, &decoded_generation))
		return text_fault(text, hash + 1,
				  "the cache has no such cell yet");
	*ret_handle = handle;
	return CUBBY_WEAK_FORM_DECODED;
}

int
cubby_weak_parse(struct cubby_cache *cache, const char *text,
		 cubby_weak *ret_handle)
{
	const char *hash;
	int err = 0;

	if (cache != NULL)
		err = has_handles_or_error(cache, "cubby_weak_parse");
	if (err)
		return err;
	if (text == NULL)
		return cubby__error_set(-EINVAL, "text is NULL");
	if (ret_handle == NULL)
		return cubby__error_set(-EINVAL, "ret_handle is NULL");
	hash = strrchr(text, '#');
	return hash == NULL ? parse_raw(text, ret_handle) :
			      parse_decoded(cache, text, hash, ret_handle);
}

/* --------------------------------- slots --------------------------------- */

/*
 * Load and store pair with each other: who reads a handle here sees the word of
 * its cell no older than its maker did, and so takes no live object for dead.
 */
static cubby_weak
slot_load(const struct cubby_weak_slot *slot)
{
	return __atomic_load_n(&slot->handle, __ATOMIC_ACQUIRE);
}

static void
slot_store(struct cubby_weak_slot *slot, cubby_weak handle)
{
	__atomic_store_n(&slot->handle, handle, __ATOMIC_RELEASE);
}

/* Clear it if it still has this handle, which is dead: was it so? */
static bool
slot_expire(struct cubby_weak_slot *slot, cubby_weak handle)
{
	return __atomic_compare_exchange_n(&slot->handle, &handle,
					   CUBBY_WEAK_NULL, false,
					   __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}

void
cubby_weak_slot_set(struct cubby_weak_slot *slot, cubby_weak handle)
{
	slot_store(slot, handle);
}

void
cubby_weak_slot_clear(struct cubby_weak_slot *slot)
{
	slot_store(slot, CUBBY_WEAK_NULL);
}

void
cubby_weak_slot_copy(struct cubby_weak_slot *to,
		     const struct cubby_weak_slot *from)
{
	slot_store(to, slot_load(from));
}

cubby_weak
cubby_weak_slot_handle(const struct cubby_weak_slot *slot)
{
	return slot_load(slot);
}

/*
 * A slot's handle has given no object.  That is not always because it is dead:
 * the cache's mode may not have the call, or an object no room for one more
 * reference.
 */
static COLD void *
slot_miss(struct cubby_weak_slot *slot, struct cubby_cache *target,
	  cubby_weak handle)
{
	if (!cubby_weak_is_live(target, handle))
		slot_expire(slot, handle);
	return NULL;
}

void *
cubby_weak_slot_get(struct cubby_weak_slot *slot, struct cubby_cache *target)
{
	cubby_weak handle = slot_load(slot);
	void *object;

	if (handle == CUBBY_WEAK_NULL ||
	    !cubby__weak_usable(target, "cubby_weak_slot_get"))
		return NULL;
	object = cubby_weak_get(target, handle);
	return likely(object != NULL) ? object :
					slot_miss(slot, target, handle);
}

void *
cubby_weak_slot_upgrade(struct cubby_weak_slot *slot,
			struct cubby_cache *target)
{
	cubby_weak handle = slot_load(slot);
	void *object;

	if (handle == CUBBY_WEAK_NULL ||
	    !cubby__weak_usable(target, "cubby_weak_slot_upgrade"))
		return NULL;
	object = cubby_weak_upgrade(target, handle);
	return likely(object != NULL) ? object :
					slot_miss(slot, target, handle);
}

/* --------------------------------- sweep --------------------------------- */

/*
 * The cache's own description of a slot, or NULL.  By place: each file that
 * includes a declaration has tables of its own, which say the same.
 */
static const struct cubby_slot *
own_slot(const struct cubby_layout *layout, const struct cubby_slot *slot)
{
	for (uint32_t i = 0; i < layout->n_slots; i++)
		if (layout->slots[i].offset_bytes == slot->offset_bytes &&
		    layout->slots[i].size_bytes == slot->size_bytes &&
		    layout->slots[i].type == slot->type)
			return &layout->slots[i];
	return NULL;
}

static int
check_slot(const struct cubby_cache *cache, const struct cubby_slot *slot)
{
	const struct cubby_layout *layout = cache->layout;
	const struct cubby_slot_name *name;
	const struct cubby_slot *own;

	if (slot == NULL)
		return cubby__error_set(-EINVAL, "slot is NULL");
	if (layout == NULL)
		return cubby__error_set(
			-EINVAL,
			"cache '%s' was created without a layout, so it has "
			"no weak slots",
			cache->name);
	own = own_slot(layout, slot);
	if (own == NULL)
		return cubby__error_set(
			-EINVAL,
			"cache '%s': its layout has no %s slot of %u bytes at "
			"offset %u: find the slot in cubby_cache_layout()",
			cache->name, cubby_type_name(slot->type),
			slot->size_bytes, slot->offset_bytes);
	if (own->type == CUBBY_WEAK)
		return 0;
	name = cubby_layout_slot_name(layout, own);
	return cubby__error_set(
		-EINVAL,
		"cache '%s': slot '%s' (offset %u) has type %s: only one of "
		"type weak can be swept",
		cache->name, name ? name->name : "?", slot->offset_bytes,
		cubby_type_name(own->type));
}

static uint64_t
sweep(struct cubby_walk *walk, const struct cubby_slot *slot,
      struct cubby_cache *target)
{
	uint64_t n_cleared = 0;
	struct cubby_run run;
	char *object;

	while (cubby_walk_next(walk, &run)) {
		CUBBY_RUN_FOR_EACH (object, &run) {
			struct cubby_weak_slot *at =
				(struct cubby_weak_slot
					 *)(void *)(object +
						    slot->offset_bytes);
			cubby_weak handle = slot_load(at);

			if (handle != CUBBY_WEAK_NULL &&
			    !cubby_weak_is_live(target, handle))
				n_cleared += slot_expire(at, handle);
		}
	}
	return n_cleared;
}

int
cubby_weak_sweep(struct cubby_cache *cache, const struct cubby_slot *slot,
		 struct cubby_cache *target, uint64_t *ret_n_cleared)
{
	struct cubby_walk *walk;
	uint64_t n_cleared;
	int err = cubby__usable_or_error(cache, "cubby_weak_sweep");

	if (!err)
		err = has_handles_or_error(target, "cubby_weak_sweep");
	if (!err)
		err = check_slot(cache, slot);
	if (!err)
		err = cubby_walk_create(&walk, cache);
	if (err)
		return err;
	n_cleared = sweep(walk, slot, target);
	cubby_walk_destroy(walk);
	if (ret_n_cleared != NULL)
		*ret_n_cleared = n_cleared;
	return 0;
}

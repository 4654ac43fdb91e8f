/* SPDX-License-Identifier: MIT */
/*
 * Handles as text: what is printed, that it is read back as what it was, and
 * that nothing else is read.
 */
#include "unit/with_handles.h"

/* A handle that may be one of the cache's: any generation, an opened cell. */
static cubby_weak
forged_handle(void)
{
	return cubby__weak_encode(trucks, random_below(&seed, N_OBJECTS),
				  (uint32_t)random_below(&seed, 1u << 31));
}

/* --------------------------------- print --------------------------------- */

static const char *
printed(struct cubby_cache *cache, cubby_weak handle)
{
	static char text[CUBBY_WEAK_TEXT_BYTES_MAX];
	size_t n_bytes = cubby_weak_print(cache, handle, text, sizeof(text));

	assert_int_equal(n_bytes, strlen(text));
	return text;
}

static void
print_raw_has_sixteen_digits(void **state)
{
	(void)state;
	assert_string_equal(printed(NULL, 0x0123456789abcdef),
			    "weak:0x0123456789abcdef");
	assert_string_equal(printed(NULL, 1), "weak:0x0000000000000001");
	assert_string_equal(printed(NULL, UINT64_MAX),
			    "weak:0xffffffffffffffff");
	assert_string_equal(printed(NULL, CUBBY_WEAK_NULL), "weak:0");
	assert_string_equal(printed(trucks, CUBBY_WEAK_NULL), "weak:0");
}

static void
print_of_a_cache_names_cell_and_generation(void **state)
{
	(void)state;
	assert_string_equal(printed(trucks, cubby__weak_encode(trucks, 17, 3)),
			    "truck#17.3");
	assert_string_equal(printed(trucks, cubby__weak_encode(trucks, 0, 0)),
			    "truck#0.0");
	assert_string_equal(
		printed(trucks, cubby__weak_encode(trucks, 999, INT32_MAX)),
		"truck#999.2147483647");
}

/* The same object has the same text, and after its death another. */
static void
print_of_an_object_is_of_its_life(void **state)
{
	void *object = objects[7];
	cubby_weak handle = cubby_weak_of(trucks, object);
	char first[CUBBY_WEAK_TEXT_BYTES_MAX];

	(void)state;
	strcpy(first, printed(trucks, handle));
	assert_string_equal(printed(trucks, cubby_weak_of(trucks, object)),
			    first);
	assert_int_equal(cubby_weak_free(trucks, handle), 0);
	assert_string_equal(printed(trucks, handle), first);
	objects[7] = must_alloc(trucks);
	assert_string_not_equal(
		printed(trucks, cubby_weak_of(trucks, objects[7])), first);
}

static void
print_what_cannot_be_of_the_cache_is_raw(void **state)
{
	cubby_weak untaken = cubby__weak_encode(trucks, 3, 5) ^ 1ull << 32;
	cubby_weak beyond = cubby__weak_encode(trucks, UINT32_MAX, 5);

	(void)state;
	assert_string_equal(printed(trucks, untaken),
			    text_of("weak:0x%016lx", untaken));
	assert_string_equal(printed(trucks, beyond),
			    text_of("weak:0x%016lx", beyond));
}

/* Every cut, as snprintf: never a byte more. */
static void
print_is_cut_as_snprintf_is(void **state)
{
	const cubby_weak handles[] = { 0, 0x0123456789abcdef,
				       cubby__weak_encode(trucks, 17, 3) };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(handles); i++) {
		const char *whole = printed(trucks, handles[i]);
		size_t n_bytes = strlen(whole);
		char expected[64], cut[64];

		for (size_t room = 0; room < sizeof(cut); room++) {
			memset(cut, 'Z', sizeof(cut));
			memset(expected, 'Z', sizeof(expected));
			if (room != 0) {
				size_t n = n_bytes < room ? n_bytes : room - 1;

				memcpy(expected, whole, n);
				expected[n] = '\0';
			}
			assert_int_equal(cubby_weak_print(trucks, handles[i],
							  cut, room),
					 n_bytes);
			assert_memory_equal(cut, expected, sizeof(cut));
		}
	}
	assert_int_equal(cubby_weak_print(trucks, 1, NULL, 0), 23);
}

/* --------------------------------- parse --------------------------------- */

/* What nothing is that has been read. */
#define UNTOUCHED 0x5a5a5a5a5a5a5a5aull

/* A text is refused, with this detail behind its own words. */
static void
assert_parse_refused(struct cubby_cache *cache, const char *text,
		     const char *detail)
{
	cubby_weak handle = UNTOUCHED;
	char expected[512];

	snprintf(expected, sizeof(expected), "handle '%s', byte %s", text,
		 detail);
	assert_refused(cubby_weak_parse(cache, text, &handle), -EINVAL,
		       expected);
	assert_int_equal(handle, UNTOUCHED);
}

/* A handle is printed in this form and read as what it was. */
static void
assert_round_trip(struct cubby_cache *cache, cubby_weak handle, int form)
{
	char text[CUBBY_WEAK_TEXT_BYTES_MAX];
	cubby_weak got = UNTOUCHED;

	cubby_weak_print(cache, handle, text, sizeof(text));
	if (cubby_weak_parse(cache, text, &got) != form)
		fail_msg("'%s': %s", text, cubby_error_detail());
	assert_int_equal(got, handle);
	assert_true(strlen(text) < sizeof(text));
}

static void
parse_reads_back_what_was_printed(void **state)
{
	(void)state;
	assert_round_trip(NULL, CUBBY_WEAK_NULL, CUBBY_WEAK_FORM_RAW);
	assert_round_trip(trucks, CUBBY_WEAK_NULL, CUBBY_WEAK_FORM_RAW);
	for (size_t i = 0; i < N_OBJECTS; i++)
		assert_round_trip(trucks, cubby_weak_of(trucks, objects[i]),
				  CUBBY_WEAK_FORM_DECODED);
	for (size_t i = 0; i < scaled(100000); i++) {
		assert_round_trip(trucks, forged_handle(),
				  CUBBY_WEAK_FORM_DECODED);
		assert_round_trip(NULL, random_word(), CUBBY_WEAK_FORM_RAW);
	}
	for (unsigned bit = 0; bit < 64; bit++)
		assert_round_trip(NULL, 1ull << bit, CUBBY_WEAK_FORM_RAW);
}

/* Raw texts are read with a cache as without one. */
static void
parse_raw_with_a_cache_is_raw(void **state)
{
	cubby_weak handle = cubby_weak_of(trucks, objects[1]);
	char text[CUBBY_WEAK_TEXT_BYTES_MAX];
	cubby_weak got = 0;

	(void)state;
	cubby_weak_print(NULL, handle, text, sizeof(text));
	assert_int_equal(cubby_weak_parse(trucks, text, &got),
			 CUBBY_WEAK_FORM_RAW);
	assert_int_equal(got, handle);
	assert_int_equal(cubby_weak_is_live(trucks, got), 1);
}

static void
parse_dead_handle_is_read(void **state)
{
	cubby_weak handle = cubby_weak_of(trucks, objects[2]);

	(void)state;
	assert_int_equal(cubby_weak_free(trucks, handle), 0);
	objects[2] = must_alloc(trucks);
	assert_round_trip(trucks, handle, CUBBY_WEAK_FORM_DECODED);
	assert_int_equal(cubby_weak_is_live(trucks, handle), 0);
}

/* All that a cache's name may have in it. */
static void
parse_names_with_signs_and_digits_are_told_apart(void **state)
{
	static const char *const names[] = {
		"a",
		"a#1",
		"a#",
		"#",
		"a#1.2",
		"a#1.2#3",
		".",
		"0",
		"17.3",
		"weak:0",
		"weak:0x0123456789abcdef",
		"weak:0#1.2",
		"weak:",
		"012345678901234567890123456789012345678901234567890123456789#12",
	};
	struct cubby_cache *caches[N_ELEMENTS(names)];
	char text[CUBBY_WEAK_TEXT_BYTES_MAX];
	void *held[N_ELEMENTS(names)];

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		caches[i] = make_weak_cache(names[i]);
		held[i] = must_alloc(caches[i]);
		assert_round_trip(caches[i], cubby_weak_of(caches[i], held[i]),
				  CUBBY_WEAK_FORM_DECODED);
		/* the longest that there can be */
		assert_round_trip(caches[i],
				  cubby__weak_encode(caches[i], 0, INT32_MAX),
				  CUBBY_WEAK_FORM_DECODED);
	}
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		cubby_weak_print(caches[i], cubby_weak_of(caches[i], held[i]),
				 text, sizeof(text));
		for (size_t j = 0; j < N_ELEMENTS(names); j++)
			if (i != j)
				assert_parse_refused(
					caches[j], text,
					text_of("0: it is not of cache '%s'",
						names[j]));
	}
	for (size_t i = 0; i < N_ELEMENTS(names); i++) {
		cubby_free(caches[i], held[i]);
		drop_cache(caches[i]);
	}
}

#define FORMS                                                                 \
	"expected 'weak:0x' and 16 digits 0-9 a-f, 'weak:0' or "              \
	"'NAME#CELL.GENERATION'"
#define CELL                                                                  \
	"6: expected a cell, a number from 0 to 4294967295 without "          \
	"leading zeroes"
#define GENERATION                                                            \
	"expected a generation, a number from 0 to 2147483647 without "       \
	"leading zeroes"

static const struct {
	const char *text, *detail;
} refused[] = {
	{ "", "0: " FORMS },
	{ "truck", "0: " FORMS },
	{ "weak", "4: " FORMS },
	{ "weak:", "5: " FORMS },
	{ "weak:1", "5: " FORMS },
	{ "weak:00", "6: " FORMS },
	{ "weak:0 ", "6: " FORMS },
	{ " weak:0", "0: " FORMS },
	{ "WEAK:0", "0: " FORMS },
	{ "weak:0x", "7: " FORMS },
	{ "weak:0X0123456789abcdef", "6: " FORMS },
	{ "weak:0x0123456789abcde", "22: " FORMS },
	{ "weak:0x0123456789ABCDEF", "17: " FORMS },
	{ "weak:0x0123456789abcdeg", "22: " FORMS },
	{ "weak:0x0123456789abcdef0", "23: expected the end after 16 digits" },
	{ "weak:0x0123456789abcdef ", "23: expected the end after 16 digits" },
	{ "weak:0x0000000000000000", "23: nothing is written 'weak:0'" },
	{ "truck#", CELL },
	{ "truck#.3", CELL },
	{ "truck#x.3", CELL },
	{ "truck#-1.3", CELL },
	{ "truck#+1.3", CELL },
	{ "truck# 1.3", CELL },
	{ "truck#01.3", CELL },
	{ "truck#4294967296.3", CELL },
	{ "truck#18446744073709551617.3", CELL },
	{ "truck#99999999999999999999999999.3", CELL },
	{ "truck#17", "8: expected a '.' and the generation" },
	{ "truck#17,3", "8: expected a '.' and the generation" },
	{ "truck#0x11.3", "7: expected a '.' and the generation" },
	{ "truck#17.", "9: " GENERATION },
	{ "truck#17..3", "9: " GENERATION },
	{ "truck#17.03", "9: " GENERATION },
	{ "truck#17.2147483648", "9: " GENERATION },
	{ "truck#17.18446744073709551619", "9: " GENERATION },
	{ "truck#17.3.3", "10: expected the end after the generation" },
	{ "truck#17.3 ", "10: expected the end after the generation" },
	{ "truck#17.3x", "10: expected the end after the generation" },
	{ "truck#4294967295.3", "6: the cache has no such cell yet" },
	{ "bus#17.3", "0: it is not of cache 'truck'" },
	{ "#17.3", "0: it is not of cache 'truck'" },
	{ "truc#17.3", "0: it is not of cache 'truck'" },
	{ "trucks#17.3", "0: it is not of cache 'truck'" },
	{ "Truck#17.3", "0: it is not of cache 'truck'" },
	{ "truck#1#7.3", "0: it is not of cache 'truck'" },
	{ "truck##17.3", "0: it is not of cache 'truck'" },
	{ "weak:0#17.3", "0: it is not of cache 'truck'" },
};

static void
parse_each_wrong_text_is_refused_with_its_detail(void **state)
{
	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(refused); i++)
		assert_parse_refused(trucks, refused[i].text,
				     refused[i].detail);
}

static void
parse_decoded_without_a_cache_is_refused(void **state)
{
	(void)state;
	assert_parse_refused(NULL, "truck#17.3",
			     "0: it is of the cache of that name: pass it");
}

static void
parse_null_argument_is_refused(void **state)
{
	cubby_weak handle = UNTOUCHED;

	(void)state;
	assert_refused(cubby_weak_parse(trucks, NULL, &handle), -EINVAL,
		       "text is NULL");
	assert_refused(cubby_weak_parse(trucks, "weak:0", NULL), -EINVAL,
		       "ret_handle is NULL");
	assert_int_equal(handle, UNTOUCHED);
}

/* A detail quotes what fits, and nothing that a terminal would obey. */
static void
parse_quotes_a_text_safely(void **state)
{
	cubby_weak handle = UNTOUCHED;
	size_t n_bytes = 1 << 20;
	char *text = malloc(n_bytes + 1);

	(void)state;
	assert_refused(cubby_weak_parse(trucks, "weak:\033[2J\x80", &handle),
		       -EINVAL, "handle 'weak:?[2J?', byte 5: " FORMS);
	assert_non_null(text);
	memset(text, '9', n_bytes);
	text[n_bytes] = '\0';
	assert_int_equal(cubby_weak_parse(trucks, text, &handle), -EINVAL);
	assert_true(strlen(cubby_error_detail()) < 256);
	assert_non_null(strstr(cubby_error_detail(), "9...', byte 0: "));
	memcpy(text, "truck#", 6);
	assert_int_equal(cubby_weak_parse(trucks, text, &handle), -EINVAL);
	assert_non_null(strstr(cubby_error_detail(), "...', byte 6: "));
	memset(text, '#', n_bytes);
	assert_int_equal(cubby_weak_parse(trucks, text, &handle), -EINVAL);
	assert_int_equal(handle, UNTOUCHED);
	free(text);
}

/* What is read is what would be printed, so no two texts are one handle. */
static bool
assert_read_only_if_printed(const char *text)
{
	cubby_weak handle = UNTOUCHED;
	int form = cubby_weak_parse(trucks, text, &handle);

	if (form < 0) {
		assert_int_equal(form, -EINVAL);
		assert_int_equal(handle, UNTOUCHED);
		assert_int_not_equal(cubby_error_detail()[0], '\0');
		return false;
	}
	assert_string_equal(printed(form == CUBBY_WEAK_FORM_DECODED ? trucks :
								      NULL,
				    handle),
			    text);
	return true;
}

/* Change a byte, take one out, put one in, cut, or double an end. */
static void
spoil(char *text, size_t room_bytes)
{
	static const char likely[] = "0123456789abcdef#.:xweaktruck -+";
	size_t n_bytes = strlen(text), at = random_below(&seed, n_bytes + 1);
	char byte = random_below(&seed, 4) ?
			    likely[random_below(&seed, sizeof(likely) - 1)] :
			    (char)(1 + random_below(&seed, 255));

	switch (random_below(&seed, 4)) {
	case 0:
		if (at < n_bytes)
			text[at] = byte;
		break;
	case 1:
		if (at < n_bytes)
			memmove(text + at, text + at + 1, n_bytes - at);
		break;
	case 2:
		if (n_bytes + 2 <= room_bytes) {
			memmove(text + at + 1, text + at, n_bytes + 1 - at);
			text[at] = byte;
		}
		break;
	default:
		text[at] = '\0';
	}
}

/* In a block of its own, so that a read behind its end is seen by ASan. */
static bool
assert_read_only_if_printed_alone(const char *text)
{
	size_t n_bytes = strlen(text) + 1;
	char *alone = malloc(n_bytes);
	bool is_read;

	assert_non_null(alone);
	memcpy(alone, text, n_bytes);
	is_read = assert_read_only_if_printed(alone);
	free(alone);
	return is_read;
}

static void
parse_spoilt_texts_are_read_only_if_printed(void **state)
{
	size_t n_read = 0, n = scaled(200000);

	(void)state;
	for (size_t i = 0; i < n; i++) {
		char text[2 * CUBBY_WEAK_TEXT_BYTES_MAX];

		cubby_weak_print(random_below(&seed, 2) ? trucks : NULL,
				 forged_handle(), text, sizeof(text));
		for (size_t j = random_below(&seed, 4); j > 0; j--)
			spoil(text, sizeof(text));
		n_read += assert_read_only_if_printed_alone(text);
	}
	/* A quarter is unspoilt, and some changes keep a text good. */
	assert_in_range(n_read, n / 5, n / 2);
}

static void
parse_random_bytes_are_read_only_if_printed(void **state)
{
	(void)state;
	for (size_t i = 0; i < scaled(200000); i++) {
		char text[64];
		size_t n_bytes = random_below(&seed, sizeof(text));

		for (size_t j = 0; j < n_bytes; j++)
			text[j] = (char)(1 + random_below(&seed, 255));
		text[n_bytes] = '\0';
		assert_read_only_if_printed_alone(text);
	}
}

/* Every text that is too short, of both forms. */
static void
parse_truncated_texts_are_refused_or_shorter_numbers(void **state)
{
	char text[CUBBY_WEAK_TEXT_BYTES_MAX];
	size_t n_bytes;

	(void)state;
	n_bytes = cubby_weak_print(NULL, 0x0123456789abcdef, text,
				   sizeof(text));
	/* of a raw one "weak:0" is another's */
	while (n_bytes-- > 0) {
		text[n_bytes] = '\0';
		assert_int_equal(assert_read_only_if_printed_alone(text),
				 n_bytes == 6);
	}
	n_bytes = cubby_weak_print(trucks, cubby__weak_encode(trucks, 123, 45),
				   text, sizeof(text));
	/* of a decoded one as long as there is a digit of the generation */
	while (n_bytes-- > 0) {
		text[n_bytes] = '\0';
		assert_int_equal(assert_read_only_if_printed_alone(text),
				 n_bytes == strlen("truck#123.4"));
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		WITH_TRUCKS(print_raw_has_sixteen_digits),
		WITH_TRUCKS(print_of_a_cache_names_cell_and_generation),
		WITH_TRUCKS(print_of_an_object_is_of_its_life),
		WITH_TRUCKS(print_what_cannot_be_of_the_cache_is_raw),
		WITH_TRUCKS(print_is_cut_as_snprintf_is),
		WITH_TRUCKS(parse_reads_back_what_was_printed),
		WITH_TRUCKS(parse_raw_with_a_cache_is_raw),
		WITH_TRUCKS(parse_dead_handle_is_read),
		WITH_TRUCKS(parse_names_with_signs_and_digits_are_told_apart),
		WITH_TRUCKS(parse_each_wrong_text_is_refused_with_its_detail),
		WITH_TRUCKS(parse_decoded_without_a_cache_is_refused),
		WITH_TRUCKS(parse_null_argument_is_refused),
		WITH_TRUCKS(parse_quotes_a_text_safely),
		WITH_TRUCKS(parse_spoilt_texts_are_read_only_if_printed),
		WITH_TRUCKS(parse_random_bytes_are_read_only_if_printed),
		WITH_TRUCKS(
			parse_truncated_texts_are_refused_or_shorter_numbers),
	};

	return cmocka_run_group_tests_name("handle_text", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/* The formatter against snprintf, conversion by conversion and cut by cut. */
#include "unit.h"

#include "text.h"

#include <limits.h>

#define BUFFER_BYTES 512

/* Both formatters on the same arguments, at every capacity. */
static void __attribute__((format(printf, 1, 2)))
assert_as_snprintf(const char *format, ...)
{
	char expected[BUFFER_BYTES], actual[BUFFER_BYTES];
	va_list arguments;

	for (size_t capacity = 1; capacity < 80; capacity++) {
		struct text text;

		va_start(arguments, format);
		vsnprintf(expected, capacity, format, arguments);
		va_end(arguments);
		memset(actual, 'Z', sizeof(actual));
		cubby__text_init(&text, actual, capacity);
		va_start(arguments, format);
		cubby__text_vprintf(&text, format, arguments);
		va_end(arguments);
		assert_string_equal(actual, expected);
		assert_int_equal(text.used_bytes, strlen(expected));
		assert_int_equal(text.capacity_bytes, capacity);
		assert_ptr_equal(text.start, actual);
		assert_int_equal(actual[capacity], 'Z');
	}
}

static void
text_printf_plain_text_is_copied(void **state)
{
	(void)state;
	assert_as_snprintf("no conversion at all");
	assert_as_snprintf("100%% of %%d");
	assert_as_snprintf("tabs\tand\nlines %c%c", 'a', '\n');
}

static void
text_printf_strings_are_copied(void **state)
{
	(void)state;
	assert_as_snprintf("%s", "");
	assert_as_snprintf("<%s|%s>", "one", "two and a rather longer one");
	assert_as_snprintf("%s%%%s", "%d", "%s");
}

static void
text_printf_null_string_is_named(void **state)
{
	char buffer[32];
	const char *volatile nothing = NULL;
	struct text text;

	(void)state;
	cubby__text_init(&text, buffer, sizeof(buffer));
	cubby__text_printf(&text, "<%s>", nothing);
	assert_string_equal(buffer, "<(null)>");
}

static const uint64_t numbers[] = {
	0,          1,
	9,          10,
	15,         16,
	99,         100,
	0x7fffffff, 0x80000000,
	UINT32_MAX, UINT32_MAX + 1ull,
	INT64_MAX,  (uint64_t)INT64_MIN,
	UINT64_MAX,
};

static void
assert_number_as_snprintf(uint64_t number)
{
	assert_as_snprintf("%d", (int)number);
	assert_as_snprintf("%u %x", (unsigned)number, (unsigned)number);
	assert_as_snprintf("%ld", (long)number);
	assert_as_snprintf("%lu %lx", (unsigned long)number,
			   (unsigned long)number);
	assert_as_snprintf("%lld %llu %llx", (long long)number,
			   (unsigned long long)number,
			   (unsigned long long)number);
	assert_as_snprintf("%zu %zx", (size_t)number, (size_t)number);
	assert_as_snprintf("%zd", (ssize_t)number);
	if (number != 0) /* the C library says (nil) */
		assert_as_snprintf("%p", (void *)(uintptr_t)number);
}

static void
text_printf_numbers_at_the_edges_are_exact(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(numbers); i++) {
		assert_number_as_snprintf(numbers[i]);
		assert_number_as_snprintf(-numbers[i]);
	}
}

static void
text_printf_random_numbers_are_exact(void **state)
{
	(void)state;
	for (unsigned i = scaled(300); i > 0; i--)
		assert_number_as_snprintf(random_word() >> random_below(64));
}

static void
text_printf_null_pointer_is_a_number(void **state)
{
	char buffer[32];
	struct text text;

	(void)state;
	cubby__text_init(&text, buffer, sizeof(buffer));
	cubby__text_printf(&text, "%p", (void *)NULL);
	assert_string_equal(buffer, "0x0");
}

static void
text_printf_several_calls_append(void **state)
{
	char buffer[16];
	struct text text;

	(void)state;
	memset(buffer, 'Z', sizeof(buffer));
	cubby__text_init(&text, buffer, 8);
	assert_string_equal(buffer, "");
	cubby__text_printf(&text, "%s", "abc");
	cubby__text_printf(&text, "%d", 12);
	assert_string_equal(buffer, "abc12");
	cubby__text_printf(&text, "%d", 3456);
	assert_string_equal(buffer, "abc1234");
	cubby__text_printf(&text, "more");
	assert_string_equal(buffer, "abc1234");
	assert_int_equal(text.used_bytes, 7);
	assert_int_equal(buffer[8], 'Z');
}

static void
text_printf_broken_format_ends_quietly(void **state)
{
	static const char *const formats[][2] = {
		{ "a%", "a" },  { "a%l", "a" },    { "a%ll", "a" },
		{ "a%z", "a" }, { "a%yb", "ayb" },
	};
	char buffer[16];
	struct text text;

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(formats); i++) {
		const char *volatile format = formats[i][0];

		cubby__text_init(&text, buffer, sizeof(buffer));
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wformat-security"
		cubby__text_printf(&text, format);
#pragma GCC diagnostic pop
		assert_string_equal(buffer, formats[i][1]);
	}
}

static void
call_vprintf_twice(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	cubby__text_vprintf(text, format, arguments);
	cubby__text_vprintf(text, format, arguments);
	va_end(arguments);
}

static void
text_vprintf_list_is_left_as_it_was(void **state)
{
	char buffer[32];
	struct text text;

	(void)state;
	cubby__text_init(&text, buffer, sizeof(buffer));
	call_vprintf_twice(&text, "%d-%s,", 7, "x");
	assert_string_equal(buffer, "7-x,7-x,");
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_printf_plain_text_is_copied),
		cmocka_unit_test(text_printf_strings_are_copied),
		cmocka_unit_test(text_printf_null_string_is_named),
		cmocka_unit_test(text_printf_numbers_at_the_edges_are_exact),
		cmocka_unit_test(text_printf_random_numbers_are_exact),
		cmocka_unit_test(text_printf_null_pointer_is_a_number),
		cmocka_unit_test(text_printf_several_calls_append),
		cmocka_unit_test(text_printf_broken_format_ends_quietly),
		cmocka_unit_test(text_vprintf_list_is_left_as_it_was),
	};

	return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}

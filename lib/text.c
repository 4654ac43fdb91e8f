/* SPDX-License-Identifier: MIT */
/* LAYER 0: text - formatting into a caller's buffer, without libc */
#include "text.h"

/* Digits of 2^64 - 1 in base 10. */
#define U64_DIGITS_MAX 20

void
cubby__text_init(struct text *text, char *buffer, size_t buffer_bytes)
{
	text->start = buffer;
	text->used_bytes = 0;
	text->capacity_bytes = buffer_bytes;
	buffer[0] = '\0';
}

static void
put(struct text *text, char c)
{
	if (text->used_bytes + 1 >= text->capacity_bytes)
		return;
	text->start[text->used_bytes++] = c;
	text->start[text->used_bytes] = '\0';
}

static void
put_string(struct text *text, const char *string)
{
	if (string == NULL)
		string = "(null)";
	while (*string != '\0')
		put(text, *string++);
}

static void
put_number(struct text *text, uint64_t number, unsigned base)
{
	char digits[U64_DIGITS_MAX];
	unsigned n = 0;

	do
		digits[n++] = "0123456789abcdef"[number % base];
	while ((number /= base) != 0);
	while (n > 0)
		put(text, digits[--n]);
}

static void
put_signed(struct text *text, int64_t number)
{
	if (number < 0)
		put(text, '-');
	put_number(text, number < 0 ? -(uint64_t)number : (uint64_t)number,
		   10);
}

/* `n_long`: how many l or z stood before the conversion; all mean 64 bits. */
static void
put_conversion(struct text *text, char conversion, unsigned n_long,
	       va_list *arguments)
{
	switch (conversion) {
	case 's':
		put_string(text, va_arg(*arguments, const char *));
		break;
	case 'c':
		put(text, (char)va_arg(*arguments, int));
		break;
	case 'd':
		put_signed(text, n_long ? va_arg(*arguments, long) :
					  va_arg(*arguments, int));
		break;
	case 'u':
	case 'x':
		put_number(text,
			   n_long ? va_arg(*arguments, unsigned long) :
				    va_arg(*arguments, unsigned),
			   conversion == 'x' ? 16 : 10);
		break;
	case 'p':
		put_string(text, "0x");
		put_number(text, (uintptr_t)va_arg(*arguments, void *), 16);
		break;
	default:
		put(text, conversion);
	}
}

void
cubby__text_vprintf(struct text *text, const char *format, va_list arguments)
{
	va_list copy;

	va_copy(copy, arguments);
	while (*format != '\0') {
		unsigned n_long = 0;

		if (*format != '%') {
			put(text, *format++);
			continue;
		}
		format++;
		while (*format == 'l' || *format == 'z') {
			n_long++;
			format++;
		}
		if (*format != '\0')
			put_conversion(text, *format++, n_long, &copy);
	}
	va_end(copy);
}

void
cubby__text_printf(struct text *text, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	cubby__text_vprintf(text, format, arguments);
	va_end(arguments);
}

/* SPDX-License-Identifier: MIT */
/* LAYER 0: text - formatting into a caller's buffer, without libc */
#ifndef CUBBY__TEXT_H
#define CUBBY__TEXT_H

#include "compiler.h"

#include <stdarg.h>

/* A text under construction: always NUL-terminated, cut where it is full. */
struct text {
	char *start;
	size_t used_bytes;     /* without the NUL */
	size_t capacity_bytes; /* with the NUL; at least 1 */
};

void cubby__text_init(struct text *text, char *buffer, size_t buffer_bytes);

/*
 * Append.  Knows %s %c %d %u %x %p %% and the lengths l, ll and z before d, u
 * and x; no widths, no flags.  %s of NULL prints "(null)".
 *
 * Threads: async-signal-safe.
 */
void cubby__text_printf(struct text *text, const char *format, ...)
	__attribute__((format(printf, 2, 3)));
void cubby__text_vprintf(struct text *text, const char *format,
			 va_list arguments)
	__attribute__((format(printf, 2, 0)));

#endif /* CUBBY__TEXT_H */

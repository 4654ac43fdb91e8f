/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: error - error codes and the thread's detail text
 *
 * A module adds a code by one ERROR_ROW in its own file (and its number to
 * the enum in cubby/error.h, which is ABI).
 */
#ifndef CUBBY__ERROR_H
#define CUBBY__ERROR_H

#include "compiler.h"

#include <cubby/error.h>

struct error_row {
	const char *name;
	const char *text;
	int64_t code; /* positive */
};

#define ERROR_ROW(code, text)                                                 \
	TABLE_ROW(errors)                                                     \
	struct error_row error_row_##code = { #code, text, code }

/*
 * Store this thread's detail text and return `code`, which is negative.
 * Keeps errno.  Must not be called under a lock: it may map a page.
 */
int cubby__error_set(int code, const char *format, ...) CUBBY_PRINTF(2, 3);

#endif /* CUBBY__ERROR_H */

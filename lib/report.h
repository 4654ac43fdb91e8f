/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: report - the one path for misuse and corruption
 *
 * One line on standard error, made without allocating:
 *
 *	cubby: double-free: cache 'truck': object 0x7f... is already free; <advice>
 *
 * then the program's hook, then abort(); with CUBBY_OPTIONS=misuse=continue
 * the caller gets control back and must leave everything unchanged.
 */
#ifndef CUBBY__REPORT_H
#define CUBBY__REPORT_H

#include "compiler.h"
#include "text.h"

#include <cubby/error.h>

struct misuse_row {
	const char *texts; /* the word in the report, NUL, how the line ends */
	uint64_t code;     /* enum cubby_misuse_code */
};

#define MISUSE_ROW(code, name, advice)                                        \
	TABLE_ROW(misuses)                                                    \
	struct misuse_row misuse_row_##code = { name "\0" advice, code }

/*
 * Report a misuse.
 *
 * @cache: name of the cache, or NULL; @address: the pointer, or NULL.
 * @format: what is wrong, as cubby__text_printf() takes it.
 *
 * Returns only under misuse=continue.  Must not be called under a lock.
 */
void cubby__report_misuse(uint32_t code, const char *cache,
			  const void *address, const char *format, ...)
	CUBBY_PRINTF(4, 5) COLD;

/*
 * The same in steps, for a report of several lines: open writes the first, more
 * another one (under "cubby:   "), close calls the hook and aborts.
 */
#define REPORT_BYTES_MAX 1024 /* of a line */

struct report {
	const struct misuse_row *row;
	const char *cache;
	const void *address;
	int saved_errno;
	struct text line;
	char buffer[REPORT_BYTES_MAX + 1];
};

void cubby__report_open(struct report *report, uint32_t code,
			const char *cache, const void *address,
			const char *format, ...) CUBBY_PRINTF(5, 6) COLD;
void cubby__report_more(const char *format, ...) CUBBY_PRINTF(1, 2) COLD;

/* @may_abort: false where the caller goes on in any case. */
void cubby__report_close(struct report *report, bool may_abort) COLD;

/* Does a report of a misuse end the process? */
bool cubby__report_aborts(void);

#endif /* CUBBY__REPORT_H */

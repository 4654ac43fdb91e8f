/* SPDX-License-Identifier: MIT */
/* LAYER 1: report - the one path for misuse and corruption */
#include "report.h"

#include "check.h"
#include "options.h"
#include "os.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MISUSE_CONTINUE 1 /* second word of the option below */

TABLE_ENDS(struct misuse_row, misuses);

MISUSE_ROW(CUBBY_MISUSE_CORRUPTION, "corruption",
	   "something wrote over Cubby's bookkeeping");

static uint64_t on_misuse;
OPTION_ROW(misuse, OPTION_WORD, &on_misuse, "abort|continue",
	   "what follows a misuse report");

static cubby_misuse_fn hook;
static void *hook_context;
static uint64_t n_misuses;

void
cubby_misuse_set_hook(cubby_misuse_fn new_hook, void *context)
{
	/*
	 * Two words, not one: a report that races with this call may see no
	 * hook, never a hook with another's context.
	 */
	__atomic_store_n(&hook, NULL, __ATOMIC_SEQ_CST);
	__atomic_store_n(&hook_context, context, __ATOMIC_SEQ_CST);
	__atomic_store_n(&hook, new_hook, __ATOMIC_SEQ_CST);
}

uint64_t
cubby_misuse_count(void)
{
	return __atomic_load_n(&n_misuses, __ATOMIC_RELAXED);
}

static const struct misuse_row *
find_row(uint32_t code)
{
	const struct misuse_row *row;

	TABLE_FOR_EACH (row, misuses)
		if (row->code == code)
			return row;
	return NULL;
}

static void
call_hook(const struct cubby_misuse *misuse)
{
	cubby_misuse_fn fn = __atomic_load_n(&hook, __ATOMIC_SEQ_CST);
	void *context = __atomic_load_n(&hook_context, __ATOMIC_SEQ_CST);

	if (fn != NULL && fn == __atomic_load_n(&hook, __ATOMIC_SEQ_CST))
		fn(misuse, context);
}

/* The line is written with its newline, and kept without. */
static void
write_line(struct text *line)
{
	line->start[line->used_bytes] = '\n';
	cubby__os_write(STDERR_FILENO, line->start, line->used_bytes + 1);
	line->start[line->used_bytes] = '\0';
}

static void
open_report(struct report *report, uint32_t code, const char *cache,
	    const void *address, const char *format, va_list arguments)
{
	struct text *line = &report->line;

	report->saved_errno = errno;
	report->row = find_row(code);
	report->cache = cache;
	report->address = address;
	cubby__options_read();
	cubby__text_init(line, report->buffer, REPORT_BYTES_MAX);
	cubby__text_printf(line, "cubby: %s: ",
			   report->row ? report->row->texts : "misuse");
	if (cache != NULL)
		cubby__text_printf(line, "cache '%s': ", cache);
	cubby__text_vprintf(line, format, arguments);
	if (report->row != NULL)
		cubby__text_printf(line, "; %s",
				   strchr(report->row->texts, '\0') + 1);
	__atomic_add_fetch(&n_misuses, 1, __ATOMIC_RELAXED);
	write_line(line);
}

void
cubby__report_open(struct report *report, uint32_t code, const char *cache,
		   const void *address, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	open_report(report, code, cache, address, format, arguments);
	va_end(arguments);
}

void
cubby__report_more(const char *format, ...)
{
	char buffer[REPORT_BYTES_MAX + 1];
	struct text line;
	va_list arguments;

	cubby__text_init(&line, buffer, REPORT_BYTES_MAX);
	cubby__text_printf(&line, "cubby:   ");
	va_start(arguments, format);
	cubby__text_vprintf(&line, format, arguments);
	va_end(arguments);
	write_line(&line);
}

bool
cubby__report_aborts(void)
{
	cubby__options_read();
	return on_misuse != MISUSE_CONTINUE;
}

void
cubby__report_close(struct report *report, bool may_abort)
{
	const struct misuse_row *row = report->row;
	struct cubby_misuse misuse = {
		.misuse_bytes = sizeof(misuse),
		.code = row ? (uint32_t)row->code : 0,
		.name = row ? row->texts : "misuse",
		.text = report->line.start,
		.cache = report->cache,
		.address = report->address,
	};

	call_hook(&misuse);
	if (may_abort && cubby__report_aborts())
		abort();
	errno = report->saved_errno;
}

void
cubby__report_misuse(uint32_t code, const char *cache, const void *address,
		     const char *format, ...)
{
	struct report report;
	va_list arguments;

	va_start(arguments, format);
	open_report(&report, code, cache, address, format, arguments);
	va_end(arguments);
	cubby__report_close(&report, true);
}

void
cubby__check_failed(const char *condition, const char *file, int line)
{
	cubby__report_misuse(CUBBY_MISUSE_CORRUPTION, NULL, NULL,
			     "%s:%d: '%s' does not hold", file, line,
			     condition);
	abort();
}

/* SPDX-License-Identifier: MIT */
/* LAYER 1: report - the one path for misuse and corruption */
#include "report.h"

#include "check.h"
#include "options.h"
#include "os.h"
#include "text.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

/* A report is one line of at most so many bytes. */
#define REPORT_BYTES_MAX 1024

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

/* The line is written with its newline and handed to the hook without. */
static void
emit(struct text *line, const struct misuse_row *row, const char *cache,
     const void *address)
{
	struct cubby_misuse misuse = {
		.misuse_bytes = sizeof(misuse),
		.code = row ? (uint32_t)row->code : 0,
		.name = row ? row->name : "misuse",
		.text = line->start,
		.cache = cache,
		.address = address,
	};

	__atomic_add_fetch(&n_misuses, 1, __ATOMIC_RELAXED);
	line->start[line->used_bytes] = '\n';
	cubby__os_write(STDERR_FILENO, line->start, line->used_bytes + 1);
	line->start[line->used_bytes] = '\0';
	call_hook(&misuse);
}

void
cubby__report_misuse(uint32_t code, const char *cache, const void *address,
		     const char *format, ...)
{
	int saved = errno;
	const struct misuse_row *row = find_row(code);
	char buffer[REPORT_BYTES_MAX + 1];
	struct text line;
	va_list arguments;

	cubby__options_read();
	cubby__text_init(&line, buffer, REPORT_BYTES_MAX);
	cubby__text_printf(&line, "cubby: %s: ", row ? row->name : "misuse");
	if (cache != NULL)
		cubby__text_printf(&line, "cache '%s': ", cache);
	va_start(arguments, format);
	cubby__text_vprintf(&line, format, arguments);
	va_end(arguments);
	if (row != NULL)
		cubby__text_printf(&line, "; %s", row->advice);
	emit(&line, row, cache, address);
	if (on_misuse != MISUSE_CONTINUE)
		abort();
	errno = saved;
}

void
cubby__check_failed(const char *condition, const char *file, int line)
{
	cubby__report_misuse(CUBBY_MISUSE_CORRUPTION, NULL, NULL,
			     "%s:%d: '%s' does not hold", file, line,
			     condition);
	abort();
}

/* SPDX-License-Identifier: MIT */
/* LAYER 1: options - CUBBY_OPTIONS, read once */
#include "options.h"

#include "bits.h"
#include "host.h"
#include "os.h"
#include "piece.h"
#include "text.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TABLE_ENDS(struct option_row, options);

static const struct option_row *
find_row(struct piece name)
{
	const struct option_row *row;

	TABLE_FOR_EACH (row, options)
		if (cubby__piece_is(name, row->name))
			return row;
	return NULL;
}

static bool
parse_word(struct piece piece, const char *words, uint64_t *ret_number)
{
	struct piece rest = { words, strlen(words) };

	for (uint64_t n = 0; rest.n_bytes != 0; n++) {
		struct piece word = cubby__piece_cut(&rest, '|');

		if (word.n_bytes == piece.n_bytes &&
		    memcmp(word.start, piece.start, piece.n_bytes) == 0) {
			*ret_number = n;
			return true;
		}
	}
	return false;
}

static bool
keep_text(struct piece piece, char *ret_text)
{
	if (piece.n_bytes >= OPTION_TEXT_BYTES)
		return false;
	memcpy(ret_text, piece.start, piece.n_bytes);
	ret_text[piece.n_bytes] = '\0';
	return true;
}

static bool
apply_one(struct piece piece)
{
	struct piece value = piece;
	struct piece name = cubby__piece_cut(&value, '=');
	bool has_value = name.n_bytes < piece.n_bytes;
	const struct option_row *row;

	row = find_row(name);
	if (row == NULL)
		return false;
	switch (row->kind) {
	case OPTION_FLAG:
		if (!has_value)
			*row->value = 1;
		return !has_value;
	case OPTION_TEXT:
		return has_value && keep_text(value, (char *)row->value);
	case OPTION_NUMBER:
		return has_value && cubby__piece_number(value, row->value);
	default:
		return has_value && parse_word(value, row->words, row->value);
	}
}

static void
put_row(struct text *line, const struct option_row *row)
{
	cubby__text_printf(line, " %s", row->name);
	if (row->kind == OPTION_NUMBER)
		cubby__text_printf(line, "=N");
	if (row->kind == OPTION_TEXT)
		cubby__text_printf(line, "=WORDS");
	if (row->kind == OPTION_WORD)
		cubby__text_printf(line, "=%s", row->words);
}

static COLD void
report_refused(struct piece piece)
{
	char buffer[512];
	struct text line;
	const struct option_row *row;

	cubby__text_init(&line, buffer, sizeof(buffer));
	cubby__text_printf(&line, "cubby: %s: '", cubby__host.options_name);
	cubby__piece_put(&line, piece);
	cubby__text_printf(&line, "' is ignored; known are");
	TABLE_FOR_EACH (row, options)
		put_row(&line, row);
	cubby__text_printf(&line, "\n");
	cubby__os_write(STDERR_FILENO, line.start, line.used_bytes);
}

unsigned
cubby__options_apply(const char *options)
{
	struct piece rest = { options, strlen(options) };
	unsigned n_refused = 0;

	while (rest.n_bytes != 0) {
		struct piece piece = cubby__piece_cut(&rest, ',');

		if (piece.n_bytes == 0 || apply_one(piece))
			continue;
		n_refused++;
		report_refused(piece);
	}
	return n_refused;
}

static void
read_environment(void)
{
	const char *options = secure_getenv(cubby__host.options_name);

	if (options != NULL)
		cubby__options_apply(options);
}

void
cubby__options_read(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_environment);
}

/* SPDX-License-Identifier: MIT */
/* LAYER 1: options - CUBBY_OPTIONS, read once */
#include "options.h"

#include "bits.h"
#include "os.h"
#include "text.h"

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

TABLE_ENDS(struct option_row, options);

/* A piece of the environment's text, not NUL-terminated. */
struct piece {
	const char *start;
	size_t n_bytes;
};

static bool
piece_is(struct piece piece, const char *word)
{
	return strlen(word) == piece.n_bytes &&
	       memcmp(word, piece.start, piece.n_bytes) == 0;
}

/* The first piece of `text` up to `separator`; *text moves behind it. */
static struct piece
cut(const char **text, char separator)
{
	struct piece piece = { *text, 0 };

	while (**text != '\0' && **text != separator) {
		piece.n_bytes++;
		(*text)++;
	}
	if (**text == separator)
		(*text)++;
	return piece;
}

static const struct option_row *
find_row(struct piece name)
{
	const struct option_row *row;

	TABLE_FOR_EACH (row, options)
		if (piece_is(name, row->name))
			return row;
	return NULL;
}

static bool
parse_suffix(char suffix, unsigned *ret_shift)
{
	switch (suffix) {
	case 'K':
		*ret_shift = 10;
		return true;
	case 'M':
		*ret_shift = 20;
		return true;
	case 'G':
		*ret_shift = 30;
		return true;
	case 'T':
		*ret_shift = 40;
		return true;
	}
	return false;
}

static bool
parse_number(struct piece piece, uint64_t *ret_number)
{
	uint64_t number = 0;
	unsigned shift = 0;
	size_t i;

	for (i = 0; i < piece.n_bytes && piece.start[i] >= '0' &&
		    piece.start[i] <= '9';
	     i++) {
		uint64_t digit = (uint64_t)(piece.start[i] - '0');

		if (number > (UINT64_MAX - digit) / 10)
			return false;
		number = number * 10 + digit;
	}
	if (i == 0)
		return false;
	if (i < piece.n_bytes && !parse_suffix(piece.start[i++], &shift))
		return false;
	if (i != piece.n_bytes || number > UINT64_MAX >> shift)
		return false;
	*ret_number = number << shift;
	return true;
}

static bool
parse_word(struct piece piece, const char *words, uint64_t *ret_number)
{
	for (uint64_t n = 0; *words != '\0'; n++) {
		struct piece word = cut(&words, '|');

		if (word.n_bytes == piece.n_bytes &&
		    memcmp(word.start, piece.start, piece.n_bytes) == 0) {
			*ret_number = n;
			return true;
		}
	}
	return false;
}

static bool
apply_one(struct piece piece)
{
	struct piece name = { piece.start, 0 };
	struct piece value = { NULL, 0 };
	const struct option_row *row;

	while (name.n_bytes < piece.n_bytes && name.start[name.n_bytes] != '=')
		name.n_bytes++;
	if (name.n_bytes < piece.n_bytes) {
		value.start = name.start + name.n_bytes + 1;
		value.n_bytes = piece.n_bytes - name.n_bytes - 1;
	}
	row = find_row(name);
	if (row == NULL)
		return false;
	switch (row->kind) {
	case OPTION_FLAG:
		if (value.start == NULL)
			*row->value = 1;
		return value.start == NULL;
	case OPTION_NUMBER:
		return value.start != NULL && parse_number(value, row->value);
	default:
		return value.start != NULL &&
		       parse_word(value, row->words, row->value);
	}
}

static void
put_row(struct text *line, const struct option_row *row)
{
	cubby__text_printf(line, " %s", row->name);
	if (row->kind == OPTION_NUMBER)
		cubby__text_printf(line, "=N");
	if (row->kind == OPTION_WORD)
		cubby__text_printf(line, "=%s", row->words);
}

static COLD void
report_refused(struct piece piece)
{
	char buffer[512];
	char copy[64];
	struct text line;
	const struct option_row *row;
	size_t n_bytes = min_u64(piece.n_bytes, sizeof(copy) - 1);

	memcpy(copy, piece.start, n_bytes);
	copy[n_bytes] = '\0';
	cubby__text_init(&line, buffer, sizeof(buffer));
	cubby__text_printf(&line,
			   "cubby: CUBBY_OPTIONS: '%s' is ignored; known are",
			   copy);
	TABLE_FOR_EACH (row, options)
		put_row(&line, row);
	cubby__text_printf(&line, "\n");
	cubby__os_write(STDERR_FILENO, line.start, line.used_bytes);
}

unsigned
cubby__options_apply(const char *options)
{
	unsigned n_refused = 0;

	while (*options != '\0') {
		struct piece piece = cut(&options, ',');

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
	const char *options = secure_getenv("CUBBY_OPTIONS");

	if (options != NULL)
		cubby__options_apply(options);
}

void
cubby__options_read(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_environment);
}

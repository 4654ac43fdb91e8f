/* SPDX-License-Identifier: MIT */
/*
 * resp.c - see resp.h.  It reads what strangers send, so every step knows how
 * many bytes are left.
 */
#include "resp.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

enum { NUMBER_BYTES_MAX = 20 };

struct reader {
	const char *at, *end;
};

/* The bytes up to \r\n (or \n alone), which are passed over; NULL: no end. */
static const char *
read_line(struct reader *reader, size_t *ret_n_bytes)
{
	const char *line = reader->at;
	const char *newline = memchr(line, '\n', (size_t)(reader->end - line));

	if (newline == NULL)
		return NULL;
	reader->at = newline + 1;
	*ret_n_bytes = (size_t)(newline - line);
	if (*ret_n_bytes > 0 && newline[-1] == '\r')
		--*ret_n_bytes;
	return line;
}

bool
resp_number(const struct resp_word *word, int64_t *ret_number)
{
	char text[NUMBER_BYTES_MAX + 1], *end;

	if (word->n_bytes == 0 || word->n_bytes > NUMBER_BYTES_MAX)
		return false;
	memcpy(text, word->text, word->n_bytes);
	text[word->n_bytes] = '\0';
	errno = 0;
	*ret_number = strtoll(text, &end, 10);
	return *end == '\0' && errno == 0;
}

/* "*3" or "$5": 1 and the number; 0: not all there; -1: something else. */
static int
read_header(struct reader *reader, char type, int64_t max, int64_t *ret_number)
{
	struct resp_word word;
	size_t n_bytes;
	const char *line = read_line(reader, &n_bytes);

	if (line == NULL)
		return reader->at < reader->end && *reader->at != type ? -1 :
									 0;
	if (n_bytes < 2 || line[0] != type)
		return -1;
	word = (struct resp_word){ line + 1, n_bytes - 1 };
	if (!resp_number(&word, ret_number) || *ret_number < 0 ||
	    *ret_number > max)
		return -1;
	return 1;
}

static int
read_array(struct reader *reader, struct resp_request *request)
{
	int64_t n_words, n_bytes;
	int found = read_header(reader, '*', RESP_WORDS_MAX, &n_words);

	if (found != 1)
		return found;
	for (int64_t i = 0; i < n_words; i++) {
		found = read_header(reader, '$', INT32_MAX, &n_bytes);
		if (found != 1)
			return found;
		if (reader->end - reader->at < n_bytes + 2)
			return 0;
		if (memcmp(reader->at + n_bytes, "\r\n", 2) != 0)
			return -1;
		request->words[i] = (struct resp_word){ reader->at,
							(size_t)n_bytes };
		reader->at += n_bytes + 2;
	}
	request->n_words = (size_t)n_words;
	return 1;
}

static int
read_words(struct reader *reader, struct resp_request *request)
{
	size_t n_bytes;
	const char *line = read_line(reader, &n_bytes);
	const char *end = line + n_bytes;

	if (line == NULL)
		return 0;
	for (;;) {
		const char *word;

		while (line < end && *line == ' ')
			line++;
		if (line == end)
			return 1;
		if (request->n_words == RESP_WORDS_MAX)
			return -1;
		for (word = line; line < end && *line != ' ';)
			line++;
		request->words[request->n_words++] = (struct resp_word){
			word, (size_t)(line - word)
		};
	}
}

int
resp_parse(const char *bytes, size_t n_bytes, struct resp_request *ret_request)
{
	struct reader reader = { bytes, bytes + n_bytes };
	int found;

	ret_request->n_words = 0;
	if (n_bytes == 0)
		return 0;
	found = *bytes == '*' ? read_array(&reader, ret_request) :
				read_words(&reader, ret_request);
	return found == 1 ? (int)(reader.at - bytes) : found;
}

bool
resp_is(const struct resp_word *word, const char *text)
{
	return strlen(text) == word->n_bytes &&
	       strncasecmp(word->text, text, word->n_bytes) == 0;
}

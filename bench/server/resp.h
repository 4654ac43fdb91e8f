/* SPDX-License-Identifier: MIT */
/*
 * resp.h - requests of RESP, the protocol of Redis: an array of bulk strings,
 *
 *	*2\r\n$4\r\nECHO\r\n$5\r\nhello\r\n
 *
 * or a line of words.  Source: https://redis.io/docs/reference/protocol-spec/
 */
#ifndef SERVER_RESP_H
#define SERVER_RESP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { RESP_WORDS_MAX = 8 };

struct resp_word {
	const char *text;
	size_t n_bytes;
};

struct resp_request {
	size_t n_words; /* 0: an empty line */
	struct resp_word words[RESP_WORDS_MAX];
};

/*
 * Read one request.  Returns its bytes; 0 if its end is not there yet; -1 if it
 * is none.  Its words are where the bytes are.
 */
int resp_parse(const char *bytes, size_t n_bytes,
	       struct resp_request *ret_request);

/* Is it this word, in whatever case? */
bool resp_is(const struct resp_word *word, const char *text);

/* A decimal number, signed as RESP's are; false if it is none. */
bool resp_number(const struct resp_word *word, int64_t *ret_number);

#endif /* SERVER_RESP_H */

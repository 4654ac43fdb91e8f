/* SPDX-License-Identifier: MIT */
/* LAYER 0: piece - parts of a text that somebody else owns */
#ifndef CUBBY__PIECE_H
#define CUBBY__PIECE_H

#include "compiler.h"
#include "text.h"

/* Not NUL-terminated. */
struct piece {
	const char *start;
	size_t n_bytes;
};

bool cubby__piece_is(struct piece piece, const char *word);

/* What is before the first `separator`; *text moves behind that. */
struct piece cubby__piece_cut(struct piece *text, char separator);

/* "17", "64K": K, M, G, T are powers of 2.  false, and unchanged. */
bool cubby__piece_number(struct piece piece, uint64_t *ret_number);

/* Append it, or its first 63 bytes. */
void cubby__piece_put(struct text *text, struct piece piece);

/* In the pattern * is any text and ? any character. */
bool cubby__piece_matches(struct piece pattern, const char *text);

#endif /* CUBBY__PIECE_H */

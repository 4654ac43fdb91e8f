/* SPDX-License-Identifier: MIT */
/* LAYER 0: piece - parts of a text that somebody else owns */
#include "piece.h"

#include <string.h>

#define BYTES_PUT_MAX 63

bool
cubby__piece_is(struct piece piece, const char *word)
{
	return strlen(word) == piece.n_bytes &&
	       memcmp(word, piece.start, piece.n_bytes) == 0;
}

struct piece
cubby__piece_cut(struct piece *text, char separator)
{
	struct piece piece = { text->start, 0 };

	while (piece.n_bytes < text->n_bytes &&
	       piece.start[piece.n_bytes] != separator)
		piece.n_bytes++;
	text->start += piece.n_bytes;
	text->n_bytes -= piece.n_bytes;
	if (text->n_bytes != 0) {
		text->start++;
		text->n_bytes--;
	}
	return piece;
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

bool
cubby__piece_number(struct piece piece, uint64_t *ret_number)
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

void
cubby__piece_put(struct text *text, struct piece piece)
{
	for (size_t i = 0; i < piece.n_bytes && i < BYTES_PUT_MAX; i++)
		cubby__text_printf(text, "%c", piece.start[i]);
}

bool
cubby__piece_matches(struct piece pattern, const char *text)
{
	size_t i = 0, star = SIZE_MAX; /* where to go on after a mismatch */
	const char *tried = text;

	while (*text != '\0') {
		if (i < pattern.n_bytes && pattern.start[i] == '*') {
			star = i++;
			tried = text;
		} else if (i < pattern.n_bytes &&
			   (pattern.start[i] == '?' ||
			    pattern.start[i] == *text)) {
			i++;
			text++;
		} else if (star != SIZE_MAX) {
			i = star + 1; /* the star takes one more */
			text = ++tried;
		} else {
			return false;
		}
	}
	while (i < pattern.n_bytes && pattern.start[i] == '*')
		i++;
	return i == pattern.n_bytes;
}

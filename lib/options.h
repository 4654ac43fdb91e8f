/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: options - CUBBY_OPTIONS, read once (host.h: or CUBBY_MALLOC)
 *
 *	CUBBY_OPTIONS=budget=64G,chunks,misuse=continue
 *
 * A module declares an option by one OPTION_ROW in its own file and reads its
 * variable after cubby__options_read() ran.  The environment is read once, at
 * the first cache of the process, and never again; a setuid program ignores
 * it.  Words that no row knows, and values that do not parse, are reported on
 * standard error once and change nothing.
 */
#ifndef CUBBY__OPTIONS_H
#define CUBBY__OPTIONS_H

#include "compiler.h"

enum option_kind {
	OPTION_FLAG,   /* "name": the uint64_t becomes 1 */
	OPTION_NUMBER, /* "name=17", "name=64K": K, M, G, T are powers of 2 */
	OPTION_WORD, /* "name=abort": number of the word in `words`, from 0 */
	OPTION_TEXT  /* "name=what": into a char[OPTION_TEXT_BYTES] */
};

#define OPTION_TEXT_BYTES 256

struct option_row {
	const char *name;
	uint64_t *value;
	const char *words; /* "abort|continue" */
	const char *doc;
	uint64_t kind;
};

#define OPTION_ROW(name, kind, value, words, doc)                             \
	TABLE_ROW(options)                                                    \
	struct option_row option_row_##name = { #name, value, words, doc,     \
						kind }

/* Read the environment, the first time it is called.  MT-safe. */
void cubby__options_read(void);

/* Apply one text, for the tests: the number of words that were refused. */
unsigned cubby__options_apply(const char *options);

#endif /* CUBBY__OPTIONS_H */

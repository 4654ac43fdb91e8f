/* SPDX-License-Identifier: MIT */
/* LAYER 1: debug_rules - CUBBY_DEBUG: which caches are watched, and how */
#include "debug_rules.h"

#include "bits.h"
#include "host.h"
#include "os.h"
#include "piece.h"
#include "text.h"

#include <cubby/debug.h>

#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A longer text is none. */
#define TEXT_BYTES_MAX 4096

#define DEBUG_ALL                                                             \
	(CUBBY_DEBUG_CHECKS | CUBBY_DEBUG_RED_ZONE | CUBBY_DEBUG_POISON |     \
	 CUBBY_DEBUG_USER)

/* A word either sets flags or has a value; letters are words of one letter. */
static const struct {
	const char *word;
	uint64_t flags;
	uint32_t value_offset; /* in struct debug_rules; 0: it has none */
	char letter;
} words[] = {
	{ "checks", CUBBY_DEBUG_CHECKS, 0, 'F' },
	{ "red-zone", CUBBY_DEBUG_RED_ZONE, 0, 'Z' },
	{ "poison", CUBBY_DEBUG_POISON, 0, 'P' },
	{ "user", CUBBY_DEBUG_USER, 0, 'U' },
	{ "trace", CUBBY_DEBUG_TRACE, 0, 'T' },
	{ "all", DEBUG_ALL, 0, '\0' },
	{ "order", 0, 0, 'O' },
	{ "off", 0, 0, '-' },
	{ "quarantine", 0, offsetof(struct debug_rules, quarantine_bytes),
	  '\0' },
	{ "fail-nth", 0, offsetof(struct debug_rules, fail_nth), '\0' },
	{ "fail-every", 0, offsetof(struct debug_rules, fail_every), '\0' },
	{ "fail-ppm", 0, offsetof(struct debug_rules, fail_ppm), '\0' },
	{ "guard", 0, offsetof(struct debug_rules, guard_every), '\0' },
};

static char environment[TEXT_BYTES_MAX];

/* ---------------------------------- words -------------------------------- */

static void
apply_word(size_t i, struct debug_rules *rules)
{
	rules->flags |= words[i].flags;
	if (words[i].letter == '-')
		*rules = (struct debug_rules){ .is_off = true };
	else
		rules->is_off = false;
}

static bool
apply_letters(struct piece piece, struct debug_rules *rules)
{
	struct debug_rules with = *rules;

	for (size_t n = 0; n < piece.n_bytes; n++) {
		char letter = piece.start[n];
		size_t i;

		if (letter >= 'a' && letter <= 'z')
			letter = (char)(letter - 'a' + 'A');
		for (i = 0; i < ARRAY_SIZE(words); i++)
			if (words[i].letter == letter)
				break;
		if (i == ARRAY_SIZE(words))
			return false;
		apply_word(i, &with);
	}
	*rules = with;
	return true;
}

static bool
apply_value(size_t i, struct piece value, struct debug_rules *rules)
{
	uint64_t *place = (uint64_t *)((char *)rules + words[i].value_offset);

	if (!cubby__piece_number(value, place))
		return false;
	rules->is_off = false;
	return true;
}

/* false, and unchanged: not understood. */
static bool
apply(struct piece piece, struct debug_rules *rules)
{
	struct piece value = piece;
	struct piece name = cubby__piece_cut(&value, '=');
	bool has_value = name.n_bytes < piece.n_bytes;

	for (size_t i = 0; i < ARRAY_SIZE(words); i++) {
		if (!cubby__piece_is(name, words[i].word))
			continue;
		if (has_value != (words[i].value_offset != 0))
			return false;
		if (has_value)
			return apply_value(i, value, rules);
		apply_word(i, rules);
		return true;
	}
	return !has_value && apply_letters(piece, rules);
}

/* Names of caches alone, as in ",conn", mean all. */
static void
apply_all(struct piece what, bool has_names, struct debug_rules *rules)
{
	*rules = (struct debug_rules){ 0 };
	if (what.n_bytes == 0 && has_names)
		rules->flags = DEBUG_ALL;
	while (what.n_bytes != 0)
		(void)apply(cubby__piece_cut(&what, '+'), rules);
}

/* --------------------------------- look-up ------------------------------- */

static bool
names(struct piece patterns, const char *cache)
{
	while (patterns.n_bytes != 0)
		if (cubby__piece_matches(cubby__piece_cut(&patterns, ','),
					 cache))
			return true;
	return false;
}

void
cubby__debug_rules_find_in(const char *text, const char *cache,
			   struct debug_rules *ret_rules)
{
	struct piece rest = { text, strlen(text) };

	*ret_rules = (struct debug_rules){ 0 };
	while (rest.n_bytes != 0) {
		struct piece patterns = cubby__piece_cut(&rest, ';');
		struct piece what = cubby__piece_cut(&patterns, ',');

		if (patterns.n_bytes == 0) {
			apply_all(what, false, ret_rules);
		} else if (names(patterns, cache)) {
			apply_all(what, true, ret_rules);
			return;
		}
	}
}

/* No cache's name has one. */
static bool
has_blank(struct piece piece)
{
	return memchr(piece.start, ' ', piece.n_bytes) != NULL ||
	       memchr(piece.start, '\t', piece.n_bytes) != NULL;
}

static void
open_line(struct text *line, char *buffer, size_t n_bytes, struct piece piece)
{
	cubby__text_init(line, buffer, n_bytes);
	cubby__text_printf(line, "cubby: %s: '", cubby__host.debug_name);
	cubby__piece_put(line, piece);
}

static COLD void
report_refused(struct piece piece)
{
	char buffer[512];
	struct text line;

	open_line(&line, buffer, sizeof(buffer), piece);
	cubby__text_printf(&line, "' is ignored; known are the letters "
				  "FZPUTO-, and");
	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		cubby__text_printf(&line, " %s%s", words[i].word,
				   words[i].value_offset != 0 ? "=N" : "");
	cubby__text_printf(&line, "\n");
	cubby__os_write(STDERR_FILENO, line.start, line.used_bytes);
}

/* "red-zone" and "guard=9" name no cache; "user" or "order" may. */
static bool
is_meant_as_word(struct piece pattern)
{
	struct piece name = cubby__piece_cut(&pattern, '=');

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (cubby__piece_is(name, words[i].word))
			return words[i].value_offset != 0 ||
			       words[i].letter == 'F' ||
			       words[i].letter == 'Z' ||
			       words[i].letter == 'P';
	return false;
}

static COLD void
report_pattern(struct piece pattern)
{
	char buffer[256];
	struct text line;

	open_line(&line, buffer, sizeof(buffer), pattern);
	cubby__text_printf(&line, "' behind a comma is the name of a cache; "
				  "words are joined by +\n");
	cubby__os_write(STDERR_FILENO, line.start, line.used_bytes);
}

unsigned
cubby__debug_rules_check(const char *text)
{
	struct piece rest = { text, strlen(text) };
	unsigned n_refused = 0;

	while (rest.n_bytes != 0) {
		struct piece block = cubby__piece_cut(&rest, ';');
		struct piece what = cubby__piece_cut(&block, ',');
		struct debug_rules rules = { 0 };

		while (what.n_bytes != 0) {
			struct piece piece = cubby__piece_cut(&what, '+');

			if (apply(piece, &rules))
				continue;
			n_refused++;
			report_refused(piece);
		}
		while (block.n_bytes != 0) {
			struct piece pattern = cubby__piece_cut(&block, ',');

			if (is_meant_as_word(pattern))
				report_pattern(pattern);
			else if (has_blank(pattern))
				report_refused(pattern);
			else
				continue;
			n_refused++;
		}
	}
	return n_refused;
}

static void
read_environment(void)
{
	const char *text = cubby__host.debug_text();
	size_t n_bytes = text != NULL ? strlen(text) : 0;

	if (n_bytes >= TEXT_BYTES_MAX) {
		report_refused((struct piece){ text, n_bytes });
		return;
	}
	if (text == NULL)
		return;
	memcpy(environment, text, n_bytes + 1);
	cubby__debug_rules_check(environment);
}

void
cubby__debug_rules_find(const char *cache, struct debug_rules *ret_rules)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, read_environment);
	cubby__debug_rules_find_in(environment, cache, ret_rules);
}

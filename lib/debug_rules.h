/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: debug_rules - CUBBY_DEBUG: which caches are watched, and how
 *
 *	text     = block { ";" block }
 *	block    = [ what { "+" what } ] { "," pattern }
 *	what     = letters | word | word "=" number
 *
 * cubby/debug.h says what they mean.  The environment is read once, when the
 * first cache is created; what is asked for a cache is looked up in the text.
 */
#ifndef CUBBY__DEBUG_RULES_H
#define CUBBY__DEBUG_RULES_H

#include "compiler.h"

struct debug_rules {
	uint64_t flags; /* CUBBY_DEBUG_* */
	uint64_t is_off;
	uint64_t annotates; /* a tool is told of objects (debug.c) */
	uint64_t quarantine_bytes;
	uint64_t fail_nth, fail_every, fail_ppm; /* 0: never */
	uint64_t guard_every;                    /* the same; sample.h */
};

/* What the environment says of a cache of this name. */
void cubby__debug_rules_find(const char *cache, struct debug_rules *ret_rules);

/* The same of any text. */
void cubby__debug_rules_find_in(const char *text, const char *cache,
				struct debug_rules *ret_rules);

/* Report what is not understood in a text: how many words. */
unsigned cubby__debug_rules_check(const char *text);

#endif /* CUBBY__DEBUG_RULES_H */

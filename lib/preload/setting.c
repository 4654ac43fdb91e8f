/* SPDX-License-Identifier: MIT */
/* LAYER 8: setting - CUBBY_MALLOC, the one environment variable of all this */
#include "setting.h"

#include "bits.h"
#include "boot.h"
#include "extent.h"
#include "host.h"
#include "options.h"
#include "text.h"

#include <errno.h>

uint64_t cubby__setting_foreign = FOREIGN_UNSET;
uint64_t cubby__setting_zero;
uint64_t cubby__setting_checked;
uint64_t cubby__setting_stats;
uint64_t cubby__setting_keep_bytes = UINT64_MAX;

static uint64_t quarantine_bytes;
static uint64_t guard_every;
static char debug_words[OPTION_TEXT_BYTES];

OPTION_ROW(foreign, OPTION_WORD, &cubby__setting_foreign,
	   "ignore|report|abort",
	   "what follows a free of what is no block of this malloc");
OPTION_ROW(zero, OPTION_FLAG, &cubby__setting_zero, NULL,
	   "freed blocks are cleared");
OPTION_ROW(checked, OPTION_FLAG, &cubby__setting_checked, NULL,
	   "each free is checked in the call");
OPTION_ROW(stats, OPTION_FLAG, &cubby__setting_stats, NULL,
	   "what malloc_stats() says, at exit");
OPTION_ROW(keep, OPTION_NUMBER, &cubby__setting_keep_bytes, NULL,
	   "bytes of freed large blocks that keep their pages");
OPTION_ROW(quarantine, OPTION_NUMBER, &quarantine_bytes, NULL,
	   "bytes of freed blocks of a class that wait");
OPTION_ROW(guard, OPTION_NUMBER, &guard_every, NULL,
	   "one of about N blocks of a class lies beside guard pages");
OPTION_ROW(debug, OPTION_TEXT, (uint64_t *)(void *)debug_words, NULL,
	   "letters and words of CUBBY_DEBUG, joined by +");

void
cubby__setting_read(void)
{
	int saved_errno = errno;

	cubby__boot_begin();
	cubby__options_read();
	cubby__boot_end();
	errno = saved_errno;
}

static void
add_word(struct text *text, const char *word, uint64_t number)
{
	cubby__text_printf(text, "%s%s", text->used_bytes != 0 ? "+" : "",
			   word);
	if (number != 0)
		cubby__text_printf(text, "%zu", (size_t)number);
}

/* The same as words of CUBBY_DEBUG: the core does the rest. */
static const char *
debug_text(void)
{
	static char buffer[OPTION_TEXT_BYTES + 128];
	struct text text;

	cubby__setting_read();
	cubby__text_init(&text, buffer, sizeof(buffer));
	if (cubby__setting_checked)
		add_word(&text, "F", 0);
	if (quarantine_bytes != 0)
		add_word(&text, "quarantine=", quarantine_bytes);
	if (guard_every != 0)
		add_word(&text, "guard=", guard_every);
	if (debug_words[0] != '\0')
		add_word(&text, debug_words, 0);
	return buffer;
}

const struct host cubby__host = {
	.options_name = "CUBBY_MALLOC",
	.debug_name = "CUBBY_MALLOC: debug",
	.debug_text = debug_text,
	.is_malloc = true,
	.range_bytes_max = GIB,
	.nursery_bytes = 128 * KIB,
	.idle_bytes = 16 * MIB,
	.depot_bytes = 64 * KIB,
	.n_empty_slabs = 1,
	.empty_share = 4,
	.fork_prepare = cubby__extent_fork_prepare,
	.fork_done = cubby__extent_fork_done,
};

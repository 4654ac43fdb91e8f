/* SPDX-License-Identifier: MIT */
/*
 * smaps.h - what is resident, from /proc/self/smaps_rollup: exact, which what
 * /proc/self/statm counts is not where each CPU keeps a part of the counter.
 *
 * Allocates nothing.
 */
#pragma once

#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SMAPS_TEXT_BYTES = 4096, SMAPS_LINE_BYTES = 128 };

struct smaps {
	long rss_kib;   /* of all mappings */
	long dirty_kib; /* private pages that were written to */
};

/* The number after `key`, which begins a line of `text`; -1 if there is none. */
static inline long
smaps_number(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	return at ? strtol(at + strlen(key), NULL, 10) : -1;
}

static inline bool
smaps_read(struct smaps *ret_smaps)
{
	char text[SMAPS_TEXT_BYTES];
	int file = open("/proc/self/smaps_rollup", O_RDONLY | O_CLOEXEC);
	ssize_t n = 0, length = 0;

	if (file < 0)
		return false;
	while (length < SMAPS_TEXT_BYTES - 1 &&
	       (n = read(file, text + length,
			 (size_t)(SMAPS_TEXT_BYTES - 1 - length))) > 0)
		length += n;
	close(file);
	text[length] = '\0';
	*ret_smaps = (struct smaps){
		.rss_kib = smaps_number(text, "\nRss:"),
		.dirty_kib = smaps_number(text, "\nPrivate_Dirty:"),
	};
	return ret_smaps->rss_kib >= 0 && ret_smaps->dirty_kib >= 0;
}

/* A line of JSON; its length.  Of so few digits snprintf() allocates nothing. */
static inline size_t
smaps_print(const struct smaps *smaps, char line[SMAPS_LINE_BYTES])
{
	return (size_t)snprintf(line, SMAPS_LINE_BYTES,
				"{\"rss_kib\":%ld,\"dirty_kib\":%ld}\n",
				smaps->rss_kib, smaps->dirty_kib);
}

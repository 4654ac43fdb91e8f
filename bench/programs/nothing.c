/* SPDX-License-Identifier: MIT */
/*
 * nothing.c - a program that allocates once, and ends.
 *
 *	nothing [rss]
 *
 * With an argument it prints one line of JSON: what is resident at its end, and
 * what of it is its own.  It reads that without stdio, which would allocate.
 */
#include "smaps.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int
main(int argc, char **argv)
{
	void *volatile block = malloc(1);
	struct smaps smaps;
	char line[SMAPS_LINE_BYTES];
	size_t n;

	(void)argv;
	free(block);
	if (argc < 2)
		return 0;
	if (!smaps_read(&smaps))
		return 1;
	n = smaps_print(&smaps, line);
	return write(STDOUT_FILENO, line, n) == (ssize_t)n ? 0 : 1;
}

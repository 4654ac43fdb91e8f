/* SPDX-License-Identifier: MIT */
#include "mem.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
	FILE_BYTES_MAX = 8192, /* either file has less than 3 KiB */
	KIB = 1024
};

static int
read_file(const char *path, char *text)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	size_t n = 0;
	ssize_t got;

	if (fd < 0)
		return -errno;
	while ((got = read(fd, text + n, FILE_BYTES_MAX - 1 - n)) > 0)
		n += (size_t)got;
	close(fd);
	text[n] = '\0';
	return got < 0 ? -EIO : 0;
}

/* The value of a line "key:   123 kB"; `key` begins with the line's newline. */
static int
find_kib(const char *text, const char *key, uint64_t *ret_bytes)
{
	const char *line = strstr(text, key);

	if (!line)
		return -ENODATA;
	*ret_bytes = strtoull(line + strlen(key), NULL, 10) * KIB;
	return 0;
}

int
mem_sample(struct mem_sample *ret_sample)
{
	struct mem_sample sample = { 0 };
	char text[FILE_BYTES_MAX];
	int err;

	err = read_file("/proc/self/smaps_rollup", text);
	if (!err)
		err = find_kib(text, "\nRss:", &sample.rss_bytes);
	if (!err)
		err = find_kib(text, "\nAnonymous:", &sample.anonymous_bytes);
	if (!err)
		err = find_kib(text, "\nAnonHugePages:", &sample.huge_bytes);
	if (!err)
		err = read_file("/proc/self/status", text);
	if (!err)
		err = find_kib(text, "\nVmPTE:", &sample.page_table_bytes);
	if (!err)
		*ret_sample = sample;
	return err;
}

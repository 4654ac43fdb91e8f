/* SPDX-License-Identifier: MIT */
#include "context.h"

#include "gb.h"
#include "rivals/rival.h"

#include <cubby/cubby.h>

#include <gnu/libc-version.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#ifdef __clang__
#define COMPILER "clang " __VERSION__
#else
#define COMPILER "gcc " __VERSION__
#endif

#ifndef BENCH_CFLAGS
#error "the makefile says with what flags the benches were compiled"
#endif

enum { LINE_BYTES_MAX = 512 };

/* The first line of a file that begins with `key`, after it; "?" if none. */
static void
read_line(const char *path, const char *key, char line[LINE_BYTES_MAX])
{
	FILE *file = fopen(path, "re");
	int found = 0;

	while (file && !found && fgets(line, LINE_BYTES_MAX, file))
		found = !strncmp(line, key, strlen(key));
	if (file)
		fclose(file);
	if (!found) {
		strcpy(line, "?");
		return;
	}
	line[strcspn(line, "\n")] = '\0';
	memmove(line, line + strlen(key), strlen(line + strlen(key)) + 1);
}

static void
add_machine(void)
{
	char line[LINE_BYTES_MAX];
	struct utsname kernel;

	read_line("/proc/cpuinfo", "model name\t: ", line);
	gb_context("cpu", line);
	if (!uname(&kernel)) {
		snprintf(line, sizeof(line), "%s %s %s", kernel.sysname,
			 kernel.release, kernel.machine);
		gb_context("kernel", line);
	}
	read_line("/sys/kernel/mm/transparent_hugepage/enabled", "", line);
	gb_context("transparent_hugepage", line);
}

static void
add_variable(const char *name)
{
	const char *value = getenv(name);

	gb_context(name, value ? value : "");
}

int
bench_main(int argc, char **argv)
{
	add_machine();
	gb_context("compiler", COMPILER);
	gb_context("flags", BENCH_CFLAGS);
	gb_context("libc", gnu_get_libc_version());
	gb_context("malloc", rival_malloc.name());
	gb_context("cubby", cubby_version_string());
	add_variable("CUBBY_OPTIONS");
	add_variable("GLIBC_TUNABLES");
	add_variable("MALLOC_CONF");
	return gb_main(argc, argv);
}

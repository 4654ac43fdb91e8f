/* SPDX-License-Identifier: MIT */
#include "machine.h"

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
add_hardware(machine_add_fn *add)
{
	char line[LINE_BYTES_MAX];
	struct utsname kernel;

	read_line("/proc/cpuinfo", "model name\t: ", line);
	add("cpu", line);
	if (!uname(&kernel)) {
		snprintf(line, sizeof(line), "%s %s %s", kernel.sysname,
			 kernel.release, kernel.machine);
		add("kernel", line);
	}
	read_line("/sys/kernel/mm/transparent_hugepage/enabled", "", line);
	add("transparent_hugepage", line);
}

static void
add_variable(machine_add_fn *add, const char *name)
{
	const char *value = getenv(name);

	add(name, value ? value : "");
}

void
machine_describe(machine_add_fn *add)
{
	add_hardware(add);
	add("compiler", COMPILER);
	add("flags", BENCH_CFLAGS);
	add("libc", gnu_get_libc_version());
	add("malloc", rival_malloc.name());
	add("cubby", cubby_version_string());
	add_variable(add, "CUBBY_OPTIONS");
	add_variable(add, "CUBBY_DEBUG");
	add_variable(add, "GLIBC_TUNABLES");
	add_variable(add, "MALLOC_CONF");
}

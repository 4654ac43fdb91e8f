/* SPDX-License-Identifier: MIT */
/*
 * Goal M7, the part with a clock: what a process pays at its start for having
 * the library.  The same program is started alone, with libm preloaded (what
 * any small library costs) and with libcubby preloaded.  Reported, never
 * judged; the size and the mappings are scripts/run-bench's to look at.
 */
#define _GNU_SOURCE
#include "context.h"
#include "gb.h"

#include <cubby/cubby.h>

#include <dlfcn.h>
#include <spawn.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>

struct start {
	const char *name;
	const char *preload; /* NULL: nothing */
};

/* One whole process; 0 if it was started and left with 0. */
static int
run_once(const char *preload)
{
	static char program[] = "true";
	char *argv[] = { program, NULL };
	char variable[4096];
	char *environment[] = { preload ? variable : NULL, NULL };
	pid_t child;
	int status;

	if (preload)
		snprintf(variable, sizeof(variable), "LD_PRELOAD=%s", preload);
	if (posix_spawnp(&child, program, NULL, NULL, argv, environment))
		return -1;
	if (waitpid(child, &status, 0) != child)
		return -1;
	return status;
}

static void
bench_start(struct gb_state *state, void *arg)
{
	const struct start *start = arg;
	size_t n_failed = 0;
	size_t n = gb_start(state);

	for (size_t i = 0; i < n; i++)
		n_failed += run_once(start->preload) != 0;
	gb_stop(state);
	if (n_failed)
		gb_skip_with_error(state, "the process did not run");
}

/* The file that this process's libcubby came from. */
static const char *
library_path(void)
{
	Dl_info info;

	if (!dladdr(dlsym(RTLD_DEFAULT, "cubby_version"), &info))
		return NULL;
	return info.dli_fname;
}

int
main(int argc, char **argv)
{
	static struct start starts[] = { { "alone", NULL },
					 { "libm", "libm.so.6" },
					 { "libcubby", NULL } };

	starts[2].preload = library_path();
	if (!starts[2].preload || !strstr(starts[2].preload, "libcubby.so")) {
		fputs("bench_startup: not linked with libcubby.so\n", stderr);
		return 1;
	}
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		struct gb_bench *bench;
		char name[64];

		snprintf(name, sizeof(name), "M7/start/%s", starts[i].name);
		bench = gb_register(name, bench_start, &starts[i]);
		gb_real_time(bench);
		gb_unit(bench, GB_MICROSECOND);
	}
	return bench_main(argc, argv);
}

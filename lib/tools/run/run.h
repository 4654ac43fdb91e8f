/* SPDX-License-Identifier: MIT */
/*
 * cubby-run, a program of its own, which uses nothing of the library:
 *
 *	main.c      options; runs the program with the shim preloaded
 *	program.c   finds the program, and says where a preload has no effect
 *	library.c   finds the shim and its rivals
 *	measure.c   one run of the program, and what it took
 *	compare.c   runs in turn, and what they say together
 *	table.c     that as a table
 *	json.c      and for machines
 */
#ifndef CUBBY_TOOLS_RUN_H
#define CUBBY_TOOLS_RUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define SAYS __attribute__((format(printf, 1, 2)))
#define DIES __attribute__((format(printf, 2, 3), noreturn))

/* As env(1) has them. */
enum { EXIT_OURS = 125, EXIT_NOT_EXECUTABLE = 126, EXIT_NOT_FOUND = 127 };

enum { MAX_WITH = 8, MAX_ALLOCATORS = 5 + MAX_WITH, MAX_RUNS = 1000 };

void say(const char *format, ...) SAYS;
void die(int status, const char *format, ...) DIES;
/* A new string, which nobody frees: this program is short-lived. */
char *text(const char *format, ...) SAYS;

/* ------------------------------- program.c ------------------------------- */

/* Where `name` is, as execvp(3) would find it; dies if it is not. */
char *find_program(const char *name);
/* Says so if a preload would have no effect on the program at `path`. */
void warn_of_program(const char *path);

/* ------------------------------- library.c ------------------------------- */

/* The shim, as LD_PRELOAD takes it; without `option` it is searched for.
 * NULL if there is none, with a message in *why. */
char *find_shim(const char *option, char **why);
/* The first of `names`, which ends in NULL, in the usual directories. */
char *find_library(const char *const *names);
/* A library that the user named: its whole path; dies if it is none. */
char *named_library(const char *name);

/* ------------------------------- measure.c ------------------------------- */

struct command {
	const char *path;
	char **argv;
	int input;  /* from its offset 0, or input_at; -1 is /dev/null */
	int output; /* a file, emptied after each run */
	int64_t input_at;
	bool trace;
};

/* One run; sizes are in KiB, or -1 where they are not known. */
struct run {
	double cpu_s, wall_s;
	long peak_kib, final_kib;
	int status; /* as of wait(2) */
	uint64_t output_hash;
	int64_t output_bytes;
	bool of_child;   /* peak_kib is that of a child of the program */
	bool not_loaded; /* known of a first run only */
};

enum how { AS_WARM_UP, SHOWN, MEASURED };

/* Runs the command with `library` preloaded, or with nothing if it is NULL. */
struct run run_once(const struct command *command, const char *library,
		    enum how how);
/* A file without a name, in $TMPDIR. */
int temporary_file(void);

/* ------------------------------- compare.c ------------------------------- */

struct summary {
	double median, low, high;
};

struct allocator {
	const char *name;
	const char *package; /* that has it, or what to do if it is absent */
	const char *file;    /* NULL if there is none, and for glibc */
	bool is_there;
	bool not_loaded;
	bool of_child;
	bool status_varies, output_varies;
	bool status_differs, output_differs; /* from the first one's */
	int status;
	struct run *runs;
	struct summary cpu, wall; /* low and high are the extremes */
	struct summary ratio;     /* ... the interval */
	double peak_kib, final_kib;
};

struct comparison {
	char **argv;
	struct allocator *allocators; /* the first one is glibc */
	int n_allocators;
	int n_runs;
	double confidence;  /* of the intervals, at most 0.95 */
	bool output_varies; /* with glibc, too */
	int fastest, smallest;
	int n_in_order; /* allocators with which the program works */
	/* Its CPU time to that of any other one may be 1 or less. */
	bool may_be_fastest[MAX_ALLOCATORS];
};

struct wish {
	char **argv;
	const char *path;
	const char *shim; /* --library */
	struct {
		const char *name, *file;
	} with[MAX_WITH];
	int n_with;
	int n_runs;
	bool as_json, show_output, no_trace;
};

/* The exit status of cubby-run. */
int compare(const struct wish *wish);

/* --------------------------- table.c and json.c -------------------------- */

void print_table(const struct comparison *comparison);
void print_json(const struct comparison *comparison);
/* "0", "3", or the name of a signal, without SIG. */
const char *status_text(int status);

#endif

/* SPDX-License-Identifier: MIT */
/* What a comparison says, in 80 columns. */
#include <ctype.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>

#include "run.h"

#define KIB_OF_MIB 1024.0
#define SHORT_S 0.02 /* of which the start of a program is a good part */
#define WIDE 0.15    /* between the bounds of an interval */

enum { COLUMNS = 80, CELL = 16 };

const char *
status_text(int status)
{
	static const struct {
		int number;
		const char *name;
	} names[] = {
		{ SIGABRT, "ABRT" }, { SIGALRM, "ALRM" }, { SIGBUS, "BUS" },
		{ SIGFPE, "FPE" },   { SIGHUP, "HUP" },   { SIGILL, "ILL" },
		{ SIGINT, "INT" },   { SIGKILL, "KILL" }, { SIGPIPE, "PIPE" },
		{ SIGQUIT, "QUIT" }, { SIGSEGV, "SEGV" }, { SIGSYS, "SYS" },
		{ SIGTERM, "TERM" }, { SIGTRAP, "TRAP" }, { SIGXCPU, "XCPU" },
	};

	if (WIFEXITED(status))
		return text("%d", WEXITSTATUS(status));
	for (size_t i = 0; i < sizeof(names) / sizeof(*names); i++)
		if (names[i].number == WTERMSIG(status))
			return names[i].name;
	return text("S%d", WTERMSIG(status));
}

/* At most five characters, for numbers of at most five digits. */
static const char *
cell(double value, char room[CELL])
{
	int digits = value < 9.9995 ? 3 :
		     value < 99.995 ? 2 :
		     value < 999.95 ? 1 :
				      0;

	snprintf(room, CELL, "%.*f", digits, value);
	return room;
}

static void
print_times(const struct summary *times, double unit)
{
	char a[CELL], b[CELL], c[CELL];

	printf(" %5s %5s-%-5s", cell(times->median / unit, a),
	       cell(times->low / unit, b), cell(times->high / unit, c));
}

/* Four characters each. */
static void
print_ratio(const struct summary *ratio)
{
	int digits = ratio->high < 9.995 ? 2 : ratio->high < 99.95 ? 1 : 0;

	printf("  %4.*f %4.*f-%-4.*f", digits, ratio->median, digits,
	       ratio->low, digits, ratio->high);
}

static const char *
mib(double kib, char room[CELL])
{
	if (kib < 0)
		strcpy(room, "-");
	else
		snprintf(room, CELL, "%.*f", kib < 9999 * KIB_OF_MIB,
			 kib / KIB_OF_MIB);
	return room;
}

static void
print_row(const struct comparison *all, const struct allocator *one,
	  double unit)
{
	char a[CELL], b[CELL];

	printf("%-9.9s", one->name);
	if (!one->is_there) {
		printf("  %s\n", one->package);
		return;
	}
	print_times(&one->cpu, unit);
	if (one == all->allocators)
		printf("%-16s", "  1");
	else
		print_ratio(&one->ratio);
	printf(" ");
	print_times(&one->wall, unit);
	printf(" %5s %5s %4s\n", mib(one->peak_kib, a), mib(one->final_kib, b),
	       status_text(one->status));
}

static void
print_head(const struct comparison *all, bool in_ms)
{
	char line[COLUMNS + 1] = "";
	size_t n = 0;

	for (char **word = all->argv; *word && n < COLUMNS; word++)
		n += (size_t)snprintf(line + n, sizeof(line) - n, "%s%s",
				      n ? " " : "", *word);
	for (char *letter = line; *letter; letter++)
		if (iscntrl((unsigned char)*letter))
			*letter = ' ';
	if (n > COLUMNS)
		strcpy(line + COLUMNS - 3, "...");
	printf("%s\n%d run%s with each allocator after one to warm up, in random "
	       "order\n\n",
	       line, all->n_runs, all->n_runs == 1 ? "" : "s");
	printf("%9s %-19s%-16s%-19s%s\n", "", in_ms ? "CPU, ms" : "CPU, s",
	       "CPU, glibc = 1", in_ms ? "wall, ms" : "wall, s", "RSS, MiB");
	printf("malloc   median   min-max    median %2d %%    median   "
	       "min-max    peak final exit\n",
	       all->confidence >= 0.95 ? 95 : (int)(100 * all->confidence));
}

/* What makes a row one that says little, or a reason for alarm. */
static void
print_warnings(const struct comparison *all)
{
	for (int i = 0; i < all->n_allocators; i++) {
		const struct allocator *one = &all->allocators[i];

		if (!one->is_there)
			continue;
		if (one->not_loaded)
			printf("! %s was NOT LOADED into the program: its row "
			       "is one of glibc\n",
			       one->name);
		if (one->status_varies)
			printf("! EXIT STATUS VARIES from run to run with %s\n",
			       one->name);
		else if (one->status_differs)
			printf("! EXIT STATUS DIFFERS with %s: %s, but %s with "
			       "glibc\n",
			       one->name, status_text(one->status),
			       status_text(all->allocators[0].status));
		if (one->output_differs)
			printf("! OUTPUT DIFFERS with %s%s\n", one->name,
			       one->output_varies ?
				       ", and from run to run" :
				       " from what it is with glibc");
	}
}

static void
print_notes(const struct comparison *all)
{
	const struct allocator *glibc = all->allocators;
	bool of_child = false, no_final = false, is_wide = false;

	for (int i = 0; i < all->n_allocators; i++) {
		of_child |= glibc[i].of_child;
		is_wide |= glibc[i].is_there &&
			   glibc[i].ratio.high - glibc[i].ratio.low > WIDE;
		no_final |= glibc[i].is_there && glibc[i].final_kib < 0;
	}
	if (all->output_varies)
		printf("The output is another one in each run, with glibc too: "
		       "it was not compared.\n");
	if (glibc->status != 0 && !glibc->status_differs)
		printf("The program does not succeed with glibc either; "
		       "--show-output shows it.\n");
	if (of_child)
		printf("The peak is that of a child, the final size that of "
		       "the program itself.\n");
	if (no_final)
		printf("Final sizes are not known: the program is not or "
		       "cannot be traced.\n");
	if (glibc->cpu.median < SHORT_S)
		printf("Most of so short a run is the program's start: "
		       "give it more to do.\n");
	else if (is_wide && all->n_runs >= 6)
		printf("Some intervals are wide: is the machine busy?  More "
		       "runs help: -n %d.\n",
		       2 * all->n_runs + 1);
	if (all->n_runs < 6)
		printf("Fewer than 6 runs are too few for intervals of 95 "
		       "%%.\n");
}

/* The fastest one, and those that cannot be told from it: by name, if few. */
static void
print_fastest(const struct comparison *all)
{
	const char *others[MAX_ALLOCATORS];
	int n = 0;

	for (int i = 0; i < all->n_allocators; i++)
		if (i != all->fastest && all->may_be_fastest[i])
			others[n++] = all->allocators[i].name;
	if (n > 2 && n == all->n_in_order - 1) {
		printf("Fastest: too close to tell.");
		return;
	}
	printf("Fastest: %s", all->allocators[all->fastest].name);
	if (n > 2)
		printf(" or any of %d others", n);
	for (int i = 0; n <= 2 && i < n; i++)
		printf(" or %s", others[i]);
	printf(".");
}

static void
print_smallest(const struct comparison *all)
{
	const struct allocator *one = &all->allocators[all->smallest];
	char room[CELL];

	printf("Smallest: %s, peak %s MiB.", one->name,
	       mib(one->peak_kib, room));
}

void
print_table(const struct comparison *all)
{
	bool in_ms = all->allocators[0].cpu.median < 1;

	print_head(all, in_ms);
	for (int i = 0; i < all->n_allocators; i++)
		print_row(all, &all->allocators[i], in_ms ? 1e-3 : 1);
	printf("\n");
	print_warnings(all);
	print_notes(all);
	print_fastest(all);
	printf("  ");
	print_smallest(all);
	printf("\n");
}

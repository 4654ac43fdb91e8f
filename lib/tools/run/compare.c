/* SPDX-License-Identifier: MIT */
/*
 * The program under one allocator after the other.  In each round every
 * allocator has one run, in an order of its own, so that what else the machine
 * does meanwhile meets all alike; CPU times are compared within a round.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "run.h"

#define CONFIDENCE 0.95

enum { INPUT_WAIT_MS = 2000, EXIT_DIFFERENT = 1 };

static const struct {
	const char *name, *package;
	const char *names[4];
} rivals[] = {
	{ "jemalloc", "libjemalloc2", { "libjemalloc.so.2" } },
	{ "mimalloc",
	  "libmimalloc2.0",
	  { "libmimalloc.so.2", "libmimalloc.so.2.0", "libmimalloc.so.3" } },
	{ "tcmalloc", "libtcmalloc-minimal4", { "libtcmalloc_minimal.so.4" } },
};

/* --------------------------------- setup --------------------------------- */

static struct allocator *
add(struct comparison *all, const char *name, const char *library)
{
	struct allocator *one;
	int i = 0;

	while (i < all->n_allocators &&
	       strcmp(all->allocators[i].name, name) != 0)
		i++;
	one = &all->allocators[i];
	if (i == all->n_allocators)
		all->n_allocators++;
	*one = (struct allocator){ .name = name,
				   .package = one->package,
				   .file = library,
				   .is_there = library != NULL };
	return one;
}

static void
add_allocators(struct comparison *all, const struct wish *wish)
{
	char *why = NULL;

	add(all, "glibc", NULL)->is_there = true;
	for (size_t i = 0; i < sizeof(rivals) / sizeof(*rivals); i++)
		add(all, rivals[i].name, find_library(rivals[i].names))
			->package = text("not installed (%s)",
					 rivals[i].package);
	add(all, "cubby", find_shim(wish->shim, &why))->package =
		"not found (make malloc, or --library=FILE)";
	if (why)
		say("warning: %s", why);
	for (int i = 0; i < wish->n_with; i++)
		add(all, wish->with[i].name,
		    named_library(wish->with[i].file));
	for (int i = 0; i < all->n_allocators; i++)
		all->allocators[i].runs = calloc((size_t)all->n_runs,
						 sizeof(struct run));
}

/* So that no file of ours has the number of one that is closed. */
static void
open_standard_files(void)
{
	int file;

	do
		file = open("/dev/null", O_RDWR);
	while (file >= 0 && file <= STDERR_FILENO);
	close(file);
}

/* Bytes of standard input, for each run anew. */
static void
copy_input(struct command *command)
{
	struct pollfd ready = { .fd = STDIN_FILENO, .events = POLLIN };
	static char buffer[1 << 16];
	struct stat stat_of;
	ssize_t n;

	command->input = -1;
	if (isatty(STDIN_FILENO) || fstat(STDIN_FILENO, &stat_of) != 0)
		return;
	command->input_at = lseek(STDIN_FILENO, 0, SEEK_CUR);
	if (S_ISREG(stat_of.st_mode) && command->input_at >= 0) {
		command->input = STDIN_FILENO;
		return;
	}
	command->input_at = 0;
	if (poll(&ready, 1, INPUT_WAIT_MS) == 0)
		say("waiting for the end of standard input, which each run is "
		    "given a copy of; if there is none: < /dev/null");
	command->input = temporary_file();
	while ((n = read(STDIN_FILENO, buffer, sizeof(buffer))) > 0)
		if (write(command->input, buffer, (size_t)n) != n)
			die(EXIT_OURS, "cannot copy standard input: %s",
			    strerror(errno));
	/* Not at /dev/null, which the program may be able to tell. */
	if (S_ISCHR(stat_of.st_mode) &&
	    lseek(command->input, 0, SEEK_CUR) == 0) {
		close(command->input);
		command->input = -1;
	}
}

/* ---------------------------------- runs --------------------------------- */

static void
tell(const char *format, int a, int b, const char *name)
{
	if (isatty(STDERR_FILENO)) {
		fprintf(stderr, "\r\033[K");
		if (format)
			fprintf(stderr, format, a, b, name);
		fflush(stderr);
	}
}

static void
shuffle(int *order, int n)
{
	for (int i = n - 1; i > 0; i--) {
		uint32_t number = 0;
		int j, kept = order[i];

		if (getrandom(&number, sizeof(number), 0) < 0)
			number = (uint32_t)rand();
		j = (int)(number % (uint32_t)(i + 1));
		order[i] = order[j];
		order[j] = kept;
	}
}

static void
run_all(struct comparison *all, struct command *command, bool show)
{
	int order[MAX_ALLOCATORS];
	int n = 0;

	for (int i = 0; i < all->n_allocators; i++) {
		struct allocator *one = &all->allocators[i];

		if (!one->is_there)
			continue;
		tell("warm-up, %d of %d: %s", i + 1, all->n_allocators,
		     one->name);
		one->not_loaded = run_once(command, one->file,
					   show && n == 0 ? SHOWN : AS_WARM_UP)
					  .not_loaded;
		order[n++] = i;
	}
	for (int round = 0; round < all->n_runs; round++) {
		shuffle(order, n);
		for (int i = 0; i < n; i++) {
			struct allocator *one = &all->allocators[order[i]];

			tell("round %d of %d: %s", round + 1, all->n_runs,
			     one->name);
			one->runs[round] = run_once(command, one->file,
						    MEASURED);
		}
	}
	tell(NULL, 0, 0, NULL);
}

/* ------------------------------- statistics ------------------------------ */

static int
by_size(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Sorts the values; their median and extremes. */
static struct summary
summarise(double *values, int n)
{
	qsort(values, (size_t)n, sizeof(*values), by_size);
	return (struct summary){ (values[(n - 1) / 2] + values[n / 2]) / 2,
				 values[0], values[n - 1] };
}

/*
 * The k-th value from either end bounds the median with probability
 * 1 - 2 P(fewer than k of n coins show heads): the largest k for which that is
 * at least CONFIDENCE, or 1.
 */
static int
rank_of_bound(int n, double *confidence)
{
	double p = 1, tail = 0;
	int k = 0;

	for (int i = 0; i < n; i++)
		p /= 2;
	while (k < (n + 1) / 2 &&
	       (k == 0 || 1 - 2 * (tail + p) >= CONFIDENCE)) {
		tail += p;
		p = p * (n - k) / (k + 1);
		k++;
	}
	*confidence = 1 - 2 * tail;
	return k;
}

/* CPU time to that of another one, in the same round. */
static struct summary
summarise_ratio(const struct run *runs, const struct run *others, int n,
		double *confidence)
{
	double values[MAX_RUNS];
	struct summary ratio;
	int k = rank_of_bound(n, confidence);

	for (int i = 0; i < n; i++)
		values[i] = others[i].cpu_s > 0 ?
				    runs[i].cpu_s / others[i].cpu_s :
				    1;
	ratio = summarise(values, n);
	ratio.low = values[k - 1];
	ratio.high = values[n - k];
	return ratio;
}

static void
summarise_runs(struct comparison *all, struct allocator *one)
{
	const struct run *glibc = all->allocators[0].runs;
	double values[4][MAX_RUNS];
	int n = all->n_runs;

	one->status = one->runs[0].status;
	for (int i = 0; i < n; i++) {
		const struct run *run = &one->runs[i], *first = one->runs;

		values[0][i] = run->cpu_s;
		values[1][i] = run->wall_s;
		values[2][i] = (double)run->peak_kib;
		values[3][i] = (double)run->final_kib;
		one->of_child |= run->of_child;
		one->status_varies |= run->status != first->status;
		one->output_varies |= run->output_hash != first->output_hash ||
				      run->output_bytes != first->output_bytes;
	}
	one->cpu = summarise(values[0], n);
	one->wall = summarise(values[1], n);
	one->ratio = summarise_ratio(one->runs, glibc, n, &all->confidence);
	one->peak_kib = summarise(values[2], n).median;
	one->final_kib = summarise(values[3], n).median;
	one->status_differs = one->status_varies ||
			      one->status != all->allocators[0].status;
	one->output_differs = !all->allocators[0].output_varies &&
			      (one->output_varies ||
			       one->runs[0].output_hash !=
				       glibc[0].output_hash ||
			       one->runs[0].output_bytes !=
				       glibc[0].output_bytes);
}

static bool
is_in_order(const struct allocator *one)
{
	return one->is_there && !one->not_loaded && !one->status_differs &&
	       !one->output_differs;
}

/* With none of the others the program surely takes less CPU time. */
static bool
may_be_fastest(const struct comparison *all, const struct allocator *one)
{
	double confidence;

	for (int i = 0; i < all->n_allocators; i++) {
		const struct allocator *other = &all->allocators[i];

		if (other != one && is_in_order(other) &&
		    summarise_ratio(one->runs, other->runs, all->n_runs,
				    &confidence)
				    .low > 1)
			return false;
	}
	return is_in_order(one);
}

static void
rank(struct comparison *all)
{
	const struct allocator *of = all->allocators;

	all->n_in_order = 1; /* glibc */
	for (int i = 1; i < all->n_allocators; i++) {
		if (!is_in_order(&of[i]))
			continue;
		all->n_in_order++;
		if (of[i].ratio.median < of[all->fastest].ratio.median)
			all->fastest = i;
		if (of[i].peak_kib < of[all->smallest].peak_kib)
			all->smallest = i;
	}
	for (int i = 0; i < all->n_allocators; i++)
		all->may_be_fastest[i] = i == all->fastest ||
					 may_be_fastest(all, &of[i]);
}

int
compare(const struct wish *wish)
{
	struct allocator allocators[MAX_ALLOCATORS] = { 0 };
	struct comparison all = { .argv = wish->argv,
				  .allocators = allocators,
				  .n_runs = wish->n_runs };
	struct command command = { .path = wish->path,
				   .argv = wish->argv,
				   .trace = !wish->no_trace };
	bool is_different = false;

	signal(SIGCHLD, SIG_DFL); /* wait4() fails where it is ignored */
	open_standard_files();
	add_allocators(&all, wish);
	copy_input(&command);
	command.output = temporary_file();
	run_all(&all, &command, wish->show_output);
	for (int i = 0; i < all.n_allocators; i++)
		if (allocators[i].is_there) {
			summarise_runs(&all, &allocators[i]);
			is_different |= allocators[i].status_differs ||
					allocators[i].output_differs;
		}
	all.output_varies = allocators[0].output_varies;
	rank(&all);
	(wish->as_json ? print_json : print_table)(&all);
	if (fflush(stdout) != 0)
		die(EXIT_OURS, "cannot write the table: %s", strerror(errno));
	return is_different ? EXIT_DIFFERENT : 0;
}

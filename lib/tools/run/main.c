/* SPDX-License-Identifier: MIT */
/* cubby-run: a program with the malloc of Cubby, or with each of several. */
#include <errno.h>
#include <getopt.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cubby/base.h"
#include "run.h"

#define STRING(x) #x
#define STRING_OF(x) STRING(x)
#define VERSION                                                               \
	STRING_OF(CUBBY_VERSION_MAJOR)                                        \
	"." STRING_OF(CUBBY_VERSION_MINOR) "." STRING_OF(CUBBY_VERSION_PATCH)

enum { DEFAULT_RUNS = 9 };

static const char usage[] =
	"cubby-run [OPTION...] PROGRAM [ARGUMENT...]\n"
	"cubby-run --compare [OPTION...] PROGRAM [ARGUMENT...]\n"
	"\n"
	"Runs PROGRAM with the malloc of Cubby; or, to compare, with glibc's, "
	"jemalloc,\n"
	"mimalloc, tcmalloc and Cubby in turn, and prints what each took.\n"
	"\n"
	"  -o, --options=WORDS  for CUBBY_MALLOC, behind what it has\n"
	"  --library=FILE       instead of the libcubby-malloc.so.0 that is "
	"found\n"
	"  --compare            compare; with it go:\n"
	"  -n, --runs=N         so many runs with each (default 9)\n"
	"  --with=NAME=FILE     another malloc; may be given again\n"
	"  --json               for machines, with every run\n"
	"  --show-output        show what PROGRAM prints in its first run\n"
	"  --no-trace           without ptrace: the final size is not known "
	"then\n"
	"  --help, --version\n"
	"\n"
	"The exit status is PROGRAM's, or 127 if there is no such program, "
	"126 if it\n"
	"cannot be executed, 125 for other errors; with --compare 0, or 1 if "
	"PROGRAM\n"
	"does not end or print alike with all.  See cubby-run(1).\n";

static void
say_all(const char *format, va_list values)
{
	fflush(stdout);
	fputs("cubby-run: ", stderr);
	vfprintf(stderr, format, values);
	fputc('\n', stderr);
}

void
say(const char *format, ...)
{
	va_list values;

	va_start(values, format);
	say_all(format, values);
	va_end(values);
}

void
die(int status, const char *format, ...)
{
	va_list values;

	va_start(values, format);
	say_all(format, values);
	va_end(values);
	exit(status);
}

char *
text(const char *format, ...)
{
	va_list values;
	char *string;
	int n;

	va_start(values, format);
	n = vasprintf(&string, format, values);
	va_end(values);
	if (n < 0)
		die(EXIT_OURS, "out of memory");
	return string;
}

static void
add_with(struct wish *wish, char *argument)
{
	char *equals = strchr(argument, '=');

	if (!equals || equals == argument || !equals[1])
		die(EXIT_OURS, "--with is NAME=FILE, not '%s'", argument);
	if (wish->n_with == MAX_WITH)
		die(EXIT_OURS, "--with at most %d times", MAX_WITH);
	*equals = '\0';
	wish->with[wish->n_with].name = argument;
	wish->with[wish->n_with].file = equals + 1;
	wish->n_with++;
}

static void
add_words(const char *words)
{
	const char *before = getenv("CUBBY_MALLOC");

	setenv("CUBBY_MALLOC",
	       before && *before ? text("%s,%s", before, words) : words, 1);
}

static int
number_of_runs(const char *argument)
{
	char *end;
	long n = strtol(argument, &end, 10);

	if (*end || end == argument || n < 1 || n > MAX_RUNS)
		die(EXIT_OURS, "the number of runs is 1 to %d, not '%s'",
		    MAX_RUNS, argument);
	return (int)n;
}

enum { COMPARE = 256, WITH, JSON, SHOW, NO_TRACE, LIBRARY, HELP, VERSION_ };

static const struct option options[] = {
	{ "options", required_argument, NULL, 'o' },
	{ "runs", required_argument, NULL, 'n' },
	{ "library", required_argument, NULL, LIBRARY },
	{ "compare", no_argument, NULL, COMPARE },
	{ "with", required_argument, NULL, WITH },
	{ "json", no_argument, NULL, JSON },
	{ "show-output", no_argument, NULL, SHOW },
	{ "no-trace", no_argument, NULL, NO_TRACE },
	{ "help", no_argument, NULL, HELP },
	{ "version", no_argument, NULL, VERSION_ },
	{ NULL, 0, NULL, 0 },
};

/* Returns whether to compare. */
static bool
read_options(int argc, char **argv, struct wish *wish)
{
	const char *only_then = NULL; /* an option that goes with --compare */
	bool comparing = false;
	int option;

	opterr = 0;
	while ((option = getopt_long(argc, argv, "+:o:n:", options, NULL)) !=
	       -1) {
		if (option == 'n' || option == WITH || option == JSON ||
		    option == SHOW || option == NO_TRACE)
			only_then = argv[optind - 1];
		switch (option) {
		case 'o':
			add_words(optarg);
			break;
		case 'n':
			wish->n_runs = number_of_runs(optarg);
			break;
		case LIBRARY:
			wish->shim = optarg;
			break;
		case COMPARE:
			comparing = true;
			break;
		case WITH:
			add_with(wish, optarg);
			break;
		case JSON:
			wish->as_json = true;
			break;
		case SHOW:
			wish->show_output = true;
			break;
		case NO_TRACE:
			wish->no_trace = true;
			break;
		case HELP:
			fputs(usage, stdout);
			exit(0);
		case VERSION_:
			puts("cubby-run " VERSION);
			exit(0);
		default:
			die(EXIT_OURS, "%s '%s'; --help lists the options",
			    option == ':' ? "a value is missing behind" :
					    "there is no such option, or it "
					    "takes no value:",
			    argv[optind - 1]);
		}
	}
	if (only_then && !comparing)
		die(EXIT_OURS, "%s goes with --compare", only_then);
	return comparing;
}

/* Does not return; the program is in our place, and so is its end. */
static void
become(const char *path, char **argv, const char *library)
{
	const char *before = getenv("LD_PRELOAD");

	setenv("LD_PRELOAD",
	       before && *before ? text("%s:%s", library, before) : library,
	       1);
	execvp(path, argv); /* which runs what has no #! by sh(1) */
	die(errno == ENOENT ? EXIT_NOT_FOUND : EXIT_NOT_EXECUTABLE,
	    "cannot execute %s: %s", path, strerror(errno));
}

int
main(int argc, char **argv)
{
	struct wish wish = { .n_runs = DEFAULT_RUNS };
	bool comparing = read_options(argc, argv, &wish);
	char *library, *why = NULL;

	wish.argv = argv + optind;
	if (!wish.argv[0])
		die(EXIT_OURS, "which program? cubby-run --help says more");
	wish.path = find_program(wish.argv[0]);
	warn_of_program(wish.path);
	if (comparing)
		return compare(&wish);
	library = find_shim(wish.shim, &why);
	if (!library)
		die(EXIT_OURS, "%s", why);
	become(wish.path, wish.argv, library);
}

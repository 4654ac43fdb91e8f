/* SPDX-License-Identifier: MIT */
/*
 * starts.c - start a command many times, and say what one start to end takes.
 *
 *	starts N PRELOAD COMMAND [ARGUMENT...]
 *
 * PRELOAD is what the command gets as LD_PRELOAD, and may be empty.  Prints one
 * line of JSON: microseconds of the median start, and mean ones of CPU time.
 *
 * A program of its own: the children of an interpreter begin with a fork of it.
 */
#include <err.h>
#include <errno.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

extern char **environ;

static double
now_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return 1e6 * (double)now.tv_sec + 1e-3 * (double)now.tv_nsec;
}

static double
us_of(const struct timeval *time)
{
	return 1e6 * (double)time->tv_sec + (double)time->tv_usec;
}

static double
start_once(char **command)
{
	double begin = now_us();
	int status;
	pid_t child;

	errno = posix_spawnp(&child, command[0], NULL, NULL, command, environ);
	if (errno)
		err(1, "%s", command[0]);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			err(1, "waitpid");
	if (status)
		errx(1, "%s failed: status %d", command[0], status);
	return now_us() - begin;
}

static int
compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
	long n = argc > 3 ? strtol(argv[1], NULL, 10) : 0;
	struct rusage used;
	double *us;

	if (n <= 0)
		errx(2, "usage: starts N PRELOAD COMMAND [ARGUMENT...]");
	us = calloc((size_t)n, sizeof(*us));
	if (!us)
		err(1, "calloc");
	if (argv[2][0] ? setenv("LD_PRELOAD", argv[2], 1) :
			 unsetenv("LD_PRELOAD"))
		err(1, "LD_PRELOAD");
	for (long i = 0; i < n; i++)
		us[i] = start_once(argv + 3);
	qsort(us, (size_t)n, sizeof(*us), compare);
	getrusage(RUSAGE_CHILDREN, &used);
	printf("{\"n\":%ld,\"wall_us\":%.2f,\"cpu_us\":%.2f}\n", n, us[n / 2],
	       (us_of(&used.ru_utime) + us_of(&used.ru_stime)) / (double)n);
	free(us);
	return 0;
}

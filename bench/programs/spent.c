/* SPDX-License-Identifier: MIT */
/*
 * spent.c - run a command, and say what it took.
 *
 *	spent RESULT COMMAND [ARGUMENT...]
 *
 * RESULT gets one line of JSON: wall and CPU seconds, the latter of all threads
 * and of what the kernel did for them, and the most memory that was resident.
 * SIGTERM is passed on.  Exits as the command does, with 128 and the number of
 * the signal if it died of one.
 *
 * A program of its own, and small: what is resident counts from fork() on, and
 * would begin with that of an interpreter.
 */
#include <err.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KIB = 1024, EXIT_NO_COMMAND = 127, EXIT_OF_SIGNAL = 128 };

static volatile pid_t child;

static void
pass_on(int signal)
{
	if (child > 0)
		kill(child, signal);
}

static double
wall_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static double
seconds_of(const struct timeval *time)
{
	return (double)time->tv_sec + 1e-6 * (double)time->tv_usec;
}

int
main(int argc, char **argv)
{
	struct sigaction action = { .sa_handler = pass_on };
	double begin = wall_seconds();
	struct rusage used;
	sigset_t blocked;
	FILE *result;
	int status;

	if (argc < 3)
		errx(2, "usage: spent RESULT COMMAND [ARGUMENT...]");
	sigaction(SIGTERM, &action, NULL);
	sigemptyset(&blocked);
	sigaddset(&blocked, SIGTERM);
	sigprocmask(SIG_BLOCK, &blocked, NULL); /* until there is a child */
	child = fork();
	if (child < 0)
		err(1, "fork");
	if (child == 0) {
		signal(SIGTERM, SIG_DFL);
		sigprocmask(SIG_UNBLOCK, &blocked, NULL);
		execvp(argv[2], argv + 2);
		warn("%s", argv[2]);
		_exit(EXIT_NO_COMMAND);
	}
	sigprocmask(SIG_UNBLOCK, &blocked, NULL);
	while (wait4(child, &status, 0, &used) < 0)
		if (errno != EINTR)
			err(1, "wait4");
	begin = wall_seconds() - begin;
	result = fopen(argv[1], "we");
	if (!result)
		err(1, "%s", argv[1]);
	fprintf(result,
		"{\"wall_seconds\":%.6f,\"user_seconds\":%.6f,"
		"\"system_seconds\":%.6f,\"peak_rss_bytes\":%ld}\n",
		begin, seconds_of(&used.ru_utime), seconds_of(&used.ru_stime),
		used.ru_maxrss * KIB);
	if (fclose(result))
		err(1, "%s", argv[1]);
	return WIFEXITED(status) ? WEXITSTATUS(status) :
				   EXIT_OF_SIGNAL + WTERMSIG(status);
}

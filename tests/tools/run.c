/* SPDX-License-Identifier: MIT */
/*
 * For test_run.sh: run KEEP_MIB [WORD...]
 *
 * Touches 64 MiB in blocks of 1 MiB and small ones, frees all but KEEP_MIB,
 * then does what the words say, in order, and exits with 0.
 */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

enum { N_BLOCKS = 64, BLOCK = 1 << 20, N_SMALL = 1000, EXIT_STATUS = 3 };

static volatile sig_atomic_t n_signals;

static void
count(int signal)
{
	(void)signal;
	n_signals++;
}

static void
allocate(int n_kept)
{
	static char *blocks[N_BLOCKS], *small[N_SMALL];

	for (int i = 0; i < N_BLOCKS; i++) {
		blocks[i] = malloc(BLOCK);
		memset(blocks[i], 1, BLOCK);
	}
	for (int i = 0; i < N_SMALL; i++)
		small[i] = calloc(1, (size_t)i);
	for (int i = n_kept; i < N_BLOCKS; i++)
		free(blocks[i]);
	for (int i = 0; i < N_SMALL; i++)
		free(small[i]);
}

static void *
exit_here(void *status)
{
	exit(*(int *)status);
}

/* Stops as for job control, until a child wakes it. */
static void
stop(void)
{
	pid_t parent = getpid(), pid = fork();

	if (pid == 0) {
		while (getppid() == parent) {
			kill(parent, SIGCONT);
			usleep(1000);
		}
		_exit(0);
	}
	kill(parent, SIGSTOP);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
}

static void
echo(void)
{
	int letter;

	while ((letter = getchar()) != EOF)
		putchar(letter);
}

/* Other allocators than the C library's have libraries of their names. */
static void
which(void)
{
	const char *preload = getenv("LD_PRELOAD");

	printf("%s\n", preload ? preload : "none");
}

static void
act(const char *word)
{
	static int status = EXIT_STATUS;
	pthread_t thread;

	if (strcmp(word, "segv") == 0) {
		raise(SIGSEGV);
	} else if (strcmp(word, "exit") == 0) {
		exit(status);
	} else if (strcmp(word, "thread-exit") == 0) {
		pthread_create(&thread, NULL, exit_here, &status);
		pthread_join(thread, NULL);
	} else if (strcmp(word, "signals") == 0) {
		signal(SIGUSR1, count);
		for (int i = 0; i < 10; i++)
			raise(SIGUSR1);
		printf("%d signals\n", (int)n_signals);
	} else if (strcmp(word, "stop") == 0) {
		stop();
	} else if (strcmp(word, "echo") == 0) {
		echo();
	} else if (strcmp(word, "which") == 0) {
		which();
	} else if (strcmp(word, "pid") == 0) {
		printf("%d\n", (int)getpid());
	} else if (strcmp(word, "differ") == 0) {
		exit(getenv("LD_PRELOAD") ? EXIT_STATUS : 0);
	} else if (strcmp(word, "options") == 0) {
		puts(getenv("CUBBY_MALLOC"));
	}
}

int
main(int argc, char **argv)
{
	allocate(argc > 1 ? atoi(argv[1]) : 0);
	for (int i = 2; i < argc; i++)
		act(argv[i]);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * One run of the program.
 *
 * CPU time and the largest resident size come from wait4(2), and so include
 * children that the program waited for.  The latter is at least what this
 * process has, which the new one is a copy of before it calls exec; where it is
 * not larger, VmHWM is taken, which begins anew with exec.
 *
 * What is resident at the end is read while the program stands in exit(2),
 * before its memory is unmapped: it is traced for that stop alone.  Only its
 * first thread is traced.  A signal to the program stops it too, and is passed
 * on; a stop of job control is left as it is (PTRACE_LISTEN).
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "run.h"

enum { KIB = 1024 };

/* 64-bit FNV-1a. */
#define HASH_START 14695981039346656037u
#define HASH_PRIME 1099511628211u

static double
now_s(void)
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
temporary_file(void)
{
	const char *folder = getenv("TMPDIR");
	char *name = text("%s/cubby-run-XXXXXX",
			  folder && *folder ? folder : "/tmp");
	int file = mkostemp(name, O_CLOEXEC);

	if (file < 0)
		die(EXIT_OURS,
		    "cannot make a temporary file like %s: %s; "
		    "TMPDIR says where",
		    name, strerror(errno));
	unlink(name);
	free(name);
	return file;
}

/* The number behind `key` in a file of /proc/PID; -1 if it is not there. */
static long
number_in(const char *name, pid_t pid, const char *key)
{
	char path[64], line[256];
	long number = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, name);
	file = fopen(path, "re");
	while (file && fgets(line, sizeof(line), file))
		if (strncmp(line, key, strlen(key)) == 0)
			number = atol(line + strlen(key));
	if (file)
		fclose(file);
	return number;
}

/* The kernel's running count, which may be some pages off. */
static long
statm_kib(pid_t pid)
{
	long pages = -1;
	char path[64];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/statm", (int)pid);
	file = fopen(path, "re");
	if (file) {
		if (fscanf(file, "%*s %ld", &pages) != 1)
			pages = -1;
		fclose(file);
	}
	return pages < 0 ? -1 : pages * (sysconf(_SC_PAGESIZE) / KIB);
}

/* A library of that name is among what is mapped. */
static bool
has_mapped(pid_t pid, const char *library)
{
	const char *slash = strrchr(library, '/');
	const char *name = slash ? slash + 1 : library;
	char path[64], *line = NULL;
	bool found = false;
	size_t room = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/maps", (int)pid);
	file = fopen(path, "re");
	if (!file)
		return true; /* not known */
	while (!found && getline(&line, &room, file) > 0)
		found = strstr(line, name) != NULL;
	free(line);
	fclose(file);
	return found;
}

/* --------------------------------- child --------------------------------- */

static void
become(const struct command *command, const char *library, enum how how,
       const int go[2], const int failed[2])
{
	int null = open("/dev/null", O_RDWR), error;
	char word;

	if (library)
		setenv("LD_PRELOAD", library, 1);
	else
		unsetenv("LD_PRELOAD");
	dup2(command->input >= 0 ? command->input : null, STDIN_FILENO);
	if (how != SHOWN) {
		dup2(command->output, STDOUT_FILENO);
		dup2(null, STDERR_FILENO);
	}
	if (null > STDERR_FILENO)
		close(null);
	if (!command->trace)
		prctl(PR_SET_PDEATHSIG, SIGKILL); /* as by PTRACE_O_EXITKILL */
	close(go[1]); /* so that the end of our parent is seen */
	if (read(go[0], &word, 1) != 1)
		_exit(EXIT_OURS);
	execvp(command->path, command->argv);
	error = errno;
	if (write(failed[1], &error, sizeof(error)) < 0)
		_exit(EXIT_OURS);
	_exit(EXIT_NOT_EXECUTABLE);
}

/* -------------------------------- parent --------------------------------- */

struct at_exit {
	long final_kib, peak_kib;
	double paused_s;
	bool not_loaded;
};

static void
look(pid_t pid, const char *library, enum how how, struct at_exit *seen)
{
	double begin = now_s();

	seen->final_kib = number_in("smaps_rollup", pid, "Rss:");
	if (seen->final_kib < 0)
		seen->final_kib = statm_kib(pid);
	seen->peak_kib = number_in("status", pid, "VmHWM:");
	if (seen->peak_kib < seen->final_kib)
		seen->peak_kib = seen->final_kib;
	if (library && how != MEASURED)
		seen->not_loaded = !has_mapped(pid, library);
	seen->paused_s += now_s() - begin;
}

static bool
is_stop(int signal)
{
	return signal == SIGSTOP || signal == SIGTSTP || signal == SIGTTIN ||
	       signal == SIGTTOU;
}

/* Until the child has ended: its status. */
static int
follow(pid_t pid, const char *library, enum how how, struct at_exit *seen,
       struct rusage *usage)
{
	for (;;) {
		int status, event, signal;

		if (wait4(pid, &status, 0, usage) < 0) {
			if (errno == EINTR)
				continue;
			die(EXIT_OURS, "wait4: %s", strerror(errno));
		}
		if (WIFEXITED(status) || WIFSIGNALED(status))
			return status;
		event = status >> 16;
		signal = WSTOPSIG(status);
		if (event == PTRACE_EVENT_STOP && is_stop(signal)) {
			ptrace(PTRACE_LISTEN, pid, 0, 0);
			continue;
		}
		if (event == PTRACE_EVENT_EXIT)
			look(pid, library, how, seen);
		ptrace(PTRACE_CONT, pid, 0, event ? 0 : signal);
	}
}

static void
read_output(int file, struct run *run)
{
	static unsigned char buffer[64 * KIB];
	ssize_t n;

	run->output_hash = HASH_START;
	while ((n = pread(file, buffer, sizeof(buffer), run->output_bytes)) >
	       0) {
		for (ssize_t i = 0; i < n; i++)
			run->output_hash = (run->output_hash ^ buffer[i]) *
					   HASH_PRIME;
		run->output_bytes += n;
	}
	if (ftruncate(file, 0) != 0 || lseek(file, 0, SEEK_SET) != 0)
		die(EXIT_OURS, "cannot empty a temporary file: %s",
		    strerror(errno));
}

static pid_t
start(const struct command *command, const char *library, enum how how,
      int *go, int *failed)
{
	int gate[2], result[2];
	pid_t pid;

	if (command->input >= 0)
		lseek(command->input, command->input_at, SEEK_SET);
	fflush(NULL);
	if (pipe2(gate, O_CLOEXEC) != 0 || pipe2(result, O_CLOEXEC) != 0 ||
	    (pid = fork()) < 0)
		die(EXIT_OURS, "cannot start a process: %s", strerror(errno));
	if (pid == 0)
		become(command, library, how, gate, result);
	close(gate[0]);
	close(result[1]);
	*go = gate[1];
	*failed = result[0];
	return pid;
}

struct run
run_once(const struct command *command, const char *library, enum how how)
{
	long ours_kib = number_in("status", getpid(), "VmHWM:");
	struct at_exit seen = { .final_kib = -1, .peak_kib = -1 };
	struct run run = { 0 };
	struct rusage usage;
	int go, failed, error;
	double begin;
	pid_t pid = start(command, library, how, &go, &failed);

	if (command->trace)
		ptrace(PTRACE_SEIZE, pid, 0,
		       PTRACE_O_TRACEEXIT | PTRACE_O_EXITKILL);
	begin = now_s();
	if (write(go, "", 1) != 1)
		die(EXIT_OURS, "the new process is gone");
	close(go);
	run.status = follow(pid, library, how, &seen, &usage);
	run.wall_s = now_s() - begin - seen.paused_s;
	if (read(failed, &error, sizeof(error)) == sizeof(error))
		die(EXIT_NOT_EXECUTABLE, "cannot execute %s: %s",
		    command->path, strerror(error));
	close(failed);
	run.cpu_s = seconds_of(&usage.ru_utime) + seconds_of(&usage.ru_stime);
	run.final_kib = seen.final_kib;
	run.not_loaded = seen.not_loaded;
	run.peak_kib = seen.peak_kib;
	if (seen.peak_kib < 0 ||
	    (usage.ru_maxrss > ours_kib && usage.ru_maxrss > seen.peak_kib)) {
		run.peak_kib = usage.ru_maxrss;
		run.of_child = seen.peak_kib >= 0 &&
			       usage.ru_maxrss - seen.peak_kib > 4 * KIB;
	}
	read_output(command->output, &run);
	return run;
}

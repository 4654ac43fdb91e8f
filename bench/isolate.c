/* SPDX-License-Identifier: MIT */
#include "isolate.h"

#include <errno.h>
#include <limits.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* A child's exit status is a positive errno, all of which fit in a byte;
   this one says that the result could not be sent. */
enum { EXIT_UNSENT = 255 };

static void
run_child(isolate_fn fn, const void *arg, int fd, size_t result_bytes)
{
	_Alignas(max_align_t) char result[PIPE_BUF] = { 0 };
	int err = fn(result, arg);

	if (!err && write(fd, result, result_bytes) != (ssize_t)result_bytes)
		_exit(EXIT_UNSENT);
	/* Not exit(): the parent's buffers and handlers are not ours. */
	_exit(-err);
}

static int
wait_child(pid_t child)
{
	int status;

	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return -errno;
	if (!WIFEXITED(status) || WEXITSTATUS(status) == EXIT_UNSENT)
		return -ECHILD;
	return -WEXITSTATUS(status);
}

int
isolate_run(isolate_fn fn, const void *arg, void *ret_result,
	    size_t result_bytes)
{
	char result[PIPE_BUF];
	ssize_t n_got;
	pid_t child;
	int fds[2];
	int err;

	if (result_bytes > sizeof(result))
		return -EINVAL;
	if (pipe(fds))
		return -errno;
	fflush(NULL);
	child = fork();
	if (child == 0) {
		close(fds[0]);
		run_child(fn, arg, fds[1], result_bytes);
	}
	err = child < 0 ? -errno : 0;
	close(fds[1]);
	n_got = err ? 0 : read(fds[0], result, result_bytes);
	close(fds[0]);
	if (!err)
		err = wait_child(child);
	if (!err && n_got != (ssize_t)result_bytes)
		err = -ECHILD;
	if (!err)
		memcpy(ret_result, result, result_bytes);
	return err;
}

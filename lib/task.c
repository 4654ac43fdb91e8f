/* SPDX-License-Identifier: MIT */
/* LAYER 1: task - what the kernel says of the threads of this process */
#include "task.h"

#include "os.h"
#include "text.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* What getdents64(2) fills in; the C library's readdir() would allocate. */
struct entry {
	uint64_t ino;
	int64_t next;
	uint16_t entry_bytes;
	uint8_t type;
	char name[];
};

char
cubby__task_state(pid_t tid)
{
	char path[64], line[256];
	const char *name_end;
	struct text text;

	cubby__text_init(&text, path, sizeof(path));
	cubby__text_printf(&text, "/proc/self/task/%d/stat", (int)tid);
	if (cubby__os_read_text(path, line, sizeof(line)) <= 0)
		return '\0';
	/* "12345 (name of any kind) R ..." */
	name_end = strrchr(line, ')');
	return name_end != NULL && name_end[1] == ' ' ? name_end[2] : '\0';
}

static pid_t
parse_tid(const char *name)
{
	pid_t tid = 0;

	for (; *name >= '0' && *name <= '9'; name++)
		tid = 10 * tid + (*name - '0');
	return tid;
}

static pid_t
find_stopped(int directory, unsigned *n_want_to_run)
{
	_Alignas(8) char entries[2048];
	pid_t stopped = 0;
	long n_bytes;

	while ((n_bytes = syscall(SYS_getdents64, directory, entries,
				  sizeof(entries))) > 0) {
		const struct entry *entry;

		for (long at = 0; at < n_bytes; at += entry->entry_bytes) {
			pid_t tid;
			char state;

			entry = (const struct entry *)(entries + at);
			tid = parse_tid(entry->name);
			state = tid != 0 ? cubby__task_state(tid) : '\0';
			if (state == 'T' || state == 't')
				stopped = tid;
			*n_want_to_run += state == 'R' || state == 'D';
		}
	}
	return stopped;
}

pid_t
cubby__task_find_stopped(unsigned *ret_n_want_to_run)
{
	int saved = errno;
	pid_t tid = 0;
	int cancel, directory;

	*ret_n_want_to_run = 0;
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	directory = open("/proc/self/task",
			 O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory >= 0) {
		tid = find_stopped(directory, ret_n_want_to_run);
		close(directory);
	}
	pthread_setcancelstate(cancel, NULL);
	errno = saved;
	return tid;
}

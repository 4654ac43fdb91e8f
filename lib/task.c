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

static bool
is_stopped(const char *name, pid_t *ret_tid)
{
	pid_t tid = 0;
	char state;

	for (; *name >= '0' && *name <= '9'; name++)
		tid = 10 * tid + (*name - '0');
	if (tid == 0)
		return false;
	*ret_tid = tid;
	state = cubby__task_state(tid);
	return state == 'T' || state == 't';
}

static pid_t
find_stopped(int directory)
{
	_Alignas(8) char entries[2048];
	pid_t tid;
	long n_bytes;

	while ((n_bytes = syscall(SYS_getdents64, directory, entries,
				  sizeof(entries))) > 0) {
		const struct entry *entry;

		for (long at = 0; at < n_bytes; at += entry->entry_bytes) {
			entry = (const struct entry *)(entries + at);
			if (is_stopped(entry->name, &tid))
				return tid;
		}
	}
	return 0;
}

pid_t
cubby__task_find_stopped(void)
{
	int saved = errno;
	pid_t tid = 0;
	int cancel, directory;

	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel);
	directory = open("/proc/self/task",
			 O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (directory >= 0) {
		tid = find_stopped(directory);
		close(directory);
	}
	pthread_setcancelstate(cancel, NULL);
	errno = saved;
	return tid;
}

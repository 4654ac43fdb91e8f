/* SPDX-License-Identifier: MIT */
/*
 * What unit tests of the lower layers share: repeatable random numbers, cases
 * that run in a process of their own, and a look at pages.
 *
 * Options and the address budget are read once a process.  So a case that
 * needs its own runs in a forked child, with cmocka's checks working as usual;
 * the parent never touches these modules.
 */
#ifndef CUBBY__TESTS_UNIT_H
#define CUBBY__TESTS_UNIT_H

#include <errno.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

/* splitmix64, the same numbers in each run. */
static uint64_t random_state __attribute__((unused));

static inline uint64_t
random_word(void)
{
	uint64_t x = random_state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static inline uint64_t
random_below(uint64_t n)
{
	return random_word() % n;
}

/* In percent of the steps of each random case, and never none. */
static inline unsigned
scaled(unsigned n_steps)
{
	const char *text = getenv("CUBBY_TEST_SCALE");
	unsigned long n = n_steps * (text ? strtoul(text, NULL, 10) : 100);

	return n < 1000 ? 10 : (unsigned)(n / 100);
}

/* --------------------------- cases in a child ---------------------------- */

struct child_case {
	const char *name;
	CMUnitTestFunction function;
	const char *options; /* of CUBBY_OPTIONS; NULL: as they are */
};

#define EXIT_SKIPPED 77

static bool is_child __attribute__((unused));

/* Say why, and be counted as skipped, from a child too. */
static inline void __attribute__((noreturn)) skip_because(const char *reason)
{
	fprintf(stderr, "# SKIP: %s\n", reason);
	fflush(NULL);
	if (is_child)
		_exit(EXIT_SKIPPED);
	skip();
	abort();
}

/* Instead of what is given, but for what tools are told. */
static inline void
set_options(const char *options)
{
	const char *given = getenv("CUBBY_OPTIONS");
	bool is_off = given != NULL && strstr(given, "annotate=off") != NULL;
	char text[256];

	snprintf(text, sizeof(text), "%s%s", options,
		 is_off ? ",annotate=off" : "");
	setenv("CUBBY_OPTIONS", text, 1);
}

/* The child's report goes to standard error: standard output is counted. */
static inline void
run_in_child(void **state)
{
	const struct child_case *child = *state;
	struct CMUnitTest test = { child->name, child->function, NULL, NULL,
				   NULL };
	int status;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		is_child = true;
		dup2(STDERR_FILENO, STDOUT_FILENO);
		if (child->options != NULL)
			set_options(child->options);
		status = _cmocka_run_group_tests("in a child", &test, 1, NULL,
						 NULL);
		fflush(NULL);
		_exit(status);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
		skip();
	if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
		fail_msg("%s: status %#x", child->name, status);
}

#define CHILD_TEST(function, options)                                         \
	{                                                                     \
#function, run_in_child, NULL, NULL, &(struct child_case)     \
		{                                                             \
#function, function, options                          \
		}                                                             \
	}

/* The same body in every backing that a region can have. */
#define CHILD_TEST_AS(function, suffix, options)                              \
	{                                                                     \
#function suffix, run_in_child, NULL, NULL,                   \
			&(struct child_case)                                  \
		{                                                             \
#function suffix, function, options                   \
		}                                                             \
	}
#define CHILD_TEST_IN_ALL(function)                                           \
	CHILD_TEST_AS(function, "_in_a_range", ""),                           \
		CHILD_TEST_AS(function, "_in_chunks", "chunks"),              \
		CHILD_TEST_AS(function, "_in_a_small_budget", "budget=2G"),   \
		CHILD_TEST_AS(function, "_past_a_range", "budget=5G")

/* --------------------------- how a child ended --------------------------- */

struct ending {
	int signal;        /* 0: it returned */
	int code;          /* of its exit */
	char output[4096]; /* on standard error */
};

/* Signals act as without cmocka or a sanitizer; no core is left behind. */
static inline void
be_plain(void)
{
	static const int fatal[] = { SIGSEGV, SIGBUS, SIGABRT };
	struct rlimit none = { 0, 0 };

	for (size_t i = 0; i < sizeof(fatal) / sizeof(fatal[0]); i++)
		signal(fatal[i], SIG_DFL);
	setrlimit(RLIMIT_CORE, &none);
}

static inline struct ending
run_forked(void (*function)(void *), void *argument)
{
	struct ending ending = { 0 };
	size_t n_bytes = 0;
	int fds[2], status;
	ssize_t n;
	pid_t pid;

	fflush(NULL);
	assert_int_equal(pipe(fds), 0);
	pid = fork();
	assert_true(pid >= 0);
	if (pid == 0) {
		dup2(fds[1], STDERR_FILENO);
		be_plain();
		function(argument);
		_exit(0);
	}
	close(fds[1]);
	while ((n = read(fds[0], ending.output + n_bytes,
			 sizeof(ending.output) - 1 - n_bytes)) > 0)
		n_bytes += (size_t)n;
	close(fds[0]);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	ending.signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
	ending.code = WIFEXITED(status) ? WEXITSTATUS(status) : 0;
	return ending;
}

/* --------------------------------- pages --------------------------------- */

static inline void
read_byte(void *address)
{
	(void)*(volatile char *)address;
}

static inline void
write_byte(void *address)
{
	*(volatile char *)address = 1;
}

/* The signal that a child gets for it; 0: none. */
static inline int
signal_of_reading(void *address)
{
	return run_forked(read_byte, address).signal;
}

static inline int
signal_of_writing(void *address)
{
	return run_forked(write_byte, address).signal;
}

static inline size_t
page_bytes(void)
{
	return (size_t)sysconf(_SC_PAGESIZE);
}

/* Has the page of this address a page frame? */
static inline bool
is_resident(const void *address)
{
	uintptr_t page = (uintptr_t)address & ~(uintptr_t)(page_bytes() - 1);
	unsigned char answer = 0;

	assert_int_equal(mincore((void *)page, 1, &answer), 0);
	return answer & 1;
}

/* Is anything mapped there?  mincore says ENOMEM if not. */
static inline bool
is_mapped(const void *address)
{
	uintptr_t page = (uintptr_t)address & ~(uintptr_t)(page_bytes() - 1);
	unsigned char answer;

	return mincore((void *)page, 1, &answer) == 0;
}

/* Can so many bytes more be made writable? */
static inline bool
may_commit(size_t bytes)
{
	void *base = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			  MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (base != MAP_FAILED)
		munmap(base, bytes);
	return base != MAP_FAILED;
}

/*
 * Let the kernel refuse to make as much as `refused` bytes writable, but not
 * `granted`: how a large step fails and a small one does not.
 */
static inline void
limit_commit(size_t refused, size_t granted)
{
	struct rlimit limit;

	getrlimit(RLIMIT_DATA, &limit);
	limit.rlim_cur = granted; /* 0 would be taken for no limit */
	while (setrlimit(RLIMIT_DATA, &limit) == 0 && !may_commit(granted)) {
		limit.rlim_cur += granted;
		if (limit.rlim_cur > (rlim_t)1 << 40)
			break;
	}
	if (may_commit(refused) || !may_commit(granted)) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_DATA, &limit);
		skip_because("RLIMIT_DATA does not limit here");
	}
}

static inline void
unlimit_commit(void)
{
	struct rlimit limit;

	getrlimit(RLIMIT_DATA, &limit);
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_DATA, &limit);
}

#endif /* CUBBY__TESTS_UNIT_H */

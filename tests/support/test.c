/* SPDX-License-Identifier: MIT */
/* What all long tests share: seed, scale and circumstances; see oracle.h. */
#include "oracle.h"

#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* Defined by the run-time of an instrumented program, absent otherwise. */
extern void __tsan_init(void) __attribute__((weak));
extern void __asan_init(void) __attribute__((weak));

/*
 * fork() takes the lock of every cache, and ThreadSanitizer's own deadlock
 * detector stops the program above 64 locks; debug builds check the order of
 * locks by rank instead.
 */
const char *__tsan_default_options(void);
const char *
__tsan_default_options(void)
{
	return "detect_deadlocks=0:atexit_sleep_ms=50";
}

uint64_t
test_random(uint64_t *state)
{
	uint64_t x = *state += 0x9e3779b97f4a7c15;

	x = (x ^ x >> 30) * 0xbf58476d1ce4e5b9;
	x = (x ^ x >> 27) * 0x94d049bb133111eb;
	return x ^ x >> 31;
}

static uint64_t n_operations;

void
test_count_operations(uint64_t n)
{
	__atomic_add_fetch(&n_operations, n, __ATOMIC_RELAXED);
}

static void
print_operations(void)
{
	if (n_operations != 0)
		printf("# %llu operations\n",
		       (unsigned long long)n_operations);
}

uint64_t
test_seed(void)
{
	const char *text = getenv("CUBBY_TEST_SEED");
	uint64_t seed = text ? strtoull(text, NULL, 0) : (uint64_t)time(NULL);

	/* What was said must not be lost when a fault ends the program. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	atexit(print_operations);
	printf("# CUBBY_TEST_SEED=%llu\n", (unsigned long long)seed);
	return seed;
}

uint64_t
test_scaled(uint64_t n)
{
	const char *text = getenv("CUBBY_TEST_SCALE");
	uint64_t percent = text ? strtoull(text, NULL, 10) : 100;

	n = n * percent / 100;
	return n ? n : 1;
}

unsigned
test_n_cores(void)
{
	cpu_set_t set;

	if (sched_getaffinity(0, sizeof(set), &set) != 0)
		return 1;
	return (unsigned)CPU_COUNT(&set);
}

void
test_die(const char *format, ...)
{
	char text[512];
	va_list arguments;
	size_t n;

	va_start(arguments, format);
	vsnprintf(text, sizeof(text) - 1, format, arguments);
	va_end(arguments);
	n = strlen(text);
	text[n++] = '\n';
	if (write(STDERR_FILENO, text, n) < 0)
		abort();
	_exit(1);
}

void *
test_map(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
			    0);

	if (memory == MAP_FAILED)
		test_die("no memory for the test's own records");
	return memory;
}

#define POLL_NS 1000000

int
test_wait_child(pid_t child, unsigned seconds)
{
	struct timespec pause = { 0, POLL_NS };
	time_t end = time(NULL) + seconds;
	int status = 0;

	while (waitpid(child, &status, WNOHANG) == 0) {
		if (time(NULL) > end)
			kill(child, SIGKILL);
		nanosleep(&pause, NULL);
	}
	return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

bool
test_on_tsan(void)
{
	return __tsan_init != NULL;
}

bool
test_on_asan(void)
{
	return __asan_init != NULL;
}

/* Valgrind's preloaded library is in the environment of what it runs. */
bool
test_is_slow(void)
{
	const char *preloaded = getenv("LD_PRELOAD");

	return test_on_tsan() || test_on_asan() ||
	       (preloaded != NULL && strstr(preloaded, "vgpreload") != NULL);
}

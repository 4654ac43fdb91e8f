/* SPDX-License-Identifier: MIT */
/*
 * malloc_large kept: what is kept of large blocks that are freed, and for how long.
 * malloc_large again: and that it is kept if it is taken again soon.
 * malloc_large twice N: two threads free a block at once, while what is freed makes
 * it go from where it is kept; N times, and then it has one owner.
 * malloc_large full: where address space is at an end, blocks that are kept as they
 * are make room for one of another length.
 */
#include "malloc_check.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/sysinfo.h>
#include <time.h>
#include <unistd.h>

#define BYTES 100000
#define BLOCK_BYTES (100 * 1024) /* with the rest of its last page */
#define OTHER_BYTES 70000
#define N_WAVE 60
#define N_WAVES 60
#define N_WAVES_LOOKED_AT 10
#define N_MANY 3000
#define N_FULL 20000
#define LARGE_BYTES (6 * MIB)
#define SOON_NS 50000000u
#define LEFT_MAX (3 * MIB)

static char *blocks[N_FULL];

static void
take(size_t n)
{
	for (size_t i = 0; i < n; i++) {
		blocks[i] = malloc(BYTES);
		if (blocks[i] == NULL)
			exit(2);
		memset(blocks[i], 1, BYTES);
	}
}

static void
give(size_t n)
{
	for (size_t i = 0; i < n; i++)
		free(blocks[i]);
}

static bool
is_resident(void *block)
{
	unsigned char pages[BLOCK_BYTES / 4096];

	if (mincore(block, BYTES, pages) != 0)
		return false; /* not even mapped */
	for (size_t i = 0; i < sizeof(pages); i++)
		if (pages[i] & 1)
			return true;
	return false;
}

static long
n_page_faults(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_minflt;
}

/*
 * For the next of its length, and for one of another before fresh pages are
 * touched; malloc_trim() takes it.
 */
static void
test_one(void)
{
	struct mallinfo2 before = mallinfo2();
	char *block = malloc(BYTES), *other;

	free(block);
	other = malloc(OTHER_BYTES);
	CHECK(other == block, ==, true);
	free(other);
	malloc_trim(0);
	block = malloc(BYTES);
	memset(block, 1, BYTES);
	free(block);
	CHECK(mallinfo2().uordblks, ==, before.uordblks);
	CHECK(malloc_trim(0), ==, 1); /* something went */
	CHECK(is_resident(block), ==, false);
	block = malloc(BYTES);
	memset(block, 1, BYTES);
	free(block);
	CHECK(is_resident(block), ==, true);
	other = malloc(2 * BYTES);
	CHECK(other != block, ==, true);
	CHECK(malloc(BYTES) == block, ==, true);
	CHECK(block[BYTES / 2], ==, 1);
	free(block);
	block = calloc(1, BYTES);
	for (size_t i = 0; i < BYTES; i++)
		if (block[i] != 0)
			CHECK(i, ==, BYTES);
	free(block);
	free(other);
	malloc_trim(0);
	CHECK(is_resident(block), ==, false);
	CHECK(mallinfo2().uordblks, ==, before.uordblks);
}

/* What comes and goes in waves keeps its pages in the end. */
static void
test_waves(void)
{
	long n = 0;

	for (int wave = 0; wave < N_WAVES; wave++) {
		if (wave == N_WAVES - N_WAVES_LOOKED_AT)
			n = n_page_faults();
		take(N_WAVE);
		give(N_WAVE);
	}
	n = n_page_faults() - n;
	printf("%ld faults in %d waves\n", n, N_WAVES_LOOKED_AT);
	CHECK(n, <, N_WAVE * BLOCK_BYTES / 4096);
}

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

/*
 * Two large ones go, and are wanted again at once: that happens twice, and not more
 * often.  A round that comes late, as the machine had other things to do, teaches
 * nothing.
 */
static void
test_again(void)
{
	enum { ROUNDS = 4, TRIES = 100 };
	uint64_t freed_at_ns = 0;
	int round = 0;
	long n = 0;

	for (int i = 0; i < TRIES && round < ROUNDS; i++) {
		n = n_page_faults();
		blocks[0] = malloc(LARGE_BYTES);
		blocks[1] = malloc(LARGE_BYTES);
		round += round == 0 || now_ns() - freed_at_ns < SOON_NS;
		memset(blocks[0], 1, LARGE_BYTES);
		memset(blocks[1], 1, LARGE_BYTES);
		n = n_page_faults() - n;
		freed_at_ns = now_ns();
		give(2);
	}
	printf("%ld faults for 2 blocks of %zu KiB in round %d\n", n,
	       LARGE_BYTES / KIB, round);
	if (round == ROUNDS)
		CHECK(n, <, 100);
}

/* And when all goes for good it does not. */
static void
test_end(size_t before)
{
	size_t after;

	take(N_MANY);
	give(N_MANY);
	after = resident_bytes();
	printf("%zu KiB before, %zu KiB after %zu KiB\n", before / KIB,
	       after / KIB, (size_t)N_MANY * BLOCK_BYTES / KIB);
	CHECK(after, <=, before + LEFT_MAX);
}

/* What the machine does not have is refused, as mmap(2) would unless it is told. */
static void
test_more_than_there_is(void)
{
	FILE *file = fopen("/proc/sys/vm/overcommit_memory", "re");
	struct sysinfo info;
	int mode = 0;

	if (file == NULL || fscanf(file, "%d", &mode) != 1 ||
	    sysinfo(&info) != 0)
		exit(2);
	fclose(file);
	if (mode == 1)
		return;
	errno = 0;
	CHECK(malloc((info.totalram + info.totalswap) * info.mem_unit +
		     64 * MIB),
	      ==, NULL);
	CHECK(errno, ==, ENOMEM);
}

/* The last two lie side by side. */
static void
test_full(void)
{
	size_t n = 0;
	char *block;

	while (n < N_FULL && (blocks[n] = malloc(BYTES)) != NULL)
		n++;
	CHECK(n, <, N_FULL);
	CHECK(malloc(2 * BYTES) == NULL, ==, true);
	free(blocks[n - 1]);
	free(blocks[n - 2]);
	block = malloc(2 * BYTES - 4096);
	CHECK(block != NULL, ==, true);
	free(block);
	give(n - 2);
}

static void *twice;
static unsigned long n_told, n_done;

static void
wait_a_moment(unsigned n)
{
	for (volatile unsigned i = 0; i < n; i++)
		;
}

/* What is kept is kept for a CPU. */
static void
stay_on(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	CPU_SET(cpu, &one);
	sched_setaffinity(0, sizeof(one), &one);
}

static void
wait_for(const unsigned long *number, unsigned long least)
{
	for (unsigned i = 1; __atomic_load_n(number, __ATOMIC_ACQUIRE) < least;
	     i++)
		if (i % 10000 == 0)
			sched_yield();
}

static void *
free_too(void *argument)
{
	uint64_t state = 1;

	stay_on(sched_getcpu() == 0); /* another, if there is one */
	for (unsigned long n = 1; n <= (unsigned long)argument; n++) {
		wait_for(&n_told, n);
		wait_a_moment((unsigned)random_below(&state, 1000));
		free(twice);
		__atomic_store_n(&n_done, n, __ATOMIC_RELEASE);
	}
	return NULL;
}

/* Reports of it are to be expected, and nothing else. */
static void
test_twice(unsigned long n_times)
{
	struct mallinfo2 before, after;
	uint64_t state = 2;
	pthread_t thread;

	stay_on(sched_getcpu());
	pthread_create(&thread, NULL, free_too, (void *)n_times);
	before = mallinfo2();
	for (unsigned long n = 1; n <= n_times; n++) {
		void *other = malloc(BYTES + 4096);

		twice = malloc(BYTES);
		malloc_trim(0);
		free(twice); /* kept, with nothing beside it */
		__atomic_store_n(&n_told, n, __ATOMIC_RELEASE);
		wait_a_moment((unsigned)random_below(&state, 1000));
		free(other); /* has it go */
		wait_for(&n_done, n);
		after = mallinfo2();
		CHECK(after.hblks, ==, before.hblks);
		CHECK(after.hblkhd, ==, before.hblkhd);
	}
	pthread_join(thread, NULL);
	take(8);
	for (int i = 0; i < 8; i++)
		for (int j = 0; j < i; j++)
			CHECK(blocks[i] != blocks[j], ==, true);
	give(8);
}

int
main(int argc, char **argv)
{
	size_t before;

	if (argc == 3 && strcmp(argv[1], "twice") == 0) {
		test_twice(strtoul(argv[2], NULL, 0));
		return check_end();
	}
	stay_on(sched_getcpu());
	if (argc == 2 && strcmp(argv[1], "full") == 0) {
		test_full();
		return check_end();
	}
	if (argc == 2 && strcmp(argv[1], "again") == 0) {
		test_again();
		return check_end();
	}
	free(malloc(BYTES));
	before = resident_bytes();
	test_one();
	test_waves();
	test_end(before);
	test_more_than_there_is();
	return check_end();
}

/* SPDX-License-Identifier: MIT */
/*
 * returned.c - what stays resident of what a program has freed.
 *
 *	returned [THREADS [MIB [end]]]
 *
 * Threads, or the program itself if THREADS is 1, allocate MIB together, of sizes
 * from 16 bytes to 1 MiB, and free some of it in between; then each frees all that
 * it has.  Two seconds later, in which nobody allocates, the program prints one
 * line of JSON: what was resident before and after.  The threads are alive till
 * then, or have ended, with `end`.
 */
#include "smaps.h"

#include <err.h>
#include <pthread.h>
#include <stdint.h>

enum {
	N_THREADS_MAX = 64,
	MIB = 200,
	LOG_MIN = 4, /* 16 bytes */
	LOG_MAX = 20,
	ONE_IN = 3, /* blocks is freed again at once */
	WAIT_S = 2
};

struct work {
	pthread_t thread;
	uint64_t random_state;
	size_t bytes;
};

static pthread_barrier_t filled, read_peak, emptied, all_read;
static bool ends_early;

static uint32_t
random_below(struct work *work, uint32_t limit)
{
	uint64_t *state = &work->random_state;

	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return (uint32_t)((*state >> 32) * limit >> 32);
}

/* As many bytes in blocks of each power of two, so small ones are the most. */
static size_t
random_size(struct work *work, size_t *bytes_of_log)
{
	unsigned log = LOG_MIN;

	for (unsigned i = LOG_MIN; i < LOG_MAX; i++)
		if (bytes_of_log[i] < bytes_of_log[log])
			log = i;
	size_t size = ((size_t)1 << log) + random_below(work, 1u << log);

	bytes_of_log[log] += size;
	return size;
}

/* Of the chain of all blocks, which needs no array that would be left over, too. */
struct block {
	struct block *next;
	size_t bytes;
};

static struct block *
fill(struct work *work)
{
	size_t bytes_of_log[LOG_MAX] = { 0 }, bytes = 0;
	struct block *first = NULL, *block;

	while (bytes < work->bytes) {
		size_t size = random_size(work, bytes_of_log);

		block = malloc(size);
		if (!block)
			err(1, "malloc");
		memset(block, 1, size);
		*block = (struct block){ first, size };
		first = block;
		bytes += size;
		if (random_below(work, ONE_IN) == 0 && first->next) {
			block = first->next;
			first->next = block->next;
			bytes -= block->bytes;
			free(block);
		}
	}
	return first;
}

static void
free_all(struct block *first)
{
	while (first) {
		struct block *next = first->next;

		free(first);
		first = next;
	}
}

static long
read_rss(void)
{
	struct smaps smaps;

	if (!smaps_read(&smaps))
		errx(1, "no /proc/self/smaps_rollup");
	return smaps.rss_kib;
}

static void *
live(void *arg)
{
	struct block *first = fill(arg);

	pthread_barrier_wait(&filled);
	pthread_barrier_wait(&read_peak);
	free_all(first);
	pthread_barrier_wait(&emptied);
	if (!ends_early)
		pthread_barrier_wait(&all_read);
	return NULL;
}

static void
run_alone(struct work *work, long *ret_before_kib, long *ret_after_kib)
{
	struct block *first = fill(work);

	*ret_before_kib = read_rss();
	free_all(first);
	sleep(WAIT_S);
	*ret_after_kib = read_rss();
}

static void
run_threads(struct work *works, unsigned n, long *ret_before_kib,
	    long *ret_after_kib)
{
	pthread_barrier_t *const barriers[] = { &filled, &read_peak, &emptied,
						&all_read };

	for (unsigned i = 0; i < 4; i++)
		pthread_barrier_init(barriers[i], NULL, n + 1);
	for (unsigned i = 0; i < n; i++)
		if (pthread_create(&works[i].thread, NULL, live, &works[i]))
			errx(1, "pthread_create");
	pthread_barrier_wait(&filled);
	*ret_before_kib = read_rss();
	pthread_barrier_wait(&read_peak);
	pthread_barrier_wait(&emptied);
	for (unsigned i = 0; ends_early && i < n; i++)
		pthread_join(works[i].thread, NULL);
	sleep(WAIT_S);
	*ret_after_kib = read_rss();
	if (!ends_early)
		pthread_barrier_wait(&all_read);
	for (unsigned i = 0; !ends_early && i < n; i++)
		pthread_join(works[i].thread, NULL);
}

int
main(int argc, char **argv)
{
	unsigned n = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 1;
	size_t mib = argc > 2 ? strtoul(argv[2], NULL, 10) : MIB;
	static struct work works[N_THREADS_MAX];
	long before_kib, after_kib;

	if (n == 0 || n > N_THREADS_MAX || mib == 0)
		errx(2, "usage: returned [THREADS [MIB [end]]]");
	ends_early = argc > 3;
	for (unsigned i = 0; i < n; i++) {
		works[i].random_state = 88172645463325252u + i;
		works[i].bytes = (mib << 20) / n;
	}
	if (n == 1)
		run_alone(works, &before_kib, &after_kib);
	else
		run_threads(works, n, &before_kib, &after_kib);
	printf("{\"before_kib\":%ld,\"after_kib\":%ld}\n", before_kib,
	       after_kib);
	return 0;
}

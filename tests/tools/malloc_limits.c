/* SPDX-License-Identifier: MIT */
/*
 * malloc_limits fill BYTES LEAST_MIB [MOST_MIB]: allocate blocks of BYTES until
 * there is no memory; free all; the second time at least 80 of 100 come again.
 * malloc_limits mixed N [PERCENT]: N calls of all sizes; each works or is NULL with
 * ENOMEM, these at most PERCENT of 100.
 * malloc_limits sizes LEAST_MIB: as fill, of several sizes in turn: what was one's
 * is the next one's.
 * malloc_limits returned PERCENT: of the 64 MiB of blocks of all sizes that are
 * freed at most so much stays resident.
 * malloc_limits thinned PERCENT: when most of a size's blocks are free the pages go
 * of slabs that it passed over when it was not so: at most so much stays resident.
 * The program's own memory is static.
 */
#include "malloc_check.h"

#include <errno.h>
#include <malloc.h>
#include <pthread.h>

#define AGAIN_PERCENT 80
#define N_BLOCKS 2000
#define N_ROUNDS 2

static size_t n_operations;

/* As a list through their first words; all pages are touched. */
static void *
fill(size_t bytes, size_t *ret_n)
{
	void **list = NULL, **block;
	size_t n = 0;

	for (;;) {
		errno = 0;
		block = malloc(bytes);
		if (block == NULL)
			break;
		for (size_t i = 0; i < bytes; i += 4096)
			((char *)block)[i] = 1;
		*block = list;
		list = block;
		n++;
	}
	CHECK(errno, ==, ENOMEM);
	*ret_n = n;
	return list;
}

static void
empty(void *list)
{
	while (list != NULL) {
		void *next = *(void **)list;

		free(list);
		list = next;
	}
}

static int
test_fill(size_t bytes, size_t least_mib, size_t most_mib)
{
	size_t n[N_ROUNDS];

	for (int i = 0; i < N_ROUNDS; i++) {
		empty(fill(bytes, &n[i]));
		printf("%zu blocks of %zu bytes: %zu MiB\n", n[i], bytes,
		       n[i] * bytes / MIB);
		CHECK(n[i] * bytes, >=, least_mib * MIB);
		if (most_mib != 0)
			CHECK(n[i] * bytes, <=, most_mib * MIB);
		CHECK(n[i], >=, n[0] * AGAIN_PERCENT / 100);
	}
	return check_end();
}

static int
test_sizes(size_t least_mib)
{
	static const size_t sizes[] = { 24, 1000, 5000, 100000, 3 * MIB, 24 };
	size_t n;

	for (size_t i = 0; i < N_ELEMENTS(sizes); i++) {
		empty(fill(sizes[i], &n));
		printf("%zu MiB by %zu bytes\n", n * sizes[i] / MIB, sizes[i]);
		CHECK(n * sizes[i], >=, least_mib * MIB);
	}
	return check_end();
}

/* In no order, so that pages hold blocks of different ages. */
static int
test_returned(size_t most_percent)
{
	static void *blocks[200000];
	size_t before = resident_bytes(), bytes = 0, n = 0, peak, left;
	uint64_t state = 5;

	while (bytes < 64 * MIB && n < N_ELEMENTS(blocks)) {
		size_t size = (size_t)16 << random_below(&state, 14);

		size += random_below(&state, size);
		blocks[n] = malloc(size);
		memset(blocks[n++], 1, size);
		bytes += size;
	}
	peak = resident_bytes() - before;
	for (size_t i = n; i > 0; i--) {
		size_t at = random_below(&state, i);

		free(blocks[at]);
		blocks[at] = blocks[i - 1];
	}
	left = resident_bytes() - before;
	printf("%zu of %zu KiB stay\n", left / KIB, peak / KIB);
	CHECK(peak, >=, bytes);
	CHECK(left * 100, <=, peak * most_percent);
	return check_end();
}

static void *
allocate(uint64_t *state, size_t bytes, void *old)
{
	void *block = NULL;

	switch (random_below(state, 5)) {
	case 0:
		block = calloc(1, bytes);
		if (block != NULL)
			CHECK(is_filled(block, bytes, 0), ==, 1);
		break;
	case 1:
		errno = posix_memalign(&block, 256, bytes);
		break;
	case 2:
		block = realloc(old, bytes);
		if (block != NULL)
			return block;
		break;
	default:
		block = malloc(bytes);
	}
	if (block != NULL)
		free(old);
	return block;
}

/* What is kept when there is no memory is as it was. */
static void *
mix(void *seed)
{
	void *blocks[N_BLOCKS] = { NULL };
	size_t sizes[N_BLOCKS] = { 0 };
	uint64_t state = (uintptr_t)seed;
	size_t n_refused = 0;

	for (size_t i = 0; i < n_operations; i++) {
		size_t at = random_below(&state, N_BLOCKS);
		size_t most = i % 97 == 0 ? 3 * MIB : i % 7 == 0 ? 30000 : 600;
		size_t bytes = 1 + random_below(&state, most);
		void *block;

		CHECK(stamp_holds(blocks[at], sizes[at], sizes[at],
				  (uint32_t)at),
		      ==, 1);
		errno = 0;
		block = allocate(&state, bytes, blocks[at]);
		if (block == NULL) {
			CHECK(errno, ==, ENOMEM);
			n_refused++;
			continue;
		}
		CHECK(malloc_usable_size(block), >=, bytes);
		blocks[at] = block;
		sizes[at] = bytes;
		stamp_write(block, bytes, (uint32_t)at);
	}
	for (size_t i = 0; i < N_BLOCKS; i++) {
		CHECK(stamp_holds(blocks[i], sizes[i], sizes[i], (uint32_t)i),
		      ==, 1);
		free(blocks[i]);
	}
	return (void *)n_refused;
}

/* The first half keeps a third of each slab, its pages; the second goes. */
static int
test_thinned(size_t most_percent)
{
	enum { BYTES = 64, RUN = 1024, THIRD = RUN / 3, N = 512 * RUN };
	static void *blocks[N];
	size_t before = resident_bytes(), peak, left;

	for (size_t i = 0; i < N; i++) {
		blocks[i] = malloc(BYTES);
		memset(blocks[i], 1, BYTES);
	}
	peak = resident_bytes() - before;
	for (size_t i = 0; i < N / 2; i++)
		if (i % RUN >= THIRD)
			free(blocks[i]);
	for (size_t i = N / 2; i < N; i++)
		free(blocks[i]);
	left = resident_bytes() - before;
	printf("%zu of %zu KiB stay\n", left / KIB, peak / KIB);
	CHECK(peak, >=, (size_t)N * BYTES);
	CHECK(left * 100, <=, peak * most_percent);
	return check_end();
}

static int
test_mixed(size_t most_percent)
{
	pthread_t id;
	size_t n_refused = (size_t)mix((void *)7);

	printf("%zu of %zu calls were refused\n", n_refused, n_operations);
	CHECK(n_refused * 100, <=, n_operations * most_percent);
	/* A thread needs memory of its own; it may have none. */
	if (pthread_create(&id, NULL, mix, (void *)11) == 0)
		pthread_join(id, NULL);
	return check_end();
}

int
main(int argc, char **argv)
{
	size_t numbers[3] = { 0, 100, 0 };

	for (int i = 2; i < argc && i < 5; i++)
		numbers[i - 2] = strtoul(argv[i], NULL, 0);
	if (argc > 3 && strcmp(argv[1], "fill") == 0)
		return test_fill(numbers[0], numbers[1], numbers[2]);
	if (argc > 2 && strcmp(argv[1], "sizes") == 0)
		return test_sizes(numbers[0]);
	if (argc > 2 && strcmp(argv[1], "returned") == 0)
		return test_returned(numbers[0]);
	if (argc > 2 && strcmp(argv[1], "thinned") == 0)
		return test_thinned(numbers[0]);
	n_operations = numbers[0];
	return argc > 2 && strcmp(argv[1], "mixed") == 0 ?
		       test_mixed(numbers[1]) :
		       2;
}

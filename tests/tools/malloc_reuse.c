/* SPDX-License-Identifier: MIT */
/*
 * malloc_reuse zero|quarantine: what is handed out again is zero; is not handed
 * out at once.
 */
#include "malloc_check.h"

#include <malloc.h>
#include <pthread.h>

#define N_BLOCKS 200
#define N_FREES 200000 /* of blocks of 40 bytes: more than waits */

static const size_t sizes[] = { 8,    24,    40,     100,    1000,
				5000, 60000, 100000, 3 * MIB };

/* Until blocks come again; by this thread or another. */
static void *
check_zero(void *unused)
{
	unsigned char *blocks[N_BLOCKS];
	size_t n;

	for (size_t i = 0; i < N_ELEMENTS(sizes); i++)
		for (int round = 0; round < 4; round++) {
			n = sizes[i] > 100000 ? 4 : N_BLOCKS;
			for (size_t j = 0; j < n; j++) {
				blocks[j] = malloc(sizes[i]);
				CHECK(is_filled(blocks[j], sizes[i], 0), ==,
				      1);
				memset(blocks[j], 0xee,
				       malloc_usable_size(blocks[j]));
			}
			blocks[0] = realloc(blocks[0], sizes[i] / 2);
			for (size_t j = 0; j < n; j++)
				free(blocks[j]);
		}
	return unused;
}

static void *
check_quarantine(void *unused)
{
	void *block, *other, *held[N_BLOCKS];
	int comes_again = 0;

	for (size_t i = 0; i < N_ELEMENTS(sizes) && sizes[i] <= 5000; i++) {
		block = malloc(sizes[i]);
		free(block);
		for (size_t j = 0; j < N_BLOCKS; j++) {
			held[j] = malloc(sizes[i]);
			CHECK(held[j], !=, block);
		}
		for (size_t j = 0; j < N_BLOCKS; j++)
			free(held[j]);
	}
	block = malloc(40);
	free(block);
	for (size_t i = 0; i < N_FREES && !comes_again; i++) {
		other = malloc(40);
		comes_again = other == block;
		free(other);
	}
	CHECK(comes_again, ==, 1);
	return unused;
}

int
main(int argc, char **argv)
{
	pthread_t id;
	void *(*check)(void *) = argc > 1 && strcmp(argv[1], "zero") == 0 ?
					 check_zero :
					 check_quarantine;

	check(NULL);
	CHECK(pthread_create(&id, NULL, check, NULL), ==, 0);
	pthread_join(id, NULL);
	return check_end();
}

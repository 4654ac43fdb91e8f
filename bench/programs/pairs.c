/* SPDX-License-Identifier: MIT */
/*
 * pairs.c - what malloc() and free() take, under whatever malloc there is.
 *
 *	pairs BYTES
 *
 * Prints one line of JSON, nanoseconds of a malloc() and its free(), the best of
 * many short runs each: one after the other (pair); 1,000 blocks and then their
 * frees in order (in_order); one of 100,000 live blocks replaced at random
 * (random).  Of blocks above 64 KiB there are 20 and 20.
 */
#include <err.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define N_PAIRS 20000
#define N_LIVE_MAX 100000

static size_t bytes;
static int n_in_order = 1000, n_live = N_LIVE_MAX;
static int n_runs = 100, n_runs_random = 20;
static void *blocks[N_LIVE_MAX];

static double
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return 1e9 * (double)now.tv_sec + (double)now.tv_nsec;
}

static void *
take(void)
{
	char *volatile block = malloc(bytes);

	if (block == NULL)
		err(1, "malloc");
	*block = 1;
	return block;
}

static void
pairs(void)
{
	for (int i = 0; i < N_PAIRS; i++)
		free(take());
}

static void
in_order(void)
{
	for (int n = 0; n < N_PAIRS / n_in_order; n++) {
		for (int i = 0; i < n_in_order; i++)
			blocks[i] = take();
		for (int i = 0; i < n_in_order; i++)
			free(blocks[i]);
	}
}

static void
replace(void)
{
	static uint32_t state = 1;

	for (int i = 0; i < N_PAIRS; i++) {
		uint32_t k;

		state = state * 1664525 + 1013904223;
		k = (state >> 8) % (uint32_t)n_live;
		free(blocks[k]);
		blocks[k] = take();
	}
}

static double
best_ns(void (*run)(void), int n)
{
	double best = 1e9;

	for (int i = 0; i < n; i++) {
		double began = now_ns();

		run();
		began = (now_ns() - began) / N_PAIRS;
		best = began < best ? began : best;
	}
	return best;
}

int
main(int argc, char **argv)
{
	double pair, ordered;

	if (argc != 2 || (bytes = strtoul(argv[1], NULL, 10)) == 0)
		errx(2, "usage: pairs BYTES");
	if (bytes > 65536) {
		n_in_order = n_live = 20;
		n_runs = n_runs_random = 10;
	}
	pair = best_ns(pairs, n_runs);
	ordered = best_ns(in_order, n_runs);
	for (int i = 0; i < n_live; i++)
		blocks[i] = take();
	printf("{\"pair\": %.2f, \"in_order\": %.2f, \"random\": %.2f}\n",
	       pair, ordered, best_ns(replace, n_runs_random));
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * inline_run [aborts]: a user of the inline header, in C and in C++, that
 * prints what it found, the same with every front end, and then what ran.
 * With the word it also goes on until sequences in it have begun again.
 */
#include <cubby/cubby.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#ifndef EXPECT_INLINE
#define EXPECT_INLINE 1
#endif
#if defined(CUBBY_INLINE) && CUBBY_INLINE_WORKS != EXPECT_INLINE
#error "the header takes this for a compiler that it is not"
#endif

#define POINT_SLOTS(SLOT)                                                     \
	SLOT(uint64_t, x, "")                                                 \
	SLOT(uint64_t, y, "")
CUBBY_LAYOUT(point, POINT_SLOTS);

enum { N_ROUNDS = 200, N_BATCH = 50, N_HELD = 5000 };

static struct point *points[N_HELD];

static void
check(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s: %s\n", what, cubby_error_detail());
	exit(1);
}

static inline __attribute__((always_inline)) struct point *
make(struct cubby_cache *cache, uint64_t i)
{
	struct point *it = point_alloc(cache);

	check(it != NULL, "alloc");
	it->x = i;
	it->y = ~i;
	return it;
}

static inline __attribute__((always_inline)) uint64_t
unmake(struct cubby_cache *cache, struct point *it)
{
	uint64_t x = it->x;

	check(it->y == ~x, "an object has two owners");
	it->y = 0;
	point_free(cache, it);
	return x;
}

/* Compilers have a place of their own for the code of rare functions. */
__attribute__((cold, noinline)) static uint64_t
work_rarely(struct cubby_cache *cache)
{
	uint64_t sum = 0;

	for (uint64_t i = 0; i < N_HELD; i++)
		points[i] = make(cache, i * i);
	for (uint64_t i = 0; i < N_HELD; i++)
		sum = sum * 31 + unmake(cache, points[i * 7 % N_HELD]);
	return sum;
}

/* To and fro within a magazine, then far beyond one, freed out of order. */
static uint64_t
work(struct cubby_cache *cache)
{
	uint64_t sum = 0;

	for (uint64_t round = 0; round < N_ROUNDS; round++) {
		for (uint64_t i = 0; i < N_BATCH; i++)
			points[i] = make(cache, round * i);
		for (uint64_t i = N_BATCH; i-- > 0;)
			sum = sum * 31 + unmake(cache, points[i]);
	}
	cubby_free(cache, NULL);
	return sum + work_rarely(cache);
}

#if defined(CUBBY_INLINE) && CUBBY_INLINE_WORKS
static void
on_alarm(int signal_number)
{
	(void)signal_number;
}

/* Each step of the way back is right in this program as it was linked. */
static void
see_aborts(struct cubby_cache *cache)
{
	const struct itimerval often = { { 0, 100 }, { 0, 100 } };
	const struct itimerval never = { { 0, 0 }, { 0, 0 } };
	time_t start = time(NULL);

	signal(SIGALRM, on_alarm);
	check(setitimer(ITIMER_REAL, &often, NULL) == 0, "setitimer");
	while (__atomic_load_n(&CUBBY__ABI.n_aborts, __ATOMIC_RELAXED) < 5) {
		check(time(NULL) - start < 60, "no sequence began again");
		for (uint64_t i = 0; i < N_BATCH; i++)
			points[i] = make(cache, i);
		for (uint64_t i = 0; i < N_BATCH; i++)
			unmake(cache, points[i]);
	}
	check(setitimer(ITIMER_REAL, &never, NULL) == 0, "setitimer");
}
#else
static void
see_aborts(struct cubby_cache *cache)
{
	(void)cache;
}
#endif

int
main(int argc, char **argv)
{
	struct cubby_cache *cache = NULL;
	struct cubby_cache_stats stats;
	uint64_t sum;

	check(point_cache_create(&cache, NULL) == 0, "create");
	sum = work(cache);
	memset(&stats, 0, sizeof(stats));
	stats.stats_bytes = sizeof(stats);
	check(cubby_cache_stats_snapshot(cache, &stats) == 0, "snapshot");
	if (argc > 1 && strcmp(argv[1], "aborts") == 0 &&
	    stats.front_end == CUBBY_FRONT_PER_CPU)
		see_aborts(cache);
	check(cubby_cache_verify(cache) == 0, "verify");
	check(cubby_cache_destroy(cache) == 0, "destroy");
	printf("sum %llx live %llu\n", (unsigned long long)sum,
	       (unsigned long long)stats.n_live);
	printf("front_end %llu index %llu fast %llu direct %llu %llu\n",
	       (unsigned long long)stats.front_end,
	       (unsigned long long)stats.front_index,
	       (unsigned long long)stats.is_fast,
	       (unsigned long long)stats.n_direct_allocs,
	       (unsigned long long)stats.n_direct_frees);
	return 0;
}

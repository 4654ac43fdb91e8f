/* SPDX-License-Identifier: MIT */
/*
 * Says which front end this process has, and why; before that threads use it
 * for a while, and each object is looked at.
 */
#include <cubby/cubby.h>

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define N_THREADS 4
#define N_ROUNDS 200
#define N_OBJECTS 400
#define OBJECT_BYTES 40

static struct cubby_cache *cache;
static unsigned long n_rounds = N_ROUNDS;

static void
check(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s; %s\n", what, cubby_error_detail());
	_exit(1);
}

static void
alloc_and_free(unsigned char mark)
{
	unsigned char *objects[N_OBJECTS];
	unsigned char same[OBJECT_BYTES];

	memset(same, mark, sizeof(same));
	for (size_t i = 0; i < N_OBJECTS; i++) {
		objects[i] = cubby_alloc(cache);
		check(objects[i] != NULL, "no object");
		memset(objects[i], mark, OBJECT_BYTES);
	}
	for (size_t i = 0; i < N_OBJECTS; i++) {
		check(memcmp(objects[i], same, sizeof(same)) == 0,
		      "an object of two owners");
		cubby_free(cache, objects[i]);
	}
}

static void *
work(void *context)
{
	for (unsigned long i = 0; i < n_rounds; i++)
		alloc_and_free((unsigned char)(size_t)context);
	return NULL;
}

static void
say_front(void)
{
	static const char *const front_ends[] = { "none", "thread", "cpu" };
	static const char *const reasons[] = {
		"best",      "option",    "not-built",      "not-proven",
		"c-library", "no-rseq",   "not-registered", "no-membarrier",
		"cpus",      "no-memory", "no-mm-cid"
	};
	struct cubby_cache_stats s = { .stats_bytes = sizeof(s) };

	check(cubby_cache_stats_snapshot(cache, &s) == 0, "statistics");
	check(s.is_exact && s.n_live == 0, "exact statistics");
	printf("%s %s\n", front_ends[s.front_end], reasons[s.front_reason]);
}

/* [ROUNDS] */
int
main(int argc, char **argv)
{
	pthread_t threads[N_THREADS];

	if (argc > 1)
		n_rounds = strtoul(argv[1], NULL, 10);
	check(cubby_cache_create_sized(&cache, "mode", OBJECT_BYTES, 0,
				       NULL) == 0,
	      "no cache");
	for (size_t i = 0; i < N_THREADS; i++)
		check(pthread_create(&threads[i], NULL, work,
				     (void *)(i + 1)) == 0,
		      "no thread");
	check(cubby_cache_shrink(cache, NULL) == 0, "shrink");
	for (size_t i = 0; i < N_THREADS; i++)
		pthread_join(threads[i], NULL);
	check(cubby_cache_verify(cache) == 0, "verify");
	say_front();
	check(cubby_cache_destroy(cache) == 0, "destroy");
	return 0;
}

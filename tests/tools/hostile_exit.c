/* SPDX-License-Identifier: MIT */
/* main() returns while threads allocate, free, create and destroy. */
#include <cubby/cubby.h>

#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#define N_THREADS 4
#define RUN_US 20000

static struct cubby_cache *cache;

static void *
use(void *context)
{
	struct cubby_cache *own;
	void *objects[64];

	(void)context;
	for (;;) {
		if (cubby_alloc_bulk(cache, 64, objects) != 0)
			abort();
		cubby_free_bulk(cache, 64, objects);
		if (cubby_cache_create_sized(&own, "own", 24, 0, NULL) != 0)
			abort();
		cubby_free(own, cubby_alloc(own));
		if (cubby_cache_destroy(own) != 0)
			abort();
	}
	return NULL;
}

int
main(void)
{
	pthread_t thread;

	if (cubby_cache_create_sized(&cache, "shared", 24, 0, NULL) != 0)
		return 1;
	for (int i = 0; i < N_THREADS; i++)
		if (pthread_create(&thread, NULL, use, NULL) != 0)
			return 1;
	usleep(RUN_US);
	return 0;
}

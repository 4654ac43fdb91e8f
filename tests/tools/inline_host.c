/* SPDX-License-Identifier: MIT */
/*
 * inline_host PLUGIN: load a plugin with inline code, let threads run it,
 * unload it, and let them go on, some with caches, some only preempted.
 * Prints whether it is mapped then.
 */
#include <cubby/cubby.h>

#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define N_THREADS 6
#define N_ROUNDS 10

static const char *path;
static struct cubby_cache *cache;
static void (*plugin_run)(struct cubby_cache *);
static pthread_barrier_t used, unloaded;

static void
check(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	exit(1);
}

static void
get_preempted(void)
{
	const struct timespec moment = { 0, 100000 };

	for (int i = 0; i < 5; i++)
		nanosleep(&moment, NULL);
}

static void *
use(void *context)
{
	size_t number = (size_t)context;

	plugin_run(cache);
	pthread_barrier_wait(&used);
	pthread_barrier_wait(&unloaded);
	get_preempted();
#ifndef PLUGIN_ONLY
	for (int i = 0; number % 2 == 1 && i < 20000; i++) {
		void *object = cubby_alloc(cache);

		check(object != NULL, "no memory");
		cubby_free(cache, object);
	}
#endif
	get_preempted();
	(void)number;
	return NULL;
}

static int
is_mapped(const char *name)
{
	FILE *maps = fopen("/proc/self/maps", "re");
	char line[512];
	int found = 0;

	check(maps != NULL, "no /proc");
	while (fgets(line, sizeof(line), maps) != NULL)
		found |= strstr(line, name) != NULL;
	fclose(maps);
	return found;
}

static void *
load(void)
{
	void *handle = dlopen(path, RTLD_LAZY | RTLD_LOCAL);
	struct cubby_cache *(*create)(void);

	if (handle == NULL) {
		fprintf(stderr, "%s\n", dlerror());
		exit(2);
	}
	*(void **)&create = dlsym(handle, "plugin_create");
	*(void **)&plugin_run = dlsym(handle, "plugin_run");
	check(create != NULL && plugin_run != NULL, "an odd plugin");
	if (cache == NULL)
		cache = create();
	check(cache != NULL, "no cache");
	return handle;
}

int
main(int argc, char **argv)
{
	pthread_t threads[N_THREADS];

	check(argc == 2, "usage: inline_host PLUGIN");
	path = argv[1];
	pthread_barrier_init(&used, NULL, N_THREADS + 1);
	pthread_barrier_init(&unloaded, NULL, N_THREADS + 1);
	for (int round = 0; round < N_ROUNDS; round++) {
		void *handle = load();

		for (size_t i = 0; i < N_THREADS; i++)
			check(pthread_create(&threads[i], NULL, use,
					     (void *)i) == 0,
			      "no thread");
		/* This thread too has run a sequence of the plugin. */
		pthread_barrier_wait(&used);
		plugin_run(cache);
		check(dlclose(handle) == 0, "dlclose");
		pthread_barrier_wait(&unloaded);
		get_preempted();
		for (size_t i = 0; i < N_THREADS; i++)
			pthread_join(threads[i], NULL);
	}
	puts(is_mapped(path) ? "mapped" : "gone");
	return 0;
}

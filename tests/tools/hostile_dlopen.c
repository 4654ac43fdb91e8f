/* SPDX-License-Identifier: MIT */
/*
 * hostile_dlopen PLUGIN: load and unload a user of the library again and
 * again; what the library left with the C library (fork handlers, the end of
 * a thread) must not be called into nothing.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#define N_ROUNDS 20

static const char *path;

static void
check(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s\n", what);
	exit(1);
}

/* The thread ends after the library was unloaded. */
static void *
load_use_unload(void *context)
{
	void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
	int (*run)(void);

	(void)context;
	check(handle != NULL, "dlopen failed");
	*(void **)&run = dlsym(handle, "plugin_run");
	check(run != NULL, "the plugin has no plugin_run");
	check(run() == 0, "the plugin failed");
	check(dlclose(handle) == 0, "dlclose failed");
	return NULL;
}

static void
fork_once(void)
{
	int status = -1;
	pid_t child = fork();

	if (child == 0)
		_exit(0);
	check(waitpid(child, &status, 0) == child && status == 0,
	      "fork after dlclose");
}

int
main(int argc, char **argv)
{
	check(argc == 2, "usage: hostile_dlopen PLUGIN");
	path = argv[1];
	for (int i = 0; i < N_ROUNDS; i++) {
		pthread_t thread;

		check(pthread_create(&thread, NULL, load_use_unload, NULL) ==
			      0,
		      "no thread");
		pthread_join(thread, NULL);
		load_use_unload(NULL);
		fork_once();
	}
	return 0;
}

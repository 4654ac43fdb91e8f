/* SPDX-License-Identifier: MIT */
/*
 * A library to preload in front of a malloc: what that may call while it begins
 * allocates here.
 */
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void
allocate(void)
{
	void *block = malloc(100);

	block = realloc(block, 3000);
	memset(block, 1, 3000);
	free(block);
	free(calloc(3, 5000));
}

long
sysconf(int name)
{
	long (*next)(int);

	allocate();
	*(void **)&next = dlsym(RTLD_NEXT, "sysconf");
	return next(name);
}

int
pthread_key_create(pthread_key_t *key, void (*destructor)(void *))
{
	int (*next)(pthread_key_t *, void (*)(void *));

	allocate();
	*(void **)&next = dlsym(RTLD_NEXT, "pthread_key_create");
	return next(key, destructor);
}

int __register_atfork(void (*)(void), void (*)(void), void (*)(void), void *);

int
__register_atfork(void (*prepare)(void), void (*parent)(void),
		  void (*child)(void), void *handle)
{
	int (*next)(void (*)(void), void (*)(void), void (*)(void), void *);

	allocate();
	*(void **)&next = dlsym(RTLD_NEXT, "__register_atfork");
	return next(prepare, parent, child, handle);
}

char *
secure_getenv(const char *name)
{
	char *(*next)(const char *);

	allocate();
	*(void **)&next = dlsym(RTLD_NEXT, "secure_getenv");
	return next(name);
}

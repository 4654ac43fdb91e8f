/* SPDX-License-Identifier: MIT */
/*
 * To be preloaded: counts the calls that reach the library, which are those
 * that the inline path did not do, and says so at the end.
 */
#include <cubby/cubby.h>

#include <dlfcn.h>
#include <stdio.h>

static unsigned long n_allocs, n_frees;

__attribute__((visibility("default"))) void *
cubby_alloc(struct cubby_cache *cache)
{
	static void *(*next)(struct cubby_cache *);

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "cubby_alloc");
	__atomic_add_fetch(&n_allocs, 1, __ATOMIC_RELAXED);
	return next(cache);
}

__attribute__((visibility("default"))) void
cubby_free(struct cubby_cache *cache, void *object)
{
	static void (*next)(struct cubby_cache *, void *);

	if (next == NULL)
		*(void **)&next = dlsym(RTLD_NEXT, "cubby_free");
	__atomic_add_fetch(&n_frees, 1, __ATOMIC_RELAXED);
	next(cache, object);
}

__attribute__((destructor)) static void
say(void)
{
	fprintf(stderr, "called %lu %lu\n", n_allocs, n_frees);
}

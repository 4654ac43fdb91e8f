/* SPDX-License-Identifier: MIT */
/*
 * The malloc of this process: glibc's, or that of the library which was
 * preloaded.  Which one it is, is read off the object that defines malloc, so
 * a preload that did not take effect cannot be mistaken for the rival.
 */
#define _GNU_SOURCE
#include "rival.h"

#include <dlfcn.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>

static uint64_t
glibc_held_bytes(void)
{
	struct mallinfo2 info = mallinfo2();

	return info.arena + info.hblkhd;
}

static uint64_t
jemalloc_held_bytes(void)
{
	int (*mallctl)(const char *, void *, size_t *, void *, size_t);
	uint64_t epoch = 1;
	size_t resident = 0;
	size_t resident_bytes = sizeof(resident);

	mallctl = dlsym(RTLD_DEFAULT, "mallctl");
	if (!mallctl || mallctl("epoch", NULL, NULL, &epoch, sizeof(epoch)) ||
	    mallctl("stats.resident", &resident, &resident_bytes, NULL, 0))
		return UINT64_MAX;
	return resident;
}

static uint64_t
mimalloc_held_bytes(void)
{
	/* elapsed, user, system, rss, peak rss, commit, peak commit, faults */
	void (*process_info)(size_t *, size_t *, size_t *, size_t *, size_t *,
			     size_t *, size_t *, size_t *);
	size_t commit_bytes = 0;

	process_info = dlsym(RTLD_DEFAULT, "mi_process_info");
	if (!process_info)
		return UINT64_MAX;
	process_info(NULL, NULL, NULL, NULL, NULL, &commit_bytes, NULL, NULL);
	return commit_bytes;
}

static uint64_t
tcmalloc_held_bytes(void)
{
	int (*get_property)(const char *, size_t *);
	size_t heap_bytes = 0;

	get_property = dlsym(RTLD_DEFAULT,
			     "MallocExtension_GetNumericProperty");
	if (!get_property || !get_property("generic.heap_size", &heap_bytes))
		return UINT64_MAX;
	return heap_bytes;
}

static const struct malloc_kind {
	const char *name;
	const char *file; /* the defining object's name begins with it */
	uint64_t (*held_bytes)(void);
} kinds[] = {
	{ "glibc", "libc.so", glibc_held_bytes },
	{ "glibc-debug", "libc_malloc_debug", glibc_held_bytes },
	{ "jemalloc", "libjemalloc", jemalloc_held_bytes },
	{ "mimalloc", "libmimalloc", mimalloc_held_bytes },
	{ "tcmalloc", "libtcmalloc", tcmalloc_held_bytes },
};

static const struct malloc_kind *
find_kind(void)
{
	static const struct malloc_kind *found;
	const char *file;
	Dl_info info;

	if (found)
		return found;
	/* Not by dlsym(), which leaves out symbols of old versions. */
	if (!dladdr((void *)malloc, &info))
		abort();
	file = strrchr(info.dli_fname, '/');
	file = file ? file + 1 : info.dli_fname;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (!strncmp(file, kinds[i].file, strlen(kinds[i].file)))
			found = &kinds[i];
	if (!found)
		abort();
	return found;
}

static const char *
name(void)
{
	return find_kind()->name;
}

static void *
create(size_t object_bytes, size_t n_objects)
{
	size_t *pool = malloc(sizeof(*pool));

	(void)n_objects;
	if (pool)
		*pool = object_bytes;
	return pool;
}

static void
destroy(void *pool)
{
	free(pool);
}

static void *
alloc(void *pool)
{
	return malloc(*(const size_t *)pool);
}

static void
release(void *pool, void *object)
{
	(void)pool;
	free(object);
}

static int
alloc_many(void *pool, size_t n, void **ret_objects)
{
	return rival_alloc_each(&rival_malloc, pool, n, ret_objects);
}

static uint64_t
held_bytes(void *pool)
{
	(void)pool;
	return find_kind()->held_bytes();
}

const struct rival rival_malloc = {
	.name = name,
	.create = create,
	.destroy = destroy,
	.alloc = alloc,
	.free = release,
	.alloc_many = alloc_many,
	.held_bytes = held_bytes,
};

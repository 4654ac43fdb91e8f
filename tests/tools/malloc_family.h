/* SPDX-License-Identifier: MIT */
/*
 * The C functions of a malloc, found as a program would that was not linked
 * against them: NULL where this malloc has none.
 */
#ifndef MALLOC_FAMILY_H
#define MALLOC_FAMILY_H

#include "malloc_check.h"

#include <malloc.h>

/* X(return type, name, parameters) */
#define MALLOC_FAMILY                                                         \
	X(void *, malloc, (size_t))                                           \
	X(void *, calloc, (size_t, size_t))                                   \
	X(void *, realloc, (void *, size_t))                                  \
	X(void *, reallocarray, (void *, size_t, size_t))                     \
	X(void *, reallocf, (void *, size_t))                                 \
	X(void, free, (void *))                                               \
	X(void, cfree, (void *))                                              \
	X(void, vfree, (void *))                                              \
	X(void, free_sized, (void *, size_t))                                 \
	X(void, free_aligned_sized, (void *, size_t, size_t))                 \
	X(void, sdallocx, (void *, size_t, int))                              \
	X(size_t, nallocx, (size_t, int))                                     \
	X(void *, memalign, (size_t, size_t))                                 \
	X(int, posix_memalign, (void **, size_t, size_t))                     \
	X(void *, aligned_alloc, (size_t, size_t))                            \
	X(void *, valloc, (size_t))                                           \
	X(void *, pvalloc, (size_t))                                          \
	X(size_t, malloc_usable_size, (void *))                               \
	X(size_t, malloc_size, (const void *))                                \
	X(size_t, malloc_good_size, (size_t))                                 \
	X(int, malloc_trim, (size_t))                                         \
	X(struct mallinfo, mallinfo, (void))                                  \
	X(struct mallinfo2, mallinfo2, (void))                                \
	X(int, malloc_info, (int, FILE *))                                    \
	X(void, malloc_stats, (void))                                         \
	X(int, mallopt, (int, int))                                           \
	X(void *, __libc_malloc, (size_t))                                    \
	X(void *, __libc_calloc, (size_t, size_t))                            \
	X(void *, __libc_realloc, (void *, size_t))                           \
	X(void, __libc_free, (void *))                                        \
	X(void *, __libc_memalign, (size_t, size_t))                          \
	X(void *, __libc_valloc, (size_t))                                    \
	X(void *, __libc_pvalloc, (size_t))                                   \
	X(int, __posix_memalign, (void **, size_t, size_t))

static struct {
#define X(type, name, parameters) type(*name) parameters;
	MALLOC_FAMILY
#undef X
} my;

static int
is_of_libc(const void *function)
{
	return strncmp(object_of(function), "libc.so", 7) == 0;
}

/*
 * All of them; under Cubby's malloc from its library alone.  What others leave to
 * glibc takes from its own heap, and is as if it were not there.
 */
static void
family_find(void)
{
	enum malloc_kind kind = malloc_kind();

#define X(type, name, parameters)                                             \
	*(void **)&my.name = dlsym(RTLD_DEFAULT, #name);                      \
	if (kind == KIND_CUBBY &&                                             \
	    strncmp(object_of(*(void **)&my.name), "libcubby-malloc.", 16)) { \
		fprintf(stderr, "%s is of '%s'\n", #name,                     \
			object_of(*(void **)&my.name));                       \
		n_faults++;                                                   \
	}                                                                     \
	if (kind == KIND_OTHER && is_of_libc(*(void **)&my.name))             \
		*(void **)&my.name = NULL;
	MALLOC_FAMILY
#undef X
	/* glibc's calls whatever realloc() there is. */
	if (my.reallocarray == NULL)
		my.reallocarray = reallocarray;
}

#endif

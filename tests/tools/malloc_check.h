/* SPDX-License-Identifier: MIT */
/*
 * For programs that test a malloc from outside: checks that print both
 * operands, stamps for the contents of blocks, what is resident, and whose malloc
 * this is.  Nothing here allocates.
 */
#ifndef MALLOC_CHECK_H
#define MALLOC_CHECK_H

#include <dlfcn.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define UNUSED __attribute__((unused))
#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))
#define KIB ((size_t)1 << 10)
#define MIB ((size_t)1 << 20)

/* --------------------------------- checks -------------------------------- */

#define FAULTS_MAX 20 /* then the program ends */

static unsigned long n_checks, n_faults;

UNUSED static int
check_end(void)
{
	fprintf(stderr, "%lu checks, %lu faults\n", n_checks, n_faults);
	return n_faults != 0;
}

UNUSED static void
check_failed(const char *file, int line, const char *what, uintptr_t left,
	     uintptr_t right)
{
	char text[512];
	int n = snprintf(text, sizeof(text), "%s:%d: %s: %#lx, %#lx\n", file,
			 line, what, (unsigned long)left,
			 (unsigned long)right);

	if (write(STDERR_FILENO, text, (size_t)n) != n ||
	    __atomic_add_fetch(&n_faults, 1, __ATOMIC_RELAXED) >= FAULTS_MAX)
		_exit(1);
}

#define CHECK(left, compare, right)                                           \
	do {                                                                  \
		uintptr_t left_ = (uintptr_t)(left);                          \
		uintptr_t right_ = (uintptr_t)(right);                        \
                                                                              \
		__atomic_add_fetch(&n_checks, 1, __ATOMIC_RELAXED);           \
		if (!(left_ compare right_))                                  \
			check_failed(__FILE__, __LINE__,                      \
				     #left " " #compare " " #right, left_,    \
				     right_);                                 \
	} while (0)

/* --------------------------------- memory -------------------------------- */

UNUSED static size_t
resident_bytes(void)
{
	char text[128];
	int fd = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
	ssize_t n = read(fd, text, sizeof(text) - 1);
	size_t pages = 0;

	close(fd);
	CHECK(n, >, 0);
	text[n > 0 ? n : 0] = '\0';
	CHECK(sscanf(text, "%*u %zu", &pages), ==, 1);
	return pages * (size_t)sysconf(_SC_PAGESIZE);
}

/* --------------------------------- stamps -------------------------------- */

/*
 * The byte at an offset depends on the seed and the offset alone, so that a
 * block that realloc() has moved is compared as it was.  Stamped are the first
 * STAMP_HEAD bytes, STAMP_PART at each multiple of STAMP_STEP, and the last
 * STAMP_PART.
 */
#define STAMP_HEAD 512
#define STAMP_STEP 1024
#define STAMP_PART 16

static inline unsigned char
stamp_byte(uint32_t seed, size_t offset)
{
	return (unsigned char)((seed * 2654435761u + (uint32_t)offset * 97u) >>
			       11);
}

static inline size_t
stamp_next(size_t offset, size_t bytes)
{
	offset++;
	if (offset < STAMP_HEAD || offset % STAMP_STEP < STAMP_PART ||
	    offset + STAMP_PART >= bytes)
		return offset;
	offset += STAMP_STEP - offset % STAMP_STEP;
	return offset + STAMP_PART < bytes ? offset : bytes - STAMP_PART;
}

UNUSED static void
stamp_write(void *block, size_t bytes, uint32_t seed)
{
	unsigned char *at = (unsigned char *)block;

	for (size_t i = 0; i < bytes; i = stamp_next(i, bytes))
		at[i] = stamp_byte(seed, i);
}

/* Of a block that was stamped with `bytes`, the first `kept_bytes` remain. */
UNUSED static int
stamp_holds(const void *block, size_t bytes, size_t kept_bytes, uint32_t seed)
{
	const unsigned char *at = (const unsigned char *)block;

	for (size_t i = 0; i < bytes && i < kept_bytes;
	     i = stamp_next(i, bytes))
		if (at[i] != stamp_byte(seed, i))
			return 0;
	return 1;
}

UNUSED static int
is_filled(const void *block, size_t bytes, unsigned char with)
{
	const unsigned char *at = (const unsigned char *)block;

	return bytes == 0 ||
	       (at[0] == with && memcmp(at, at + 1, bytes - 1) == 0);
}

/* --------------------------------- random -------------------------------- */

static inline uint64_t
random_next(uint64_t *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 2685821657736338717u;
}

static inline size_t
random_below(uint64_t *state, size_t n)
{
	return (size_t)((random_next(state) >> 16) % n);
}

/* ---------------------------- whose malloc it is ------------------------- */

enum malloc_kind { KIND_GLIBC, KIND_CUBBY, KIND_OTHER };

UNUSED static const char *
object_of(const void *function)
{
	Dl_info info;
	const char *slash;

	if (function == NULL || dladdr(function, &info) == 0)
		return "";
	slash = strrchr(info.dli_fname, '/');
	return slash != NULL ? slash + 1 : info.dli_fname;
}

UNUSED static enum malloc_kind
malloc_kind(void)
{
	const char *object = object_of(dlsym(RTLD_DEFAULT, "malloc"));

	if (strncmp(object, "libcubby-malloc.", 16) == 0)
		return KIND_CUBBY;
	return strncmp(object, "libc.so", 7) == 0 ? KIND_GLIBC : KIND_OTHER;
}

#endif

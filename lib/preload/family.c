/* SPDX-License-Identifier: MIT */
/*
 * LAYER 8: family - the other functions of the C library that allocate or free
 *
 * POSIX, C11 and C23, glibc's, BSD's, and the names by which glibc calls itself.
 * What each does at its edges is what glibc does, and where that has changed
 * what it does now: cubby-malloc(7) has the list.
 */
#include "malloc.h"

#include "bits.h"
#include "class.h"
#include "extent.h"
#include "os.h"

#include <errno.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>

/* What the headers of glibc 2.36 do not declare. */
void *reallocf(void *block, size_t bytes);
size_t malloc_size(const void *block);
size_t malloc_good_size(size_t bytes);
size_t nallocx(size_t bytes, int flags);
void cfree(void *block);
void vfree(void *block);
void free_sized(void *block, size_t bytes);
void free_aligned_sized(void *block, size_t align_bytes, size_t bytes);
void sdallocx(void *block, size_t bytes, int flags);
void *__libc_malloc(size_t bytes);
void __libc_free(void *block);
void *__libc_calloc(size_t n, size_t each_bytes);
void *__libc_realloc(void *block, size_t bytes);
void *__libc_memalign(size_t align_bytes, size_t bytes);
void *__libc_valloc(size_t bytes);
void *__libc_pvalloc(size_t bytes);
int __posix_memalign(void **ret_block, size_t align_bytes, size_t bytes);

static void *
refuse(int error)
{
	errno = error;
	return NULL;
}

/* ---------------------------------- aligned ------------------------------- */

EXPORT int
posix_memalign(void **ret_block, size_t align_bytes, size_t bytes)
{
	int saved_errno = errno;
	void *block;

	if (!is_pow2(align_bytes) || align_bytes % sizeof(void *) != 0)
		return EINVAL;
	block = cubby__malloc_aligned(bytes, align_bytes);
	errno = saved_errno;
	if (block == NULL)
		return ENOMEM;
	*ret_block = block;
	return 0;
}

EXPORT void *
aligned_alloc(size_t align_bytes, size_t bytes)
{
	if (!is_pow2(align_bytes))
		return refuse(EINVAL);
	return cubby__malloc_aligned(bytes, align_bytes);
}

EXPORT void *
memalign(size_t align_bytes, size_t bytes)
{
	size_t power = sizeof(void *);

	if (align_bytes > PTRDIFF_MAX)
		return refuse(EINVAL);
	while (power < align_bytes)
		power *= 2;
	return cubby__malloc_aligned(bytes, power);
}

EXPORT void *
valloc(size_t bytes)
{
	return cubby__malloc_aligned(bytes, cubby__os_page_bytes());
}

EXPORT void *
pvalloc(size_t bytes)
{
	if (bytes > PTRDIFF_MAX)
		return refuse(ENOMEM);
	return cubby__malloc_aligned(align_up(bytes, cubby__os_page_bytes()),
				     cubby__os_page_bytes());
}

/* ----------------------------------- sizes -------------------------------- */

EXPORT void *
reallocarray(void *block, size_t n, size_t each_bytes)
{
	size_t bytes;

	if (__builtin_mul_overflow(n, each_bytes, &bytes))
		return refuse(ENOMEM);
	return realloc(block, bytes);
}

/* BSD: the old block is freed if there is no new one. */
EXPORT void *
reallocf(void *block, size_t bytes)
{
	void *moved = realloc(block, bytes);

	if (moved == NULL && bytes != 0)
		free(block);
	return moved;
}

EXPORT size_t
malloc_usable_size(void *block)
{
	return cubby__malloc_usable_bytes(block);
}

EXPORT size_t
malloc_size(const void *block)
{
	return cubby__malloc_usable_bytes(block);
}

EXPORT size_t
malloc_good_size(size_t bytes)
{
	if (bytes <= CLASS_BYTES_MAX)
		return class_bytes(class_of(bytes));
	return bytes <= PTRDIFF_MAX ? align_up(bytes, cubby__os_page_bytes()) :
				      bytes;
}

/* jemalloc's, of which programs know that their flags' low bits align. */
#define LG_ALIGN_MASK 63

EXPORT size_t
nallocx(size_t bytes, int flags)
{
	size_t align_bytes = (size_t)1 << (flags & LG_ALIGN_MASK);

	if (bytes > PTRDIFF_MAX || align_bytes > PTRDIFF_MAX / 2)
		return 0;
	return malloc_good_size(align_up(bytes, align_bytes));
}

/* ----------------------------------- frees -------------------------------- */

EXPORT void
cfree(void *block)
{
	free(block);
}

EXPORT void
vfree(void *block)
{
	free(block);
}

EXPORT void
free_sized(void *block, size_t bytes)
{
	cubby__malloc_free_sized(block, bytes, 0);
}

EXPORT void
free_aligned_sized(void *block, size_t align_bytes, size_t bytes)
{
	cubby__malloc_free_sized(block, bytes, align_bytes);
}

EXPORT void
sdallocx(void *block, size_t bytes, int flags)
{
	cubby__malloc_free_sized(block, bytes,
				 (size_t)1 << (flags & LG_ALIGN_MASK));
}

/* --------------------------- what glibc calls itself ---------------------- */

EXPORT void *
__libc_malloc(size_t bytes)
{
	return malloc(bytes);
}

EXPORT void
__libc_free(void *block)
{
	free(block);
}

EXPORT void *
__libc_calloc(size_t n, size_t each_bytes)
{
	return calloc(n, each_bytes);
}

EXPORT void *
__libc_realloc(void *block, size_t bytes)
{
	return realloc(block, bytes);
}

EXPORT void *
__libc_memalign(size_t align_bytes, size_t bytes)
{
	return memalign(align_bytes, bytes);
}

EXPORT void *
__libc_valloc(size_t bytes)
{
	return valloc(bytes);
}

EXPORT void *
__libc_pvalloc(size_t bytes)
{
	return pvalloc(bytes);
}

EXPORT int
__posix_memalign(void **ret_block, size_t align_bytes, size_t bytes)
{
	return posix_memalign(ret_block, align_bytes, bytes);
}

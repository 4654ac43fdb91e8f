/* SPDX-License-Identifier: MIT */
/*
 * LAYER 8: cxx - operator new and operator delete, 20 of them
 *
 * In C, under the names that C++ gives them (Itanium ABI, 5.1.5), so that the
 * shim needs no C++ library.  What a failure needs of one, the handler and the
 * exception, is looked for when there is a failure: as weak symbols, for
 * programs that were linked with it, and else in the library that was loaded
 * since.
 */
#include "malloc.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdlib.h>

typedef void (*new_handler)(void);
typedef const void *nothrow_tag UNUSED; /* std::nothrow_t */

/* std::get_new_handler() and std::__throw_bad_alloc(). */
extern new_handler _ZSt15get_new_handlerv(void) WEAK_SYMBOL;
extern void _ZSt17__throw_bad_allocv(void) WEAK_SYMBOL;

#define LIBRARY "libstdc++.so.6"

/* A function of the C++ library, if there is one in the process. */
static COLD void *
find_function(const char *name)
{
	void *library = dlopen(LIBRARY, RTLD_LAZY | RTLD_NOLOAD);
	void *function = library != NULL ? dlsym(library, name) : NULL;

	if (library != NULL)
		dlclose(library);
	return function;
}

static COLD new_handler
current_handler(void)
{
	new_handler (*get)(void) = _ZSt15get_new_handlerv;

	if (get == NULL)
		*(void **)&get = find_function("_ZSt15get_new_handlerv");
	return get != NULL ? get() : NULL;
}

static COLD void
throw_bad_alloc(void)
{
	void (*raise)(void) = _ZSt17__throw_bad_allocv;

	if (raise == NULL)
		*(void **)&raise = find_function("_ZSt17__throw_bad_allocv");
	if (raise != NULL)
		raise();
	abort(); /* a C++ program without a C++ library */
}

static inline void *
attempt(size_t bytes, size_t align_bytes)
{
	return align_bytes == 0 ? malloc(bytes) :
				  cubby__malloc_aligned(bytes, align_bytes);
}

/* The handler may make room, throw, or end the program. */
static COLD void *
try_again(size_t bytes, size_t align_bytes)
{
	void *block = NULL;

	while (block == NULL) {
		new_handler handler = current_handler();

		if (handler == NULL)
			throw_bad_alloc();
		handler();
		block = attempt(bytes, align_bytes);
	}
	return block;
}

/*
 * The same for who wants no exception.  C cannot catch what a handler throws, but
 * the C++ library's own function can, and that calls our operator new.
 */
static COLD void *
try_again_quietly(size_t bytes, size_t align_bytes)
{
	static const char tag;
	void *(*plain)(size_t bytes, nothrow_tag tag);
	void *(*aligned)(size_t bytes, size_t align_bytes, nothrow_tag tag);

	if (current_handler() == NULL)
		return NULL;
	if (align_bytes == 0) {
		*(void **)&plain = find_function("_ZnwmRKSt9nothrow_t");
		return plain != NULL ? plain(bytes, &tag) : NULL;
	}
	*(void **)&aligned = find_function(
		"_ZnwmSt11align_val_tRKSt9nothrow_t");
	return aligned != NULL ? aligned(bytes, align_bytes, &tag) : NULL;
}

static inline void *
make(size_t bytes, size_t align_bytes, bool may_throw)
{
	void *block = attempt(bytes, align_bytes);

	if (likely(block != NULL))
		return block;
	return may_throw ? try_again(bytes, align_bytes) :
			   try_again_quietly(bytes, align_bytes);
}

/* Each line of the table is a declaration and a definition. */
#define OPERATOR_NEW(name, parameters, bytes, align_bytes, may_throw)         \
	void *name parameters;                                                \
	EXPORT void *name parameters                                          \
	{                                                                     \
		return make(bytes, align_bytes, may_throw);                   \
	}

#define OPERATOR_DELETE(name, parameters, free_block)                         \
	void name parameters;                                                 \
	EXPORT void name parameters                                           \
	{                                                                     \
		free_block;                                                   \
	}

typedef size_t align_val; /* std::align_val_t */

#define PLAIN (size_t n)
#define NOTHROW (size_t n, nothrow_tag tag UNUSED)
#define ALIGNED (size_t n, align_val align)
#define ALIGNED_NOTHROW (size_t n, align_val align, nothrow_tag tag UNUSED)

OPERATOR_NEW(_Znwm, PLAIN, n, 0, true)
OPERATOR_NEW(_Znam, PLAIN, n, 0, true)
OPERATOR_NEW(_ZnwmRKSt9nothrow_t, NOTHROW, n, 0, false)
OPERATOR_NEW(_ZnamRKSt9nothrow_t, NOTHROW, n, 0, false)
OPERATOR_NEW(_ZnwmSt11align_val_t, ALIGNED, n, align, true)
OPERATOR_NEW(_ZnamSt11align_val_t, ALIGNED, n, align, true)
OPERATOR_NEW(_ZnwmSt11align_val_tRKSt9nothrow_t, ALIGNED_NOTHROW, n, align,
	     false)
OPERATOR_NEW(_ZnamSt11align_val_tRKSt9nothrow_t, ALIGNED_NOTHROW, n, align,
	     false)

#define FREE_PLAIN (void *p)
#define FREE_NOTHROW (void *p, nothrow_tag tag UNUSED)
#define FREE_SIZED (void *p, size_t n)
#define FREE_ALIGNED (void *p, align_val align UNUSED)
#define FREE_ALIGNED_NOTHROW                                                  \
	(void *p, align_val align UNUSED, nothrow_tag tag UNUSED)
#define FREE_SIZED_ALIGNED (void *p, size_t n, align_val align)

OPERATOR_DELETE(_ZdlPv, FREE_PLAIN, free(p))
OPERATOR_DELETE(_ZdaPv, FREE_PLAIN, free(p))
OPERATOR_DELETE(_ZdlPvRKSt9nothrow_t, FREE_NOTHROW, free(p))
OPERATOR_DELETE(_ZdaPvRKSt9nothrow_t, FREE_NOTHROW, free(p))
OPERATOR_DELETE(_ZdlPvm, FREE_SIZED, cubby__malloc_free_sized(p, n, 0))
OPERATOR_DELETE(_ZdaPvm, FREE_SIZED, cubby__malloc_free_sized(p, n, 0))
OPERATOR_DELETE(_ZdlPvSt11align_val_t, FREE_ALIGNED, free(p))
OPERATOR_DELETE(_ZdaPvSt11align_val_t, FREE_ALIGNED, free(p))
OPERATOR_DELETE(_ZdlPvSt11align_val_tRKSt9nothrow_t, FREE_ALIGNED_NOTHROW,
		free(p))
OPERATOR_DELETE(_ZdaPvSt11align_val_tRKSt9nothrow_t, FREE_ALIGNED_NOTHROW,
		free(p))
OPERATOR_DELETE(_ZdlPvmSt11align_val_t, FREE_SIZED_ALIGNED,
		cubby__malloc_free_sized(p, n, align))
OPERATOR_DELETE(_ZdaPvmSt11align_val_t, FREE_SIZED_ALIGNED,
		cubby__malloc_free_sized(p, n, align))

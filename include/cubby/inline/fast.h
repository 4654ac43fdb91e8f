/* SPDX-License-Identifier: MIT */
/*
 * cubby/inline/fast.h - cubby_alloc() and cubby_free() compiled into the
 * program.
 *
 *	#define CUBBY_INLINE
 *	#include <cubby/cubby.h>
 *
 * (or -DCUBBY_INLINE) turns calls of cubby_alloc() and cubby_free() into a
 * dozen instructions each: a restartable sequence on the magazine of the CPU.
 * When that is empty or full, the gate is closed, the thread has no restartable
 * sequences, or the process uses another front end (see cubby/stats.h), they
 * call the library: what the calls do is the same.
 *
 * Where there is no inline path these are the plain calls: other processors
 * than x86-64 and aarch64, compilers before gcc 11 and clang 11, and under
 * -fsanitize=address, thread or memory.  CUBBY_INLINE_WORKS is 1 or 0.
 *
 * An object file compiled this way needs the library's symbol
 * cubby__fast_abi_1, and does not link or load with one that has another.  A
 * shared object that contains inline calls is never unloaded: dlclose() of it
 * closes but leaves it mapped.
 *
 * Not understood: -masm=intel, at compile time.
 *
 * The cache is not checked before it is read: NULL is a crash, not a report.
 * For debuggers: single steps do not get through a sequence, as each step
 * sends it back to its start; set a breakpoint behind it.
 */
#ifndef CUBBY_INLINE_FAST_H
#define CUBBY_INLINE_FAST_H

#include <cubby/cache.h>
#include <cubby/inline/abi.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CUBBY__INLINE_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) ||    \
	__has_feature(memory_sanitizer)
#define CUBBY__INLINE_SANITIZED 1
#endif
#endif

#if (defined(__clang__) && __clang_major__ < 11) ||                           \
	(!defined(__clang__) && defined(__GNUC__) && __GNUC__ < 11) ||        \
	defined(CUBBY__INLINE_SANITIZED)
#define CUBBY_INLINE_WORKS 0
#elif defined(__x86_64__) && defined(__LP64__)
#include <cubby/inline/x86_64.h>
#define CUBBY_INLINE_WORKS 1
#elif defined(__aarch64__) && defined(__LP64__) && defined(__AARCH64EL__)
#include <cubby/inline/aarch64.h>
#define CUBBY_INLINE_WORKS 1
#else
#define CUBBY_INLINE_WORKS 0
#endif

#if CUBBY_INLINE_WORKS
CUBBY_BEGIN_DECLS

__attribute__((__constructor__, __used__)) static void
cubby__inline_pin_this(void)
{
	cubby__inline_pin((const void *)(uintptr_t)cubby__inline_pin_this);
}

CUBBY_MUST_USE static inline __attribute__((__always_inline__)) void *
cubby__alloc_inline(struct cubby_cache *cache)
{
	void *object;

	if (__builtin_expect(
		    cubby__rseq_pop(&CUBBY__FAST_OF(cache)->gate, &object), 1))
		return object;
	return cubby_alloc(cache);
}

static inline __attribute__((__always_inline__)) void
cubby__free_inline(struct cubby_cache *cache, void *object)
{
	const struct cubby__fast *fast = CUBBY__FAST_OF(cache);

	/* A NULL that was pushed would hide the cells below it. */
	if (__builtin_expect(object == NULL, 0))
		return;
	if (__builtin_expect(!cubby__rseq_push(&fast->gate, &fast->full_mask,
					       object),
			     0))
		cubby_free(cache, object);
}

CUBBY_END_DECLS

/*
 * Only calls; the functions' addresses stay those of the library.  Whatever the
 * arguments: a comma between the brackets of a template is one to macros too.
 */
#define cubby_alloc(...) cubby__alloc_inline(__VA_ARGS__)
#define cubby_free(...) cubby__free_inline(__VA_ARGS__)
#endif /* CUBBY_INLINE_WORKS */

#endif /* CUBBY_INLINE_FAST_H */

/* SPDX-License-Identifier: MIT */
/* LAYER 0: compiler - attributes and other words of gcc and clang */
#ifndef CUBBY__COMPILER_H
#define CUBBY__COMPILER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define likely(condition) __builtin_expect(!!(condition), 1)
#define unlikely(condition) __builtin_expect(!!(condition), 0)

#define COLD __attribute__((cold, noinline))
#define ALWAYS_INLINE inline __attribute__((always_inline))
#define UNUSED __attribute__((unused))
#define WEAK_SYMBOL __attribute__((weak))

#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

#define container_of(pointer, type, member)                                   \
	((type *)((char *)(pointer)-offsetof(type, member)))

/*
 * A table that modules extend by rows in their own files: every row goes to
 * one linker section, and the linker provides its two ends.  Rows are aligned
 * by hand, because the compiler may align large objects further apart than
 * their size.
 */
#if __has_attribute(retain)
#define RETAIN __attribute__((retain)) /* also through --gc-sections */
#else
#define RETAIN
#endif

#define TABLE_ROW(table)                                                      \
	RETAIN __attribute__((used, section("cubby_" #table),                 \
			      aligned(8))) static const

#define TABLE_ENDS(type, table)                                               \
	extern const type __start_cubby_##table[]                             \
		__attribute__((visibility("hidden")));                        \
	extern const type __stop_cubby_##table[]                              \
		__attribute__((visibility("hidden")))

#define TABLE_FOR_EACH(row, table)                                            \
	for (row = __start_cubby_##table; row < __stop_cubby_##table; row++)

/* A fence; gcc's ThreadSanitizer knows none, and does not reorder. */
#ifdef __SANITIZE_THREAD__
#define FENCE(order) __atomic_signal_fence(order)
#else
#define FENCE(order) __atomic_thread_fence(order)
#endif

#endif /* CUBBY__COMPILER_H */

/* SPDX-License-Identifier: MIT */
/*
 * cubby/base.h - what every other public header needs: the version, the
 * linkage and the attributes of public functions.
 */
#ifndef CUBBY_BASE_H
#define CUBBY_BASE_H

#include <stddef.h>
#include <stdint.h>

#define CUBBY_VERSION_MAJOR 0
#define CUBBY_VERSION_MINOR 1
#define CUBBY_VERSION_PATCH 0

#if !defined(__linux__) || !defined(__LP64__)
#error "Cubby runs on 64-bit Linux only"
#endif
#if !defined(__GNUC__)
#error "Cubby's headers need gcc or clang"
#endif

#ifdef __cplusplus
#define CUBBY_BEGIN_DECLS extern "C" {
#define CUBBY_END_DECLS }
#define CUBBY__ALIGNOF(type) alignof(type)
#define CUBBY__STATIC_ASSERT static_assert
#else
#define CUBBY_BEGIN_DECLS
#define CUBBY_END_DECLS
#define CUBBY__ALIGNOF(type) _Alignof(type)
#define CUBBY__STATIC_ASSERT _Static_assert
#endif

/* A symbol of the library's ABI; everything else is hidden. */
#define CUBBY_API __attribute__((visibility("default")))

/* The caller must look at the result: it may be a failure. */
#define CUBBY_MUST_USE __attribute__((warn_unused_result))

#define CUBBY_PRINTF(format_index, first_index)                               \
	__attribute__((format(printf, format_index, first_index)))

CUBBY_BEGIN_DECLS

/*
 * The version of the library that runs, as 10000 * major + 100 * minor +
 * patch; it can differ from the CUBBY_VERSION_* that the program was compiled
 * with.
 *
 * Threads: MT-safe, async-signal-safe.  Cost: a call.
 */
CUBBY_API int cubby_version(void);

/* The same as text, "0.1.0"; static. */
CUBBY_API const char *cubby_version_string(void);

CUBBY_END_DECLS

#endif /* CUBBY_BASE_H */

/* SPDX-License-Identifier: MIT */
/*
 * cubby.h - both ways to call Cubby, in one file.
 *
 *	cubby_alloc(cache)    compiled in, as under CUBBY_INLINE
 *	library_alloc(cache)  the function of the shared library
 *
 * What the former cannot do itself it leaves to the library, by way of two
 * functions that count: so a row of the inline path proves that it was taken.
 *
 * To be included before <cubby/cubby.h>.
 */
#ifndef BENCH_RIVALS_CUBBY_H
#define BENCH_RIVALS_CUBBY_H

#ifdef CUBBY_INLINE
#error "rivals/cubby.h renames what <cubby/inline/fast.h> is going to call"
#endif

#include <cubby/cache.h>

extern __typeof__(cubby_alloc) library_alloc __asm__("cubby_alloc");
extern __typeof__(cubby_free) library_free __asm__("cubby_free");

extern __typeof__(cubby_alloc) cubby_alloc __asm__("rival_left_alloc");
extern __typeof__(cubby_free) cubby_free __asm__("rival_left_free");

#define CUBBY_INLINE
#include <cubby/cubby.h>
#include <cubby/inline/fast.h>

#endif /* BENCH_RIVALS_CUBBY_H */

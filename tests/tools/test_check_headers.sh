#!/bin/bash
# SPDX-License-Identifier: MIT
# check-headers catches a header that one language, one compiler's warnings, or
# a program that asks for inline calls refuses.
. tests/tools/common.sh
check="$root/scripts/check-headers"

plant include/cubby/a.h <<- 'END'
	#ifndef CUBBY_A_H
	#define CUBBY_A_H
	#include <stddef.h>
	static inline size_t cubby_twice(size_t n) { return 2 * n; }
	#endif
END
expect_clean "$check"

header() { # from stdin, replacing the one before
	plant include/cubby/b.h
}
header <<< 'static inline void *cubby_b(void *p) { char *q = p; return q; }'
expect_caught 'std=c\+\+11' env COMPILERS=gcc "$check"
header <<< 'size_t cubby_b(void);'
expect_caught 'std=c11' env COMPILERS=gcc "$check"
header <<< 'struct cubby_b { int x; };'
expect_caught 'redefinition' env COMPILERS=gcc "$check"
header <<< 'int cubby_b(void); static int cubby_unused(void);'
expect_caught 'cubby_unused' env COMPILERS=clang "$check"
header <<< '#define MINE 1'
expect_caught 'macro without prefix: MINE' "$check"
header <<- 'END'
	#ifdef CUBBY_INLINE
	int cubby_b(void) { return 1 }
	#endif
END
expect_caught 'std=c11 -DCUBBY_INLINE' env COMPILERS=gcc "$check"
rm "$tree/include/cubby/b.h"
expect_clean "$check"

# What is for one processor is left to compilers for it.
inline() { # PROCESSOR CODE
	plant "include/cubby/inline/$1.h" <<- END
		#ifndef CUBBY_INLINE_$1_H
		#define CUBBY_INLINE_$1_H
		static inline void cubby__f(void) { $2 }
		#endif
	END
}
inline x86_64 '__asm__("" : : : "r11");'
inline aarch64 '__asm__("" : : : "x16");'
expect_clean "$check"
inline "$(uname -m)" 'return 1;'
expect_caught "std=c11 -DCUBBY_INLINE" env COMPILERS=gcc "$check"
finish

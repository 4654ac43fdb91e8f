/* SPDX-License-Identifier: MIT */
/*
 * LAYER 0: check - three levels of checks
 *
 *	CHECK_DEBUG(x)    debug builds only: what the code around it has proved
 *	CHECK_ALWAYS(x)   every build: what a program can break from outside
 *	verify functions  walk a structure, count contradictions, never abort
 *
 * A check cites the invariant that it checks: CHECK_DEBUG(n <= max); (L2)
 */
#ifndef CUBBY__CHECK_H
#define CUBBY__CHECK_H

#include "compiler.h"

/* In report.c: one report of CUBBY_MISUSE_CORRUPTION, then abort. */
void cubby__check_failed(const char *condition, const char *file, int line)
	__attribute__((noreturn, cold));

#define CHECK_ALWAYS(condition)                                               \
	do {                                                                  \
		if (unlikely(!(condition)))                                   \
			cubby__check_failed(#condition, __FILE__, __LINE__);  \
	} while (0)

#ifdef CUBBY_DEBUG
#define CHECK_DEBUG(condition) CHECK_ALWAYS(condition)
#else
#define CHECK_DEBUG(condition) ((void)sizeof(!(condition)))
#endif

#endif /* CUBBY__CHECK_H */

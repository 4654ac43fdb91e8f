/* SPDX-License-Identifier: MIT */
/* LAYER 1: annotate - which tool is watching */
#include "annotate.h"

#if __has_include(<valgrind/valgrind.h>)
#include <valgrind/valgrind.h>
#else
#include <stdlib.h>
#include <string.h>
#endif

/* Defined by the run-time of an instrumented program, absent otherwise. */
extern void __tsan_init(void) WEAK_SYMBOL;
extern void __tsan_acquire(void *address) WEAK_SYMBOL;

bool
cubby__annotate_on_valgrind(void)
{
#ifdef RUNNING_ON_VALGRIND
	return RUNNING_ON_VALGRIND != 0;
#else
	/* Built without Valgrind's header: its preloaded part gives it away. */
	const char *preload = getenv("LD_PRELOAD");

	return preload != NULL && strstr(preload, "vgpreload_") != NULL;
#endif
}

bool
cubby__annotate_on_tsan(void)
{
	return __tsan_init != NULL;
}

void
cubby__annotate_acquire(const void *address)
{
	if (__tsan_acquire != NULL)
		__tsan_acquire((void *)(uintptr_t)address);
}

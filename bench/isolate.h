/* SPDX-License-Identifier: MIT */
/* isolate.h - run one measurement in a process that has done nothing yet. */
#ifndef BENCH_ISOLATE_H
#define BENCH_ISOLATE_H

#include <stddef.h>

/* Fill *ret_result; 0 or a negative errno. */
typedef int (*isolate_fn)(void *ret_result, const void *arg);

/*
 * Call `fn` in a child of this process and bring its result back.
 *
 * @result_bytes: of *ret_result; at most what a pipe takes at once, 4096.
 *
 * Returns what `fn` returned, or -ECHILD if the child died of a signal, or
 * the negative errno of pipe(2), fork(2).  *ret_result is written on success
 * only.  To be called while this process has one thread.
 */
int isolate_run(isolate_fn fn, const void *arg, void *ret_result,
		size_t result_bytes);

#endif /* BENCH_ISOLATE_H */

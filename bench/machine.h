/* SPDX-License-Identifier: MIT */
/* machine.h - what a result must say about where it was measured. */
#ifndef BENCH_MACHINE_H
#define BENCH_MACHINE_H

typedef void machine_add_fn(const char *key, const char *value);

/*
 * CPU, kernel, compiler and its flags, libc, the malloc of this process, page
 * policy, Cubby's version and options.  The commit is scripts/run-bench's to
 * add.
 */
void machine_describe(machine_add_fn *add);

#endif /* BENCH_MACHINE_H */

/* SPDX-License-Identifier: MIT */
/* context.h - what a result must say about where it was measured. */
#ifndef BENCH_CONTEXT_H
#define BENCH_CONTEXT_H

/*
 * Add it to the report and go on as gb_main(): CPU, kernel, compiler and its
 * flags, libc, the malloc of this process, page policy, Cubby's version and
 * options.  The commit is scripts/run-bench's to add.
 */
int bench_main(int argc, char **argv);

#endif /* BENCH_CONTEXT_H */

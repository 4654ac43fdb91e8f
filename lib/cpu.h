/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: cpu - CPU numbers and restartable sequences
 *
 * What the per-CPU front end stands on: facts of the C library and the kernel.
 */
#ifndef CUBBY__CPU_H
#define CUBBY__CPU_H

#include "compiler.h"

/* Bytes of the rseq area up to and including these fields. */
#define RSEQ_BYTES_CPU_ID 20
#define RSEQ_BYTES_MM_CID 28

/*
 * CPU ids that can ever be seen: one more than the highest possible one; 0 if
 * the kernel's list of them cannot be read.
 */
uint32_t cubby__cpu_n_possible(void);

/* Does the C library register rseq areas (glibc 2.35), and where: an offset
 * from the thread pointer. */
bool cubby__cpu_knows_rseq(void);
ptrdiff_t cubby__cpu_rseq_offset(void);

/*
 * Usable bytes of the rseq area that glibc registered, 0 if there is none:
 * __rseq_size; but where that is 20 or 32, which glibc before 2.40 says of any
 * area, min(32, AT_RSEQ_FEATURE_SIZE), or 20 on a kernel that does not tell
 * (before 6.3).
 */
uint32_t cubby__cpu_rseq_bytes(void);

/* The rule above as a pure function, for the tests. */
uint32_t cubby__cpu_rseq_rule(uint32_t rseq_size, uint64_t feature_size);

/* The highest number in a list like "0-3,8,10-11", plus 1; 0 if malformed. */
uint32_t cubby__cpu_parse_list(const char *list);

/*
 * Make every running thread of the process execute a full memory barrier
 * (membarrier, 0.5 to 1.3 us).  _ready: register for it, once; false where the
 * kernel or an emulator has no such call.
 */
bool cubby__cpu_fence_ready(void);

/* false: the kernel refused, as a seccomp filter may that came later. */
bool cubby__cpu_fence_all(void);

/*
 * The same, and every restartable sequence of the process that is under way
 * begins again (Linux 5.10).
 */
bool cubby__cpu_rseq_fence_ready(void);
bool cubby__cpu_rseq_fence_all(void);

#endif /* CUBBY__CPU_H */

/* SPDX-License-Identifier: MIT */
/* mem.h - what this process costs the machine now, exactly. */
#ifndef BENCH_MEM_H
#define BENCH_MEM_H

#include <stdint.h>

struct mem_sample {
	uint64_t rss_bytes;        /* resident pages, of files too */
	uint64_t anonymous_bytes;  /* of them not of files */
	uint64_t huge_bytes;       /* of those in huge pages */
	uint64_t page_table_bytes; /* VmPTE: not part of RSS */
};

/*
 * Take a sample; allocates nothing.  0, or a negative errno.
 *
 * RSS is that of smaps_rollup, which walks the page tables.  statm and status
 * add up per-CPU counters and may be off by 256 KiB: an eighth of a byte per
 * object where half a byte decides.
 */
int mem_sample(struct mem_sample *ret_sample);

#endif /* BENCH_MEM_H */

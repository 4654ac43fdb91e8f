/* SPDX-License-Identifier: MIT */
/*
 * truck_malloc.h - how much malloc has handed out, by its own count.
 */
#ifndef BENCH_TRUCK_MALLOC_H
#define BENCH_TRUCK_MALLOC_H

#include <malloc.h>

#include "truck.h"

/* In use by the program, chunk headers included, wherever it lies. */
static inline uint64_t
malloc_own_bytes(struct fleet *fleet)
{
	const struct mallinfo2 info = mallinfo2();

	(void)fleet;
	return info.uordblks + info.hblkhd;
}

/* The chunk of one block: what can be used, and glibc's size word. */
static inline size_t
malloc_chunk_bytes(void *block)
{
	return malloc_usable_size(block) + sizeof(size_t);
}

static inline size_t
malloc_cell_bytes(struct fleet *fleet, void *truck)
{
	(void)fleet;
	return malloc_chunk_bytes(truck);
}

#endif /* BENCH_TRUCK_MALLOC_H */

/* SPDX-License-Identifier: MIT */
/*
 * floor.h - two calls into a shared library that do nothing: what no pair of
 * alloc and free through one can be below.
 */
#ifndef BENCH_FLOOR_H
#define BENCH_FLOOR_H

/* Returns `pool`, at which there is room for an object. */
void *floor_alloc(void *pool);
void floor_free(void *pool, void *object);

#endif /* BENCH_FLOOR_H */

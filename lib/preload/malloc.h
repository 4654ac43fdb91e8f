/* SPDX-License-Identifier: MIT */
/* LAYER 8: malloc - what the other entry points need of malloc() */
#ifndef CUBBY__MALLOC_H
#define CUBBY__MALLOC_H

#include "compiler.h"

#define EXPORT __attribute__((visibility("default")))

/* @align_bytes: a power of two.  NULL and ENOMEM. */
void *cubby__malloc_aligned(size_t bytes, size_t align_bytes);

/* Free what was so large, and so aligned (0: as usual). */
void cubby__malloc_free_sized(void *block, size_t bytes, size_t align_bytes);

/* Does realloc() leave a block where it is?  Not one that shrinks by half. */
bool cubby__malloc_stays(size_t usable_bytes, size_t bytes);

/* 0: no block of ours. */
size_t cubby__malloc_usable_bytes(const void *block);

/*
 * Give idle memory back, where that may help a block of so many bytes: was there
 * any?  Not by two threads at once, and not soon after one that had none.
 */
bool cubby__malloc_spare_memory(size_t bytes);

#endif /* CUBBY__MALLOC_H */

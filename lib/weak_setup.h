/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: weak_setup - what a cache with handles or a flavour has besides
 *
 * In the order of a cache's life; every call is a no-op for other caches.
 */
#ifndef CUBBY__WEAK_SETUP_H
#define CUBBY__WEAK_SETUP_H

#include "compiler.h"

#include <cubby/cache.h>

/* Do objects need a word in front? */
bool cubby__weak_setup_has_prefix(const struct cubby_cache_attr *attr);

/* What the cache is; before its memory is made. */
void cubby__weak_setup_plan(struct cubby_cache *cache,
			    const struct cubby_cache_attr *attr);

/*
 * With the region there and before the slabs: arrays of words and bits, and the
 * domain.  0 or a code with its detail.
 */
int cubby__weak_setup_memory(struct cubby_cache *cache,
			     const struct cubby_cache_attr *attr);

/* With the slabs there: words, and what inline code reads. */
void cubby__weak_setup_publish(struct cubby_cache *cache);

/* Handles mean nothing from now on; no lock is held. */
void cubby__weak_setup_close(struct cubby_cache *cache);

/* The cache is empty: free what was retired, give memory back. */
void cubby__weak_setup_fini(struct cubby_cache *cache);

#endif /* CUBBY__WEAK_SETUP_H */

/* SPDX-License-Identifier: MIT */
/* What the programs about handles share. */
#ifndef ABUSE_WEAK_CACHE_H
#define ABUSE_WEAK_CACHE_H

#include "abuse.h"

static inline struct cubby_cache *
abuse_weak_cache(const char *name, uint64_t mode, cubby_dtor_fn dtor)
{
	struct cubby_cache *cache;

	abuse_must(cubby_cache_create_sized(&cache, name, 100, 0,
					    &CUBBY_CACHE_ATTR(.weak = mode,
							      .dtor = dtor)));
	return cache;
}

/* How often so far? */
static inline void
say_dtor(void *object, void *context)
{
	static int n_calls;

	(void)object;
	(void)context;
	fprintf(stderr, "dtor %d\n", ++n_calls);
}

static inline void
ignore_expiry(struct cubby_cache *cache, void *object, uint64_t handle,
	      void *context)
{
	(void)cache;
	(void)object;
	(void)handle;
	(void)context;
}

#endif /* ABUSE_WEAK_CACHE_H */

/* SPDX-License-Identifier: MIT */
/*
 * One program of two units, compiled from this file: the one without
 * CUBBY_INLINE frees what the other allocates, and the reverse.
 */
#include <cubby/cubby.h>

#include <stdio.h>

typedef void *(*alloc_fn)(struct cubby_cache *);

void *plain_alloc(struct cubby_cache *cache);
void plain_free(struct cubby_cache *cache, void *object);
alloc_fn plain_address(void);

#ifndef CUBBY_INLINE
void *
plain_alloc(struct cubby_cache *cache)
{
	return cubby_alloc(cache);
}

void
plain_free(struct cubby_cache *cache, void *object)
{
	cubby_free(cache, object);
}

alloc_fn
plain_address(void)
{
	return cubby_alloc;
}
#else
int
main(void)
{
	struct cubby_cache *cache = NULL;
	void *mine, *theirs;

	if (cubby_cache_create_sized(&cache, "mixed", 40, 0, NULL) != 0)
		return 1;
	for (int i = 0; i < 10000; i++) {
		mine = cubby_alloc(cache);
		theirs = plain_alloc(cache);
		if (mine == NULL || theirs == NULL || mine == theirs)
			return 2;
		plain_free(cache, mine);
		cubby_free(cache, theirs);
	}
	if (&cubby_alloc != plain_address())
		return 4;
	return cubby_cache_destroy(cache) == 0 ? 0 : 5;
}
#endif

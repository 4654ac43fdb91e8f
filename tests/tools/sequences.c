/* SPDX-License-Identifier: MIT */
/*
 * What scripts/check-sequences disassembles as a user's program: the inline
 * calls alone, and in a loop, where compilers keep what does not change.
 */
#define CUBBY_INLINE
#include <cubby/cubby.h>

void *inline_alloc(struct cubby_cache *cache);
void inline_free(struct cubby_cache *cache, void *object);
void inline_pair(struct cubby_cache *cache, unsigned long n);

__attribute__((__noipa__)) void *
inline_alloc(struct cubby_cache *cache)
{
	return cubby_alloc(cache);
}

__attribute__((__noipa__)) void
inline_free(struct cubby_cache *cache, void *object)
{
	cubby_free(cache, object);
}

__attribute__((__noipa__)) void
inline_pair(struct cubby_cache *cache, unsigned long n)
{
	for (; n > 0; n--)
		cubby_free(cache, cubby_alloc(cache));
}

int
main(int argc, char **argv)
{
	struct cubby_cache *cache;

	(void)argv;
	if (cubby_cache_create_sized(&cache, "sequences", 64, 0, NULL) != 0)
		return 1;
	inline_free(cache, inline_alloc(cache));
	inline_pair(cache, (unsigned long)argc);
	return 0;
}

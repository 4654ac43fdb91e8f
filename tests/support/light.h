/* SPDX-License-Identifier: MIT */
/*
 * The light oracle: a witness that costs a few instructions, for hundreds of
 * millions of operations.  Its record is in the objects themselves.
 *
 *	owned   first word = ticket, last word = ticket ^ address
 *	free    both words 0, as fresh memory is and as Cubby leaves them
 *
 * An object that two hold at a time has an owner when it is handed out, or
 * none when it is freed.  Plain loads and stores: they add no synchronisation,
 * and ThreadSanitizer looks at each of them.
 */
#ifndef CUBBY_TESTS_LIGHT_H
#define CUBBY_TESTS_LIGHT_H

#include "oracle.h"

struct light {
	struct cubby_cache *cache;
	size_t last; /* index of an object's last word, at least 1 */
};

/* `ticket` is not 0. */
static inline void
light_take(const struct light *light, void *object, uint64_t ticket)
{
	uint64_t *words = object;

	if (words[0] != 0 || words[light->last] != 0)
		test_die("object %p: handed out while it is owned", object);
	words[0] = ticket;
	words[light->last] = ticket ^ (uintptr_t)object;
}

static inline void
light_give(const struct light *light, void *object)
{
	uint64_t *words = object;

	if (words[0] == 0 ||
	    words[light->last] != (words[0] ^ (uintptr_t)object))
		test_die("object %p: not as its owner left it", object);
	words[0] = 0;
	words[light->last] = 0;
}

static inline void *
light_alloc(const struct light *light, uint64_t ticket)
{
	void *object = cubby_alloc(light->cache);

	if (object == NULL)
		test_die("no memory for an object");
	light_take(light, object, ticket);
	return object;
}

static inline void
light_free(const struct light *light, void *object)
{
	light_give(light, object);
	cubby_free(light->cache, object);
}

#endif /* CUBBY_TESTS_LIGHT_H */

/* SPDX-License-Identifier: MIT */
/* What the programs of this folder share. */
#ifndef ABUSE_H
#define ABUSE_H

#include <cubby/cubby.h>

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A call that must succeed did not: say so and fail the test. */
static inline void
abuse_must(int err)
{
	if (err == 0)
		return;
	fprintf(stderr, "setup failed: %s\n", cubby_error_detail());
	exit(2);
}

/* A fact that the program was written for does not hold. */
static inline void
abuse_assert(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "does not hold: %s\n", what);
	exit(2);
}

#define ABUSE_ASSERT(condition) abuse_assert((condition) != 0, #condition)

static inline struct cubby_cache *
abuse_cache(const char *name)
{
	struct cubby_cache *cache;

	abuse_must(cubby_cache_create_sized(&cache, name, 100, 0, NULL));
	return cache;
}

/* A pointer to a cache that is not there any more. */
static inline struct cubby_cache *
abuse_dead_cache(const char *name)
{
	struct cubby_cache *cache = abuse_cache(name);

	abuse_must(cubby_cache_destroy(cache));
	return cache;
}

/* What a call answered, in full. */
static inline void
abuse_say(int err)
{
	fprintf(stderr, "%s: %s\n", err ? cubby_error_name(err) : "success",
		err ? cubby_error_detail() : "nothing was refused");
}

/* Create a cache that should be refused, and say why it was. */
static inline void
abuse_create(const char *name, size_t object_bytes, size_t align_bytes,
	     const struct cubby_cache_attr *attr)
{
	struct cubby_cache *cache = NULL;

	abuse_say(cubby_cache_create_sized(&cache, name, object_bytes,
					   align_bytes, attr));
	ABUSE_ASSERT(cache == NULL);
}

#endif /* ABUSE_H */

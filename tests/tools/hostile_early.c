/* SPDX-License-Identifier: MIT */
/*
 * Objects before main() and after it: constructors and destructors of every
 * priority, and handlers of atexit().
 */
#include <cubby/cubby.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static struct cubby_cache *cache;
static void *early, *late;

static void
check(int holds, const char *what)
{
	if (holds)
		return;
	fprintf(stderr, "%s; %s\n", what, cubby_error_detail());
	_exit(1);
}

static void *
filled(void)
{
	void *object = cubby_alloc(cache);

	check(object != NULL, "no object");
	memset(object, 0x55, 40);
	return object;
}

__attribute__((constructor(101))) static void
before_all(void)
{
	check(cubby_cache_create_sized(&cache, "early", 40, 0, NULL) == 0,
	      "no cache in a constructor");
	early = filled();
}

__attribute__((constructor)) static void
before_main(void)
{
	cubby_free(cache, filled());
}

__attribute__((destructor(101))) static void
after_all(void)
{
	cubby_free(cache, early);
	cubby_free_any(filled());
	check(cubby_cache_verify(cache) == 0, "verify in a destructor");
	check(cubby_cache_destroy(cache) == 0, "destroy in a destructor");
	check(cubby_cache_create_sized(&cache, "last", 8, 0, NULL) == 0,
	      "no cache in a destructor");
}

__attribute__((destructor)) static void
after_main(void)
{
	cubby_free(cache, late);
}

static void
at_exit(void)
{
	void *object = filled();

	cubby_free(cache, late);
	late = object;
}

int
main(void)
{
	late = filled();
	return atexit(at_exit);
}

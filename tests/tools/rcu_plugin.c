/* SPDX-License-Identifier: MIT */
/*
 * What hostile_dlopen loads and unloads: a copy of the library, and a cache of
 * it whose objects wait while the plugin is closed.
 */
#include <cubby/cubby.h>

#include <unistd.h>
#include <urcu/urcu-memb.h>

#define N_OBJECTS 500
#define DTOR_US 20

int plugin_run(void);

static unsigned n_destructed;

/* Slow: the plugin is closed while these run. */
static void
destruct(void *object, void *context)
{
	(void)object;
	(void)context;
	usleep(DTOR_US);
	__atomic_add_fetch(&n_destructed, 1, __ATOMIC_RELAXED);
}

int
plugin_run(void)
{
	struct cubby_cache *cache;
	void *objects[N_OBJECTS];

	if (cubby_cache_create_sized(&cache, "plugin", 24, 0,
				     &CUBBY_CACHE_ATTR(.weak = CUBBY_WEAK_RCU,
						       .rcu = &urcu_memb_flavor,
						       .dtor = destruct)) != 0)
		return 1;
	if (cubby_alloc_bulk(cache, N_OBJECTS, objects) != 0)
		return 2;
	for (int i = 0; i < N_OBJECTS; i++)
		if (cubby_weak_of(cache, objects[i]) == CUBBY_WEAK_NULL)
			return 3;
	cubby_free_bulk(cache, N_OBJECTS, objects);
	return 0; /* the cache stays */
}

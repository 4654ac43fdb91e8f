/* SPDX-License-Identifier: MIT */
/*
 * Caches that C++ destroys: of a static object whose constructor creates one,
 * and of one that was there before, and got its cache later.
 */
#include <cubby/cubby.h>

#include <cstdio>
#include <cstdlib>
#include <unistd.h>
#include <urcu/urcu-memb.h>

enum { N_OBJECTS = 1000 };

static void
check(bool holds, const char *what)
{
	if (holds)
		return;
	std::fprintf(stderr, "%s; %s\n", what, cubby_error_detail());
	_exit(1);
}

struct owner {
	cubby_cache *cache = nullptr;
	unsigned n_destructed = 0;

	explicit owner(bool at_once)
	{
		if (at_once)
			create();
	}

	static void count(void *, void *context)
	{
		++static_cast<owner *>(context)->n_destructed;
	}

	void create()
	{
		cubby_cache_attr attr;

		cubby_cache_attr_init(&attr);
		attr.weak = CUBBY_WEAK_RCU;
		attr.rcu = &urcu_memb_flavor;
		attr.dtor = count;
		attr.context = this;
		check(cubby_cache_create_sized(&cache, "static", 24, 0,
					       &attr) == 0,
		      "no cache");
	}

	void free_all()
	{
		void *objects[N_OBJECTS];

		check(cubby_alloc_bulk(cache, N_OBJECTS, objects) == 0,
		      "no objects");
		for (void *object : objects)
			check(cubby_weak_of(cache, object) != CUBBY_WEAK_NULL,
			      "no handle");
		cubby_free_bulk(cache, N_OBJECTS, objects);
	}

	~owner()
	{
		check(cubby_cache_destroy(cache) == 0, "not destroyed");
		check(n_destructed == N_OBJECTS, "not all were destructed");
	}
};

static owner later(false);
static owner at_once(true);

int
main()
{
	later.create();
	later.free_all();
	at_once.free_all();
	return 0;
}

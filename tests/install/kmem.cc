/* SPDX-License-Identifier: MIT */
/* The kernel's calls from C++11, built from the installed tree alone. */
#include <cubby/kmem_compat.h>
#include <cstdio>
#include <cstring>

struct truck {
	char id[12];
	double lat, lon;
};

static void
truck_ctor(void *object)
{
	std::strcpy(static_cast<truck *>(object)->id, "TRK-1001");
}

int
main()
{
	kmem_cache_args args = kmem_cache_args();
	args.ctor = truck_ctor;

	kmem_cache *caches[] = {
		kmem_cache_create("old", sizeof(truck), 0, SLAB_PANIC,
				  truck_ctor),
		kmem_cache_create("plain", sizeof(truck), nullptr, SLAB_PANIC),
		KMEM_CACHE(truck, SLAB_PANIC | SLAB_HWCACHE_ALIGN),
		kmem_cache_create("truck", sizeof(truck), &args, SLAB_PANIC),
	};
	kmem_cache *trucks = caches[3];

	truck *t = static_cast<truck *>(kmem_cache_alloc(trucks, GFP_KERNEL));
	if (!t)
		return 1;
	t->lat = 40.7128;
	t->lon = -74.006;
	std::printf("%s %s %.4f %.4f\n", cubby_cache_name(trucks), t->id,
		    t->lat, t->lon);
	kmem_cache_free(trucks, t);
	for (kmem_cache *cache : caches)
		kmem_cache_destroy(cache);
	return cubby_cache_find("truck") != nullptr;
}

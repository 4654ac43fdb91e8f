/* SPDX-License-Identifier: MIT */
/* Kernel code as it is written, built from the installed tree alone. */
#include <cubby/kmem_compat.h>
#include <string.h>

#define N_TRUCKS 64

struct truck {
	char id[12];
	double lat, lon;
};

static struct kmem_cache *truck_cache;

static void
truck_ctor(void *object)
{
	struct truck *truck = object;

	memset(truck, 0, sizeof(*truck));
	strcpy(truck->id, "TRK-1001");
}

/* The form of Linux 6.12 and later, and the one before. */
static int
truck_init(void)
{
	struct kmem_cache_args args = {
		.align = __alignof__(struct truck),
		.ctor = truck_ctor,
	};

	truck_cache = kmem_cache_create("truck_old", sizeof(struct truck), 0,
					SLAB_HWCACHE_ALIGN | SLAB_PANIC, NULL);
	kmem_cache_destroy(truck_cache);
	truck_cache = kmem_cache_create("truck", sizeof(struct truck), &args,
					SLAB_RECLAIM_ACCOUNT | SLAB_ACCOUNT);
	return truck_cache ? 0 : -1;
}

static int
use_in_bulk(void)
{
	struct kmem_cache *plain = KMEM_CACHE(truck, SLAB_PANIC);
	void *trucks[N_TRUCKS];
	int n = kmem_cache_alloc_bulk(plain, GFP_KERNEL | __GFP_ZERO, N_TRUCKS,
				      trucks);

	if (n != N_TRUCKS || ((struct truck *)trucks[N_TRUCKS - 1])->id[0])
		return -1;
	kmem_cache_free_bulk(plain, N_TRUCKS, trucks);
	if (kmem_cache_shrink(plain) != 0)
		return -1;
	kmem_cache_destroy(plain);
	return 0;
}

int
main(void)
{
	struct truck *truck;

	if (truck_init() != 0 || use_in_bulk() != 0) {
		printf("failed: %s\n", cubby_error_detail());
		return 1;
	}
	truck = kmem_cache_alloc(truck_cache, GFP_ATOMIC);
	if (!truck)
		return 1;
	truck->lat = 40.7128;
	truck->lon = -74.006;
	printf("%s %s %.4f %.4f\n", cubby_cache_name(truck_cache), truck->id,
	       truck->lat, truck->lon);
	kmem_cache_free(truck_cache, truck);
	kmem_cache_destroy(truck_cache);
	return cubby_cache_find("truck") != NULL;
}

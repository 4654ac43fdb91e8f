/* SPDX-License-Identifier: MIT */
/* A C++11 program as a user writes it, built from the installed tree alone. */
#include <cubby/cubby.h>
#include <cstdio>
#include <cstring>

#define TRUCK_SLOTS(SLOT)                                                     \
	SLOT(char[12], truck_id, "for example TRK-1001")                      \
	SLOT(double, lat, "degrees north")                                    \
	SLOT(double, lon, "degrees east")

CUBBY_LAYOUT(truck, TRUCK_SLOTS);

int
main()
{
	cubby_cache *trucks;

	if (truck_cache_create(&trucks, nullptr) != 0) {
		std::printf("create: %s\n", cubby_error_detail());
		return 1;
	}
	truck *t = truck_alloc(trucks);
	if (!t)
		return 1;
	std::strcpy(t->truck_id, "TRK-1001");
	t->lat = 40.7128;
	t->lon = -74.006;
	std::printf("%s %s %.4f %.4f\n", cubby_cache_name(trucks), t->truck_id,
		    t->lat, t->lon);
	truck_free(trucks, t);
	return cubby_cache_destroy(trucks) != 0;
}

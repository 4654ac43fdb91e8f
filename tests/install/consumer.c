/* SPDX-License-Identifier: MIT */
/* A program as a user writes it, built from the installed tree alone. */
#include <cubby/cubby.h>
#include <stdio.h>
#include <string.h>

#ifndef CONSUMER_VERSION
#define CONSUMER_VERSION "any"
#endif

#define TRUCK_SLOTS(SLOT)                                                     \
	SLOT(char[12], truck_id, "for example TRK-1001")                      \
	SLOT(double, lat, "degrees north")                                    \
	SLOT(double, lon, "degrees east")

CUBBY_LAYOUT(truck, TRUCK_SLOTS);

int
main(void)
{
	struct cubby_cache *trucks;
	struct truck *truck;

	if (strcmp(cubby_version_string(), CONSUMER_VERSION) != 0) {
		printf("the library is version %s\n", cubby_version_string());
		return 1;
	}
	if (truck_cache_create(&trucks, NULL) != 0) {
		printf("create: %s\n", cubby_error_detail());
		return 1;
	}
	truck = truck_alloc(trucks);
	if (!truck)
		return 1;
	strcpy(truck->truck_id, "TRK-1001");
	truck->lat = 40.7128;
	truck->lon = -74.006;
	printf("%s %s %.4f %.4f\n", cubby_cache_name(trucks), truck->truck_id,
	       truck->lat, truck->lon);
	truck_free(trucks, truck);
	if (cubby_cache_destroy(trucks) != 0) {
		printf("destroy: %s\n", cubby_error_detail());
		return 1;
	}
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A program that knows no RCU, with libcubby-rcu: a handle is borrowed in a
 * section, also in the child of a fork, and reads as nothing after the free.
 */
#include <cubby/cubby.h>
#include <cubby/rcu.h>

#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#define TRUCK_SLOTS(SLOT)                                                     \
	SLOT(char[12], truck_id, "for example TRK-1001")                      \
	SLOT(double, lat, "degrees north")                                    \
	SLOT(double, lon, "degrees east")

CUBBY_WEAK_LAYOUT(truck, TRUCK_SLOTS);

/* Does the handle read as a truck with this number? */
static int
borrow(struct cubby_cache *trucks, cubby_weak handle, const char *truck_id)
{
	const struct truck *truck;
	int is_it;

	cubby_rcu_read_lock();
	truck = truck_weak_get(trucks, handle);
	is_it = truck != NULL && strcmp(truck->truck_id, truck_id) == 0;
	cubby_rcu_read_unlock();
	return is_it;
}

/* Free it and wait; then the handle is nobody's. */
static int
end(struct cubby_cache *trucks, cubby_weak handle)
{
	if (cubby_weak_free(trucks, handle) != 0 ||
	    borrow(trucks, handle, "TRK-1001") ||
	    cubby_rcu_barrier(trucks) != 0 ||
	    cubby_cache_destroy(trucks) != 0) {
		printf("end: %s\n", cubby_error_detail());
		return 1;
	}
	return 0;
}

static int
lives_in_a_child(struct cubby_cache *trucks, cubby_weak handle)
{
	int status = 1;
	pid_t child;

	fflush(stdout);
	child = fork();
	if (child == 0)
		_exit(!borrow(trucks, handle, "TRK-1001") ||
		      end(trucks, handle) != 0);
	return child > 0 && waitpid(child, &status, 0) == child && status == 0;
}

int
main(void)
{
	struct cubby_cache_attr attr;
	struct cubby_cache *trucks;
	struct truck *truck;
	cubby_weak handle;

	cubby_cache_attr_init(&attr);
	attr.weak = CUBBY_WEAK_RCU;
	attr.rcu = cubby_rcu_flavor();
	if (truck_cache_create(&trucks, &attr) != 0) {
		printf("create: %s\n", cubby_error_detail());
		return 1;
	}
	truck = truck_alloc(trucks);
	if (!truck)
		return 1;
	strcpy(truck->truck_id, "TRK-1001");
	truck->lat = 40.7128;
	truck->lon = -74.006;
	handle = truck_weak_of(trucks, truck);
	if (!borrow(trucks, handle, "TRK-1001") ||
	    !lives_in_a_child(trucks, handle)) {
		printf("the truck is gone\n");
		return 1;
	}
	printf("%s %s %.4f %.4f\n", cubby_cache_name(trucks), truck->truck_id,
	       truck->lat, truck->lon);
	return end(trucks, handle);
}

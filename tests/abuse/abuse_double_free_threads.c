/* SPDX-License-Identifier: MIT */
/*
 * Two threads free the same object, one after the other.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is already free; it was freed twice, or freed through a stale pointer
 */
#include "abuse.h"

#include <pthread.h>

static void *
free_it(void *truck)
{
	cubby_free_any(truck);
	return NULL;
}

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);
	pthread_t thread;

	ABUSE_ASSERT(pthread_create(&thread, NULL, free_it, truck) == 0);
	pthread_join(thread, NULL);
	cubby_free(trucks, truck);
	return 0;
}

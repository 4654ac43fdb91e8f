/* SPDX-License-Identifier: MIT */
/*
 * A mapping of the program is freed.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: foreign-free: cache 'truck': 0x[0-9a-f]+ lies in no cache; free what cubby_alloc\(\) returned, once, before its cache is destroyed
 */
#include "abuse.h"

#include <sys/mman.h>

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *mapping = mmap(NULL, 4096, PROT_READ,
			     MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	ABUSE_ASSERT(mapping != MAP_FAILED);
	cubby_free(trucks, mapping);
	return 0;
}

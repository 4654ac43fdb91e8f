/* SPDX-License-Identifier: MIT */
/*
 * The hook is told everything, then the program aborts.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-signal: SIGABRT
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is already free; it was freed twice, or freed through a stale pointer
 * expect-stderr: hook: 1 double-free 'truck' 0x[0-9a-f]+ 1
 * expect-stderr: hook text: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is already free; it was freed twice, or freed through a stale pointer
 */
#include "abuse.h"

static void
say(const struct cubby_misuse *misuse, void *context)
{
	fprintf(stderr, "hook: %u %s '%s' %p %d\n", misuse->code, misuse->name,
		misuse->cache, misuse->address,
		misuse->misuse_bytes == sizeof(*misuse) && context == NULL);
	fprintf(stderr, "hook text: %s\n", misuse->text);
}

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	cubby_misuse_set_hook(say, NULL);
	cubby_free(trucks, truck);
	cubby_free(trucks, truck);
	return 0;
}

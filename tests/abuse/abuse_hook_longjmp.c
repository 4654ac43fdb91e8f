/* SPDX-License-Identifier: MIT */
/*
 * The hook leaves by longjmp(): nothing is locked, the program goes on.
 *
 * env: CUBBY_OPTIONS=front=none
 * expect-exit: 0
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is already free; it was freed twice, or freed through a stale pointer
 */
#include "abuse.h"

#include <setjmp.h>

static jmp_buf back;
static uint32_t seen;

static void
leave(const struct cubby_misuse *misuse, void *context)
{
	*(uint32_t *)context = misuse->code;
	longjmp(back, 1);
}

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	cubby_misuse_set_hook(leave, &seen);
	cubby_free(trucks, truck);
	if (setjmp(back) == 0) {
		cubby_free(trucks, truck);
		ABUSE_ASSERT(!"control must not come back");
	}
	ABUSE_ASSERT(seen == CUBBY_MISUSE_DOUBLE_FREE &&
		     cubby_misuse_count() == 1);
	truck = cubby_alloc(trucks);
	ABUSE_ASSERT(truck != NULL && cubby_cache_verify(trucks) == 0);
	cubby_free(trucks, truck);
	abuse_must(cubby_cache_destroy(trucks));
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A second free is found in the call, and who did the first is told.
 *
 * env: CUBBY_DEBUG=FZPU,truck
 * expect-signal: SIGABRT
 * expect-stderr: cubby: double-free: cache 'truck': object 0x[0-9a-f]+ \(cell 0\) is already free; it was freed twice, or freed through a stale pointer
 * expect-stderr: cubby:   by thread [0-9]+ at
 * expect-stderr: cubby:   (allocated|freed) [0-9]+ ms ago by thread [0-9]+ at
 * expect-stderr: cubby:     (/[^ ]+\+0x[0-9a-f]+|0x[0-9a-f]+)
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	void *truck = cubby_alloc(trucks);

	cubby_free(trucks, truck);
	cubby_free(trucks, truck);
	return 0;
}

/* SPDX-License-Identifier: MIT */
/*
 * A read beyond the end of a sampled object is found, which nothing else would see.
 *
 * env: CUBBY_DEBUG=guard=1,truck
 * expect-signal: SIGABRT
 * expect-stderr: cubby: guard-page: cache 'truck': 0x[0-9a-f]+, [0-9]+ bytes behind object 0x[0-9a-f]+ \(cell [0-9]+, 100 bytes\), which is live, was (read|accessed); somebody went beyond its ends, or has kept a pointer to it
 * expect-stderr: cubby:   by thread [0-9]+ at
 * expect-stderr: cubby:   allocated [0-9]+ ms ago by thread [0-9]+ at
 * expect-stderr: cubby:     (/[^ ]+\+0x[0-9a-f]+|0x[0-9a-f]+)
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	int sum = 0;

	for (int i = 0; i < 1000; i++) {
		const volatile char *object = cubby_alloc(trucks);

		for (int j = 0; j < 200; j++)
			sum += object[j];
	}
	return sum != 0;
}

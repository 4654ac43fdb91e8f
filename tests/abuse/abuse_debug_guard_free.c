/* SPDX-License-Identifier: MIT */
/*
 * A use after free of a sampled object is found in the instruction that does it.
 *
 * env: CUBBY_DEBUG=guard=128K,truck
 * expect-signal: SIGABRT
 * expect-stderr: cubby: guard-page: cache 'truck': 0x[0-9a-f]+, 7 bytes into object 0x[0-9a-f]+ \(cell [0-9]+, 100 bytes\), which is free, was (written|accessed); somebody went beyond its ends, or has kept a pointer to it
 * expect-stderr: cubby:   by thread [0-9]+ at
 * expect-stderr: cubby:   allocated [0-9]+ ms ago by thread [0-9]+ at
 * expect-stderr: cubby:   freed [0-9]+ ms ago by thread [0-9]+ at
 * expect-stderr: cubby:     (/[^ ]+\+0x[0-9a-f]+|0x[0-9a-f]+)
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *trucks = abuse_cache("truck");
	char *objects[1000];

	/* One of 131,072, whose free is waited for while 1,024 others are. */
	for (int round = 0; round < 2000; round++) {
		for (int i = 0; i < 1000; i++)
			objects[i] = cubby_alloc(trucks);
		for (int i = 0; i < 1000; i++)
			cubby_free(trucks, objects[i]);
		for (int i = 0; i < 1000; i++)
			((volatile char *)objects[i])[7] = 1;
	}
	return 0;
}

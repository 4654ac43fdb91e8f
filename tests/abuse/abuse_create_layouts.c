/* SPDX-License-Identifier: MIT */
/*
 * Layouts that contradict themselves.
 *
 * expect-exit: 0
 * expect-stderr: CUBBY_ELAYOUT: layout_bytes is 3, but this library's struct cubby_layout has 48 bytes: compile the program with the library's own headers
 * expect-stderr: CUBBY_ELAYOUT: layout without names: object_bytes 2097152 is not in 1 \.\. 1048576
 * expect-stderr: CUBBY_ELAYOUT: layout without names: slot 0 \(offset 16, 8 bytes\) reaches beyond the object's 16 bytes
 * expect-stderr: CUBBY_ELAYOUT: layout without names: slot 0 \(offset 4, 8 bytes\) is not aligned to 8
 * expect-stderr: CUBBY_ELAYOUT: layout without names: options 0x2 are not known to this version of Cubby: clear them
 * expect-stderr: CUBBY_ELAYOUT: layout without names: slot 0 \(offset 8, 8 bytes\) has type weak, which is read and written atomically, but align_bytes 4: must be 8 or more
 * expect-stderr: EINVAL: a cache needs a name: the layout has none, and attr\.name is NULL
 */
#include "abuse.h"

int
main(void)
{
	struct cubby_cache *cache = NULL;
	struct cubby_slot slot = { 8, 8, CUBBY_U64, 8, 0 };
	struct cubby_layout layout = { .layout_bytes = sizeof(layout),
				       .n_slots = 1,
				       .object_bytes = 16,
				       .align_bytes = 8,
				       .slots = &slot };

	layout.layout_bytes = 3;
	abuse_say(cubby_cache_create(&cache, &layout, NULL));
	layout.layout_bytes = sizeof(layout);
	layout.object_bytes = 1u << 21;
	abuse_say(cubby_cache_create(&cache, &layout, NULL));
	layout.object_bytes = 16;
	slot.offset_bytes = 16;
	abuse_say(cubby_cache_create(&cache, &layout, NULL));
	slot.offset_bytes = 4;
	abuse_say(cubby_cache_create(&cache, &layout, NULL));
	slot.offset_bytes = 8;
	layout.options = CUBBY_LAYOUT_WEAK | 2;
	abuse_say(cubby_cache_create(&cache, &layout, NULL));
	layout.options = CUBBY_LAYOUT_WEAK;
	slot.type = CUBBY_WEAK;
	slot.align_bytes = 4;
	abuse_say(cubby_cache_create(&cache, &layout, NULL));
	slot.align_bytes = 8;
	abuse_say(cubby_cache_create(&cache, &layout, NULL));
	ABUSE_ASSERT(cache == NULL);
	return 0;
}

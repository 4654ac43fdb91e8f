/* SPDX-License-Identifier: MIT */
/*
 * Names that would break a report or a table.
 *
 * expect-exit: 0
 * expect-stderr: EINVAL: a cache needs a name: the layout has none, and attr\.name is NULL
 * expect-stderr: EINVAL: the cache's name is empty
 * expect-stderr: EINVAL: the cache's name is longer than 63 bytes
 * expect-stderr: EINVAL: byte 5 of the cache's name \(0x20\) is not a printable ASCII character other than space and " \\ , \* \?
 * expect-stderr: EINVAL: byte 0 of the cache's name \(0x22\) is not a printable ASCII character other than space and " \\ , \* \?
 * expect-stderr: EINVAL: byte 1 of the cache's name \(0x5c\) is not a printable ASCII character other than space and " \\ , \* \?
 * expect-stderr: EINVAL: byte 5 of the cache's name \(0x2c\) is not a printable ASCII character other than space and " \\ , \* \?
 * expect-stderr: EINVAL: byte 0 of the cache's name \(0x2a\) is not a printable ASCII character other than space and " \\ , \* \?
 * expect-stderr: EINVAL: byte 5 of the cache's name \(0x3f\) is not a printable ASCII character other than space and " \\ , \* \?
 * expect-stderr: EINVAL: byte 0 of the cache's name \(0xa\) is not a printable ASCII character other than space and " \\ , \* \?
 * expect-stderr: EINVAL: byte 3 of the cache's name \(0x7f\) is not a printable ASCII character other than space and " \\ , \* \?
 * expect-stderr: EINVAL: byte 1 of the cache's name \(0xc3\) is not a printable ASCII character other than space and " \\ , \* \?
 * expect-stderr: EINVAL: two names for one cache: 'truck' and attr\.name 'lorry'
 */
#include "abuse.h"

int
main(void)
{
	static const char *const bad_names[] = {
		"",
		"a-name-of-exactly-sixty-four-bytes-which-is-one-more-than-fits-x",
		"truck 1",
		"\"truck\"",
		"t\\ruck",
		"truck,bus",
		"*",
		"truck?",
		"\ntruck",
		"tru\177ck",
		"t\303\274r"
	};

	abuse_create(NULL, 64, 0, NULL);
	for (size_t i = 0; i < sizeof(bad_names) / sizeof(bad_names[0]); i++)
		abuse_create(bad_names[i], 64, 0, NULL);
	abuse_create("truck", 64, 0, &CUBBY_CACHE_ATTR(.name = "lorry"));
	return 0;
}

/* SPDX-License-Identifier: MIT */
/* LAYER 1: host - libcubby: the program names its caches */
#include "host.h"

#include "bits.h"

#include <stdlib.h>

static const char *
debug_text(void)
{
	return secure_getenv("CUBBY_DEBUG");
}

const struct host cubby__host = {
	.options_name = "CUBBY_OPTIONS",
	.debug_name = "CUBBY_DEBUG",
	.debug_text = debug_text,
	.range_bytes_max = 32 * GIB,
	.idle_bytes = 64 * MIB,
	.depot_bytes = 256 * KIB,
	.n_empty_slabs = 2,
};

/* SPDX-License-Identifier: MIT */
/* A plugin with a copy of Cubby inside, which nobody outside can see. */
#include "two_copies.h"

static const struct copy copy = THIS_COPY;

const struct copy *
plugin_copy(void)
{
	return &copy;
}

#!/bin/bash
# SPDX-License-Identifier: MIT
# check-layers catches an upward include, a file without a layer, and an
# internal header used from outside.
. tests/tools/common.sh
check="$root/scripts/check-layers"

plant lib/low.h <<< '/* LAYER 0: low - what is below */'
plant lib/low.c <<- 'END'
	/* SPDX-License-Identifier: MIT */
	/*
	 * LAYER 0: low - what is below
	 */
	#include "low.h"
	#include <stddef.h>
END
plant lib/high.h <<< '/* LAYER 2: high - what is above */'
plant lib/high.c <<- 'END'
	/* LAYER 2: high - what is above */
	#include "high.h"
	#include "low.h"
END
plant tests/unit/test_high.c <<< '#include "high.h"'
expect_clean "$check"

cp "$tree/lib/low.c" "$tree/keep"
echo '#include "high.h"' >> "$tree/lib/low.c"
expect_caught '^lib/low.c:7: layer 0 includes high.h of layer 2' "$check"
cp "$tree/keep" "$tree/lib/low.c"

plant lib/none.c <<< '#include "low.h"'
expect_caught '^lib/none.c:1: no LAYER line' "$check"
rm "$tree/lib/none.c"

sed -i 's/LAYER 0/LAYER 1/' "$tree/lib/low.c"
expect_caught '^lib/low.c:1: its header says layer 0' "$check"
cp "$tree/keep" "$tree/lib/low.c"

plant lib/lost.c <<- 'END'
	/* LAYER 2: lost - includes what is not there */
	#include "nowhere.h"
END
expect_caught '^lib/lost.c:2: nowhere.h has no layer' "$check"
rm "$tree/lib/lost.c"

plant bench/bench_x.c <<< '#include "low.h"'
expect_caught '^bench/bench_x.c:1: low.h is internal' "$check"
rm "$tree/bench/bench_x.c"

expect_clean "$check"
rm -r "${tree:?}/lib"
expect_caught 'no sources' "$check"
finish

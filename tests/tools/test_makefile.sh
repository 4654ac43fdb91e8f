#!/bin/bash
# SPDX-License-Identifier: MIT
# The Makefile rebuilds what a change needs rebuilt, and only that; finds a
# single test; and fails where a step fails.
. tests/tools/common.sh

plant_library
plant tests/smoke/smoke_a.c <<- 'END'
	int cubby_one(void);
	int main(void) { return cubby_one() != 1; }
END
plant tests/tools/test_b.sh <<< 'exit 1'

unset O VARIANT V WERROR T KINDS RUN CFLAGS CPPFLAGS CXXFLAGS CC CXX
export CUBBY_TOTALS=/dev/null

# The files that make compiles, as a sorted list; the command is its arguments.
expect_compiled() {
	local want=$1 got
	shift
	got=$(cd "$tree" && make "$@" 2>&1 | awk '$1 == "CC" { print $2 }' |
		sort | tr '\n' ' ')
	if [ "${got% }" != "$want" ]; then
		echo "FAIL: make $*: expected to compile '$want', got '$got'"
		n_faults=$((n_faults + 1))
	fi
}

all="lib/one.lo lib/one.o lib/two.lo lib/two.o"
expect_compiled "$all"
expect_compiled ""
expect_clean test -L build/release/libcubby.so
expect_clean test -f build/release/libcubby.so.3.4.5
expect_clean sh -c 'readelf -d build/release/libcubby.so |
	grep -q "SONAME.*\[libcubby.so.3\]"'

# One header: both objects of the source that includes it, and no other.
sleep 0.05
touch "$tree/lib/one.h"
expect_compiled "lib/one.lo lib/one.o"
expect_compiled ""
expect_compiled "$all" CFLAGS=-O1
expect_compiled "" CFLAGS=-O1
expect_compiled "$all"
rm "$tree/lib/one.h"
sed -i 1d "$tree/lib/one.c"
sed -i s/ONE/1/ "$tree/lib/one.c"
expect_compiled "lib/one.lo lib/one.o"

# One source less: the archive forgets its object.
rm "$tree/lib/two.c"
expect_compiled ""
expect_clean sh -c '! nm build/release/libcubby.a | grep -q cubby_two'

expect_clean make check T=smoke_a
expect_clean make check KINDS=smoke
expect_caught 'no test is named nobody' make check T=nobody
expect_caught 'check: 1 passed, 1 failed' make check
expect_caught 'VARIANT is one of' make VARIANT=odd
sed -i 's/{ return 1/{ int unused; return 1/' "$tree/lib/one.c"
expect_clean make
expect_caught 'Werror' make WERROR=1
expect_clean make help

# What is not API stays hidden, whatever the user's flags say.
plant lib/two.c <<< 'int cubby_two(void); int cubby_two(void) { return 2; }'
expect_clean make CFLAGS=-O0 CPPFLAGS=-DX=1 LDFLAGS=-Wl,-O1
expect_clean sh -c 'nm -D --defined-only build/release/libcubby.so |
	grep -q " T cubby_one@@"'
expect_clean sh -c '! nm -D --defined-only build/release/libcubby.so |
	grep -q cubby_two'

# Without liburcu: all but what needs it, and it is said, once.
plant lib/rcu/rcu.c <<< '#include <urcu/urcu-bp.h>'
plant tests/unit/test_c.c <<- 'END'
	#include "support/flavor.h"
	int main(void) { return 0; }
END
said=$(cd "$tree" && make URCU=no-such-library 2>&1)
if ! grep -q 'no no-such-library for gcc: libcubby-rcu is not' <<< "$said"; then
	echo "FAIL: not said that libcubby-rcu is left out: $said"
	n_faults=$((n_faults + 1))
fi
expect_clean sh -c 'test -z "$(make URCU=no-such-library)"'
expect_caught 'no no-such-library: these do not run: test_c' \
	make URCU=no-such-library check KINDS="unit tools"
expect_clean make URCU=no-such-library check KINDS="unit smoke"
finish

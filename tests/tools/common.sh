# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# For the tests of the checking scripts: a small tree in which all is well,
# and functions that say whether a script found what was planted in it.
# To be sourced in the root of the real tree.
set -eu

# shellcheck disable=SC2034 # for the scripts that source this
root=$PWD
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

n_faults=0

# Make a file of the tree from stdin; the path is relative to the tree.
plant() {
	mkdir -p "$tree/$(dirname "$1")"
	cat > "$tree/$1"
}

# The Makefile, the scripts and a library of two functions.
plant_library() {
	cp -r "$root/Makefile" "$root/scripts" "$tree"
	mkdir -p "$tree/lib"
	cp "$root"/lib/*.in "$tree/lib"
	mkdir -p "$tree/tests/support"
	cp "$root"/tests/support/*.supp "$tree/tests/support"
	plant include/cubby/base.h <<- 'END'
		#define CUBBY_VERSION_MAJOR 3
		#define CUBBY_VERSION_MINOR 4
		#define CUBBY_VERSION_PATCH 5
	END
	plant lib/cubby.map <<< 'CUBBY_0.1 { global: cubby_*; local: *; };'
	plant lib/one.h <<< '#define ONE 1'
	plant lib/one.c <<- 'END'
		#include "one.h"
		int cubby_one(void);
		__attribute__((visibility("default"))) int
		cubby_one(void) { return ONE; }
	END
	plant lib/two.c <<< 'int cubby_two(void); int cubby_two(void) { return 2; }'
}

# The command succeeds in the tree.
expect_clean() {
	local output
	if ! output=$(cd "$tree" && "$@" 2>&1); then
		echo "FAIL: nothing was planted, but: $*"
		echo "$output"
		n_faults=$((n_faults + 1))
	fi
}

# The command fails in the tree and prints a line that matches the regex.
expect_caught() {
	local regex=$1 output status=0
	shift
	output=$(cd "$tree" && "$@" 2>&1) || status=$?
	if ((status == 0)) || ! grep -qE -e "$regex" <<< "$output"; then
		echo "FAIL: not caught (exit $status): $regex"
		echo "$output"
		n_faults=$((n_faults + 1))
	fi
}

finish() {
	echo "$n_faults faults"
	((n_faults == 0))
}

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Real programs under libcubby-malloc.so answer as they do without it, with either
# front end; and a row of the table fails where the answer is another one, where the
# library speaks up, and where it is not loaded.
set -eu
O=$(realpath "${O:-build/release}")
if [ ! -e "$O/libcubby-malloc.so" ]; then
	echo "skipped: there is no libcubby-malloc.so"
	exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n_faults=0
fault() {
	echo "FAIL: $*"
	cat "$scratch/out"
	n_faults=$((n_faults + 1))
}

for front in cpu thread; do
	CUBBY_MALLOC=front=$front scripts/check-programs \
		--library="$O/libcubby-malloc.so" --short > "$scratch/out" ||
		fault "front=$front"
	cat "$scratch/out"
done

# What must be found: NAME REGEX, of a library that is made of stdin.
expect_failure() {
	"${CC:-gcc}" -shared -fPIC -o "$scratch/bad.so" -x c -
	! O=$scratch scripts/check-programs --library="$scratch/bad.so" "$1" \
		> "$scratch/out" || fault "all was well with a bad library"
	grep -qE "^$1 .* FAILED" "$scratch/out" || fault "no row that failed"
	grep -qE "$2" "$scratch/test-logs/programs/$1.log" ||
		fault "no line matches $2 in the log"
}

expect_failure bash '^cubby: double-free' <<- 'END'
	#include <unistd.h>
	__attribute__((constructor)) static void
	speak(void) { write(2, "cubby: double-free: \n", 21); }
END
expect_failure bash 'expected found differ' <<- 'END'
	#include <stdio.h>
	#include <stdlib.h>
	#include <string.h>
	__attribute__((constructor)) static void
	speak(void)
	{
		if (strstr(getenv("LD_PRELOAD"), "bad")) {
			puts("other");
			fflush(stdout);
		}
	}
END
rm "$scratch/bad.so"
! scripts/check-programs --library="$scratch/bad.so" bash 2> "$scratch/out" ||
	fault "a library that is not there"
grep -q 'there is no' "$scratch/out" || fault "nothing was said"

echo "$n_faults faults"
((n_faults == 0))

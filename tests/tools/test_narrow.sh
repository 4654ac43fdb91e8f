#!/bin/bash
# SPDX-License-Identifier: MIT
# Handles with generations of 6 bits (CUBBY_GENERATION_BITS, lib/weak.h): cells
# come to their last one within a second, are retired, and everything goes on:
# no handle is found that is dead, allocation works, statistics add up, caches
# are destroyed.  In a debug build too, per CPU.
set -eu

pkg-config --exists liburcu || exit 77

bits=6
programs='unit/test_narrow stress/stress_canary'

export CUBBY_TEST_SCALE=$((${CUBBY_TEST_SCALE:-100} * 20 / 100))

log=$(mktemp)
trap 'rm -f "$log"' EXIT
n_faults=0

fail() {
	echo "FAIL: $*"
	tail -n 10 "$log"
	n_faults=$((n_faults + 1))
}

for variant in release debug; do
	fronts='auto thread none'
	[ "$variant" = release ] || fronts=auto
	folder=build/narrow-$variant
	for program in $programs; do
		make -s -j2 O="$folder" VARIANT="$variant" \
			CPPFLAGS="-DCUBBY_GENERATION_BITS=$bits" \
			"$folder/tests/$program" > "$log" 2>&1 ||
			{ fail "make $program"; exit 1; }
		for front in $fronts; do
			status=0
			CUBBY_OPTIONS=front=$front "$folder/tests/$program" \
				> "$log" 2>&1 || status=$?
			((status == 0)) ||
				fail "$variant $program front=$front: $status"
			printf '%-8s %-20s %-6s %s\n' "$variant" \
				"${program#*/}" "$front" \
				"$(grep -o '[0-9]* cells retired' "$log" || :)"
		done
	done
done

echo "$n_faults faults"
((n_faults == 0))

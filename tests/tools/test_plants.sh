#!/bin/bash
# SPDX-License-Identifier: MIT
# Bugs that are compiled in on purpose (lib/plant.h): for each, the smallest
# stress program that meets it must fail, and must pass without it.
# CUBBY_PLANT_RUNS=10 runs each so often.
set -eu
O=${O:-build/release}
runs=${CUBBY_PLANT_RUNS:-1}
export CUBBY_TEST_SCALE=20

# Where a spoilt list runs in a circle the program hangs: also a fault.
HANG_S=10

# "number name program" of each bug; the names are for the reader.
plants='
1 no-tag         throughput
2 no-recheck     throughput
3 swing          throughput
4 locked-wait    signals
5 adopt-by-state fork'

log=$(mktemp)
trap 'rm -f "$log"' EXIT
ulimit -Sc 0
n_faults=0

fail() {
	echo "FAIL: $*"
	tail -n 5 "$log"
	n_faults=$((n_faults + 1))
}

build() {
	make -s "$@" > "$log" 2>&1 || { fail "make $*"; exit 1; }
}

# Exit status of a program, which says little about itself.
run() {
	local status=0
	timeout -k 1 "$1" "$2" > "$log" 2>&1 || status=$?
	echo "$status"
}

for program in throughput signals fork; do
	build O="$O" "$O/tests/stress/stress_$program"
	status=$(run 100 "$O/tests/stress/stress_$program")
	((status == 0)) || fail "stress_$program without a plant: $status"
done

while read -r number name program; do
	[ -n "$number" ] || continue
	folder=build/plant-$number
	target=$folder/tests/stress/stress_$program
	build -j2 O="$folder" CFLAGS=-O2 CPPFLAGS="-DCUBBY_PLANT=$number" \
		"$target"
	for ((i = 0; i < runs; i++)); do
		began=${EPOCHREALTIME/./}
		status=$(run "$HANG_S" "$target")
		ended=${EPOCHREALTIME/./}
		((status != 0)) || fail "$name: not caught by stress_$program"
		printf '%-15s exit %3d after %5d ms: %s\n' "$name" "$status" \
			$(((ended - began) / 1000)) \
			"$(grep -v '^#\|^\[' "$log" | head -n 1 | cut -c1-60)"
	done
done <<< "$plants"

echo "$n_faults faults"
((n_faults == 0))

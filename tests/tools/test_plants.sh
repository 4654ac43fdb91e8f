#!/bin/bash
# SPDX-License-Identifier: MIT
# Bugs that are compiled in on purpose (lib/plant.h): for each, the smallest
# stress program that meets it must fail, and must pass without it.
# CUBBY_PLANT_RUNS=20 runs each so often; CUBBY_PLANTS="6 7" runs some.
set -eu
. tests/tools/plants_common.sh
O=${O:-build/release}
runs=${CUBBY_PLANT_RUNS:-1}

# Where a spoilt list runs in a circle the program hangs: also a fault.
HANG_S=6

# "number name program scale front delay" of each bug; the names are for the
# reader.  The delay is between the steps of a sequence (lib/rseq.h); 0: none.
plants='
1  no-tag         throughput 20  thread 0
2  no-recheck     throughput 20  thread 0
3  swing          throughput 20  thread 0
4  locked-wait    signals    20  thread 0
5  adopt-by-count fork       100 cpu    0
6  pair-store     abort      20  cpu    0
7  no-compare     quiesce    100 cpu    0
8  tls-spare      quiesce    100 cpu    0
9  gate-outside   quiesce    100 cpu    0
10 early-fence    quiesce    100 cpu    200
11 no-count       quiesce    100 cpu    0'

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
	make -s -j2 "$@" > "$log" 2>&1 || { fail "make $*"; exit 1; }
}

# run SECONDS SCALE PROGRAM: its exit status; it says little about itself.
run() {
	local status=0
	CUBBY_TEST_SCALE=$2 timeout -k 1 "$1" "$3" > "$log" 2>&1 || status=$?
	echo "$status"
}

# What the program said first, less what it says of itself.
complaint() {
	grep -v '^#\|^$\|^\[[ A-Z=]*\] *\([0-9a-z_]*\|.*test.*\)$' "$log" |
		head -n 1 | cut -c1-60
}

# Per CPU, or this machine cannot show these bugs.
has_front() {
	[ "$1" != cpu ] || [ "$(uname -m)" = x86_64 ]
}

for program in throughput signals fork abort quiesce; do
	build O="$O" "$O/tests/stress/stress_$program"
	status=$(run 100 20 "$O/tests/stress/stress_$program")
	((status == 0)) || fail "stress_$program without a plant: $status"
done

while read -r number name program scale front delay; do
	[ -n "$number" ] || continue
	has_front "$front" || continue
	[[ " ${CUBBY_PLANTS:-$number} " = *" $number "* ]] || continue
	folder=build/plant-$number
	target=$folder/tests/stress/stress_$program
	flags="-DCUBBY_PLANT=$number"
	export CUBBY_OPTIONS="front=$front"
	if ((delay == 0)); then
		build_planted "$folder" "${target#"$folder"/}" "$flags" ||
			{ fail "$name: not built"; exit 1; }
	else
		flags+=" -DCUBBY_RSEQ_DELAY=$delay"
		build O="$folder" CFLAGS=-O2 CPPFLAGS="$flags" "$target"
	fi
	for ((i = 0; i < runs; i++)); do
		began=${EPOCHREALTIME/./}
		status=$(run "$HANG_S" "$scale" "$target")
		ended=${EPOCHREALTIME/./}
		((status != 0)) || fail "$name: not caught by stress_$program"
		printf '%-15s exit %3d after %5d ms: %s\n' "$name" "$status" \
			$(((ended - began) / 1000)) "$(complaint)"
	done
done <<< "$plants"

echo "$n_faults faults"
((n_faults == 0))

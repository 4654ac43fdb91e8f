#!/bin/bash
# SPDX-License-Identifier: MIT
# Bugs of weak handles that are compiled in on purpose (lib/plant.h): with each,
# stress_canary must fail, in the case that is named here, and must pass without.
# CUBBY_PLANT_RUNS=20 runs each so often; CUBBY_PLANTS="16 17" runs some.
set -eu
. tests/tools/plants_common.sh
O=${O:-build/release}
runs=${CUBBY_PLANT_RUNS:-1}
program=tests/stress/stress_canary

pkg-config --exists liburcu || exit 77

# Where a count goes astray nothing is destructed, and the program hangs.
HANG_S=20

# "number name variant scale case flags" of each bug; the names are for the
# reader.  Upgrades that are compiled into the program have no bugs.
plants='
12 no-grace     release  270  borrow_memb_thread*   -
13 late-bump    release  270  borrow_memb_thread*   -
14 wrap         release  270  upgrade_*             -DCUBBY_GENERATION_BITS=6
15 relaxed      tsan     270  borrow_memb_thread*   -
16 split-word   release  270  upgrade_*             -DCUBBY_NO_WEAK_INLINE
17 add-undo     release  270  upgrade_*             -DCUBBY_NO_WEAK_INLINE
18 no-floor     release  270  copy_*                -DCUBBY_GENERATION_BITS=6
19 no-walk-gate release  270  pointers_memb_thread* -
20 lost-watch   release 2700 borrow_memb_thread*   -'

log=$(mktemp)
trap 'rm -f "$log"' EXIT
ulimit -Sc 0
n_faults=0

# gcc 12's TSan finds no room where addresses have 32 random bits.
steady=()
! setarch -R true 2> /dev/null || steady=(setarch -R)
export TSAN_OPTIONS="suppressions=$PWD/tests/support/rcu.supp"
TSAN_OPTIONS+=" halt_on_error=1"

fail() {
	echo "FAIL: $*"
	tail -n 5 "$log"
	n_faults=$((n_faults + 1))
}

build() {
	make -s -j2 "$@" > "$log" 2>&1 || { fail "make $*"; exit 1; }
}

# run SCALE CASE FOLDER: its exit status; it says little about itself.
run() {
	local status=0
	CUBBY_TEST_SCALE=$1 CUBBY_CANARY=$2 timeout -k 1 "$HANG_S" \
		"${steady[@]}" "$3/$program" > "$log" 2>&1 || status=$?
	echo "$status"
}

# What the program said first, less what it says of itself.
complaint() {
	grep -v '^#\|^$\|^=*$\|^\[[ A-Z=]*\] *\([0-9a-z_]*\|.*test.*\)$' \
		"$log" | head -n 1 | cut -c1-72
}

# The same cases without a bug.
build O="$O" "$O/$program"
for pattern in 'borrow_memb_thread*' 'pointers_memb_thread*' 'upgrade_*' 'copy_*'; do
	status=$(run 100 "$pattern" "$O")
	((status == 0)) || fail "$pattern without a plant: $status"
done

while read -r number name variant scale pattern flags; do
	[ -n "$number" ] || continue
	[[ " ${CUBBY_PLANTS:-$number} " = *" $number "* ]] || continue
	folder=build/plant-$number
	[ "$flags" != - ] || flags=
	if [ "$variant$flags" = release ]; then
		build_planted "$folder" "$program" "-DCUBBY_PLANT=$number" ||
			{ fail "$name: not built"; exit 1; }
	else
		build O="$folder" VARIANT="$variant" CFLAGS='-O2 -g' \
			CPPFLAGS="-DCUBBY_PLANT=$number $flags" \
			"$folder/$program"
	fi
	for ((i = 0; i < runs; i++)); do
		began=${EPOCHREALTIME/./}
		status=$(run "$scale" "$pattern" "$folder")
		ended=${EPOCHREALTIME/./}
		((status != 0)) || fail "$name: not caught"
		printf '%-12s exit %3d after %5d ms: %s\n' "$name" "$status" \
			$(((ended - began) / 1000)) "$(complaint)"
	done
done <<< "$plants"

echo "$n_faults faults"
((n_faults == 0))

#!/bin/bash
# SPDX-License-Identifier: MIT
# The restartable sequences in slow motion: with a few hundred instructions
# between any two of their steps (CUBBY_RSEQ_DELAY, lib/rseq.h), whatever may
# come in between does.  Ownership must hold, and many sequences be aborted.
set -eu

[ "$(uname -m)" = x86_64 ] || exit 77

delay=200
folder=build/delays
programs='unit/test_rseq stress/stress_quiesce stress/stress_ownership
	stress/stress_signals stress/stress_fork'

# In percent of the work; every call takes longer.
declare -A scale=([stress_quiesce]=100 [stress_fork]=5)

log=$(mktemp)
trap 'rm -f "$log"' EXIT
n_faults=0
n_aborts=0

fail() {
	echo "FAIL: $*"
	tail -n 10 "$log"
	n_faults=$((n_faults + 1))
}

export CUBBY_OPTIONS=front=cpu
for program in $programs; do
	make -s -j2 O="$folder" CPPFLAGS="-DCUBBY_RSEQ_DELAY=$delay" \
		"$folder/tests/$program" > "$log" 2>&1 || { fail build; exit 1; }
	name=${program#*/}
	began=${EPOCHREALTIME/./}
	status=0
	CUBBY_TEST_SCALE=${scale[$name]:-10} timeout -k 1 120 \
		"$folder/tests/$program" > "$log" 2>&1 || status=$?
	((status == 0)) || fail "$name: exit $status"
	ended=${EPOCHREALTIME/./}
	n=$(grep -o '[0-9]* aborts' "$log" | awk '{ n += $1 } END { print n + 0 }')
	printf '%-18s %5d ms, %s aborts\n' "$name" \
		$(((ended - began) / 1000)) "$n"
	n_aborts=$((n_aborts + n))
done
((n_aborts >= 100)) || fail "$n_aborts aborts: the delays are not there"

echo "$n_faults faults"
((n_faults == 0))

#!/bin/bash
# SPDX-License-Identifier: MIT
# Every sequence does what lib/rseq.h says, and begins again where a kernel would
# send it, as gcc and clang compile it: for this processor, and for aarch64 under
# qemu if that is there.
set -eu

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n_faults=0
n_runs=0

# COMMAND... PREFIX is what runs the program.
try() {
	local prefix=$1 flags
	shift
	if ! command -v "$1" > /dev/null; then
		echo "skipped: no $1"
		return
	fi
	for flags in -O0 -O2 "-O2 -DCUBBY_RSEQ_DELAY=9"; do
		n_runs=$((n_runs + 1))
		# shellcheck disable=SC2086 # words
		if ! { "$@" $flags -static -std=gnu11 -Iinclude -Ilib \
			tests/tools/run_sequences.c -o "$scratch/run" &&
			timeout 60 $prefix "$scratch/run" > "$scratch/log"; }; then
			echo "FAIL: $* $flags"
			cat "$scratch/log"
			n_faults=$((n_faults + 1))
		fi
	done
}

case $(uname -m) in
x86_64 | aarch64)
	try "" gcc
	try "" clang
	;;
esac
if command -v qemu-aarch64 aarch64-linux-gnu-gcc > /dev/null; then
	try qemu-aarch64 aarch64-linux-gnu-gcc
	try qemu-aarch64 clang --target=aarch64-linux-gnu
fi
echo "$n_runs runs, $n_faults faults"
((n_runs > 0)) || exit 77
((n_faults == 0))

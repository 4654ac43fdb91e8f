#!/bin/bash
# SPDX-License-Identifier: MIT
#
# One program with inline code on each front end: it computes the same, and
# what it calls of the library is counted: nearly nothing where CPUs have the
# magazines, all where they have not.
# shellcheck disable=SC2034 # the names are in what expect() is given
set -u
. tests/tools/inline_common.sh

N_OPERATIONS=15000 # of inline_run, each
N_FEW=1000         # an exchange for each magazine, and some aborted ones

build gcc c "$tree/count.so" none tests/tools/inline_count.c -shared -fPIC ||
	exit 1

# The file's output with a front end and the counter: sum, front, calls.
with_front() { # FRONT PROGRAM
	n_checks=$((n_checks + 1))
	output=$(LD_PRELOAD="$tree/count.so" \
		CUBBY_OPTIONS="${CUBBY_OPTIONS:+$CUBBY_OPTIONS,}front=$1" \
		"$2" 2>&1) || fault "$1: exit $?: $output"
	[[ $output == *"$sum"* ]] || fault "$1: another sum: $output"
	read -r _ front_end _ index _ is_fast _ direct_allocs direct_frees \
		<<< "$(grep '^front_end' <<< "$output")"
	read -r _ called_allocs called_frees <<< "$(grep '^called' <<< "$output")"
	seen="front=$1, $(basename "$2"): $output"
}

expect() { # CONDITION
	(($1)) || fault "not $1: $seen"
}

expect_all_called() {
	# ... and one free of NULL, which inline code leaves away.
	expect "called_allocs == N_OPERATIONS"
	expect "called_frees == N_OPERATIONS + $1"
}

for compiler in $compilers; do
	for kind in inline plain; do
		flag=-UCUBBY_INLINE
		[ $kind = plain ] || flag=-DCUBBY_INLINE
		build "$compiler" c "$tree/$kind" shared -O2 $flag \
			tests/tools/inline_run.c || fault "$compiler: no $kind"
	done

	for front in auto cpu mmcid; do
		with_front $front "$tree/inline"
		if ((front_end != 2)); then
			echo "front=$front is not to be had here"
			expect_all_called 0
			continue
		fi
		expect "is_fast == 1"
		if [ $front = mmcid ]; then wanted=2; else wanted=1; fi
		expect "index == wanted"
		expect "called_allocs > 0 && called_allocs < N_FEW"
		expect "called_frees > 0 && called_frees < N_FEW"
		with_front $front "$tree/plain"
		expect "front_end == 2"
		expect_all_called 1
	done
	with_front thread "$tree/inline"
	expect "front_end == 1 && index == 0 && is_fast == 1"
	expect "direct_allocs < N_FEW && direct_frees < N_FEW"
	expect_all_called 0
	with_front none "$tree/inline"
	expect "front_end == 0 && index == 0 && is_fast == 0"
	expect "direct_allocs == N_OPERATIONS && direct_frees == N_OPERATIONS"
	expect_all_called 0
done

# A thread without sequences: the C library is told to register none.
for kind in inline plain; do
	output=$(GLIBC_TUNABLES=glibc.pthread.rseq=0 "$tree/$kind" 2>&1) ||
		fault "no rseq, $kind: exit $?: $output"
	[[ $output == *"$sum"*"front_end 1 "* || $output == *"front_end 0 "* ]] ||
		fault "no rseq, $kind: $output"
	n_checks=$((n_checks + 1))
done
finish

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A program with the inline header, by each compiler, in C and in C++, at each
# level and in each kind of linking: it works, its sequences begin again as
# they should, and the linker has left their table right.
set -u
. tests/tools/inline_common.sh

# The name says how; the program must have a table of sequences.
try() { # COMPILER LANGUAGE LIBRARY FLAG...
	local compiler=$1 language=$2 library=$3 how="$1 $2 ${*:4}"
	shift 3
	build "$compiler" "$language" "$tree/run" "$library" \
		tests/tools/inline_run.c -DCUBBY_INLINE "$@" || {
		fault "$how: does not compile"
		return
	}
	expect_run "$how" "$sum" "$tree/run" aborts
	check_table "$how" "$tree/run"
}

for compiler in $compilers; do
	for language in c c++; do
		for level in -O0 -O1 -O2 -O3 -Os; do
			try "$compiler" $language shared $level
		done
		try "$compiler" $language shared -O0 -fPIC -pie
		try "$compiler" $language shared -O2 -fPIC -pie
		try "$compiler" $language static -O2 -static
	done
	try "$compiler" c shared -O0 -fno-pie -no-pie
	try "$compiler" c shared -O2 -fno-pie -no-pie
	try "$compiler" c shared -O2 -fno-plt
	try "$compiler" c shared -O2 -g -fstack-protector-all
	try "$compiler" c shared -O0 -fno-omit-frame-pointer -fPIC -pie
	try "$compiler" c static -O2 -static-pie
	try "$compiler" c static -O2 -static -fno-pie
	try "$compiler" c shared -O2 -fvisibility=hidden
	try "$compiler" c shared -O2 -ffunction-sections -Wl,--gc-sections
	try "$compiler" c shared -O2 -fsanitize=undefined \
		-fno-sanitize-recover=all
	if [ "$machine" = x86_64 ]; then
		try "$compiler" c shared -O0 -mcmodel=large -fno-pie -no-pie
		try "$compiler" c shared -O2 -mcmodel=large -fno-pie -no-pie
		try "$compiler" c shared -O2 -mcmodel=medium -fno-pie -no-pie
		try "$compiler" c shared -O2 -fcf-protection=full
	fi
done
finish

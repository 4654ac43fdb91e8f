#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The caches of a stripped, static program are found by the note that it
# carries: by the program itself, and in its core file.
set -eu

O=$(realpath "${O:-build/release}")
here=tests/tools
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cc() { ${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Iinclude -Itests -pthread "$@"; }

n_faults=0
fault() {
	echo "FAIL: $*"
	n_faults=$((n_faults + 1))
}

expected="truck: 1 objects of 32 bytes, 1 by their bits
bus: 4000 objects of 100 bytes, 4000 by their bits"

for how in "" "-static" "-static -no-pie"; do
	# shellcheck disable=SC2086 # flags
	cc $how -o "$tree/victim" $here/registry_victim.c "$O/libcubby.a"
	strip "$tree/victim"
	output=$("$tree/victim") || fault "'$how': exit $?"
	[ "$output" = "$expected" ] || fault "'$how': found $output"
done

# The kernel writes the core file into the folder where the program runs; if
# it is told to do otherwise, a debugger writes it.
(cd "$tree" && ulimit -c unlimited && ./victim core > /dev/null 2>&1) || true
core=$(find "$tree" -name 'core*' -size +0 | head -n 1)
if [ -z "$core" ] && command -v gdb > /dev/null; then
	gdb -nx -batch -ex 'set startup-with-shell off' -ex 'run core' \
		-ex "generate-core-file $tree/core" "$tree/victim" \
		> "$tree/gdb.log" 2>&1 || true
	core=$(find "$tree" -name 'core*' -size +0 | head -n 1)
fi
if [ -n "$core" ]; then
	cc -o "$tree/reader" $here/registry_core.c
	output=$("$tree/reader" "$core" "$tree/victim") ||
		fault "core file: exit $?"
	[ "$output" = "$expected" ] || fault "core file: found $output"
	core="with a core file"
else
	core="no core file could be had: that part was left out"
fi

echo "$n_faults faults; $core"
((n_faults == 0))

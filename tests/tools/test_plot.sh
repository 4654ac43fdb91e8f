#!/bin/bash
# SPDX-License-Identifier: MIT
# plot draws a result in both formats, takes every word from the result, and
# says what is wrong with one that it cannot draw.
. tests/tools/common.sh
plot=$root/scripts/plot

for tool in jq gnuplot; do
	if ! command -v "$tool" > /dev/null; then
		echo "skipped: $tool is not installed"
		exit 77
	fi
done

# A result of rivals with so many bytes each: name=bytes ...
result() {
	local pair
	for pair; do
		echo "${pair%=*} ${pair#*=}"
	done | jq -R 'split(" ") | (.[1] | tonumber) as $bytes | {
		rival: .[0], id: ("text", "integer"), n: 100, sums: "",
		ns: {loop: 0, create: 900, get: 300, scan: 100, set: 200,
			free: 9000},
		ops: {create: 100},
		bytes: {rss: ($bytes * 100), own: 0, object: ($bytes * 90),
			boxes: 0, table: 0, page_tables: 0, left: 0}
	}' | jq -s -L "$root/bench" 'include "truck"; summary({
		cpu: "A Processor", cores: 7, kernel: "1.2.3", libc: "a libc",
		compiler: "a compiler", cflags: "-O9", glib: "4.5",
		commit: "abcdef", date: "1970-01-01", runs: 9, skipped: [],
		transparent_hugepage: "never", load: "0.00"})' \
		> "$tree/result.json"
}

expect_in_picture() {
	if ! grep -qF -e "$1" "$tree/result.svg"; then
		echo "FAIL: not in the picture: $1"
		n_faults=$((n_faults + 1))
	fi
}

c_rivals="cubby=32 cubby-bulk=32 array=32 malloc=48 shared-keys=144"

# shellcheck disable=SC2086 # words
result $c_rivals glib=411 python-slots=222 python-dict=333
expect_clean "$plot" result.json
expect_in_picture "A truck takes 32 bytes in Cubby, 222 with Python"
expect_in_picture "411 with a GLib hash table"
expect_in_picture "Python __dict__"
expect_in_picture "A Processor, 7 cores"
expect_in_picture "abcdef"
expect_in_picture "medians of 9 runs"

# PNG: its signature, and 1200 px in the header.
if [ "$(head -c 4 "$tree/result.png" | tail -c 3)" != PNG ] ||
	[ "$(od -An -tu1 -j 16 -N 4 "$tree/result.png" | tr -s ' ')" != \
		" 0 0 4 176" ]; then
	echo "FAIL: not a PNG of 1200 px"
	n_faults=$((n_faults + 1))
fi

# shellcheck disable=SC2086 # words
result $c_rivals glib=500
expect_clean "$plot" result.json other
expect_clean test -s other.png -a -s other.svg
expect_clean "$plot" result.json
expect_in_picture "A truck takes 32 bytes in Cubby, 500 with a GLib"
if grep -q Python "$tree/result.svg"; then
	echo "FAIL: Python in a picture of a result without it"
	n_faults=$((n_faults + 1))
fi

plant unknown.json <<< '{"kind": "submarine"}'
expect_caught "no picture is known for a result of kind 'submarine'" \
	"$plot" unknown.json
plant broken.json <<< '{'
expect_caught 'broken.json is not JSON' "$plot" broken.json
expect_caught 'cannot read none.json' "$plot" none.json
expect_caught '^plot: usage' "$plot"

finish

#!/bin/bash
# SPDX-License-Identifier: MIT
# quickstart makes the right medians, ratios and verdicts of what the rivals
# print, refuses results that do not agree, and says what it left out; the
# rivals here print what this script tells them to.
. tests/tools/common.sh
quickstart=$root/scripts/quickstart
bytes_glib=288

if ! command -v jq > /dev/null; then
	echo "skipped: jq is not installed"
	exit 77
fi

# A program like bench/truck: every object of `malloc` has 48 bytes, and so
# on; a run's times are 1, 2, 3 ... times the first run's.
plant truck <<- 'END'
	#!/bin/bash
	here=$(dirname "$0")
	if [ "$1" = --list ]; then
		echo cubby cubby-bulk array malloc shared-keys glib | tr ' ' '\n'
		exit
	fi
	n=$2 id=$4 rival=$5
	. "$here/figures"
	count=$here/count.$rival.$id
	echo run >> "$count"
	create=$((create * $(wc -l < "$count")))
	cat <<- JSON
		{"rival":"$rival","id":"$id","n":$n,
		"ns":{"loop":$n,"create":$((create * n)),"get":$((3 * n)),
		"scan":$n,"set":$((3 * n)),"free":$((7 * n))},
		"ops":{"create":$done,"get":$n,"scan":$n,"set":$n,"free":$n},
		"bytes":{"rss":$((bytes * n)),"own":$((bytes * n)),
		"object":$((bytes * n)),"boxes":0,"table":0,"page_tables":0,
		"left":0},"sums":"$sums","runtime":"gcc 12"}
	JSON
END
chmod +x "$tree/truck"

# What the program prints: by default, all is well.
figures() {
	rm -f "$tree"/count.*
	cat > "$tree/figures" <<- END
		sums=same create=10 done=\$n
		case \$rival in
		cubby) bytes=32 create=30 ;;
		cubby-bulk) bytes=32 ;;
		array) bytes=31 ;;
		malloc) bytes=48 ;;
		shared-keys) bytes=144 ;;
		glib) bytes=$bytes_glib ;;
		esac
		$*
	END
}

run() {
	"$quickstart" --no-install --no-python --truck "$tree/truck" --n 1000 \
		--runs 3 --out "$tree/out"
}

# The command succeeds; what it says goes to $tree/said.
expect_succeeds() {
	if ! "$@" > "$tree/said" 2>&1; then
		echo "FAIL: $*"
		tail -n 20 "$tree/said"
		n_faults=$((n_faults + 1))
	fi
}

expect_said() {
	if ! grep -qE -e "$1" "$tree/said"; then
		echo "FAIL: not said: $1"
		n_faults=$((n_faults + 1))
	fi
}

# A value in the result.
expect_result() {
	local is
	is=$(jq -c "$1" "$tree/out/truck.json")
	if [ "$is" != "$2" ]; then
		echo "FAIL: $1 is $is, should be $2"
		n_faults=$((n_faults + 1))
	fi
}

expect_succeeds "$quickstart" --help
expect_said '^ *--runs R '
expect_caught "there is no option '--frob'" "$quickstart" --frob
expect_caught -- "--n is 2 to 9999999, not 'many'" "$quickstart" --n many
expect_caught -- "--n needs a value" "$quickstart" --n

figures
expect_succeeds run
row='first(.rows[] | select(.id == "text" and .rival == "cubby"))'
expect_result "$row.ns.create" 60 # the median of 30, 60, 90
expect_result "$row.ns.get" 2     # without the loop
expect_result "$row.runs" 3
expect_result '[.rows[].rival] | length' 12
expect_result '[.targets[].met]' '[true,null,false,null]'
expect_result '[.shares[0].bytes[]]' '[96,144,0.4]'
expect_said '^  text .*1/9 of malloc, GLib table, boxes: 1/9\.0: met$'
expect_said '^  integer .*1/12 of malloc, GLib table, boxes: 1/9\.0: MISSED$'
expect_said '^  text .*__slots__: not measured$'
expect_said 'Left out: Python'
expect_said '^  create: 60\.0 ns one by one, 20\.0 in bulk, against 20\.0 one array'
expect_said '^  bytes: 32\.00 against 31\.00 one array'
expect_said '^quickstart: 1,000 trucks: 32\.0 B each in Cubby, 288\.0 B'
if awk 'length > 110 { print; wide = 1 } END { exit !wide }' "$tree/said"; then
	echo "FAIL: lines of more than 110 columns"
	n_faults=$((n_faults + 1))
fi

bytes_glib=287 figures
expect_succeeds run
expect_said '^  text .*1/9 of malloc, GLib table, boxes: 1/9\.0: MISSED$'

figures '[ $rival != malloc ] || sums=other'
expect_caught 'did not store the same trucks' run
figures '[ $rival != glib ] || done=999'
expect_caught 'glib: create: 1000 asked for, 999 done' run
figures '[ $rival != array ] || exit 1'
expect_caught 'array, (text|integer) id, has failed' run

# The real program, where it has been built: it checks itself.
real=$root/${O:-build/release}/bench/truck
if [ -x "$real" ]; then
	for rival in $("$real" --list); do
		for id in text integer; do
			expect_succeeds "$real" --n 1000 --id "$id" "$rival"
			expect_said "^{\"rival\":\"$rival\",\"id\":\"$id\""
		done
	done
	expect_caught "no rival is named 'nobody'" "$real" nobody
	expect_caught -- '--n is 2 to 9999999, not 1' "$real" --n 1 malloc
else
	echo "bench/truck is not built: only the script was tested"
fi

finish

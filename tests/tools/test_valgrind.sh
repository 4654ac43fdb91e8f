#!/bin/bash
# SPDX-License-Identifier: MIT
# The tools of Valgrind say of objects of Cubby what they say of objects of malloc.
set -eu
O=$(realpath "${O:-build/release}")

if ! command -v valgrind > /dev/null; then
	echo "skipped: valgrind is not installed"
	exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n_faults=0
fault() {
	echo "FAIL: $*"
	n_faults=$((n_faults + 1))
}

compile() { # NAME FLAG...
	local name=$1
	shift
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O1 -g -Iinclude "$@" -pthread \
		tests/tools/mistakes.c -o "$scratch/$name" -L"$O" -lcubby \
		-Wl,-rpath,"$O"
}
compile malloc
compile cubby -DWITH_CUBBY

# watch TOOL PROGRAM WHAT [OPTION...]: its report in TOOL.PROGRAM
watch() {
	local tool=$1 program=$2 what=$3
	shift 3
	CUBBY_OPTIONS=misuse=continue valgrind --tool="$tool" "$@" \
		--suppressions=tests/support/valgrind.supp \
		--log-file="$scratch/$tool.$program" "$scratch/$program" \
		"$what" > /dev/null 2>&1 || true
}

# What is said, and where in the program: no addresses, and none of the frames of
# who allocates.
said() {
	sed -nE -e 's/^==[0-9]+== ?//' -e '/HEAP SUMMARY/q' -e '
		s/^ *(Address) 0x[0-9a-f]+/\1/
		s/^ *(at|by) 0x[0-9A-F]+: (.*mistakes\.c:.*)/   \2/p
		/^ *(at|by) 0x/d
		/^ *(Invalid|Address|Block was|Conditional|Mismatched)/p' "$1"
}
lost() { # the summary, without what the program has in use
	sed -nE 's/^==[0-9]+== +((definitely|indirectly|possibly) lost: .*)/\1/p' \
		"$1"
}

for what in nothing behind before after-free twice uninitialised; do
	for program in malloc cubby; do
		watch memcheck $program $what --leak-check=no
		said "$scratch/memcheck.$program" > "$scratch/said.$program"
	done
	diff "$scratch/said.malloc" "$scratch/said.cubby" ||
		fault "memcheck on '$what' differs"
	[ $what = nothing ] || [ -s "$scratch/said.cubby" ] ||
		fault "memcheck says nothing on '$what'"
	[ $what != nothing ] || [ ! -s "$scratch/said.cubby" ] ||
		fault "memcheck says something on nothing"
done

# Cells that may be touched while there is no object.
watch memcheck cubby states --leak-check=no
grep -q "ERROR SUMMARY: 0 errors" "$scratch/memcheck.cubby" ||
	fault "memcheck reports init, fini or what is copied from"

for what in nothing lost kept; do
	for program in malloc cubby; do
		watch memcheck $program $what --leak-check=full
		lost "$scratch/memcheck.$program" > "$scratch/lost.$program"
	done
	# malloc's list has no summary where nothing is lost.
	[ -s "$scratch/lost.malloc" ] || [ $what = nothing ] ||
		fault "nothing is lost in '$what'"
	if [ -s "$scratch/lost.malloc" ]; then
		diff "$scratch/lost.malloc" "$scratch/lost.cubby" ||
			fault "memcheck's search on '$what' differs"
	fi
done
grep -q "definitely lost: 40 bytes in 1 blocks" "$scratch/lost.cubby" &&
	fault "what an object refers to is lost"
watch memcheck cubby lost --leak-check=full
lost "$scratch/memcheck.cubby" > "$scratch/lost.cubby"
grep -q "definitely lost: 40 bytes in 1 blocks" "$scratch/lost.cubby" ||
	fault "the first of a list is not definitely lost"
grep -q "indirectly lost: 360 bytes in 9 blocks" "$scratch/lost.cubby" ||
	fault "the others are not indirectly lost"

peak() {
	sed -n 's/^mem_heap_B=//p' "$scratch/massif.out" | sort -n | tail -n 1
}
for program in malloc cubby; do
	watch massif $program many --heap-admin=0 --stacks=no \
		--massif-out-file="$scratch/massif.out"
	peak > "$scratch/peak.$program"
done
cmp -s "$scratch/peak.malloc" "$scratch/peak.cubby" ||
	fault "massif's peak is $(cat "$scratch/peak.cubby"), of malloc" \
		"$(cat "$scratch/peak.malloc")"

for tool in helgrind drd; do
	for what in threads race; do
		for program in malloc cubby; do
			watch $tool $program $what
			# Only where it was; Helgrind knows no blocks of ours.
			sed -nE 's/.* at 0x[0-9A-F]+: (work .*)/\1/p' \
				"$scratch/$tool.$program" |
				sort -u > "$scratch/raced.$program"
		done
		diff "$scratch/raced.malloc" "$scratch/raced.cubby" ||
			fault "$tool on '$what' differs"
		[ $what != race ] ||
			grep -q "^work " "$scratch/raced.cubby" ||
			fault "$tool does not see the race"
		grep -q "ERROR SUMMARY: 0 errors" "$scratch/$tool.cubby" ||
			[ $what = race ] || fault "$tool: errors on '$what'"
	done
done

echo "$n_faults faults"
((n_faults == 0))

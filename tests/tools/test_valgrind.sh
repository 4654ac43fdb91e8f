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
	CUBBY_OPTIONS=misuse=continue${more_options:+,$more_options} valgrind --tool="$tool" "$@" \
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

# The tree of who allocated how much, which callgrind_annotate reads.
for program in malloc cubby; do
	watch memcheck $program many --xtree-memory=full \
		--xtree-memory-file="$scratch/tree.$program"
	callgrind_annotate --inclusive=yes --show=totB,totBk \
		"$scratch/tree.$program" | grep "= make();" \
		> "$scratch/grown.$program" || true
done
grep -q "^40,000 .* 1,000 .*many\[i\] = make();" "$scratch/grown.malloc" ||
	fault "the tree has no 1,000 blocks"
cut -c 1-8 "$scratch/grown.malloc" > "$scratch/bytes.malloc"
cut -c 1-8 "$scratch/grown.cubby" > "$scratch/bytes.cubby"
diff "$scratch/bytes.malloc" "$scratch/bytes.cubby" ||
	fault "--xtree-memory differs"

# DHAT sees malloc() alone, so that each object is a block: bytes and blocks in all
# and at the peak, and what was read and written of them, by who allocated.
if command -v jq > /dev/null; then
	for program in malloc cubby; do
		watch dhat $program many --dhat-out-file="$scratch/dhat.json"
		jq -r '.ftbl as $frames | .pps[] |
			([.fs[] | $frames[.] | select(test("mistakes\\.c")) |
				sub("^0x[0-9A-F]+: "; "")]) as $where |
			select($where != []) |
			"\(.tbk) blocks, \(.tb) bytes, \(.gb) at the peak, " +
			"\(.rb) read, \(.wb) written, by \($where)"' \
			"$scratch/dhat.json" > "$scratch/dhat.$program.said"
	done
	diff "$scratch/dhat.malloc.said" "$scratch/dhat.cubby.said" ||
		fault "DHAT's profile differs"
	grep -q "^1000 blocks, 40000 bytes, 40000 at the peak, 0 read, 0 written" \
		"$scratch/dhat.cubby.said" || fault "DHAT does not see 1,000 blocks"
else
	echo "jq is not installed: DHAT's profile is not read"
fi

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

# With passthrough asked for, memcheck speaks of blocks of malloc().
more_options=passthrough
for what in nothing behind before after-free uninitialised; do
	watch memcheck cubby $what --leak-check=no
	said "$scratch/memcheck.cubby" > "$scratch/said.cubby"
	watch memcheck malloc $what --leak-check=no
	said "$scratch/memcheck.malloc" > "$scratch/said.malloc"
	diff "$scratch/said.malloc" "$scratch/said.cubby" ||
		fault "memcheck on '$what' differs in passthrough"
done

echo "$n_faults faults"
((n_faults == 0))

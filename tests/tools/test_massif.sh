#!/bin/bash
# SPDX-License-Identifier: MIT
# cubby-massif tells types and sites, in text, data and picture, however the program
# is built; its exit status is the program's; what is wrong is said.
set -eu
O=$(realpath "${O:-build/release}")
massif=$PWD/lib/tools/cubby-massif

for tool in valgrind ms_print gnuplot; do
	if ! command -v "$tool" > /dev/null; then
		echo "skipped: $tool is not installed"
		exit 77
	fi
done
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
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O2 -gdwarf-4 -Iinclude \
		tests/tools/massif.c -o "$scratch/$name" "$@" -pthread
}
mkdir "$scratch/lib" "$scratch/no-gnuplot"
cp "$O"/libcubby.so* "$scratch/lib"
strip "$scratch"/lib/libcubby.so.*.*.*
for tool in awk basename cat cp cut dirname env grep mktemp ms_print mv perl \
	realpath rm sed sort tail uniq wc; do
	ln -s "$(command -v "$tool")" "$scratch/no-gnuplot/$tool"
done
printf '#!/bin/sh\nexec %s "$@"\n' "$(command -v valgrind)" \
	> "$scratch/no-gnuplot/valgrind" # which looks beside itself
chmod +x "$scratch/no-gnuplot/valgrind"
compile shared -L"$O" -lcubby -Wl,-rpath,"$O"
compile inlined -DCUBBY_INLINE=1 -L"$O" -lcubby -Wl,-rpath,"$O"
compile archive "$O/libcubby.a"
compile stripped -s -L"$O" -lcubby -Wl,-rpath,"$scratch/lib"

# without_picture COMMAND...
without_picture() { PATH=$scratch/no-gnuplot "$BASH" "$@"; }

# at_peak FILE.tsv: bytes of each type and of each site of it, sorted by names.
at_peak() {
	awk -F '\t' '
		NR == 1 { next }
		{ sum[$1] += $5; type[$1, $3] += $5; site[$1, $3, $4] += $5 }
		END {
			for (i in sum)
				if (sum[i] > sum[peak])
					peak = i
			for (i in type) {
				split(i, part, SUBSEP)
				if (part[1] == peak && type[i] >= 1000)
					print part[2], type[i]
			}
			for (i in site) {
				split(i, part, SUBSEP)
				if (part[1] == peak && site[i] >= 1000)
					print part[2] ": " part[3], site[i]
			}
		}' "$1" | sed -E 's/\(massif\.c:[0-9]+\)/(massif.c)/' | sort
}

types="conn 576000
malloc 100064
timer 200000"
sites="conn: accept_conns (massif.c) 192000
conn: open_conns (massif.c) 288000
conn: reserve_conns (massif.c) 96000
malloc: make_block (massif.c) 100000
timer: arm_timers (massif.c) 200000"
expected=$(printf '%s\n' "$types" "$sites" | sort)

# What malloc has beside: some bytes of the C library's.
expect_peak() { # NAME
	at_peak "$scratch/$1.tsv" |
		sed -E 's/^malloc 100[0-9]{3}$/malloc 100064/' > "$scratch/got"
	diff <(echo "$expected") "$scratch/got" ||
		fault "$1: not what the program has at its peak"
}

# ---------------------------- a run, and its files -----------------------------

cd "$scratch"
status=0
"$massif" -o shared ./shared 3 2> errors || status=$?
[ $status = 3 ] || fault "the exit status is $status, not the program's 3"
[ ! -s errors ] || fault "it says on standard error: $(cat errors)"
expect_peak shared

grep -qE '^ +562 KiB +65\.[0-9] +562 KiB +562 KiB +conn$' shared.txt ||
	fault "no line of conns in the table"
grep -qE '^ +195 KiB .* timer: arm_timers \(massif\.c:[0-9]+\)$' shared.txt ||
	fault "no line of arm_timers in the table"
grep -qE "^\| ->.* 0x0: cache 'timer' \(Cubby\)|^->.* 0x0: cache 'timer' \(Cubby\)" \
	shared.txt || fault "no node of timers from ms_print"
! grep -q "spell\|cubby__alloc\|cubby__debug\|alloc_slow\|alloc_bulk" \
	shared.massif ||
	fault "frames of Cubby are left"
ms_print shared.massif > /dev/null || fault "ms_print does not read the profile"
for word in "conn: open_conns (massif.c:" "timer" "malloc" "peak 85[0-9] KiB" \
	"million instructions" "shared 3: 85[0-9] KiB at the peak"; do
	grep -q "$word" shared.svg || fault "not in the picture: $word"
done
# PNG: its signature, and 1200 px in the header.
if [ "$(head -c 4 shared.png | tail -c 3)" != PNG ] ||
	[ "$(od -An -tu1 -j 16 -N 4 shared.png | tr -s ' ')" != " 0 0 4 176" ]; then
	fault "no PNG of 1200 px"
fi

# ------------------------- other programs, no gnuplot --------------------------

for name in inlined archive; do
	without_picture "$massif" -o $name ./$name 2> errors ||
		fault "$name: exit status $?"
	expect_peak $name
done
grep -q "no picture: gnuplot is not installed" errors ||
	fault "without gnuplot: $(cat errors)"
[ -s archive.txt ] || fault "without gnuplot: no text"
[ ! -e archive.png ] || fault "without gnuplot: a picture"

# No names but those of types; children are not it, nor is an end by a signal.
status=0
without_picture "$massif" -o stripped ./stripped fork 2> errors || status=$?
[ $status = 0 ] || fault "fork: exit status $status"
[ "$(at_peak stripped.tsv | grep -v ': ' |
	sed -E 's/^malloc 100[0-9]{3}$/malloc 100064/')" = "$types" ] ||
	fault "stripped: $(at_peak stripped.tsv)"
[ "$(at_peak stripped.tsv | tee got | grep -c ': 0x[0-9A-F]* (in stripped)')" = 5 ] ||
	fault "stripped: not five sites: $(cat got)"
status=0
without_picture "$massif" -o abort ./shared abort 2> errors || status=$?
[ $status = 134 ] || fault "abort: exit status $status"
grep -q "shared was ended by SIGABRT" errors || fault "abort: $(cat errors)"
at_peak abort.tsv | grep -qx "timer 200000" || fault "abort: no profile"

# ---------------------------- without another run ------------------------------

"$massif" --draw shared.massif -o again --name "Once more" --sites 2 ||
	fault "--draw: exit status $?"
cmp -s shared.tsv again.tsv || fault "--draw has other data"
grep -q "Once more: 85" again.svg || fault "--draw: no name"
grep -q "all others" again.svg || fault "--sites 2: no others"
! grep -q accept_conns again.svg || fault "--sites 2 has more"
sed 's/conn/gear/' shared.massif > other.massif
"$massif" -o both --name Left --name Right --compare shared.massif other.massif ||
	fault "--compare: exit status $?"
for word in "conn: open_conns" "gear: open_" Left Right; do
	grep -q "$word" both.svg || fault "--compare: no $word"
done
# A profile of massif as it is, of a program that has nothing of ours.
valgrind -q --tool=massif --massif-out-file=plain --detailed-freq=1 \
	/bin/echo > /dev/null
"$massif" --draw plain || fault "--draw of massif's own: exit status $?"
awk -F '\t' 'NR > 1 && $3 != "malloc" { exit 1 }' plain.tsv ||
	fault "types in a program without any"

# --------------------------------- errors --------------------------------------

refused() { # STATUS REGEX ARGUMENT...
	local expected=$1 regex=$2 status=0
	shift 2
	"$massif" "$@" > output 2>&1 || status=$?
	[ $status = "$expected" ] || fault "$*: exit status $status"
	grep -qE -e "$regex" output || fault "$*: $(cat output)"
}
refused 127 "there is no program './none'" ./none
refused 127 "there is no program 'no-such-program'" no-such-program
refused 126 "shared.txt cannot be executed" ./shared.txt
refused 125 "which program"
refused 125 "there is no option '-x'" -x ./shared
refused 125 "--name needs a value" --name
refused 125 "--sites is 1 to 12, not '0'" --sites 0 ./shared
refused 125 "cannot write none/x.massif" -o none/x ./shared
refused 125 "cannot read none" --draw none
refused 125 "shared.txt is no profile" --draw shared.txt
refused 125 "needs two FILEs" --compare shared.massif
sed 's/^time_unit: i/time_unit: ms/' shared.massif > milliseconds.massif
refused 125 "different units of time" --compare shared.massif milliseconds.massif
grep -v "^ *n[0-9]" shared.massif | sed 's/^heap_tree=.*/heap_tree=empty/' > bare
refused 125 "bare has no trees" --draw bare
rm no-gnuplot/valgrind
status=0
without_picture "$massif" ./shared 2> errors || status=$?
[ $status = 125 ] || fault "without valgrind: exit status $status"
grep -q "valgrind is missing" errors || fault "without valgrind: $(cat errors)"
"$massif" --help | grep -q -- "--compare FILE FILE" || fault "--help"

echo "$n_faults faults"
((n_faults == 0))

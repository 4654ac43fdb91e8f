#!/bin/bash
# SPDX-License-Identifier: MIT
# cubby-run starts a program with the library in front of LD_PRELOAD, and ends as
# the program does; it says where that has no effect.  --compare runs it alike with
# each allocator, tells what was resident at the end, and whether they differ.
set -eu
O=$(realpath "${O:-build/release}")
unset LD_PRELOAD CUBBY_MALLOC

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
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O0 tests/tools/run.c \
		-o "$scratch/$name" -pthread "$@"
}
compile program
compile static -static 2> /dev/null || :

# What is preloaded: the shim where it was built, any library otherwise.
library=$(realpath -q "$O/libcubby-malloc.so" || :)
if [ ! -f "$library" ]; then
	library=$scratch/libother.so
	echo 'int cubby_run_other;' |
		"${CC:-cc}" -shared -fPIC -o "$library" -x c -
fi
# One that is beside no library.
mkdir -p "$scratch/alone/bin" "$scratch/alone/lib"
cp "$O/cubby-run" "$scratch/alone/bin"
run=$scratch/alone/bin/cubby-run
cd "$scratch"
export TMPDIR=$scratch/temporary
mkdir "$TMPDIR"

# expect STATUS REGEX ARGUMENT...: of cubby-run; the regex is of what it prints.
expect() {
	local expected=$1 regex=$2 status=0
	shift 2
	{ PATH=${via:-$PATH} "$run" "$@" > output 2>&1; } 2> /dev/null ||
		status=$?
	[ $status = "$expected" ] || fault "$*: exit status $status"
	[ -z "$regex" ] || grep -qE -e "$regex" output ||
		fault "$*: $(cat output)"
}

# -------------------------------- the library ----------------------------------

if ! ldconfig -p 2> /dev/null | grep -q libcubby-malloc; then
	expect 125 "there is no libcubby-malloc.so.0: neither in" ./program 0
	grep -q "alone/bin" output || fault "not where it looked: $(cat output)"
	grep -q -- "--library=FILE" output || fault "no advice: $(cat output)"
fi
for place in lib "lib/$(uname -m)-linux-gnu" lib64 bin; do
	mkdir -p "alone/$place"
	cp "$library" "alone/$place/libcubby-malloc.so.0"
	expect 0 "^$scratch/alone/$place/libcubby-malloc.so.0$" ./program 0 which
	rm "alone/$place/libcubby-malloc.so.0"
done
LD_LIBRARY_PATH=$scratch/alone/known
export LD_LIBRARY_PATH
mkdir alone/known
cp "$library" alone/known/libcubby-malloc.so.0
expect 0 "^libcubby-malloc.so.0$" ./program 0 which
unset LD_LIBRARY_PATH

expect 0 "^$library$" --library="$library" ./program 0 which
LD_PRELOAD=libm.so.6 expect 0 "^$library:libm.so.6$" \
	--library="$library" ./program 0 which
expect 125 "cannot read the library ./none: No such file" \
	--library=./none ./program
expect 125 "the library none.so cannot be preloaded: ERROR" \
	--library=none.so ./program
echo text > text.so
expect 125 "the library text.so cannot be preloaded: .*(invalid ELF header|file too short)" \
	--library=text.so ./program
cp "$library" "with blank.so"
expect 125 "LD_PRELOAD cannot have .*with blank.so" \
	--library="with blank.so" ./program

preloaded() { # STATUS REGEX ARGUMENT...
	local status=$1 regex=$2
	shift 2
	expect "$status" "$regex" --library="$library" "$@"
}
preloaded 0 "^stats$" -o stats ./program 0 options
CUBBY_MALLOC=zero preloaded 0 "^zero,stats,checked$" -o stats --options=checked \
	./program 0 options

# ------------------------------- how it ends -----------------------------------

preloaded 0 "" ./program 0
preloaded 3 "" ./program 0 exit
preloaded 139 "" ./program 0 segv # 128 + SIGSEGV
preloaded 0 "^abc$" ./program 0 echo <<< abc
PATH=$scratch:$PATH preloaded 3 "" program 0 exit
printf 'exit 5\n' > plain
chmod +x plain
preloaded 5 "" ./plain
# By exec, and not in a child.
"$run" --library="$library" ./program 0 pid > output &
pid=$!
wait $pid || fault "exit status $?"
[ "$(cat output)" = $pid ] || fault "the program is $(cat output), not $pid"

preloaded 127 "there is no program 'no-such-program' in .* PATH" no-such-program
preloaded 127 "there is no program './none'" ./none
preloaded 126 "text.so cannot be executed; .* chmod \+x" ./text.so
preloaded 126 "/ is a directory" /
via=$scratch preloaded 126 "text.so cannot be executed" text.so
printf '#!/none/sh\n' > orphan
chmod +x orphan
preloaded 127 "cannot execute ./orphan: No such file" ./orphan
expect 125 "which program"
expect 125 "no such option.*'--none'" --none ./program
expect 125 "a value is missing behind '-n'" -n
expect 125 "the number of runs is 1 to 1000, not '0'" --compare -n 0 ./program
expect 125 "--with is NAME=FILE, not 'file'" --compare --with=file ./program
expect 125 "--json goes with --compare" --json ./program
expect 0 "^cubby-run --compare " --help
expect 0 "^cubby-run [0-9.]+$" --version

# ----------------------------- without an effect -------------------------------

quiet() { # ARGUMENT...
	"$run" --library="$library" "$@" > output 2> errors || :
	[ ! -s errors ] || fault "$*: warns: $(cat errors)"
}
quiet ./program 0
printf '#!%s 0\n' "$scratch/program" > script
printf '#! /usr/bin/env -S program 0\n' > by-env
chmod +x script by-env
quiet ./script
PATH=$scratch:$PATH quiet ./by-env
if [ -x static ]; then
	preloaded 0 "warning: ./static is linked statically" ./static 0
	printf '#!%s 0\n' "$scratch/static" > script
	preloaded 0 "warning: .*/static is linked statically" ./script
	cp static env-static
	printf '#!/usr/bin/env env-static\n' > by-env
	PATH=$scratch:$PATH preloaded 0 "warning: .*env-static is linked" ./by-env
else
	echo "no static C library: a static program is not tried"
fi
if [ "$(id -u)" = 0 ]; then
	chmod 755 .
	cp program setuid
	chown 65534 setuid
	chmod u+s setuid
	if ! findmnt -n -o OPTIONS -T . 2> /dev/null | grep -q nosuid; then
		preloaded 0 "warning: ./setuid is setuid" ./setuid 0
	fi
fi

# --------------------------------- --compare -----------------------------------

expect 0 "^glibc  " --compare -n 2 --library="$library" --with=again="$library" \
	./program 0
for regex in '^again  .* 0$' '^cubby  .* 0$' '^(jemalloc|mimalloc|tcmalloc) ' \
	'^Fastest: .*  Smallest: .* MiB\.$' '^2 runs with each allocator'; do
	grep -qE "$regex" output || fault "no line '$regex': $(cat output)"
done
for package in libjemalloc2 libmimalloc2.0 libtcmalloc-minimal4; do
	name=${package#lib}
	grep -q "^${name%%[2-]*} .* 0$\|not installed ($package)" output ||
		fault "$package: $(cat output)"
done
! awk 'length($0) > 80' output | grep . || fault "longer than 80 columns"
! grep '^!' output || fault "an alarm"

# json EXPRESSION: in Python, of the last comparison.
json() {
	python3 -c "
import json, sys
whole = json.load(open('output'))
of = {one['name']: one for one in whole['allocators']}
glibc, cubby = of['glibc'], of['cubby']
if not ($1):
    print(whole['command'], glibc, cubby, sep='\n')
    sys.exit(1)" || fault "$1"
}
compared() { # STATUS ARGUMENT...
	local expected=$1 status=0
	shift
	"$run" --library="$library" --compare -n 2 --json "$@" \
		> output 2> errors || status=$?
	[ $status = "$expected" ] || fault "$*: exit status $status"
	[ ! -s errors ] || fault "$*: $(cat errors)"
}
if ! command -v python3 > /dev/null; then
	echo "no python3: the rest is not tried"
	echo "$n_faults faults"
	((n_faults == 0)) && exit 0 || exit 1
fi

MIB=1048576
compared 0 ./program 0 thread-exit
json "glibc['exit'] == 3 and len(glibc['runs']) == 2"
json "whole['command'] == ['./program', '0', 'thread-exit']"
json "glibc['peak_rss_bytes'] > 64 * $MIB and glibc['cpu_s']['median'] > 0"
traced=no
if grep -q '"final_rss_bytes": [0-9]' output; then
	traced=yes
	json "glibc['final_rss_bytes'] < 32 * $MIB"
	json "all(one['loaded'] for one in of.values() if one['available'])"
	compared 0 ./program 60
	json "glibc['final_rss_bytes'] > 60 * $MIB"
	json "cubby['final_rss_bytes'] > 60 * $MIB"
	compared 0 ./program 60 segv
	json "glibc['signal'] == 11 and glibc['exit'] is None"
	json "glibc['final_rss_bytes'] > 60 * $MIB"
else
	echo "not allowed to trace: final sizes are not known"
fi
compared 0 --no-trace ./program 60
json "glibc['final_rss_bytes'] is None and glibc['peak_rss_bytes'] > 60 * $MIB"

# Of children, what they took, but not what they kept.
compared 0 sh -c './program 60; exit 0'
json "glibc['peak_rss_bytes'] > 60 * $MIB"
[ $traced = no ] || json "glibc['final_rss_bytes'] < 32 * $MIB"

# Signals arrive, and stops are not the end.
compared 0 ./program 0 signals stop
json "glibc['runs'][0]['stdout_bytes'] == len('10 signals\n')"
json "glibc['exit'] == 0 and not cubby['output_differs']"

# Each run has all of the input, of a pipe or from where a file stands.
printf 'some words\n' | compared 0 ./program 0 echo
json "{run['stdout_bytes'] for run in glibc['runs'] + cubby['runs']} == {11}"
printf 'some more\nwords\n' > input
{
	read -r line
	[ "$line" = "some more" ]
	compared 0 ./program 0 echo
} < input
json "{run['stdout_bytes'] for run in glibc['runs'] + cubby['runs']} in ({6}, {0})"
compared 0 ./program 0 echo < /dev/null
json "{run['stdout_bytes'] for run in glibc['runs']} == {0}"

# LD_PRELOAD is the allocator's alone; what differs is said.
export LD_PRELOAD=libm.so.6
compared 1 ./program 0 which
unset LD_PRELOAD
json "glibc['runs'][0]['stdout_bytes'] == len('none\n')"
json "cubby['output_differs'] and not cubby['status_differs']"
json "cubby['runs'][0]['stdout_bytes'] == len('$library\n')"
compared 1 ./program 0 differ
json "cubby['status_differs'] and cubby['exit'] == 3 and whole['fastest'] == 'glibc'"
compared 0 ./program 0 pid
json "whole['output_varies']"
expect 1 "^! EXIT STATUS DIFFERS with cubby: 3, but 0 with glibc" \
	--compare -n 1 --library="$library" ./program 0 differ
expect 1 "^! OUTPUT DIFFERS with cubby" \
	--compare -n 1 --library="$library" ./program 0 which
expect 0 "^The output is another one in each run" \
	--compare -n 2 --library="$library" ./program 0 pid
expect 0 "^10 signals$" --compare -n 1 --show-output \
	--library="$library" ./program 0 signals
expect 0 " SEGV$" --compare -n 1 --library="$library" ./program 0 segv
if [ -e static ] && [ $traced = yes ]; then
	expect 0 "^! cubby was NOT LOADED" --compare -n 1 --library="$library" \
		./static 0
fi
compared 0 ./program 0 $'odd "\\\x01\xff'
json "whole['command'][2] == 'odd \"\\\\\x01\ufffd'"
rmdir "$TMPDIR" || fault "files are left: $(ls "$TMPDIR")"

echo "$n_faults faults"
((n_faults == 0))

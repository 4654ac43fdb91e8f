#!/bin/bash
# SPDX-License-Identifier: MIT
# The sanitizers report mistakes with objects of Cubby, whose library is not compiled
# with them, and are silent on a program without mistakes.
set -eu
O=$(realpath "${O:-build/release}")
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
n_faults=0
n_programs=0
fault() {
	echo "FAIL: $*"
	n_faults=$((n_faults + 1))
}

compile() { # NAME COMPILER FLAG...: false if there is no such sanitizer
	local name=$1
	shift
	"$@" -std=gnu11 -D_GNU_SOURCE -O1 -g -Iinclude -DWITH_CUBBY -pthread \
		tests/tools/mistakes.c -o "$scratch/$name" -L"$O" -lcubby \
		-Wl,-rpath,"$O" 2> "$scratch/errors" || {
		echo "no $name: $(tail -n 1 "$scratch/errors")"
		return 1
	}
	# Where addresses have 32 random bits, some find no room.
	"${unrandom[@]}" "$scratch/$name" > /dev/null 2>&1 || {
		fault "$name: a program without mistakes fails"
		return 1
	}
	n_programs=$((n_programs + 1))
}
unrandom=()
! setarch -R true 2> /dev/null || unrandom=(setarch -R)

run() { # NAME WHAT: its status in $status, what it says in $scratch/err
	status=0
	timeout 60 "${unrandom[@]}" "$scratch/$1" "$2" > /dev/null \
		2> "$scratch/err" || status=$?
}
expect_silent() {
	run "$1" "$2"
	((status == 0)) || fault "$1 on '$2': status $status"
	[ ! -s "$scratch/err" ] || fault "$1 on '$2': $(head -n 3 "$scratch/err")"
}
expect_said() { # NAME WHAT REGEX...
	local name=$1 what=$2 regex
	shift 2
	run "$name" "$what"
	((status != 0)) || fault "$name on '$what': status 0"
	for regex in "$@"; do
		grep -qE "$regex" "$scratch/err" || {
			fault "$name on '$what' does not say: $regex"
			head -n 20 "$scratch/err"
		}
	done
}

if compile asan gcc -fsanitize=address; then
	for what in nothing many threads again states; do
		expect_silent asan $what
	done
	object="object 0x[0-9a-f]+ \(cell [0-9]+, 40 bytes\) of cache 'node'"
	expect_said asan behind "AddressSanitizer: use-after-poison" \
		"mistakes\.c" "is 0 bytes behind $object, which is live"
	expect_said asan before "AddressSanitizer: use-after-poison" \
		"is 1 bytes in front of $object, which is live"
	export CUBBY_DEBUG=user
	expect_said asan after-free "AddressSanitizer: use-after-poison" \
		"is 11 bytes into $object, which is free" \
		"^cubby:   allocated .* by thread" "^cubby:   freed .* by thread" \
		"^cubby:     .*asan\+0x"
	unset CUBBY_DEBUG
	expect_said asan twice "cubby: double-free: cache 'node'"
	# What only an object refers to is not lost; that is so because Cubby says it.
	run asan kept
	if grep -q "LeakSanitizer has encountered a fatal error" "$scratch/err"; then
		echo "no LeakSanitizer here"
	else
		expect_silent asan kept
		export CUBBY_OPTIONS=annotate=off
		expect_said asan kept "LeakSanitizer" "leak of 333 byte"
		unset CUBBY_OPTIONS
	fi
fi

if compile tsan gcc -fsanitize=thread; then
	for what in nothing many threads; do
		expect_silent tsan $what
	done
	expect_said tsan race "ThreadSanitizer: data race" "work .*mistakes\.c"
fi

# What heaptrack has, and only counts: each object begins and ends.
cat > "$scratch/heaptrack.c" << 'END'
#include <stdio.h>
#include <stdlib.h>
static long n_begun, n_bytes, n_ended;
void heaptrack_malloc(void *start, size_t bytes)
{
	(void)start;
	__atomic_add_fetch(&n_begun, 1, __ATOMIC_RELAXED);
	__atomic_add_fetch(&n_bytes, (long)bytes, __ATOMIC_RELAXED);
}
void heaptrack_free(void *start)
{
	n_ended += start != NULL;
}
__attribute__((destructor)) static void tell(void)
{
	fprintf(stderr, "%ld begun, %ld bytes, %ld ended\n", n_begun, n_bytes,
		n_ended);
}
END
gcc -shared -fPIC -o "$scratch/heaptrack.so" "$scratch/heaptrack.c"
compile plain gcc
LD_PRELOAD="$scratch/heaptrack.so" "$scratch/plain" many 2> "$scratch/err"
grep -qx "1003 begun, 40120 bytes, 1003 ended" "$scratch/err" ||
	fault "heaptrack: $(cat "$scratch/err")"

if command -v clang > /dev/null && compile msan clang -fsanitize=memory; then
	expect_silent msan nothing
	expect_said msan uninitialised \
		"MemorySanitizer: use-of-uninitialized-value" "mistakes\.c"
fi

echo "$n_programs sanitizers, $n_faults faults"
((n_faults == 0)) || exit 1
((n_programs > 0)) || exit 77

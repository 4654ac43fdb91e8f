#!/bin/bash
# SPDX-License-Identifier: MIT
#
# libcubby.so never calls malloc or its family, directly or through libc: a
# program that calls every function of the library runs over a malloc that
# aborts when it is asked by, or inside of, libcubby.
set -eu

O=$(realpath "${O:-build/release}")
here=tests/tools
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cc() { ${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Iinclude -pthread "$@"; }

n_faults=0
fault() {
	echo "FAIL: $*"
	n_faults=$((n_faults + 1))
}

# -fno-builtin: the trap's malloc must not become a calloc of its own.
cc -fno-builtin -fPIC -shared -o "$tree/trap.so" $here/trap_malloc.c
cc -o "$tree/everything" $here/use_everything.c \
	-L"$O" -lcubby -Wl,-rpath,"$O"

run() { # PROGRAM [ARGUMENT...]: its status in $status, its outputs in files
	status=0
	LD_PRELOAD="$tree/trap.so" CUBBY_OPTIONS=misuse=continue,unknown \
		"$@" > "$tree/out" 2> "$tree/err" || status=$?
}

run "$tree/everything"
((status == 0)) || {
	fault "use_everything: exit $status"
	tail -n 5 "$tree/out" "$tree/err"
}
# The program is only as good as its list of calls.
sed -n '/global:/,/local:/s/^[ 	]*\(cubby_[a-z][a-z_]*\);.*/\1/p' lib/cubby.map |
	sort > "$tree/exported"
sort -u "$tree/out" > "$tree/called"
missing=$(comm -23 "$tree/exported" "$tree/called" | xargs)
[ -z "$missing" ] || fault "never called: $missing"
((status == 0)) && ! grep -q 'double-free' "$tree/err" &&
	fault "no report was written"

# Does the trap work?  A library of that name that does call malloc.
mkdir "$tree/planted"
cc -fPIC -shared -Wl,-soname,libcubby.so.0 -o "$tree/planted/libcubby.so.0" \
	$here/trap_planted.c
ln -s libcubby.so.0 "$tree/planted/libcubby.so"
cc -o "$tree/planted/user" $here/trap_planted_user.c \
	-L"$tree/planted" -lcubby -Wl,-rpath,"$tree/planted"
expect_caught() { # TEXT [ARGUMENT]
	local text=$1
	shift
	run "$tree/planted/user" "$@"
	if ((status != 134)) || ! grep -qx "$text" "$tree/err"; then
		fault "not caught, exit $status: $text"
	fi
}
expect_caught 'trap: malloc called by libcubby'
expect_caught 'trap: malloc called inside of libcubby' through-libc

echo "$(wc -l < "$tree/exported") functions, $n_faults faults"
((n_faults == 0))

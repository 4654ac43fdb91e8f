#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Two copies of Cubby in one process, libcubby.so and a plugin with a static
# copy inside, do not touch each other and say so when they are mixed up.
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

# Symbols that stay visible need objects compiled -fPIC.
ar rcs "$tree/libcubby_pic.a" "$O"/lib/*.lo
cc -o "$tree/program" $here/two_copies.c -L"$O" -lcubby -Wl,-rpath,"$O"

# Hidden by the linker, or visible but bound to the plugin itself.
build_plugin() { # NAME ARCHIVE FLAG...
	local name=$1
	shift
	cc -fPIC -shared -o "$tree/$name.so" $here/two_copies_plugin.c "$@"
}
build_plugin hidden "$O/libcubby.a" -Wl,--exclude-libs,ALL
build_plugin symbolic "$tree/libcubby_pic.a" -Wl,-Bsymbolic

p='0x[0-9a-f]+'
other="which another copy of Cubby made; two copies of Cubby are in this"
other+=" process; link one"
foreign="lies in no cache; free what cubby_alloc\(\) returned, once, before its cache is destroyed"
# In this order, by either copy.
expected=(
	"cubby: other-copy: cubby_alloc\(\) on cache $p, $other"
	"cubby: other-copy: cubby_free\(\) on cache $p, $other"
	"cubby: other-copy: cubby_walk_create\(\) on cache $p, $other"
	"cubby: foreign-free: cache 'truck': $p $foreign"
	"cubby: foreign-free: $p $foreign"
)

# Without magazines: there it is looked at whose cache it is, in each call.
for plugin in hidden symbolic; do
	status=0
	CUBBY_OPTIONS=${CUBBY_OPTIONS:+$CUBBY_OPTIONS,}misuse=continue,front=none \
		"$tree/program" "$tree/$plugin.so" > "$tree/out" \
		2> "$tree/err" || status=$?
	((status == 0)) || fault "$plugin: exit $status: $(cat "$tree/out")"
	mapfile -t lines < "$tree/err"
	((${#lines[@]} == 2 * ${#expected[@]})) ||
		fault "$plugin: ${#lines[@]} reports: $(cat "$tree/err")"
	for i in "${!lines[@]}"; do
		regex=${expected[$((i % ${#expected[@]}))]}
		[[ ${lines[$i]} =~ ^($regex)$ ]] ||
			fault "$plugin: unexpected: ${lines[$i]}"
	done
done

# The note survives strip, in the plugin as in the library.
for object in "$O/libcubby.so" "$tree/hidden.so"; do
	strip -o "$tree/stripped" "$object"
	readelf -n "$tree/stripped" | grep -q 'Cubby' ||
		fault "$(basename "$object"): no note after strip"
done

# `hidden` keeps its promise: nothing of Cubby can be seen from outside.
! nm -D --defined-only "$tree/hidden.so" | grep -q ' cubby_' ||
	fault "the plugin exports Cubby's symbols"

echo "$n_faults faults"
((n_faults == 0))

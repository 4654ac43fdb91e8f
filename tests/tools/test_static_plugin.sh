#!/bin/bash
# SPDX-License-Identifier: MIT
# A plugin with the static library inside is closed before the thread ends in
# which it failed: what the library left with the C library and the kernel (the
# address of a restartable sequence) stays valid, for the plugin stays mapped.
set -eu
O=${O:-build/release}
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT

# Compile tests/tools/SOURCE.c: compile SOURCE OUTPUT ARGUMENT...
compile() {
	local source=$1 output=$2
	shift 2
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Werror -Iinclude \
		-pthread "tests/tools/$source.c" -o "$programs/$output" "$@"
}

compile hostile_plugin plugin.so -shared -fPIC "$O/libcubby.a" \
	-Wl,--exclude-libs,ALL
compile hostile_dlopen dlopen -ldl

# Only the kernel's and the C library's symbols are left to others.
if ldd "$programs/plugin.so" | grep -q libcubby; then
	echo "FAIL: the plugin has the shared library"
	exit 1
fi
"$programs/dlopen" "$programs/plugin.so"

# The tables of the archive stay whole where the linker drops what nobody names.
for linker in bfd lld; do
	command -v "ld.$linker" > /dev/null || continue
	collect=-Wl,--gc-sections
	[ $linker = lld ] || collect+=,-z,start-stop-gc
	compile hostile_plugin "gc_$linker.so" -shared -fPIC "$O/libcubby.a" \
		-Wl,--exclude-libs,ALL "-fuse-ld=$linker" "$collect"
	"$programs/dlopen" "$programs/gc_$linker.so"
done

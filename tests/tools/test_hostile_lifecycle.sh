#!/bin/bash
# SPDX-License-Identifier: MIT
# Objects before and after main(), while main() returns, and in a plugin that
# is loaded and unloaded; with the static and with the shared library.
set -eu
O=${O:-build/release}
N_EXITS=20
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT

# Compile tests/tools/SOURCE.c: compile SOURCE OUTPUT ARGUMENT...
compile() {
	local source=$1 output=$2
	shift 2
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Werror -Iinclude \
		-pthread "tests/tools/$source.c" -o "$programs/$output" "$@"
}

shared=("$O/libcubby.so" "-Wl,-rpath,$(realpath "$O")")
compile hostile_early early_static "$O/libcubby.a"
compile hostile_early early_shared "${shared[@]}"
compile hostile_exit exit_static "$O/libcubby.a"
compile hostile_exit exit_shared "${shared[@]}"
compile hostile_plugin plugin.so -shared -fPIC "${shared[@]}"
compile hostile_dlopen dlopen -ldl

"$programs/early_static"
"$programs/early_shared"
for ((i = 0; i < N_EXITS; i++)); do
	"$programs/exit_static"
	"$programs/exit_shared"
done
"$programs/dlopen" "$programs/plugin.so"

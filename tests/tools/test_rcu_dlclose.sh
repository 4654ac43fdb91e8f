#!/bin/bash
# SPDX-License-Identifier: MIT
# A plugin with the static library inside is closed while its thread reclaims:
# that thread's code, and the destructors it runs, stay mapped.
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

if ! echo '#include <urcu/urcu-memb.h>' |
	"${CC:-cc}" -E -o /dev/null - 2> /dev/null; then
	echo "skipped: liburcu-dev is not installed"
	exit 77
fi

# The second one is bound to itself, but leaves its symbols visible.
compile rcu_plugin plugin.so -shared -fPIC "$O/libcubby.a" \
	-Wl,--exclude-libs,ALL -lurcu-memb
compile rcu_plugin visible.so -shared -fPIC "$O/libcubby.a" \
	-Wl,-Bsymbolic -lurcu-memb
compile hostile_dlopen dlopen -ldl

for front in auto thread none; do
	CUBBY_OPTIONS=front=$front timeout 60 "$programs/dlopen" \
		"$programs/plugin.so"
done
timeout 60 "$programs/dlopen" "$programs/visible.so"

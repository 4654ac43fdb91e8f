#!/bin/bash
# SPDX-License-Identifier: MIT
# Where the kernel charges committed memory, freeing gives the charge back.
# Changes a setting of the whole machine for a moment, so it must be asked for:
# CUBBY_TEST_SYSCTL=1, as root.  oom_calls tests the same code everywhere.
set -eu
O=${O:-build/release}
setting=/proc/sys/vm/overcommit_memory
NEVER_OVERCOMMIT=2

if [ "${CUBBY_TEST_SYSCTL:-0}" != 1 ]; then
	echo "skipped: CUBBY_TEST_SYSCTL=1 lets this set vm.overcommit_memory"
	exit 77
fi
if [ "$(id -u)" != 0 ] || [ ! -w "$setting" ]; then
	echo "skipped: not root, or $setting cannot be written"
	exit 77
fi

program=$(mktemp)
before=$(cat "$setting")
restore() {
	echo "$before" > "$setting"
	rm -f "$program"
}
trap restore EXIT
trap 'exit 130' INT TERM HUP

"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O1 -Iinclude -pthread \
	tests/tools/overcommit.c "$O/libcubby.a" -o "$program"
if ! echo "$NEVER_OVERCOMMIT" > "$setting"; then
	echo "skipped: $setting cannot be written"
	exit 77
fi
for options in "" chunks budget=2G; do
	CUBBY_OPTIONS=$options "$program"
done

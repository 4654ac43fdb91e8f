#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Where memory is limited malloc returns NULL, and what was freed comes again:
# with little address space, with mappings that fail, with a budget, where the
# kernel does not overcommit (CUBBY_TEST_SYSCTL=1, as root: that is a setting of
# the whole machine).
# shellcheck source=tests/tools/malloc_common.sh
source tests/tools/malloc_common.sh

ADDRESS_SPACE_KIB=$((512 << 10))
LEAST_MIB=300
BUDGET=256M
LEAST_OF_BUDGET_MIB=150
MOST_MIB=256
N_FAIL_MAP=60
MAPPINGS=1000

n=20000

compile malloc_limits limits

(
	n_faults=0
	ulimit -v $ADDRESS_SPACE_KIB
	for bytes in 24 1000 5000 100000 $((3 << 20)); do
		passes limits fill $bytes $LEAST_MIB
	done
	! is_cubby || words=front=thread passes limits fill 1000 $LEAST_MIB
	in_fronts limits mixed $n 0
	((n_faults == 0))
) || fault "in an address space of $ADDRESS_SPACE_KIB KiB"

# Of several sizes in turn; and what is freed goes back, or is kept as asked.
if is_cubby; then
	(
		n_faults=0
		ulimit -v $ADDRESS_SPACE_KIB
		in_fronts limits sizes $LEAST_MIB
		((n_faults == 0))
	) || fault "sizes in turn in an address space of $ADDRESS_SPACE_KIB KiB"
	in_fronts limits returned 25
	in_fronts limits thinned 50
fi

# An address space in which hardly the program itself has room.
if is_cubby; then
	for mib in 16 24 32 48 64 96; do
		(
			n_faults=0
			ulimit -v $((mib << 10))
			passes limits mixed $((n / 5)) $((mib < 96 ? 100 : 20))
			((n_faults == 0))
		) || fault "in an address space of $mib MiB"
	done
	for ((i = 1; i <= N_FAIL_MAP; i++)); do
		words=fail_map=$i passes limits mixed $((n / 10))
	done
	words=budget=$BUDGET
	for bytes in 24 5000 100000; do
		passes limits fill $bytes $LEAST_OF_BUDGET_MIB $MOST_MIB
	done
	in_fronts limits mixed $n 0
	words=''
fi

# with_setting NAME VALUE COMMAND...: the kernel's, for a while
with_setting() {
	local file=/proc/sys/vm/$1 value=$2 before
	shift 2
	before=$(cat "$file")
	trap 'echo "$before" > "$file"; rm -rf "$scratch"' EXIT
	trap 'exit 130' INT TERM HUP
	if echo "$value" 2> /dev/null > "$file"; then
		"$@"
		echo "$before" > "$file"
	else
		echo "$file cannot be written: not tried"
	fi
	trap 'rm -rf "$scratch"' EXIT
}
if [ "${CUBBY_TEST_SYSCTL:-0}" = 1 ] && [ "$(id -u)" = 0 ]; then
	with_setting overcommit_memory 2 passes limits mixed $n
	with_setting max_map_count $MAPPINGS passes limits mixed $n
else
	echo "CUBBY_TEST_SYSCTL=1 lets this set vm.overcommit_memory and" \
		"vm.max_map_count: not tried"
fi
finish

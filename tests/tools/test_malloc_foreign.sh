#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Pointers to what malloc never had are ignored, reported or the end, as
# CUBBY_MALLOC=foreign= says.  test_malloc_hardening.sh has those into blocks.
# shellcheck source=tests/tools/malloc_common.sh
source tests/tools/malloc_common.sh
only_cubby "foreign="

compile malloc_hazard_foreign foreign
outside=(mmap within-mmap unmapped data brk code stack other-libc first-page
	high kernel highest no-address)

# try FOREIGN WHAT CALL: what is expected of foreign=FOREIGN
try() {
	local foreign=$1 what=$2 call=$3 want=0 address
	words=${front:+front=$front,}foreign=$foreign
	[ "$foreign" != abort ] || want=134
	run foreign "$what" "$call" 2> /dev/null
	((status != 77)) || return 0
	address=$(head -n 1 "$scratch/out")
	((status == want)) ||
		complain "$what, $call, foreign=$foreign: not exit $want"
	if [ "$foreign" = ignore ]; then
		[ ! -s "$scratch/err" ] ||
			grep -q checks "$scratch/err" ||
			complain "$what, $call: something is said"
	else
		grep -qE "^cubby: .*$address([^0-9a-f]|\$)" "$scratch/err" ||
			complain "$what, $call, foreign=$foreign: no report" \
				"of $address"
	fi
	((want != 0)) || grep -qx "went on" "$scratch/out" ||
		complain "$what, $call, foreign=$foreign: did not go on"
}

for front in cpu thread; do
	for what in "${outside[@]}"; do
		for foreign in ignore report abort; do
			try $foreign "$what" free
			try $foreign "$what" realloc
		done
	done
done
# Asking is no free, and nothing of what is not ours is looked at.
front=''
for what in "${outside[@]}"; do
	words=foreign=report
	passes foreign "$what" size
done

# All are counted, whatever follows.
words=foreign=ignore,stats
run foreign mmap free
grep -qiE "foreign[^0-9]*1\b|\b1 foreign" "$scratch/err" ||
	complain "a foreign free is not counted in the statistics"
finish

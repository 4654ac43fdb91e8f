#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Mistakes with malloc are reported, in lines of a known form, and end the
# program; and what is freed is cleared, or waits, where that is asked for.
# shellcheck source=tests/tools/malloc_common.sh
source tests/tools/malloc_common.sh
only_cubby "each report"

compile malloc_mistakes mistakes
compile malloc_reuse reuse

# reported WHAT NAME [REGEX]: SIGABRT, and the first line is
# "cubby: NAME: [cache '...': ]<text with the address that was shown>"
reported() {
	local what=$1 name=$2 regex=${3:-} address
	run mistakes "$what" 2> /dev/null
	address=$(grep -m 1 -o '^0x[0-9a-f]*$' "$scratch/out" || true)
	((status == 134)) || complain "$what: not SIGABRT"
	head -n 1 "$scratch/err" | grep -qE \
		"^cubby: $name: (cache '[^']*': )?.*${regex:-$address\\b}" ||
		complain "$what: no report of $name, ${regex:-$address}"
	! grep -qx "went on" "$scratch/out" || complain "$what: went on"
}

small=(twice twice-8 twice-20000 twice-others twice-later)
large=(twice-large twice-large-others)
for front in cpu thread; do
	words=checked,front=$front
	passes mistakes nothing
	[ ! -s "$scratch/err" ] || complain "something is said of nothing"
	for what in "${small[@]}" "${large[@]}" realloc-freed; do
		reported "$what" double-free
	done
	# Of memory that went back to the kernel nobody knows whose it was.
	for what in twice-huge realloc-freed-large; do
		reported "$what" "(double|foreign)-free"
	done
	for what in within within-odd within-20000 within-large \
		within-large-odd; do
		reported "$what" interior-free
	done
	reported stack foreign-free
	for what in wrong-size wrong-size-small wrong-size-large \
		wrong-size-of-large; do
		reported "$what" wrong-size
	done
done

words=checked
passes mistakes shrunk-size
[ ! -s "$scratch/err" ] || complain "something is said of a size that is right"
words=checked,foreign=ignore
passes mistakes stack

# Large blocks are always checked.
words=''
for what in "${large[@]}"; do
	reported "$what" double-free
done
for what in within-large within-large-odd within-huge; do
	reported "$what" interior-free
done

# With misuse=continue the program goes on, after one report.
words=checked,misuse=continue
for what in "${small[@]}" "${large[@]}" within within-large stack \
	wrong-size wrong-size-large; do
	passes mistakes "$what"
	lines=$(grep -cE "^cubby: [a-z-]+: " "$scratch/err" || true)
	((lines == 1)) || complain "$what: $lines reports"
done

words=debug=FZPU
reported behind red-zone
reported before red-zone
reported after-free use-after-free
words=guard=1
for what in overruns overruns-read underruns; do
	reported $what guard-page "cache"
done

words=zero in_fronts reuse zero
words=zero,checked passes reuse zero
words=quarantine=256K in_fronts reuse quarantine
words=quarantine=256K,zero passes reuse zero
finish

#!/bin/bash
# SPDX-License-Identifier: MIT
# tests/install/test_readme.sh runs what it should and catches what is wrong, also in
# docs/rcu.md.
. tests/tools/common.sh
unset O VARIANT V WERROR CFLAGS CPPFLAGS CC
check="$root/tests/install/test_readme.sh"
plant_library

# A README of blocks: MARKER LANGUAGE TEXT, three arguments each.
readme() {
	: > "$tree/README.md"
	while (($# > 0)); do
		printf 'Text.\n\n<!-- %s -->\n```%s\n%s\n```\n' "$1" "$2" "$3" \
			>> "$tree/README.md"
		shift 3
	done
}

program='#include <stdio.h>
int cubby_one(void);
int main(void) { printf("one is %d\n", cubby_one()); return 0; }'

readme 'run: c' c "$program" output text 'one is 1' \
	'run: sh' sh 'make -s lib; test -f build/release/libcubby.a; echo well' \
	output '' well 'not run: no such thing' c 'nonsense' 'note' sh 'false'
expect_clean "$check"
readme 'run: c' c "$program" output text 'one is 2'
expect_caught 'README.md:12: not what was printed' "$check"
readme 'run: c' c "${program/printf/print}"
expect_caught 'README.md:4: does not build' "$check"
readme 'run: c' c "${program/return 0/return 3}"
expect_caught 'README.md:4: exit status' "$check"
readme 'run: sh' sh 'false; echo well'
expect_caught 'README.md:4: exit status' "$check"
readme 'run: sh' c 'true'
expect_caught "marked 'run: sh', but it is 'c'" "$check"
readme 'run: c' c "$program" note c 'nonsense'
expect_caught 'README.md:12: C without a marker' "$check"
readme 'run: c' c "$program" 'note' sh 'x' output text 'one is 1'
expect_caught 'output of nothing' "$check"
readme note sh 'x'
expect_caught 'no block is marked' "$check"
readme 'run: c no-such-package' c 'nonsense' output text 'nothing' \
	'run: c' c "$program" output text 'one is 1'
expect_clean "$check"
readme 'run: c' c "$program"
mkdir -p "$tree/docs"
sed 's/one is/number one is/' "$tree/README.md" > "$tree/docs/rcu.md"
printf '<!-- output -->\n```\none is 1\n```\n' >> "$tree/docs/rcu.md"
expect_caught 'docs/rcu.md:10: not what was printed' "$check"
rm -r "$tree/docs"
readme 'run: c' c "$program"
sed -i '$d' "$tree/README.md"
expect_caught 'a block has no end' "$check"
[ ! -d "$tree/build" ] || expect_clean false
finish

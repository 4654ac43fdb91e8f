#!/bin/bash
# SPDX-License-Identifier: MIT
# check-sequences sees what is wrong with a sequence, on both processors, and
# a call that has become longer.
# shellcheck disable=SC2016 # what sed and the assembler expand
. tests/tools/common.sh
command -v python3 > /dev/null || exit 77

# The same bug is planted for both at once; one gcc may not be there.
arches=()
for arch in x86_64 aarch64; do
	[ "$(uname -m)" = $arch ] || command -v $arch-linux-gnu-gcc > /dev/null ||
		continue
	arches+=("$arch-gcc")
done
check=(scripts/check-sequences "${arches[@]}")

cp -r Makefile include lib scripts "$tree"
mkdir -p "$tree/tests/tools"
cp -r tests/golden "$tree/tests"
cp tests/tools/sequences.c "$tree/tests/tools"
(cd "$tree" && "${check[@]}" --update > /dev/null)
mkdir "$tree/kept"
(cd "$tree" && cp -r --parents include lib tests/golden kept)

x86=include/cubby/inline/x86_64.h arm=include/cubby/inline/aarch64.h
x86_lib=lib/rseq_x86_64.h arm_lib=lib/rseq_aarch64.h

# MESSAGES FILE SED [FILE SED...]: the files are edited, and each message is found
# for each processor.  Messages are separated by semicolons.
expect_fault() {
	local messages message arch output edited=()
	IFS=';' read -ra messages <<< "$1"
	shift
	while (($#)); do
		sed -i "$2" "$tree/$1"
		if cmp -s "$tree/$1" "$tree/kept/$1"; then
			echo "FAIL: $1 is as before: $2"
			n_faults=$((n_faults + 1))
		fi
		edited+=("$1")
		shift 2
	done
	output=$(cd "$tree" && "${check[@]}" 2>&1) || true
	for arch in "${arches[@]}"; do
		for message in "${messages[@]}"; do
			grep -q "^check-sequences: $arch: .*$message" \
				<<< "$output" && continue
			echo "FAIL: not found for $arch: $message"
			tail -n 30 <<< "$output"
			n_faults=$((n_faults + 1))
		done
	done
	# As new files, so that make sees them, and only those.
	(cd "$tree/kept" && cp --parents "${edited[@]}" ..)
}

expect_clean "${check[@]}"

# What the kernel needs.
expect_fault 'signature 0x.* before the abort' \
	$x86 's/0x53053053/0x53053054/' $arm 's/0xd428bc00/0xd428bc01/'
expect_fault 'version 1, flags 0' \
	$x86 's/".long 0, 0/".long 1, 0/' $arm 's/".long 0, 0/".long 1, 0/'
expect_fault 'start or length is not at an instruction' \
	$x86 's/1f, 2f - 1f, 4f/1f, 2f - 1f - 1, 4f/' \
	$arm 's/1f, 2f - 1f, 4f/1f, 2f - 1f - 1, 4f/'
expect_fault 'the pointer array does not name each' \
	$x86 's/".quad 9b/".quad 9b, 9b/' $arm 's/".quad 9b/".quad 9b, 9b/'
expect_fault 'an abort goes back to' $x86 's/jmp 3b/jmp 1b/' $arm 's/b 3b/b 1b/'
expect_fault 'the abort path does not count' \
	$x86 's/lock incq/incq/' $arm 's/cbnz w16, 8b/nop/'

# What makes it a sequence.
expect_fault 'the gate is not read in the sequence' \
	$x86 's/\(%%fs:(%\[cs_offset\])\)\\n"/\1\\n\\tmovq %[gate], %[cursor]\\n"/
		s/addq %\[gate\], %\[block\]/addq %[cursor], %[block]/' \
	$arm '/"1:\\n/d
		s/"ldr %\[cursor\], %\[gate\]\\n\\t" /&"1:\\n\\t"/' \
	$arm_lib 's/"ldr %\[cursor\], %\[gate\]\\n\\t"/& "1:\\n\\t"/'
expect_fault '2 stores to the block' \
	$x86 's/"subq \$8, %\[cursor\]/"movq %[object], 8(%[block])\\n\\t" &/' \
	$arm 's/"cbz %\[object\]/"str %[object], [%[block], 8]\\n\\t" &/'
expect_fault 'the commit is not the last' \
	$x86 's/"2:\\n\\t"/"testq %[block], %[block]\\n" &/' \
	$arm 's/"2:\\n\\t"/"cmp %[block], 0\\n" &/'
expect_fault 'not an instruction for a sequence: ' \
	$x86 's/"shlq/"syscall\\n\\t" &/' $arm 's/"ldr %\[cursor\], %\[gate/"svc 0\\n\\t" &/'

# What the pseudo-code says: one bug in each sequence.
faults='cubby_alloc: does what no pseudo-code says;there is no pop$'
faults+=';there is no push$;there is no replace;there is no pop_many'
faults+=';: 2 stores to the block;there is no push_many'
expect_fault "$faults" \
	$x86 's/-8(%\[magazines\],%\[cursor\])/-16(%[magazines],%[cursor])/
		s/"testl %k\[cursor\]/"testl %k[object]/' \
	$x86_lib 's/"jae %l\[fail\]/"jb %l[fail]/
		s/"subq %\[magazines\]/"addq %[magazines]/
		s/"movq (%\[objects\].*/& "movq %[object], 8(%[block])\\n\\t"/' \
	$arm 's/"ldr %\[object\], \[%\[magazines\]/"ldr %[object], [%[cs_offset]/
		s/"tst %w\[cursor\]/"tst %w[object]/' \
	$arm_lib 's/b\.hs %l\[fail\]/b.lo %l[fail]/
		s/"sub %\[cursor\], %\[cursor\], %\[mag/"add %[cursor], %[cursor], %[mag/
		s/"ldr %\[object\], \[%\[objects\].*/& "str %[object], [%[block], 8]\\n\\t"/'

# What it costs.
expect_fault 'cubby_free executes .* instructions, was 7; .*--update' \
	tests/golden/instructions 's/^\(.* gcc .* cubby_free \).*/\1 7/'
sed -i '/gcc/d' "$tree/tests/golden/instructions"
expect_clean "${check[@]}"
expect_caught 'skipped: no counts for' bash -c "${check[*]}; false"
expect_clean "${check[@]}" --update
expect_clean cmp {,kept/}tests/golden/instructions
expect_caught '^ARCH-COMPILER' scripts/check-sequences sparc-cc
finish

#!/bin/bash
# SPDX-License-Identifier: MIT
# cubby-symbolize names what is in a report, and leaves the rest as it is.
set -eu

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
O=${O:-build/release}
symbolize=lib/tools/cubby-symbolize

fail() {
	echo "FAIL: $*"
	exit 1
}

mkdir "$scratch/a folder"
program="$scratch/a folder/truck"
cat > "$scratch/truck.c" << 'END'
#include <cubby/cubby.h>

static struct cubby_cache *trucks;

static inline __attribute__((always_inline)) void *
inlined(void)
{
	void *truck = cubby_alloc(trucks);
	__asm__ volatile("" ::: "memory");
	return truck;
}

__attribute__((noinline)) void *
alloc_truck(void)
{
	void *truck = inlined();
	__asm__ volatile("" ::: "memory");
	return truck;
}

int
main(void)
{
	if (cubby_cache_create_sized(&trucks, "truck", 24, 0, 0) != 0)
		return 1;
	alloc_truck();
	return cubby_cache_report_users(trucks, 1) != 1;
}
END
"${CC:-cc}" -g -O2 -Iinclude "$scratch/truck.c" -o "$program" \
	"$O/libcubby.a" -pthread
CUBBY_DEBUG=U "$program" > "$scratch/report"

$symbolize "$scratch/report" > "$scratch/named"
[ "$(cut -f 1 "$scratch/named")" = "$(cat "$scratch/report")" ] ||
	fail "more than names was added"
grep -q "truck+0x[0-9a-f]*	inlined at .*truck.c:8, in alloc_truck at .*truck.c:16" \
	"$scratch/named" || fail "no name of what was inlined"
grep -q "truck+0x[0-9a-f]*	main at .*truck.c:26" "$scratch/named" ||
	fail "no name of main"

# From standard input, and what has no name.
printf 'no address\n/no/such/module+0x10\nhalf /bin/true+0x\n' > "$scratch/plain"
$symbolize < "$scratch/plain" | cmp - "$scratch/plain" ||
	fail "what has no name is not as it was"
[ -z "$($symbolize < /dev/null)" ] || fail "something from nothing"
! $symbolize "$scratch/none" 2> "$scratch/errors" || fail "no file, no error"
grep -q "none: No such file" "$scratch/errors" || fail "the error names no file"
$symbolize --help | grep -q "addr2line" || fail "--help"

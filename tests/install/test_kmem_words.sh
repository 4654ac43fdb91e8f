#!/bin/bash
# SPDX-License-Identifier: MIT
# What cubby/kmem_compat.h does not offer does not compile, and the compiler
# says which word it was; what it offers compiles as a flag.
set -eu

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
header=include/cubby/kmem_compat.h

compiles() { # LANGUAGE EXPRESSION
	printf '#include <cubby/kmem_compat.h>\nunsigned flags(void);\n%s\n' \
		"unsigned flags(void) { return $2; }" > "$scratch/words.c"
	gcc -x "$1" -Iinclude -Wall -Wextra -Werror -fsyntax-only \
		"$scratch/words.c" 2> "$scratch/errors"
}

fail() {
	echo "FAIL: $*"
	head -n 5 "$scratch/errors"
	exit 1
}

refused=$(sed -nE 's/^#define (SLAB_\w+) SLAB_\w+_is_not_offered.*/\1/p' $header)
offered=$(sed -nE 's/^#define ((SLAB|GFP|__GFP)_\w+) [(_G].*/\1/p' $header)

for language in c c++; do
	for word in $refused; do
		! compiles $language "SLAB_PANIC | $word" ||
			fail "$word compiles as $language"
		grep -q "${word}_is_not_offered_by_Cubby" "$scratch/errors" ||
			fail "the error on $word does not say why"
	done
	# shellcheck disable=SC2086 # words
	compiles $language "$(printf '%s | ' $offered) 0" ||
		fail "not all that is offered compiles as $language"
done

# Nobody reaches the end by an empty list.
for word in SLAB_TYPESAFE_BY_RCU SLAB_CACHE_DMA; do
	[[ $refused == *"$word"* ]] || fail "$word is not refused"
done
for word in SLAB_HWCACHE_ALIGN SLAB_NO_MERGE SLAB_POISON GFP_KERNEL __GFP_ZERO; do
	[[ $offered == *"$word"* ]] || fail "$word is not offered"
done
echo "ok: $(wc -w <<< "$refused") refused, $(wc -w <<< "$offered") offered"

#!/bin/bash
# SPDX-License-Identifier: MIT
# The manual pages are sound mdoc, and tell of every word that there is.
set -eu
shopt -s nullglob

n_faults=0
fault() {
	echo "FAIL: $*"
	n_faults=$((n_faults + 1))
}

pages=(docs/man/*.[1-8])
((${#pages[@]} > 0)) || fault "no page"
if command -v mandoc > /dev/null; then
	for page in "${pages[@]}"; do
		mandoc -T lint -W warning "$page" || fault "$page: see above"
	done
else
	echo "mandoc is not installed: the pages are not linted"
fi

# told PAGE WORD...: each word is an item of the page.
told() {
	local page=$1 word n=0
	shift
	for word; do
		n=$((n + 1))
		grep -qE "^\.It Cm $word( |$)" "$page" ||
			fault "$page: nothing on '$word'"
	done
	((n > 5)) || fault "only $n words were looked for"
}
# Rows of tables in the library.
mapfile -t misuses < <(grep -hA 2 'MISUSE_ROW(' lib/*.c |
	sed -nE 's/^(.*, |	)"([a-z]+(-[a-z]+)*)",$/\2/p' | sort -u)
told docs/man/cubby-debug.7 "${misuses[@]}"
grep -q "^double-free$" <<< "$(printf '%s\n' "${misuses[@]}")" ||
	fault "the list of misuses lacks double-free"
n_rows=$(grep -c 'CUBBY_MISUSE_[A-Z_]* = ' include/cubby/error.h)
[ "${#misuses[@]}" = "$n_rows" ] ||
	fault "${#misuses[@]} misuses were found, but there are $n_rows"
mapfile -t words < <(sed -nE 's/^	\{ "([a-z-]+)", .*/\1/p' lib/debug_rules.c)
told docs/man/cubby-debug.7 "${words[@]}"

echo "${#pages[@]} pages, $n_faults faults"
((n_faults == 0))

#!/bin/bash
# SPDX-License-Identifier: MIT
# The manual pages are sound mdoc, and tell of all that there is, as it is: every
# function with the header's prototype, every macro, constant, member of a struct,
# code, option and message.  What their examples do is for test_man_examples.
set -eu
shopt -s nullglob lastpipe # the last of a pipe counts faults here
export LC_ALL=C

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
declared=$scratch/declared
told=$scratch/told

n_faults=0
fault() {
	echo "FAIL: $*"
	n_faults=$((n_faults + 1))
}

# faults TEXT: one for each line of stdin.
faults() {
	local line

	while IFS= read -r line; do
		fault "$1: $line"
	done
}

# at_least N WHAT COUNT: a check that looks at nothing finds nothing.
at_least() {
	(($3 >= $1)) || fault "only $3 $2 were found"
}

pages=(docs/man/*.[1-8])
at_least 19 pages ${#pages[@]}
if command -v mandoc > /dev/null; then
	mandoc -T lint -W warning "${pages[@]}" > "$scratch/lint" || :
	faults "not sound" < "$scratch/lint"
else
	echo "mandoc is not installed: the pages are not linted"
fi
if command -v groff > /dev/null; then
	for page in "${pages[@]}"; do
		groff -mdoc -Tutf8 -ww "$page" 2>&1 > /dev/null |
			faults "groff says"
	done
fi
for tool in lib/tools/cubby-* cubby-run; do
	[ -f "docs/man/${tool##*/}.1" ] || fault "$tool has no page"
done
awk 'length($0) > 100 { print FILENAME ":" FNR }' "${pages[@]}" |
	faults "longer than 100 bytes"

awk -f tests/tools/declared.awk include/cubby/*.h > "$declared"
awk -f tests/tools/told.awk "${pages[@]}" > "$told"
sed -n 's/^fault //p' "$told" | faults "not understood"

# items FILE KIND: what is said of a kind, without the page.
items() {
	case $1 in
	declared) sed -n "s/^$2 //p" "$declared" ;;
	told) sed -n "s/^$2 [^ ]* //p" "$told" ;;
	esac | sort -u
}
# differ FAULT A B: lines of one of two files only.
differ() {
	comm -23 "$2" "$3" | faults "$1: not in a SYNOPSIS, or not so"
	comm -13 "$2" "$3" | faults "$1: not in a header, or not so"
}

# ---------------------- prototypes, types and macros -------------------------
# Macros that stand for functions, and what is not for programs.
not_for_users='^(CUBBY_(API|MUST_USE|BEGIN_DECLS|END_DECLS)$|CUBBY_PRINTF[(])'
stand_for='^(cubby_weak_get|cubby_weak_upgrade|cubby_ref_put|kmem_cache_create)[(]'
for kind in function type macro; do
	items declared $kind | grep -vE "$not_for_users|$stand_for" > "$scratch/a"
	items told $kind > "$scratch/b"
	differ $kind "$scratch/a" "$scratch/b"
done
at_least 90 functions "$(items told function | wc -l)"
sed -nE 's/^	(cubby_[a-z][a-z_0-9]*);$/\1/p' lib/cubby.map lib/rcu/cubby-rcu.map |
	sort > "$scratch/exported"
at_least 75 "exported functions" "$(wc -l < "$scratch/exported")"
items told function | cut -d ' ' -f 1 | sort -u |
	comm -23 "$scratch/exported" - | faults "exported, but in no SYNOPSIS"

# The links of a page are made of its NAME.
{
	sed -nE 's/^function ([^ ]*) ([^ ]*) .*/\1 \2/p' "$told"
	sed -nE 's/^macro ([^ ]*) ([^ (]*)[(].*/\1 \2/p' "$told"
} | sort -u > "$scratch/a"
sed -nE 's/^name ([^ ]*\.3) /\1 /p' "$told" | sort -u |
	awk '$1 != $2 ".3"' > "$scratch/b"
comm -23 "$scratch/a" "$scratch/b" |
	awk '$1 != $2 ".3"' | faults "in the SYNOPSIS, but not in NAME"
comm -13 "$scratch/a" "$scratch/b" | faults "in NAME, but not in the SYNOPSIS"

# .Fn of something that there is not.
{
	items declared function | cut -d ' ' -f 1
	items declared macro | sed 's/[(].*//'
} | sort -u > "$scratch/a"
items told call | grep -E '^(cubby|CUBBY|kmem|KMEM)_' |
	comm -23 - "$scratch/a" | faults "there is no such function"

# --------------------------- constants and members ---------------------------
items declared constant | grep -vE "$not_for_users" > "$scratch/a"
at_least 120 constants "$(wc -l < "$scratch/a")"
items told constant | comm -23 "$scratch/a" - | faults "no page tells of"

# A member on a page that names its struct.
awk '
FILENAME == ARGV[1] && $1 == "struct" { is_on[$3, $2] = 1; pages[$2] = 1 }
FILENAME == ARGV[1] && $1 == "member" { tells[$2, $3] = 1 }
FILENAME == ARGV[2] && $1 == "member" {
	found = 0
	for (page in pages)
		found = found || is_on[$2, page] && tells[page, $3]
	if (!found)
		print "struct " $2 ": " $3
}' "$told" "$declared" | faults "no page tells of"
at_least 120 members "$(items declared member | wc -l)"

# ------------------------------------ codes ----------------------------------
# What the comment on a function says is in the ERRORS of its page.
awk '
FILENAME == ARGV[1] && $1 == "function" { page[$3] = $2 }
FILENAME == ARGV[1] && $1 == "code" { tells[$2, $3] = 1 }
FILENAME == ARGV[2] && $1 == "code" && !tells[page[$2], $3] {
	print page[$2] ": " $3 " of " $2 "()"
}' "$told" "$declared" | faults "not in ERRORS"
at_least 40 "codes of functions" "$(items declared code | wc -l)"
{
	items declared constant | grep -E '^CUBBY_E[A-Z]+$'
	sed -nE 's/^ERROR_ROW\(([A-Z0-9_]+),.*/\1/p' lib/*.c
} | sort -u > "$scratch/a"
at_least 15 codes "$(wc -l < "$scratch/a")"
sed -n 's/^code cubby_error\.3 //p' "$told" | sort -u |
	comm -23 "$scratch/a" - | faults "not in the ERRORS of cubby_error(3)"

# ------------------------------- words and messages --------------------------
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
misuse_rows() {
	grep -hA 2 'MISUSE_ROW(' "$@" |
		sed -nE 's/^(.*, |	)"([a-z]+(-[a-z]+)*)",$/\2/p' | sort -u
}
mapfile -t misuses < <(misuse_rows lib/*.c)
told docs/man/cubby-debug.7 "${misuses[@]}"
mapfile -t misuses < <(misuse_rows lib/*.c lib/preload/*.c)
grep -q '^\.It Cm wrong-size' docs/man/cubby-malloc.7 ||
	fault "cubby-malloc.7 lacks wrong-size"
grep -q "^double-free$" <<< "$(printf '%s\n' "${misuses[@]}")" ||
	fault "the list of misuses lacks double-free"
n_rows=$(grep -c 'CUBBY_MISUSE_[A-Z_]* = ' include/cubby/error.h)
[ "${#misuses[@]}" = "$n_rows" ] ||
	fault "${#misuses[@]} misuses were found, but there are $n_rows"
mapfile -t words < <(sed -nE 's/^	\{ "([a-z-]+)", .*/\1/p' lib/debug_rules.c)
told docs/man/cubby-debug.7 "${words[@]}"

# Options: each name, and each word that it may have.
options() { # PAGE LEAST SOURCE...
	local page=$1 least=$2 name kind choices item

	shift 2
	awk -v RS= '1' "$@" | tr -s '\n\t ' ' ' | grep -oE 'OPTION_ROW\([^;]*;' |
		sed -nE 's/^OPTION_ROW\(([a-z_]+), OPTION_([A-Z]+), (.*)$/\1 \2 \3/p' |
		sed -nE 's/^([^ ]+ [^ ]+) ([^,"]|\([^)]*\))*, (NULL|"([^"]*)"),.*/\1 \4/p' \
			> "$scratch/options"
	[ "$(wc -l < "$scratch/options")" = "$(cat "$@" |
		grep -c '^OPTION_ROW(')" ] || fault "rows of options: $*"
	while read -r name kind choices; do
		case $kind in
		FLAG) item="Cm $name" ;;
		NUMBER) item="Cm $name Ns = Ns Ar (size|n)" ;;
		TEXT) item="Cm $name Ns = Ns Ar words" ;;
		WORD) item="Cm $name Ns = Ns Cm ${choices//|/ \\| }" ;;
		esac
		grep -qE "^\.It $item$" "$page" ||
			fault "$page lacks '.It $item'"
	done < "$scratch/options"
	at_least "$least" options "$(wc -l < "$scratch/options")"
}
options docs/man/cubby.7 8 lib/*.c
options docs/man/cubby-malloc.7 8 lib/preload/*.c

version=$(awk '/define CUBBY_VERSION_(MAJOR|MINOR|PATCH) / \
	{ v = v dot $3; dot = "." } END { print v }' include/cubby/base.h)
grep -qF "The version is $version." docs/man/cubby.7 ||
	fault "cubby.7 does not say version $version"
grep -qF "libcubby.so.${version%%.*} " docs/man/cubby.7 ||
	fault "cubby.7 does not say libcubby.so.${version%%.*}"

# Every message, in its words.  Those of stats.c are returned, not printed.
messages() { # PAGE LEAST SOURCE...
	local page=$1 least=$2 piece

	shift 2
	mandoc -T ascii "$page" | sed 's/.\x08//g' |
		tr -s ' \t\n' ' ' | sed 's/- /-/g' > "$scratch/page"
	printf '%s\n' "$@" | grep -vx lib/stats.c |
		xargs awk -f tests/tools/printed.awk |
		sort -u > "$scratch/printed"
	at_least "$least" "pieces of messages" "$(wc -l < "$scratch/printed")"
	while IFS= read -r piece; do
		grep -qF -- "$piece" "$scratch/page" ||
			fault "$page lacks the message '$piece'"
	done < "$scratch/printed"
}
if command -v mandoc > /dev/null; then
	messages docs/man/cubby-debug.7 60 lib/*.c include/cubby/kmem_compat.h
	messages docs/man/cubby-malloc.7 5 lib/preload/*.c
fi

# --------------------------------- references --------------------------------
{
	for page in "${pages[@]}"; do
		file=${page##*/}
		echo "${file%.*} ${file##*.}"
	done
	scripts/man-links "${pages[@]}" |
		sed -E 's|^man./(.*)\.(.)=.*|\1 \2|'
} | sort > "$scratch/names"
uniq -d "$scratch/names" | faults "two pages have the name"
items told reference | grep -iE '^(cubby|kmem_cache)' |
	sed -E 's/ ([1-8]).*/ \1/' | sort -u |
	comm -23 - "$scratch/names" | faults "a reference to no page"
for page in "${pages[@]}"; do
	file=${page##*/}
	[ "$file" = cubby.7 ] ||
		grep -q "^reference cubby\.7 ${file%.*} ${file##*.}" "$told" ||
		fault "cubby.7 does not name $file"
done

echo "${#pages[@]} pages, $(wc -l < "$told") items, $n_faults faults"
((n_faults == 0))

#!/bin/bash
# SPDX-License-Identifier: MIT
# What README.md, docs/rcu.md and docs/debugging.md show is what happens.  A comment
# before a block of code says what to do with it:
#
#   <!-- run: c -->           compile against the installed tree and run
#   <!-- run: c PACKAGE -->   the same with this package of pkg-config besides, or
#                             skip it where that is not installed
#   <!-- run: sh -->          run in a copy of the tree, made for this test
#   <!-- output -->           exactly what the block before it has printed
#   <!-- not run: reason -->  for the eye only
#
# A block of C without one of these is an error.
set -eu
unset O VARIANT CFLAGS CPPFLAGS LDFLAGS MAKEFLAGS CUBBY_OPTIONS CUBBY_TOTALS

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

pages=(README.md)
for page in docs/rcu.md docs/debugging.md; do
	[ ! -f "$page" ] || pages+=("$page")
done

# Cut into $scratch/NN.block, and a line "NN LANGUAGE PAGE:LINE MARKER" for each.
awk -v scratch="$scratch" '
FNR == 1 { marker = "" }
in_block && /^```/ { in_block = 0; marker = ""; close(file); next }
in_block { print > file; next }
/^```/ {
	in_block = 1
	language = substr($0, 4)
	sub(/ .*/, "", language)
	file = sprintf("%s/%02d.block", scratch, ++n)
	printf "" > file
	print n, language == "" ? "-" : language, FILENAME ":" FNR, marker
	next
}
/^<!-- .* -->$/ { marker = substr($0, 6, length($0) - 9); next }
/[^ \t]/ { marker = "" }
END {
	if (in_block) {
		print "a block has no end" > "/dev/stderr"
		exit 1
	}
}' "${pages[@]}" > "$scratch/list"

tree=$scratch/tree
mkdir "$tree"
tar -cf - --exclude=./build --exclude=./.git . | tar -xf - -C "$tree"

n_run=0
n_faults=0
output="" # of the last block; "skipped", if it was

fail() { # PAGE:LINE MESSAGE
	echo "FAIL $1: $2"
	n_faults=$((n_faults + 1))
}

run_c() { # FILE PAGE:LINE [PACKAGE]
	local libdir=$scratch/stage/usr/lib

	if [ -n "${3:-}" ] && ! pkg-config --exists "$3"; then
		echo "skipped $2: there is no $3"
		output=skipped
		return
	fi
	[ -d "$libdir" ] ||
		make -s -j2 -C "$tree" install DESTDIR="$scratch/stage" prefix=/usr
	# shellcheck disable=SC2046 # flags
	if ! gcc -std=gnu11 -Wall -Wextra -x c "$1" -x none -o "${1%.block}" \
		-Wl,-rpath,"$libdir" \
		$(PKG_CONFIG_PATH=$libdir/pkgconfig \
			PKG_CONFIG_SYSROOT_DIR=$scratch/stage \
			pkg-config --cflags --libs cubby) \
		$([ -z "${3:-}" ] || pkg-config --cflags --libs "$3"); then
		fail "$2" "does not build"
	elif ! "${1%.block}" > "${1%.block}.out"; then
		fail "$2" "exit status $?"
	fi
}

run_sh() { # FILE PAGE:LINE
	(cd "$tree" && bash -ex "$1" > "${1%.block}.out" < /dev/null) ||
		fail "$2" "exit status $?"
}

while read -r number language line marker; do
	block=$(printf '%s/%02d.block' "$scratch" "$number")
	case $marker in
	"run: c" | "run: c "* | "run: sh")
		read -r _ runs_as package <<< "$marker"
		[ "$language" = "$runs_as" ] ||
			fail "$line" "marked '$marker', but it is '$language'"
		n_run=$((n_run + 1))
		output=${block%.block}.out
		"run_$runs_as" "$block" "$line" "$package"
		;;
	output)
		if [ -z "$output" ]; then
			fail "$line" "output of nothing that was run"
		elif [ "$output" = skipped ]; then
			:
		elif ! diff "$block" "$output"; then
			fail "$line" "not what was printed"
		fi
		output=""
		;;
	"not run: "?*) output="" ;;
	*)
		[ "$language" != c ] || fail "$line" "C without a marker"
		output=""
		;;
	esac
done < "$scratch/list"

((n_run > 0)) || fail README.md:1 "no block is marked 'run: c' or 'run: sh'"
echo "$n_run blocks run, $n_faults faults"
((n_faults == 0))

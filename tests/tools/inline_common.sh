# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# For the tests of the inline header: compile, run, and count faults.
# To be sourced in the root of the tree.

O=$(realpath "${O:-build/release}")
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT

# shellcheck disable=SC2034 # for the scripts that source this
machine=$(uname -m)
n_faults=0
n_checks=0

fault() {
	echo "FAIL: $*"
	n_faults=$((n_faults + 1))
}

compilers=
for compiler in ${COMPILERS:-gcc clang}; do
	command -v "$compiler" > /dev/null && compilers+=" $compiler"
done

# What users compile with, and get no warning.
warnings="-Wall -Wextra -Wpedantic -Wshadow -Wconversion -Wundef -Werror"

# Compile and link: build COMPILER c|c++ OUTPUT LIBRARY ARGUMENT...
# LIBRARY: shared, static, none, or an archive's name.
build() {
	local compiler=$1 language=$2 output=$3 library=$4
	local -a link=()
	shift 4
	case $library in
	shared) link=(-L"$O" -lcubby "-Wl,-rpath,$O") ;;
	static) link=("$O/libcubby.a") ;;
	none) ;;
	*) link=("$library") ;;
	esac
	case $language:$compiler in
	c:*) set -- -std=gnu11 -D_GNU_SOURCE= "$@" ;;
	c++:gcc*) compiler=g++${compiler#gcc} ;;
	c++:clang*) compiler=clang++${compiler#clang} ;;
	esac
	# shellcheck disable=SC2086 # warnings are words
	"$compiler" -pthread $warnings -x "$language" "$@" -Iinclude -x none \
		-o "$output" "${link[@]}" > "$tree/log" 2>&1 && return
	head -n 20 "$tree/log"
	return 1
}

# The program ends well, and if LINE is not empty one of its lines matches.
expect_run() { # HOW LINE PROGRAM ARGUMENT...
	local how=$1 line=$2 output status=0
	shift 2
	n_checks=$((n_checks + 1))
	output=$("$@" 2>&1) || status=$?
	((status == 0)) || fault "$how: exit $status: $output"
	[ -z "$line" ] || grep -qxE -e "$line" <<< "$output" ||
		fault "$how: no line $line in: $output"
}

gcc -Iinclude -D_GNU_SOURCE= -O1 -o "$tree/table" \
	tests/tools/inline_table.c || exit 1

# The table of sequences is right, and not empty.
check_table() { # HOW FILE
	local n
	n=$("$tree/table" "$2" 2>&1) || fault "$1: table: $n"
	[ "$n" != 0 ] || fault "$1: no inline sequence"
}

# What inline_run computes, whatever it was compiled with.
# shellcheck disable=SC2034 # for the scripts that source this
sum="sum bbf4ae9318a63600 live 0"

finish() {
	echo "$n_checks runs, $n_faults faults"
	((n_faults == 0 && n_checks > 0))
}

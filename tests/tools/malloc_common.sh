# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# For the tests of libcubby-malloc.so: compiles programs and runs them with it
# preloaded.  To be sourced in the root of the tree.
#
#   MALLOC_LIBRARY  another library to preload instead, to see whether a test
#                   asks for what others give; empty: the malloc of libc
set -eu
ulimit -Sc 0

O=$(realpath -m "${O:-build/release}")
here=tests/tools
library=${MALLOC_LIBRARY-$O/libcubby-malloc.so}
words='' # of CUBBY_MALLOC, for the next programs
in_front='' # another library, preloaded before
HANG_S=${HANG_S:-20}
# shellcheck disable=SC2034 # for the scripts that source this
scale=${CUBBY_TEST_SCALE:-100}

if [ -n "$library" ] && [ ! -e "$library" ]; then
	echo "skipped: $library is not there"
	exit 77
fi
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

n_faults=0
fault() {
	echo "FAIL: $*"
	n_faults=$((n_faults + 1))
}

finish() {
	echo "$n_faults faults"
	((n_faults == 0))
}

is_cubby() { [[ ${library##*/} = libcubby-malloc.* ]]; }

# What only Cubby's malloc promises is not asked of others.
only_cubby() {
	is_cubby && return
	echo "skipped: $1 is about libcubby-malloc.so"
	exit 77
}

flags=(-D_GNU_SOURCE -O1 -g -fno-builtin -Wall -Wextra -Werror -pthread)

# compile SOURCE OUTPUT [FLAG...]: -fno-builtin, so that no call is left out
compile() {
	local source=$1 output=$2
	shift 2
	"${CC:-gcc}" -std=gnu11 "${flags[@]}" "$here/$source.c" \
		-o "$scratch/$output" "$@"
}

compile_cxx() {
	local source=$1 output=$2
	shift 2
	"${CXX:-g++}" -std=c++17 "${flags[@]}" "$here/$source.cc" \
		-o "$scratch/$output" "$@"
}

# under PROGRAM [ARGUMENT...]: with the library preloaded; what hangs is killed
under() {
	timeout -k 1 "$HANG_S" env \
		LD_PRELOAD="${in_front:+$in_front:}$library" \
		CUBBY_MALLOC="${CUBBY_MALLOC:+$CUBBY_MALLOC,}$words" "$@"
}

# run PROGRAM [ARGUMENT...]: under(), to $status, $scratch/out, $scratch/err
run() {
	local program=$scratch/$1
	shift
	status=0
	under "$program" "$@" > "$scratch/out" 2> "$scratch/err" || status=$?
}

# complain WHAT: a fault, with what the last program wrote
complain() {
	fault "$* (exit $status${words:+, CUBBY_MALLOC=$words})"
	tail -n 5 "$scratch/out" "$scratch/err"
}

# passes PROGRAM [ARGUMENT...]: it ends with 0
passes() {
	run "$@"
	((status == 0)) || complain "$*"
}

# in_fronts PROGRAM [ARGUMENT...]: passes(), in each front end there is
in_fronts() {
	local front before=$words
	if ! is_cubby; then
		passes "$@"
		return
	fi
	for front in cpu thread; do
		words=front=$front${before:+,$before}
		passes "$@"
	done
	words=$before
}

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Valgrind's tools put their own malloc in the place of a preloaded one, and
# nothing is amiss; and those that can be told not to run ours.
# shellcheck source=tests/tools/malloc_common.sh
source tests/tools/malloc_common.sh

if ! command -v valgrind > /dev/null; then
	echo "skipped: valgrind is not installed"
	exit 77
fi
compile malloc_model model
n=$((2000 * scale / 100))
OURS=--soname-synonyms=somalloc=nouserintercepts


# watch TOOL N_THREADS [OPTION...]: the program's result; its mistakes and ours
# are none.
watch() {
	local tool=$1 n_threads=$2
	shift 2
	status=0
	under valgrind --tool="$tool" "$@" --log-file="$scratch/out" \
		"$scratch/model" 5 $n "$n_threads" 2> "$scratch/err" ||
		status=$?
	((status == 0)) || complain "$tool $*"
	[ ! -s "$scratch/err" ] || complain "$tool $*: something is said"
	! grep -q "ERROR SUMMARY: [1-9]" "$scratch/out" ||
		complain "$tool $*: errors"
}

massif=--massif-out-file=$scratch/massif
watch memcheck 2
watch massif 2 "$massif"
watch dhat 2 --dhat-out-file="$scratch/dhat"
# These do not know that an atomic exchange passes a block on.
watch helgrind 1
watch drd 1
for front in cpu thread; do
	words=front=$front
	watch memcheck 2 "$OURS"
	watch massif 2 "$massif" "$OURS"
done
finish

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Programs that end while objects wait for a grace period: they end, in time, and
# run no destructor too late; caches may be destroyed by exit handlers and by
# the destructors of C++'s static objects.  With the static and the shared
# library, in each flavour.
set -eu

O=$(realpath "${O:-build/release}")
programs=$(mktemp -d)
trap 'rm -rf "$programs"' EXIT

N_TIMES=3
END_S=10 # a dtor that is stuck is waited for, for a second

if ! echo '#include <urcu/urcu-memb.h>' |
	"${CC:-cc}" -E -o /dev/null - 2> /dev/null; then
	echo "skipped: liburcu-dev is not installed"
	exit 77
fi

flags=(-D_GNU_SOURCE -O1 -g -Wall -Werror -Iinclude -pthread)
# shellcheck disable=SC2034 # by name, below
static=("$O/libcubby.a")
# shellcheck disable=SC2034
shared=("$O/libcubby.so" "-Wl,-rpath,$O")
urcu=(-lurcu-memb -lurcu-mb -lurcu-qsbr -lurcu-bp -lurcu-common)
for kind in static shared; do
	declare -n library=$kind
	"${CC:-cc}" -std=gnu11 "${flags[@]}" -o "$programs/exit_$kind" \
		tests/tools/rcu_exit.c "${library[@]}" "${urcu[@]}"
	"${CXX:-c++}" -std=c++11 "${flags[@]}" -o "$programs/cxx_$kind" \
		tests/tools/rcu_exit_static.cc "${library[@]}" -lurcu-memb
done

n_faults=0
run() {
	local status=0
	timeout "$END_S" "$@" 2> "$programs/err" || status=$?
	((status == 0)) && return
	echo "FAIL: exit $status of $(basename "$1") ${*:2}: $(cat "$programs/err")"
	n_faults=$((n_faults + 1))
}

for kind in static shared; do
	for flavor in memb mb qsbr bp; do
		for case in beside_dtor beside_stalled_reader from_dtor \
			destroy_in_early_handler destroy_in_late_handler; do
			for ((i = 0; i < N_TIMES; i++)); do
				run "$programs/exit_$kind" $flavor $case
			done
		done
	done
	run "$programs/exit_$kind" memb beside_stuck_dtor
	run "$programs/exit_$kind" bp destroy_slowly
	run "$programs/cxx_$kind"
done
echo "$n_faults faults"
((n_faults == 0))

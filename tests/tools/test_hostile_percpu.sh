#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The front end in surroundings that only a process of its own can have: each
# run says which it got and why, after threads have used it for a while.
# What this machine cannot give is left out, and said.
set -eu
O=${O:-build/release}
unset CUBBY_OPTIONS GLIBC_TUNABLES
programs=$(mktemp -d)
cpuset=
clean_up() {
	[ -z "$cpuset" ] || rmdir "$cpuset" || true
	rm -rf "$programs"
}
trap clean_up EXIT

# Compile tests/tools/SOURCE.c: compile SOURCE OUTPUT ARGUMENT...
compile() {
	local source=$1 output=$2
	shift 2
	"${CC:-cc}" -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Werror -Iinclude \
		-pthread "tests/tools/$source.c" -o "$programs/$output" "$@"
}

n_faults=0 n_runs=0 left_out=
# The program's words match, whole: expect REGEX COMMAND...
expect() {
	local regex=$1 output status=0
	shift
	output=$("$@" 2>&1) || status=$?
	n_runs=$((n_runs + 1))
	[ $status = 0 ] && [[ $output =~ ^($regex)$ ]] && return
	echo "FAIL: $*: exit $status, not '$regex' but '$output'"
	n_faults=$((n_faults + 1))
}
leave_out() { left_out+="; left out: $*"; }

compile hostile_mode mode_shared "$O/libcubby.so" \
	"-Wl,-rpath,$(realpath "$O")"
compile hostile_mode mode "$O/libcubby.a"
compile hostile_mode mode_static -static "$O/libcubby.a"
compile hostile_refuse refuse
modes=("$programs/mode" "$programs/mode_shared" "$programs/mode_static")

usual=$("${modes[0]}" 1)
case $usual in
"cpu best") any="cpu best" ;;
*) any=$usual leave_out "all that is per CPU ($usual)" ;;
esac
per_cpu=$([ "$any" != "cpu best" ] || echo 1)

# When the program starts: the C library, an option, the kernel.
for mode in "${modes[@]}"; do
	expect "$any" "$mode"
	CUBBY_OPTIONS=front=thread expect "thread option" "$mode"
	CUBBY_OPTIONS=front=none expect "none option" "$mode" 10
	[ -n "$per_cpu" ] || continue
	CUBBY_OPTIONS=front=cpu expect "cpu option" "$mode"
	CUBBY_OPTIONS=front=mmcid expect "cpu option|thread no-mm-cid" "$mode"
	GLIBC_TUNABLES=glibc.pthread.rseq=0 expect "thread no-rseq" "$mode"
	if "$programs/refuse" rseq true; then
		expect "thread (no-rseq|not-registered)" \
			"$programs/refuse" rseq "$mode"
		expect "thread no-membarrier" \
			"$programs/refuse" membarrier "$mode"
	else
		leave_out "seccomp for ${mode##*/}"
	fi
done

# One CPU, whichever.
for cpu in $(taskset -cp $$ | sed 's/.*: //; s/[,-]/ /g'); do
	expect "$any" taskset -c "$cpu" "${modes[0]}"
done
for base in /sys/fs/cgroup/cpuset /sys/fs/cgroup; do
	if [ -n "$cpuset" ] || [ ! -w "$base/cpuset.cpus" ]; then
		continue
	fi
	mkdir "$base/cubby_test.$$" 2> /dev/null || continue
	cpuset=$base/cubby_test.$$
	sed 's/[,-].*//' "$base/cpuset.cpus" > "$cpuset/cpuset.cpus" || true
	cat "$base/cpuset.mems" > "$cpuset/cpuset.mems" || true
done
# shellcheck disable=SC2016 # for the inner shell
if [ -n "$cpuset" ] && sh -c 'echo $$ > "$0"' "$cpuset/cgroup.procs" \
	2> /dev/null; then
	expect "$any" sh -c 'echo $$ > "$1" && exec "$0"' \
		"${modes[0]}" "$cpuset/cgroup.procs"
else
	leave_out "cgroup"
fi

# Without /sys nobody knows how many CPUs there may be: as many as a kernel
# can have, or, where their stripes do not fit, none.
mkdir "$programs/bare"
cp "$programs/mode_static" "$programs/bare/mode"
root=(chroot "$programs/bare")
[ "$(id -u)" = 0 ] || root=(unshare -r "${root[@]}")
if ! "${root[@]}" /mode 1 > /dev/null 2>&1; then
	leave_out "chroot"
elif [ -n "$per_cpu" ]; then
	expect "cpu best" "${root[@]}" /mode
	CUBBY_OPTIONS=budget=16G expect "thread cpus" "${root[@]}" /mode
	CUBBY_OPTIONS=budget=16G,front=cpu expect "thread cpus" \
		"${root[@]}" /mode
	CUBBY_OPTIONS=budget=16G expect "cpu best" "${modes[2]}"
	# And a list that knows one CPU only, where others are used.
	mkdir -p "$programs/bare/sys/devices/system/cpu"
	echo 0 > "$programs/bare/sys/devices/system/cpu/possible"
	expect "cpu best" "${root[@]}" /mode
fi

# Emulators, which know no restartable sequences.
no_rseq="thread (c-library|no-rseq|not-registered|no-membarrier)"
if command -v valgrind > /dev/null; then
	expect "$no_rseq" env CUBBY_OPTIONS=annotate=off valgrind -q "${modes[0]}" 2
else
	leave_out "valgrind"
fi
if command -v qemu-x86_64 > /dev/null && [ "$(uname -m)" = x86_64 ]; then
	CUBBY_OPTIONS=budget=64G expect "$no_rseq" \
		qemu-x86_64 "${modes[2]}" 10
else
	leave_out "qemu-user"
fi

echo "$n_faults faults in $n_runs runs$left_out"
((n_faults == 0))

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# A plugin with inline code stays mapped after dlclose(), so that threads which
# ran it can be preempted; without the header's constructor it does not.
set -u
. tests/tools/inline_common.sh

here=tests/tools
n_tries=5
ulimit -Sc 0

# host NAME FLAG...: who loads the plugin
host() {
	build gcc c "$tree/$1" "${@:2}" -O1 $here/inline_host.c ||
		fault "$1: does not compile"
}
host plain shared
host inline shared -DCUBBY_INLINE
host bare none -DPLUGIN_ONLY # has no library before the plugin brings it

for compiler in $compilers; do
	plugin=$tree/$compiler.so
	build "$compiler" c "$plugin" shared -DCUBBY_INLINE -O2 -fPIC -shared \
		$here/inline_plugin.c || fault "$compiler: no plugin"
	check_table "$plugin" "$plugin"
	for host in plain inline bare; do
		expect_run "$host, $compiler" mapped "$tree/$host" "$plugin"
	done

	# With a static library of its own.
	build "$compiler" c "$tree/own.so" static -DCUBBY_INLINE -O2 -fPIC \
		-shared $here/inline_plugin.c -Wl,--exclude-libs,ALL ||
		fault "$compiler: no plugin with a library"
	expect_run "own library, $compiler" mapped "$tree/bare" "$tree/own.so"

	# One that nobody holds goes; a thread that it has sequences of dies.
	build "$compiler" c "$tree/loose.so" shared -DCUBBY_INLINE \
		-DWITHOUT_PIN -O2 -fPIC -shared $here/inline_plugin.c ||
		fault "$compiler: no plugin without a pin"
	build "$compiler" c "$tree/calls.so" shared -O2 -fPIC -shared \
		$here/inline_plugin.c || fault "$compiler: no plugin that calls"
	expect_run "calls only, $compiler" gone "$tree/bare" "$tree/calls.so"
	n_crashes=0
	for ((i = 0; i < n_tries; i++)); do
		output=$("$tree/bare" "$tree/loose.so" 2>&1)
		status=$?
		n_checks=$((n_checks + 1))
		if ((status == 139)); then
			n_crashes=$((n_crashes + 1))
		elif [ "$status $output" != "0 gone" ]; then
			fault "without a pin, $compiler: exit $status: $output"
		fi
	done
	echo "$compiler: without a pin $n_crashes of $n_tries crash"
done
finish

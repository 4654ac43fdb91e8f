# SPDX-License-Identifier: MIT
# shellcheck shell=bash
#
# For the tests of bugs that are compiled in: a folder for each, in which only
# what knows of bugs (lib/plant.h) is compiled.  The rest is that of $O.

# build_planted FOLDER TARGET FLAGS: a program below FOLDER; what make says goes to
# the caller's $log.
# shellcheck disable=SC2154
build_planted() {
	local folder=$1 target=$2 flags=$3 part list
	rm -rf "$folder"
	for part in lib tests/support tests/stress; do
		mkdir -p "$folder/$part"
		# Where nothing is listed there is nothing to be had.
		list=$(grep -L '[ /]lib/plant\.h' "$O/$part"/*.o.d) || continue
		for list in $list; do
			cp "${list%.d}" "$folder/$part"
		done
	done
	# The commands first, so that they are older than what was compiled.
	make -s O="$folder" CPPFLAGS="$flags" "$folder/flags" > "$log" 2>&1
	touch "$folder"/lib/*.o "$folder"/tests/*/*.o
	make -s -j2 O="$folder" CPPFLAGS="$flags" "$folder/$target" >> "$log" 2>&1
}

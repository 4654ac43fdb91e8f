#!/bin/bash
# SPDX-License-Identifier: MIT
#
# malloc and its family, and the operators of C++, do as the manual pages of
# glibc say; the same programs run over the malloc of glibc itself.
# shellcheck source=tests/tools/malloc_common.sh
source tests/tools/malloc_common.sh

compile malloc_conformance conformance
compile malloc_conformance_info info
compile malloc_dlopen dlopen
compile_cxx malloc_conformance_cxx cxx
compile_cxx malloc_conformance_cxx cxx.so -DPLUGIN -shared -fPIC

xml_holds() { # FILE
	grep -q '<malloc ' "$1" || return 1
	! command -v python3 > /dev/null ||
		python3 -c 'import sys, xml.dom.minidom
xml.dom.minidom.parse(sys.argv[1])' "$1"
}

all() {
	in_fronts conformance
	in_fronts cxx
	in_fronts dlopen "$scratch/cxx.so" cxx_checks
	if is_cubby || [ -z "$library" ]; then
		in_fronts info "$scratch/info.xml"
		xml_holds "$scratch/info.xml" ||
			fault "malloc_info is no XML: $(cat "$scratch/info.xml")"
	fi
}

# What it takes over is what its map says, and nothing else.
if is_cubby; then
	sed -n '/^global:/,/^local:/p' lib/preload/cubby-malloc.map |
		tr ';\t ' '\n' | grep -E '^[a-z_][A-Za-z0-9_]+$' | sort > "$scratch/map"
	nm -D --defined-only "$library" | awk '{ print $3 }' | sort \
		> "$scratch/exported"
	[ "$(wc -l < "$scratch/map")" -ge 54 ] ||
		fault "only $(wc -l < "$scratch/map") names are in the map"
	diff "$scratch/map" "$scratch/exported" ||
		fault "not exported, or not in the map"
fi

all
if is_cubby; then # the same expectations of glibc
	library=''
	all
fi
finish

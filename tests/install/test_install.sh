#!/bin/bash
# SPDX-License-Identifier: MIT
# `make install` puts a complete library where it was told to, pkg-config
# finds it there, C and C++ programs build and run from that tree alone, shared
# and static, and `make uninstall` leaves nothing behind.  libcubby needs no
# liburcu; libcubby-rcu does, and is there where liburcu is.
set -eu
unset O VARIANT CFLAGS CPPFLAGS LDFLAGS MAKEFLAGS V

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
stage=$scratch/stage
prefix=/usr
libdir=$prefix/lib/anywhere
lib=$stage$libdir

fail() {
	echo "FAIL: $*"
	exit 1
}

in_stage() { # make install or uninstall
	make -s -j2 O="$scratch/build" DESTDIR="$stage" prefix=$prefix \
		libdir=$libdir "$@"
}
in_stage install

version=$(awk '/define CUBBY_VERSION_(MAJOR|MINOR|PATCH) / \
	{ v = v dot $3; dot = "." } END { print v }' include/cubby/base.h)
soname=libcubby.so.${version%%.*}
rcu_soname=libcubby-rcu.so.${version%%.*}
has_rcu=no
[ ! -f "$lib/libcubby-rcu.so" ] || has_rcu=yes
! pkg-config --exists liburcu-bp || [ $has_rcu = yes ] ||
	fail "there is liburcu-bp, but no libcubby-rcu"

# Exactly these files.
{
	(cd include && find cubby -name '*.h' ! -name rcu.h) |
		sed "s|^|$prefix/include/|"
	echo "$prefix/bin/cubby-massif"
	echo "$prefix/bin/cubby-run"
	echo "$prefix/bin/cubby-symbolize"
	for file in lib/tools/massif/*.awk; do
		echo "$prefix/share/cubby/${file#lib/tools/}"
	done
	for page in docs/man/*.[1-8]; do
		echo "$prefix/share/man/man${page##*.}/${page##*/}"
	done
	scripts/man-links docs/man/*.[1-8] |
		sed "s|^|$prefix/share/man/|; s|=.*||"
	echo "$prefix/share/cubby/memcheck.supp"
	echo "$prefix/share/cubby/rcu.supp"
	echo "$prefix/share/cubby/valgrind.supp"
	for file in libcubby.a libcubby.so "$soname" "libcubby.so.$version" \
		pkgconfig/cubby.pc cmake/cubby/cubby-config.cmake \
		cmake/cubby/cubby-config-version.cmake; do
		echo "$libdir/$file"
	done
	for link in '' ".${version%%.*}" ".$version"; do
		echo "$libdir/libcubby-malloc.so$link"
	done
	if [ $has_rcu = yes ]; then
		echo "$prefix/include/cubby/rcu.h"
		for file in libcubby-rcu.a libcubby-rcu.so "$rcu_soname" \
			"libcubby-rcu.so.$version" pkgconfig/cubby-rcu.pc; do
			echo "$libdir/$file"
		done
	fi
} | sort > "$scratch/wanted"
(cd "$stage" && find . ! -type d | sed 's|^\.||' | sort) > "$scratch/found"
diff "$scratch/wanted" "$scratch/found" || fail "installed files differ"
[ "$(readlink "$lib/libcubby.so")" = "$soname" ] || fail "libcubby.so"
[ "$(readlink "$lib/$soname")" = "libcubby.so.$version" ] || fail "$soname"
readelf -d "$lib/libcubby.so" | grep -q "SONAME.*\[$soname\]" ||
	fail "the soname is not $soname"
! readelf -d "$lib/libcubby.so" | grep 'NEEDED.*urcu' ||
	fail "libcubby.so needs liburcu"
man=$stage$prefix/share/man
[ "$(readlink "$man/man3/cubby_free.3")" = cubby_alloc.3 ] ||
	fail "man 3 cubby_free is not cubby_alloc.3"
[ -z "$(find "$man" -xtype l)" ] || fail "links of pages lead nowhere"
for name in cubby cubby-debug cubby_free kmem_cache_alloc; do
	! command -v man > /dev/null ||
		MANPATH=$man man "$name" 2> /dev/null | grep -q "^NAME" ||
		fail "man does not find $name"
done
if grep -rlaF "$PWD" "$stage"; then
	fail "these files name the folder that they were built in"
fi

# --define-prefix, which some builds have on, takes LIBDIR for PREFIX/lib.
export PKG_CONFIG_PATH=$lib/pkgconfig PKG_CONFIG_SYSROOT_DIR=$stage
pc() {
	pkg-config --dont-define-prefix "$@" cubby
}
[ "$(pc --modversion)" = "$version" ] || fail "version in cubby.pc"
pc --validate

want="truck TRK-1001 40.7128 -74.0060"
define="-DCONSUMER_VERSION=\"$version\""
warnings="-Wall -Wextra -Wpedantic -Werror"
cp tests/install/consumer.c tests/install/consumer.cc \
	tests/install/kmem.c tests/install/kmem.cc tests/install/rcu.c \
	"$scratch"

build_and_run() { # NAME COMMAND...
	local name=$1 got
	shift
	# Outside of our tree, so that nothing of it can be found.
	(cd "$scratch" && "$@" -o "$name") || fail "$name does not build: $*"
	got=$(LD_LIBRARY_PATH=$lib "$scratch/$name") ||
		fail "$name: exit status $?: $got"
	[ "$got" = "$want" ] || fail "$name printed: $got"
	echo "ok: $name"
}

# shellcheck disable=SC2046,SC2086 # flags are words
{
	build_and_run c-shared gcc -std=c11 $warnings "$define" consumer.c \
		$(pc --cflags --libs)
	build_and_run cxx-shared g++ -std=c++11 $warnings consumer.cc \
		$(pc --cflags --libs)
	build_and_run kmem-c gcc -std=c11 $warnings kmem.c $(pc --cflags --libs)
	build_and_run kmem-cxx g++ -std=c++11 $warnings kmem.cc \
		$(pc --cflags --libs)
	build_and_run c-static gcc -std=c11 $warnings "$define" consumer.c \
		$(pc --cflags) -static $(pc --static --libs)
	build_and_run cxx-static g++ -std=c++11 $warnings consumer.cc \
		$(pc --cflags) -static $(pc --static --libs)
}
readelf -d "$scratch/c-shared" | grep -q "NEEDED.*\[$soname\]" ||
	fail "c-shared does not need $soname"
! readelf -d "$scratch/c-static" | grep -q NEEDED ||
	fail "c-static needs a shared library"

if [ $has_rcu = yes ]; then
	[ "$(readlink "$lib/libcubby-rcu.so")" = "$rcu_soname" ] ||
		fail "libcubby-rcu.so"
	needs=$(readelf -d "$lib/libcubby-rcu.so")
	grep -q "SONAME.*\[$rcu_soname\]" <<< "$needs" ||
		fail "the soname is not $rcu_soname"
	grep -q 'NEEDED.*\[liburcu-bp\.so' <<< "$needs" ||
		fail "libcubby-rcu.so does not need liburcu-bp"
	rcu_pc() {
		pkg-config --dont-define-prefix "$@" cubby-rcu
	}
	[ "$(rcu_pc --modversion)" = "$version" ] ||
		fail "version in cubby-rcu.pc"
	# shellcheck disable=SC2046,SC2086 # flags are words
	{
		build_and_run rcu-shared gcc -std=c11 $warnings rcu.c \
			$(rcu_pc --cflags --libs)
		build_and_run rcu-cxx g++ -std=c++11 $warnings -x c++ rcu.c \
			-x none $(rcu_pc --cflags --libs)
		build_and_run rcu-static gcc -std=c11 $warnings rcu.c \
			$(rcu_pc --cflags) -static $(rcu_pc --static --libs)
	}
	readelf -d "$scratch/rcu-shared" | grep -q "NEEDED.*\[$rcu_soname\]" ||
		fail "rcu-shared does not need $rcu_soname"
fi

in_stage uninstall
[ -z "$(find "$stage" ! -type d)" ] || fail "uninstall left files"
[ ! -d "$stage$prefix/include/cubby" ] || fail "uninstall left a folder"

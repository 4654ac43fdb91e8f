#!/bin/bash
# SPDX-License-Identifier: MIT
# find_package(cubby) finds the installed tree, also after it was moved, answers
# only versions and components that suit, and its targets build programs that run;
# one of a debug library has programs checked.
set -eu
unset O VARIANT CFLAGS CPPFLAGS LDFLAGS MAKEFLAGS V

command -v cmake > /dev/null || {
	echo "SKIP: no cmake"
	exit 77
}

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
project=$scratch/project

fail() {
	echo "FAIL: $*"
	[ ! -f "$scratch/log" ] || tail -n 20 "$scratch/log"
	exit 1
}

# A libdir of two levels, as Debian has it; then moved as a whole, and found
# through a link, as where /lib is one to /usr/lib.
make -s -j2 O="$scratch/build" DESTDIR="$scratch/stage" prefix=/usr \
	libdir=/usr/lib/x86_64-linux-gnu install > /dev/null
mv "$scratch/stage/usr" "$scratch/moved"
ln -s moved/lib "$scratch/lib"
config=$scratch/lib/x86_64-linux-gnu/cmake/cubby
! grep -nE '@[a-z_]+@|/usr' "$config"/* || fail "not relocatable"

configure() { # ASKED-VERSION [OPTION...]
	rm -rf "$scratch/cmake"
	cmake -S "$project" -B "$scratch/cmake" -Dcubby_DIR="$config" \
		-DASKED="$1" "${@:2}" > "$scratch/log" 2>&1
}

mkdir "$project"
cp tests/install/consumer.c tests/install/consumer.cc tests/install/kmem.c \
	tests/install/rcu.c "$project"
cat > "$project/CMakeLists.txt" << 'END'
cmake_minimum_required(VERSION 3.13)
project(consumer C CXX)
find_package(cubby ${ASKED} REQUIRED)
# Twice, as in a project of several folders.
find_package(cubby ${ASKED} REQUIRED)
if(COMPONENT)
	find_package(cubby COMPONENTS ${COMPONENT})
	message("COMPONENT ${COMPONENT}: ${cubby_FOUND} ${cubby_NOT_FOUND_MESSAGE}")
	find_package(cubby REQUIRED OPTIONAL_COMPONENTS ${COMPONENT})
endif()
set(CMAKE_C_STANDARD 11)
set(CMAKE_CXX_STANDARD 11)
foreach(library cubby cubby_static)
	add_executable(c_${library} consumer.c)
	add_executable(cxx_${library} consumer.cc)
	add_executable(kmem_${library} kmem.c)
	foreach(program c cxx kmem)
		target_link_libraries(${program}_${library}
			PRIVATE cubby::${library})
	endforeach()
	target_compile_definitions(c_${library} PRIVATE
		CONSUMER_VERSION="${cubby_VERSION}")
endforeach()
if(TARGET cubby::rcu)
	add_executable(rcu_cubby rcu.c)
	target_link_libraries(rcu_cubby PRIVATE cubby::rcu)
	add_executable(rcu_cubby_static rcu.c)
	target_link_libraries(rcu_cubby_static PRIVATE cubby::rcu_static)
endif()
END

configure "" || fail "does not configure"
cmake --build "$scratch/cmake" > "$scratch/log" 2>&1 || fail "does not build"
programs=$(echo {c,cxx,kmem}_cubby{,_static})
[ ! -f "$scratch/lib/x86_64-linux-gnu/libcubby-rcu.so" ] ||
	programs+=" rcu_cubby rcu_cubby_static"
for program in $programs; do
	got=$("$scratch/cmake/$program") || fail "$program: exit status $?"
	[ "$got" = "truck TRK-1001 40.7128 -74.0060" ] ||
		fail "$program printed: $got"
	needs=$(readelf -d "$scratch/cmake/$program" | grep -c 'NEEDED.*libcubby\.so' ||
		true)
	[[ $program = *_static ]] && want=0 || want=1
	[ "$needs" = "$want" ] || fail "$program needs libcubby.so: $needs"
done

# What suits: this version or an earlier one of its series.
cat > "$scratch/probe.cmake" << 'END'
include(${FILE})
message("${PACKAGE_VERSION_COMPATIBLE} ${PACKAGE_VERSION_EXACT}")
END
while read -r have asked compatible exact; do
	sed "s/^set(PACKAGE_VERSION .*/set(PACKAGE_VERSION \"$have\")/" \
		"$config/cubby-config-version.cmake" > "$scratch/version.cmake"
	got=$(cmake -DFILE="$scratch/version.cmake" \
		-DPACKAGE_FIND_VERSION="$asked" -P "$scratch/probe.cmake" 2>&1)
	[ "$got" = "$compatible $exact" ] || fail "$have for $asked: $got"
done << 'END'
0.3.5 0.3.5 TRUE TRUE
0.3.5 0.3.4 TRUE FALSE
0.3.5 0.3 TRUE FALSE
0.3.5 0.3.6 FALSE FALSE
0.3.5 0.2 FALSE FALSE
0.3.5 0.4 FALSE FALSE
0.3.5 0 FALSE FALSE
0.3.5 3 FALSE FALSE
0.3.5 1.0 FALSE FALSE
0.30.0 0.3 FALSE FALSE
2.3.4 2 TRUE FALSE
2.3.4 2.2.9 TRUE FALSE
2.3.4 2.3.4 TRUE TRUE
2.3.4 2.4 FALSE FALSE
2.3.4 1.9 FALSE FALSE
2.3.4 3 FALSE FALSE
20.0.0 2 FALSE FALSE
END
version=$(sed -n 's/^set(PACKAGE_VERSION "\(.*\)")/\1/p' \
	"$config/cubby-config-version.cmake")
configure "${version%.*}" || fail "${version%.*} is refused"
configure "$version;EXACT" || fail "exactly $version is refused"
! configure 99.9 || fail "99.9 is answered"
grep -q 'considered but not accepted' "$scratch/log" ||
	fail "99.9 is refused for another reason"

# Components: one is there, if it was built; what is optional may be missing.
component() { # NAME ANSWER
	configure "" -DCOMPONENT="$1" || fail "component $1: not configured"
	grep -qxF "COMPONENT $1: $2" "$scratch/log" ||
		fail "component $1: not answered '$2'"
}
no_rcu="0 component rcu: cubby was built without liburcu-bp"
if [ -f "$scratch/lib/x86_64-linux-gnu/libcubby-rcu.so" ]; then
	component rcu "1 "
	mv "$scratch/lib/x86_64-linux-gnu/libcubby-rcu.a" "$scratch"
	component rcu "$no_rcu"
	mv "$scratch/libcubby-rcu.a" "$scratch/lib/x86_64-linux-gnu"
else
	component rcu "$no_rcu"
fi
component speed "0 no component is named 'speed', only rcu"

# Only a debug library asks for checked programs.
! grep -q CUBBY_DEBUG "$config"/* "$config/../../pkgconfig/cubby.pc" ||
	fail "programs of a release build are checked"
make -s VARIANT=debug O="$scratch/debug" prefix=/usr \
	"$scratch/debug/cubby.pc" "$scratch/debug/cubby-config.cmake"
grep -qx 'Cflags: .* -DCUBBY_DEBUG=1' "$scratch/debug/cubby.pc" ||
	fail "cubby.pc of the debug build has no CUBBY_DEBUG"
[ "$(grep -c "DEFINITIONS.*CUBBY_DEBUG=1" "$scratch/debug/cubby-config.cmake")" = 2 ] ||
	fail "cubby-config.cmake of the debug build has no CUBBY_DEBUG"

# A tree that lacks a library says so.
rm "$scratch/lib/x86_64-linux-gnu/libcubby.a"
! configure "" || fail "an incomplete tree is found"
grep -q 'libcubby.a is missing' "$scratch/log" || fail "does not say what"
echo "ok: cmake"

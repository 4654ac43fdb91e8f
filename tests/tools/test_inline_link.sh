#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Inline code and linkers: optimisation at link time, code that two units both
# have, sections that are dropped, a unit with and one without, a library of
# another version, data that is copied into the executable.
set -u
. tests/tools/inline_common.sh

here=tests/tools

# --- link-time optimisation, of the program alone and with the library ------

lto() { # COMPILER ARCHIVE FLAG...
	local compiler=$1 archive=$2 how="$1 ${*:3} with ${2##*/}"
	shift 2
	build "$compiler" c "$tree/run" "$archive" $here/inline_run.c \
		-DCUBBY_INLINE "$@" || {
		fault "$how: does not compile"
		return
	}
	expect_run "$how" "$sum" "$tree/run" aborts
	check_table "$how" "$tree/run"
}

for compiler in $compilers; do
	# gcc's guess about the library, which no other way of compiling makes.
	extra=-Wno-maybe-uninitialized
	tool=gcc-ar
	if [ "$compiler" = clang ]; then
		extra=-fuse-ld=lld
		tool=llvm-ar
		command -v ld.lld > /dev/null || continue
	fi
	command -v $tool > /dev/null || continue
	make -s O="$tree/lto-$compiler" CC="$compiler" AR=$tool \
		CFLAGS='-O1 -flto' static > "$tree/log" 2>&1 || {
		fault "$compiler: no library with -flto: $(tail -n 5 "$tree/log")"
		continue
	}
	lto "$compiler" "$O/libcubby.a" -O0 -flto $extra
	lto "$compiler" "$O/libcubby.a" -O2 -flto $extra
	archive=$tree/lto-$compiler/libcubby.a
	lto "$compiler" "$archive" -O2 -flto $extra
	lto "$compiler" "$archive" -O2 -flto -static $extra
	lto "$compiler" "$archive" -O0 $extra # knows nothing of it
	[ "$compiler" = gcc ] || lto clang "$O/libcubby.a" -O2 -flto=thin $extra
done

# --- code that two units of a C++ program both have --------------------------

# The first unit's copy is kept; either may be the one without inline calls.
pair() { # COMPILER MAIN OTHER COMPILING LINKING
	local compiler=$1 how="comdat $*"
	local -a compiling linking
	read -ra compiling <<< "$4"
	read -ra linking <<< "${5:-}"
	build "$compiler" c++ "$tree/main.o" none $here/inline_comdat_main.cc \
		-c "$2" "${compiling[@]}" &&
		build "$compiler" c++ "$tree/other.o" none \
			$here/inline_comdat_other.cc -c "$3" "${compiling[@]}" &&
		build "$compiler" c++ "$tree/pair" shared -x none \
			"$tree/main.o" "$tree/other.o" "${linking[@]}" || {
		fault "$how: does not link"
		return
	}
	expect_run "$how" "" "$tree/pair"
	[ "$2" = $plain ] || check_table "$how" "$tree/pair"
}

inline=-DCUBBY_INLINE
plain=-UCUBBY_INLINE
sections="-ffunction-sections -fdata-sections"
for compiler in $compilers; do
	for linker in bfd lld gold; do
		command -v ld.$linker > /dev/null || continue
		pair "$compiler" $inline $inline -O0 -fuse-ld=$linker
		pair "$compiler" $inline $inline "-O2 $sections" \
			"-fuse-ld=$linker -Wl,--gc-sections"
	done
	pair "$compiler" $inline $inline "-O0 $sections" -Wl,--gc-sections
	pair "$compiler" $inline $plain -O0
	pair "$compiler" $plain $inline -O0
	pair "$compiler" $inline $inline "-O2 -fvisibility-inlines-hidden"
done

# --- a unit with and one without ---------------------------------------------

for compiler in $compilers; do
	for level in -O0 -O2; do
		how="mixed $compiler $level"
		build "$compiler" c "$tree/plain.o" none $here/inline_mixed.c \
			-c $level &&
			build "$compiler" c "$tree/mixed.o" none \
				$here/inline_mixed.c -c $inline $level &&
			build "$compiler" c "$tree/mixed" shared -x none \
				"$tree/plain.o" "$tree/mixed.o" ||
			fault "$how: does not link"
		expect_run "$how" "" "$tree/mixed"
	done
done

# --- a library of another version ---------------------------------------------

mkdir "$tree/next"
cp -r include "$tree/next"
sed -i 's/cubby__fast_abi_1/cubby__fast_abi_2/g' "$tree"/next/include/cubby/inline/*.h
next=(-I"$tree/next/include" "$inline")

# refused WHAT REGEX COMMAND...
refused() {
	local what=$1 regex=$2 output status=0
	shift 2
	n_checks=$((n_checks + 1))
	output=$("$@" 2>&1) || status=$?
	((status != 0)) || fault "$what: was not refused"
	grep -qE -e "$regex" <<< "$output" || fault "$what: it said: $output"
}
missing="undefined (symbol|reference)(:| to) .?cubby__fast_abi_2"

for library in shared static; do
	refused "$library: an older library" "$missing" \
		build gcc c "$tree/run" $library "${next[@]}" $here/inline_run.c
done
build gcc c "$tree/next.so" shared "${next[@]}" $here/inline_plugin.c \
	-fPIC -shared || fault "a plugin for another version does not compile"
build gcc c "$tree/host" shared $here/inline_host.c ||
	fault "no host"
refused "a plugin for another version" "next.so: $missing" \
	"$tree/host" "$tree/next.so"

# A program that was linked with the next version, and finds this one.
soname=$(readelf -d "$O/libcubby.so" | sed -n 's/.*SONAME.*\[\(.*\)\]/\1/p')
echo 'char cubby__fast_abi_2[128];' | build gcc c "$tree/next/libcubby.so" none \
	-shared -fPIC - -x none "$O"/lib/*.lo -Wl,-soname,"$soname" ||
	fault "no next version"
for how in "-fno-pie -no-pie" "-fPIC -pie"; do
	# shellcheck disable=SC2086 # flags
	build gcc c "$tree/run" "$tree/next/libcubby.so" "${next[@]}" $how \
		$here/inline_run.c -Wl,-rpath,"$O" ||
		fault "$how: no program for the next version"
	refused "$how: a program for another version" "$missing" "$tree/run"
done

# --- data that is copied into the executable -----------------------------------

for how in "-fno-pie -no-pie" "-fPIC -pie"; do
	# shellcheck disable=SC2086 # flags
	build gcc c "$tree/run" shared $here/inline_run.c $inline -O2 $how ||
		fault "$how: does not compile"
	copies=$(readelf -rW "$tree/run" | grep -c '_COPY .*cubby__fast_abi_1')
	[ "$how $copies" = "-fno-pie -no-pie 1" ] ||
		[ "$how $copies" = "-fPIC -pie 0" ] ||
		fault "$how: $copies copies of the data symbol"
	expect_run "$how" "$sum" "$tree/run" aborts
done
finish

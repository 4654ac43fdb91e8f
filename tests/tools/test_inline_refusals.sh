#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Where the inline header must not or cannot work it makes calls: sanitizers
# that watch memory, compilers that are too old.  And what it lets through of
# wrong code is no more than the functions do.
set -u
. tests/tools/inline_common.sh

here=tests/tools

# The program calls the library, and says so to its own #if.
calls_only() { # HOW COMPILER FLAG...
	local how=$1 compiler=$2
	shift 2
	build "$compiler" c "$tree/run" shared $here/inline_run.c \
		-DCUBBY_INLINE -DEXPECT_INLINE=0 -O1 "$@" || {
		fault "$how, $compiler: does not compile"
		return
	}
	expect_run "$how, $compiler" "$sum" "${wrap[@]}" "$tree/run"
	[ "$("$tree/table" "$tree/run")" = 0 ] ||
		fault "$how, $compiler: has inline sequences"
	! nm -D "$tree/run" | grep -q 'cubby__' ||
		fault "$how, $compiler: needs the ABI of inline code"
}

# gcc 12's TSan finds no room where addresses have 32 random bits.
wrap=()
setarch -R true 2> /dev/null && wrap=(setarch -R)
export ASAN_OPTIONS=detect_leaks=0

for compiler in $compilers; do
	sanitizers="address thread"
	[ "$compiler" = gcc ] || sanitizers+=" memory"
	for sanitizer in $sanitizers; do
		calls_only "$sanitizer" "$compiler" -fsanitize="$sanitizer"
	done
done
wrap=()
for compiler in $compilers; do
	case $compiler in
	gcc) old=(-U__GNUC__ -D__GNUC__=10) ;;
	*) old=(-U__clang_major__ -D__clang_major__=10 -Wno-builtin-macro-redefined) ;;
	esac
	calls_only "too old" "$compiler" "${old[@]}"
done

# What compilers say of a line of user code, inline and not.
said() { # COMPILER LANGUAGE FLAG LINE
	printf '#include <cubby/cubby.h>\n%s\n%s\n%s\n' \
		"void f(struct cubby_cache *cache, int *number);" \
		"void f(struct cubby_cache *cache, int *number)" \
		"{ (void)cache; (void)number; $4 }" > "$tree/line"
	build "$1" "$2" "$tree/line.o" none -c "$3" "$tree/line" > "$tree/log2" &&
		echo accepted || echo refused
}

same() { # ANSWER LINE
	local compiler language flag answer
	for compiler in $compilers; do
		for language in c c++; do
			for flag in -DCUBBY_INLINE -UCUBBY_INLINE; do
				n_checks=$((n_checks + 1))
				answer=$(said "$compiler" $language $flag "$2")
				[ "$answer" = "$1" ] ||
					fault "$answer by $compiler, $language, $flag: $2"
			done
		done
	done
}
same accepted 'cubby_free(cache, cubby_alloc(cache));'
same accepted 'if (number) cubby_free(cache, number); else cubby_free(cache, cache);'
same accepted 'for (; number; cubby_free(cache, NULL), number = NULL) {}'
same accepted 'void *(*p)(struct cubby_cache *) = cubby_alloc; cubby_free(cache, p(cache));'
same accepted 'cubby_free(cache, (cubby_alloc)(cache));'
same accepted '{ void *object = cubby_alloc(cache), *block = object; cubby_free(cache, block); }'
same refused 'cubby_alloc(cache);'
same refused 'cubby_free(cache, *number);'
same refused 'cubby_free(number, NULL);'
same refused 'cubby_free(cache);'
same refused 'cubby_free(cache, cubby_alloc(number));'
same refused 'cubby_free(cache, (const int *)number);'
finish

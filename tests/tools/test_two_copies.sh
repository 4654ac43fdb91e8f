#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Two copies of Cubby in one process, libcubby.so and a plugin with a static
# copy inside, do not touch each other and say so when they are mixed up.
set -eu

O=$(realpath "${O:-build/release}")
here=tests/tools
tree=$(mktemp -d)
trap 'rm -rf "$tree"' EXIT
cc() { ${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -O1 -g -Wall -Wextra -Iinclude -Itests -pthread "$@"; }

n_faults=0
fault() {
	echo "FAIL: $*"
	n_faults=$((n_faults + 1))
}

cc -o "$tree/program" $here/two_copies.c -L"$O" -lcubby -Wl,-rpath,"$O"

# Hidden by the linker, or visible but bound to the plugin itself.
build_plugin() { # NAME ARCHIVE FLAG...
	local name=$1
	shift
	cc -fPIC -shared -o "$tree/$name.so" $here/two_copies_plugin.c "$@"
}
build_plugin hidden "$O/libcubby.a" -Wl,--exclude-libs,ALL
build_plugin symbolic "$O/libcubby.a" -Wl,-Bsymbolic

p='0x[0-9a-f]+'
other="which another copy of Cubby made; two copies of Cubby are in this"
other+=" process; link one"
foreign="lies in no cache; free what cubby_alloc\(\) returned, once, before its cache is destroyed"
# In this order, by either copy.
expected=(
	"cubby: other-copy: cubby_alloc\(\) on cache $p, $other"
	"cubby: other-copy: cubby_free\(\) on cache $p, $other"
	"cubby: other-copy: cubby_walk_create\(\) on cache $p, $other"
	"cubby: foreign-free: cache 'truck': $p $foreign"
	"cubby: foreign-free: $p $foreign"
)

# Without magazines: there it is looked at whose cache it is, in each call.
for plugin in hidden symbolic; do
	status=0
	CUBBY_OPTIONS=${CUBBY_OPTIONS:+$CUBBY_OPTIONS,}misuse=continue,front=none \
		"$tree/program" "$tree/$plugin.so" > "$tree/out" \
		2> "$tree/err" || status=$?
	((status == 0)) || fault "$plugin: exit $status: $(cat "$tree/out")"
	mapfile -t lines < "$tree/err"
	((${#lines[@]} == 2 * ${#expected[@]})) ||
		fault "$plugin: ${#lines[@]} reports: $(cat "$tree/err")"
	for i in "${!lines[@]}"; do
		regex=${expected[$((i % ${#expected[@]}))]}
		[[ ${lines[$i]} =~ ^($regex)$ ]] ||
			fault "$plugin: unexpected: ${lines[$i]}"
	done
done

# A copy without a cache of its own, inlined: its sequence finds zeroes and calls.
cat > "$tree/user.c" << 'END'
#define CUBBY_INLINE
#include <cubby/cubby.h>
int use(struct cubby_cache *cache);
int
use(struct cubby_cache *cache)
{
	return cubby_alloc(cache) != NULL;
}
END
cat > "$tree/giver.c" << 'END'
#include <cubby/cubby.h>
#include <dlfcn.h>
int
main(int argc, char **argv)
{
	void *plugin = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_LOCAL) : NULL;
	int (*use)(struct cubby_cache *);
	struct cubby_cache *cache;

	if (plugin == NULL ||
	    cubby_cache_create_sized(&cache, "given", 24, 8, NULL) != 0)
		return 2;
	for (int i = 0; i < 100; i++)
		cubby_free(cache, cubby_alloc(cache));
	*(void **)&use = dlsym(plugin, "use");
	return use(cache);
}
END
cc -O2 -fPIC -shared -o "$tree/user.so" "$tree/user.c" -L"$O" -lcubby \
	-Wl,-rpath,"$O"
cc -o "$tree/giver" "$tree/giver.c" "$O/libcubby.a"
for front in auto mmcid thread none; do
	status=0
	CUBBY_OPTIONS=misuse=continue,front=$front "$tree/giver" \
		"$tree/user.so" 2> "$tree/err" || status=$?
	((status == 0)) && grep -q 'other-copy: cubby_alloc' "$tree/err" ||
		fault "inline, front=$front: exit $status: $(cat "$tree/err")"
done

# The note survives strip, in the plugin as in the library.
for object in "$O/libcubby.so" "$tree/hidden.so"; do
	strip -o "$tree/stripped" "$object"
	readelf -n "$tree/stripped" | grep -q 'Cubby' ||
		fault "$(basename "$object"): no note after strip"
done

# `hidden` keeps its promise: nothing of Cubby can be seen from outside.
! nm -D --defined-only "$tree/hidden.so" | grep -q ' cubby_' ||
	fault "the plugin exports Cubby's symbols"

echo "$n_faults faults"
((n_faults == 0))

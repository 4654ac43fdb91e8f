#!/bin/bash
# SPDX-License-Identifier: MIT
# With musl, which knows no restartable sequences: the library compiles with its
# headers, and a program with inline calls works per thread and says why.
. tests/tools/common.sh
command -v musl-gcc > /dev/null || { echo "SKIP: no musl-gcc"; exit 77; }

# The kernel's headers, without those of another C library.
mkdir -p "$tree/kernel" "$tree/o"
for folder in linux asm-generic asm; do
	for place in /usr/include /usr/include/*-linux-gnu; do
		[ -d "$place/$folder" ] || continue
		ln -sfn "$place/$folder" "$tree/kernel/$folder"
	done
done

compile() {
	musl-gcc -std=gnu11 -D_GNU_SOURCE= -O1 -Wall -Wextra -Werror \
		-I"$root/include" -idirafter "$tree/kernel" "$@"
}

(cd "$tree/o" && compile -O0 -c "$root"/lib/*.c)
cat > "$tree/program.c" << 'END'
#define CUBBY_INLINE
#include <cubby/cubby.h>
#include <stdio.h>

int main(void)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	struct cubby_cache *cache;
	void *objects[300];

	if (cubby_cache_create_sized(&cache, "musl", 24, 8, NULL) != 0)
		return 1;
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < 300; i++)
			if ((objects[i] = cubby_alloc(cache)) == NULL)
				return 2;
		for (int i = 0; i < 300; i++)
			cubby_free(cache, objects[i]);
	}
	if (cubby_cache_stats_snapshot(cache, &stats) != 0 ||
	    cubby_cache_verify(cache) != 0)
		return 3;
	printf("%d %s\n", (int)stats.front_end,
	       cubby_front_reason_text(stats.front_reason));
	return cubby_cache_destroy(cache) != 0;
}
END
wanted='1 the C library knows no restartable sequences; glibc does from 2.35 on'
for static in "" -static; do
	compile $static "$tree/program.c" "$tree"/o/*.o -o "$tree/program"
	said=$("$tree/program")
	[ "$said" = "$wanted" ] || { echo "FAIL: musl $static: $said"; exit 1; }
done

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Large blocks: for whom what is freed is kept, and for how long.
# shellcheck source=tests/tools/malloc_common.sh
source tests/tools/malloc_common.sh
only_cubby "what is kept of large blocks"

compile malloc_large large

in_fronts large kept
in_fronts large again
words=misuse=continue,keep=1M # 128 KiB of them for a CPU
in_fronts large twice $((1000 * scale / 100))
words=''
(
	n_faults=0
	ulimit -v $((512 << 10))
	in_fronts large full
	((n_faults == 0))
) || fault "where address space is at an end"

# "keep=0": nothing is kept.
cat > "$scratch/none.c" <<'END'
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
int
main(void)
{
	unsigned char pages[25] = { 0 };
	char *block = malloc(100000);
	int n = 0;

	memset(block, 1, 100000);
	free(block);
	if (mincore(block, 100000, pages) == 0)
		for (int i = 0; i < 25; i++)
			n += pages[i] & 1;
	return n;
}
END
"${CC:-gcc}" -D_GNU_SOURCE -fno-builtin -w "$scratch/none.c" -o "$scratch/none"
words=keep=0 passes none
finish

#!/bin/bash
# SPDX-License-Identifier: MIT
# check-house catches each fault of its list, in text and in a library.
. tests/tools/common.sh
check="$root/scripts/check-house"
licence='/* SPDX-License-Identifier: MIT */'

repeat() { # COUNT TEXT: so many lines
	yes "$2" | head -n "$1"
}

# The file that is planted from stdin is caught with that message.
caught_in() {
	local file=$1 message=$2
	plant "$file"
	expect_caught "^$file:$message" "$check"
	rm "$tree/$file"
}

plant lib/good.c <<- END
	$licence
	/* See https://example.org/page; "//" in text is no comment. */
	static const char *url = "https://example.org"; /* // */
	int
	cubby__good(void)
	{
	$(repeat 78 '	url++;')
	}
END
plant scripts/good <<< '#!/bin/sh
# SPDX-License-Identifier: MIT
echo "a session of a server"'
expect_clean "$check"

echo 'int x;' | caught_in lib/a.c '1: no licence line'
printf '%s\nint x; \n' "$licence" | caught_in lib/a.c '2: trailing blank'
printf '%s\nint x;\t\n' "$licence" | caught_in lib/a.c '2: trailing blank'
printf '%s\nint x; // y\n' "$licence" | caught_in lib/a.c '2: a // comment'
printf '%s\n/* a\n * b */ // c\n' "$licence" | caught_in lib/a.c '3: a // comm'
printf '%s\n/* %s */\n' "$licence" /ho''me/somebody | caught_in lib/a.c '2:/home'
printf '%s\n/* %s */\n' "$licence" /usr/lo''cal/x | caught_in lib/a.c '2:/usr'
printf '%s\n/* Cl%s */\n' "$licence" aude | caught_in lib/a.c '2:.*not a word'
printf 'an Ll%s wrote this\n' m | caught_in README.md '1:.*not a word'
printf '%s\n/* %s */\n' "$licence" "$(repeat 95 x | tr -d '\n')" |
	caught_in lib/a.c '2: 101 columns'
printf '%s\n\t\t\t\t\t\t\t\t\t\t\t\t\tint x;\n' "$licence" |
	caught_in lib/a.c '2: 110 columns'
printf '%s\n%s\n' "$licence" "$(repeat 800 'int x;')" |
	caught_in lib/a.c ' 801 lines'
printf '%s\nint f(void)\n{\n%s\n}\n' "$licence" "$(repeat 79 '	x++;')" |
	caught_in lib/a.c '3: function of 81 lines'

export CUBBY_HOUSE_WORDS=flubber
printf '# SPDX-License-Identifier: MIT\n# flubber\n' |
	caught_in scripts/x '2:.*not a word'
unset CUBBY_HOUSE_WORDS

# Libraries.
printf 'CUBBY_0.1 {\nglobal:\n\tcubby_one;\nlocal:\n\t*;\n};\n' |
	sed '1i/* SPDX-License-Identifier: MIT */' | plant lib/cubby.map
library() { # SOURCE: build libx.a and libx.so from it
	(
		cd "$tree"
		mkdir -p build
		echo "$1" > build/x.c
		gcc -fPIC -O1 -c -o build/x.o build/x.c
		rm -f build/libx.a
		ar rcs build/libx.a build/x.o
		gcc -shared -o build/libx.so build/x.o
	)
}
both=("$check" build/libx.a build/libx.so)
library '#include <sys/mman.h>
	void *cubby__a(void); void cubby_one(void);
	void *cubby__a(void) { return mmap(0, 1, 0, 0, 0, 0); }
	void cubby_one(void) { cubby__a(); }'
expect_clean "${both[@]}"
library 'void helper(void) { }'
expect_caught 'helper is global without our prefix' "${both[@]}"
library 'void cubby_two(void) { }'
expect_caught 'cubby_two is global, but not in the map' "${both[@]}"
library '#include <stdlib.h>
	void *cubby__a(void) { return calloc(1, 1); }'
expect_caught 'libx.a: calls calloc' "${both[@]}"
expect_caught 'libx.so: calls calloc' "${both[@]}"
library '#include <stdio.h>
	void cubby__a(int n) { printf("%d", n); }'
expect_caught 'libx.a: calls printf' "${both[@]}"
library '__thread int cubby__a; int cubby__b(void) { return cubby__a++; }'
expect_caught 'libx.so: calls __tls_get_addr' "${both[@]}"

# libcubby-rcu has a map of its own, and may call its flavour; libcubby may not.
library 'void urcu_bp_read_lock(void); void cubby__a(void);
	void cubby__a(void) { urcu_bp_read_lock(); }'
expect_caught 'libx.a: calls urcu_bp_read_lock' "${both[@]}"
cp "$tree/build/libx.a" "$tree/build/libcubby-rcu.a"
cp "$tree/build/libx.so" "$tree/build/libcubby-rcu.so"
rcu=("$check" build/libcubby-rcu.a build/libcubby-rcu.so)
expect_clean "${rcu[@]}"
library 'void cubby_one(void) { }'
cp "$tree/build/libx.a" "$tree/build/libcubby-rcu.a"
sed 's/cubby_one/cubby_two/' "$tree/lib/cubby.map" |
	plant lib/rcu/cubby-rcu.map
expect_clean "${both[@]}"
expect_caught 'cubby_one is global, but not in the map' "${rcu[@]}"

expect_clean "$check"
finish

#!/bin/bash
# SPDX-License-Identifier: MIT
# check-abi catches every way in which map, library and headers can differ.
. tests/tools/common.sh
check="$root/scripts/check-abi"

plant include/cubby/x.h <<- 'END'
	#define API __attribute__((visibility("default")))
	#define MUST __attribute__((warn_unused_result))
	struct x;
	API MUST int cubby_one(struct x **ret, void (*fn)(int cubby_arg));
	API MUST const struct x *
	cubby_two(const struct x *x);
	API extern const int cubby_table[4];
	static inline int cubby_wrap(struct x *x) { return cubby_two(x) != 0; }
END
cat > "$tree/one.c" <<- 'END'
	#include <cubby/x.h>
	int cubby_one(struct x **ret, void (*fn)(int)) { fn(0); return !ret; }
	const struct x *cubby_two(const struct x *x) { return x; }
	const int cubby_table[4];
END
map() {
	plant lib/cubby.map
}
map <<- 'END'
	/* cubby_ghost; */
	CUBBY_0.1 {
	global:
		cubby_one;
		cubby_table;
		cubby_two;
	local:
		*;
	};
END
build() { # [FLAG...]: with the map that is there
	(cd "$tree" && gcc -Iinclude -fPIC -shared -fvisibility=hidden \
		-Wl,--version-script=lib/cubby.map "$@" -o x.so one.c)
}
cp "$tree/lib/cubby.map" "$tree/map"
build
expect_clean "$check" x.so

sed -i '/cubby_two/d' "$tree/lib/cubby.map"
build
expect_caught 'cubby_two is declared in a header, but not in the map' \
	"$check" x.so
cp "$tree/map" "$tree/lib/cubby.map"

# The library was built with another map.
expect_caught 'cubby_two@@CUBBY_0.1 is in the map, but not exported' \
	"$check" x.so
build
sed -i '/cubby_one/d' "$tree/lib/cubby.map"
expect_caught 'cubby_one@@CUBBY_0.1 is exported, but not in the map' \
	"$check" x.so
sed 's/CUBBY_0.1/CUBBY_0.2/' "$tree/map" > "$tree/lib/cubby.map"
expect_caught 'cubby_one@@CUBBY_0.2 is in the map, but not exported as' \
	"$check" x.so
cp "$tree/map" "$tree/lib/cubby.map"

cp "$tree/include/cubby/x.h" "$tree/header"
sed -i '/cubby_table/d' "$tree/include/cubby/x.h"
expect_caught 'cubby_table is in the map, but declared in no header' \
	"$check" x.so
cp "$tree/header" "$tree/include/cubby/x.h"
echo 'API void cubby_three(void);' >> "$tree/include/cubby/x.h"
expect_caught 'cubby_three is declared in a header, but not in the map' \
	"$check" x.so
cp "$tree/header" "$tree/include/cubby/x.h"

build -Wl,--no-as-needed -lm
expect_caught 'needs libm' "$check" x.so

build
expect_clean "$check" x.so

# The second library: a map, a header and needs of its own; what its header
# includes of the first one's is not its own.
plant include/cubby/rcu.h <<- 'END'
	#include <cubby/x.h>
	API void cubby_rcu_lock(void);
END
expect_clean "$check" x.so
cat > "$tree/bp.c" <<< 'void urcu_bp_lock(void) { }'
cat > "$tree/rcu.c" <<- 'END'
	#include <cubby/rcu.h>
	void urcu_bp_lock(void);
	void cubby_rcu_lock(void) { urcu_bp_lock(); }
END
rcu_map() {
	plant lib/rcu/cubby-rcu.map <<- END
		CUBBY_RCU_0.1 {
		global:
			$1
		local:
			*;
		};
	END
}
build_rcu() { # [FLAG...]
	(cd "$tree" && gcc -Iinclude -fPIC -shared -fvisibility=hidden \
		-Wl,--version-script=lib/rcu/cubby-rcu.map \
		-o libcubby-rcu.so rcu.c "$@")
}
rcu_map 'cubby_rcu_lock;'
(cd "$tree" && gcc -fPIC -shared -Wl,-soname,liburcu-bp.so.8 -o bp.so bp.c)
build_rcu bp.so
expect_clean "$check" libcubby-rcu.so
build_rcu
expect_caught 'does not need liburcu-bp' "$check" libcubby-rcu.so
build_rcu bp.so -Wl,--no-as-needed -lm
expect_caught 'needs libm' "$check" libcubby-rcu.so
build -Wl,--no-as-needed bp.so
expect_caught 'needs liburcu-bp' "$check" x.so
build_rcu bp.so
rcu_map 'cubby_rcu_lock;
			cubby_rcu_more;'
expect_caught 'cubby_rcu_more is in the map, but declared in no header' \
	"$check" libcubby-rcu.so
rcu_map 'cubby_rcu_lock;'
plant include/cubby/rcu.h <<< '#include <cubby/x.h>'
expect_caught 'cubby_rcu_lock is in the map, but declared in no header' \
	"$check" libcubby-rcu.so
finish

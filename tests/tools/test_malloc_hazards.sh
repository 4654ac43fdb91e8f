#!/bin/bash
# SPDX-License-Identifier: MIT
#
# What has broken other mallocs: the begin and the end of programs and threads,
# new processes, signals, plugins, other libraries in front.
# test_malloc_foreign.sh has pointers of others.
# shellcheck source=tests/tools/malloc_common.sh
source tests/tools/malloc_common.sh

compile malloc_hazard_library libhazard.so -shared -fPIC
for name in exit process; do
	compile malloc_hazard_$name $name "$scratch/libhazard.so" \
		-Wl,-rpath,"$scratch"
done
compile malloc_hazard_signal signal
compile malloc_hazard_boot boot.so -shared -fPIC
compile malloc_dlopen dlopen

in_fronts exit
in_fronts exit endless
in_fronts process fork 200
in_fronts process vfork
in_fronts process exec

in_fronts dlopen "$scratch/libhazard.so" hazard_work 100
in_fronts dlopen "$scratch/libhazard.so" hazard_work 5 deep

# A program without libc.so is as it would be without us.
cat > "$scratch/static.c" <<'END'
#include <stdlib.h>
int
main(void)
{
	void *block = malloc(100);

	free(realloc(block, 100000));
	return block == NULL;
}
END
if "${CC:-gcc}" -static -fno-builtin "$scratch/static.c" \
	-o "$scratch/static" 2> /dev/null; then
	passes static
	[ ! -s "$scratch/err" ] || complain "a static program says something"
else
	echo "no static libc: a static program is not tried"
fi
if ! is_cubby; then # others do not promise what follows
	finish
	exit
fi

in_fronts signal
HAZARD_EARLY_ATFORK=1 in_fronts process fork 20
in_front=$scratch/boot.so
in_fronts exit
in_fronts process fork 20
in_front=''
for words in checked guard=100 front=none quarantine=64K; do
	passes exit endless
	passes process fork 20
	passes signal
done
words=''

# A word that nobody knows is said once, whoever reads it.
known="cubby: CUBBY_MALLOC: 'bogus=7' is ignored; known are .*"
words=bogus=7,zero passes process fork 20
lines=$(grep -cxE "$known" "$scratch/err" || true)
((lines == 1)) || complain "an unknown word is reported $lines times"
words=zero,stats passes exit
grep -q "is ignored" "$scratch/err" && complain "a known word is not known"

# In a program that gains rights the environment says nothing.
try_secure() {
	local copy=$scratch/secure
	mkdir "$copy"
	chmod 711 "$scratch" "$copy"
	cp -L "$library" "$copy/libcubby-malloc.so.0"
	cat > "$copy/secure.c" <<'END'
#include <stdlib.h>
#include <sys/auxv.h>
int
main(void)
{
	free(malloc(10));
	return getauxval(AT_SECURE) == 0 ? 77 : 0;
}
END
	"${CC:-gcc}" -fno-builtin "$copy/secure.c" -o "$copy/secure" \
		"$copy/libcubby-malloc.so.0" -Wl,-rpath,"$copy" || return
	chmod 755 "$copy"/* && chown nobody "$copy/secure" &&
		chmod u+s "$copy/secure" || return
	status=0
	CUBBY_MALLOC=bogus,stats "$copy/secure" > "$scratch/out" \
		2> "$scratch/err" || status=$?
}
status=77
[ "$(id -u)" != 0 ] || try_secure
case $status in
77) echo "no program can gain rights here: that is not tried" ;;
0) [ ! -s "$scratch/err" ] || complain "a setuid program reads CUBBY_MALLOC" ;;
*) complain "a setuid program" ;;
esac
finish

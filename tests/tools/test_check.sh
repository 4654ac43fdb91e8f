#!/bin/bash
# SPDX-License-Identifier: MIT
# scripts/check adds up what its steps say, ends in the line of totals and
# fails if a step did; install-packages touches nothing that is there.
# shellcheck disable=SC2016 # the planted programs expand what is quoted here
. tests/tools/common.sh
unset O VARIANT V WERROR T KINDS RUN CFLAGS CPPFLAGS CC CUBBY_TOTALS
plant_library
sed -i '1i/* LAYER 1: one - a library */' "$tree"/lib/*.[ch]
plant tests/smoke/smoke_a.c <<< 'int main(void) { return 0; }'
plant tests/tools/test_b.sh <<< 'exit 0'
plant tests/tools/test_c.sh <<< 'exit 77'
check=(scripts/check --no-install)

expect_last_line() { # REGEX COMMAND...
	local want=$1 last
	shift
	last=$(cd "$tree" && "$@" 2>&1 | tail -n 1)
	if ! grep -qxE -e "$want" <<< "$last"; then
		echo "FAIL: the last line of $* is: $last"
		n_faults=$((n_faults + 1))
	fi
}

expect_clean "${check[@]}" check layers
expect_last_line '3 passed, 0 failed, 1 skipped' "${check[@]}" check layers
expect_caught 'no such step' "${check[@]}" nonsense

plant tests/tools/test_b.sh <<< 'exit 1'
expect_caught '^failed steps: check$' "${check[@]}" check layers
expect_last_line '2 passed, 1 failed, 1 skipped' "${check[@]}" check layers
plant tests/tools/test_b.sh <<< 'exit 0'

sed -i 1d "$tree/lib/one.c"
expect_caught '^failed steps: check-layers$' "${check[@]}" check layers
expect_last_line '2 passed, 1 failed, 1 skipped' "${check[@]}" check layers

# A warning is an error here, and a build that fails is a failure.
echo 'static int unused;' >> "$tree/lib/two.c"
expect_last_line '0 passed, 1 failed, 0 skipped' "${check[@]}" check
sed -i '$d' "$tree/lib/two.c"

# Packages: with commands of our own, so that nothing is ever installed.
mkdir "$tree/bin"
for command in bash grep cat dirname mkdir tail; do
	ln -s "$(command -v "$command")" "$tree/bin/$command"
done
fake() { # NAME, body from stdin
	{
		echo '#!/bin/bash'
		cat
	} > "$tree/bin/$1"
	chmod +x "$tree/bin/$1"
}
packages=(env PATH="$tree/bin" bash scripts/install-packages)
fake id <<< 'echo 1000'
fake dpkg-query <<< 'echo install ok installed'
expect_clean "${packages[@]}" build check quickstart bench
fake dpkg-query <<< '[ "${@: -1}" = make ] || echo install ok installed'
expect_caught 'not root.*apt-get install make$' "${packages[@]}" build
fake dpkg-query <<< '[ "${@: -1}" = pkgconf ] || echo install ok installed'
expect_clean "${packages[@]}" check
fake dpkg-query <<< '[ "${@: -1}" = make ] || echo install ok installed'
fake id <<< 'echo 0'
fake apt-get <<< 'echo "apt-get $*" >> apt.log'
expect_clean "${packages[@]}" build
expect_clean grep -q 'install .*make$' apt.log
rm "$tree/bin/dpkg-query"
expect_caught 'not a Debian system' "${packages[@]}" build
expect_caught 'usage' bash scripts/install-packages everything
finish

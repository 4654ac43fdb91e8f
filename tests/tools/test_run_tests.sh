#!/bin/bash
# SPDX-License-Identifier: MIT
# run-tests believes a test only if it did all that it had planned, and counts
# what it says that it counts.
# shellcheck disable=SC2016 # the planted programs expand what is quoted here
. tests/tools/common.sh
run="$root/scripts/run-tests"
unset CUBBY_OPTIONS CUBBY_TEST_SCALE WRAP TEST_TIMEOUT_S
export O=out CUBBY_TOTALS=totals

# A test "program" is a script here; run-tests goes by the folder.
program() { # PATH, body from stdin
	{
		echo '#!/bin/bash'
		cat
	} | plant "$1"
	chmod +x "$tree/$1"
}

# Run one planted program: expect TOTALS, and REGEX in what is printed.
expect_totals() {
	local totals=$1 regex=$2 output
	shift 2
	rm -f "$tree/totals"
	output=$(cd "$tree" && "$run" "$@" 2>&1) || true
	if [ "$(cat "$tree/totals")" != "$totals" ] ||
		! grep -qE -e "$regex" <<< "$output"; then
		echo "FAIL: expected totals $totals and: $regex"
		echo "got $(cat "$tree/totals") and: $output"
		n_faults=$((n_faults + 1))
	fi
}

unit=out/tests/unit/test_x
program $unit <<< 'printf "1..2\nok 1 - a\nok 2 - b\n"'
expect_totals '2 0 0' '^ok +unit/test_x .* 2 passed' $unit
program $unit <<< 'printf "1..1\nok 1 - a\n1..1\nok 1 - b\n"'
expect_totals '2 0 0' '2 passed' $unit
program $unit <<< 'printf "1..3\nok 1 - a\nnot ok 2 # SKIP b\nnot ok 3 - c\n"
	exit 1'
expect_totals '1 1 1' '^FAIL .*1 of 3 cases failed' $unit
program $unit <<< 'printf "1..3\nok 1 - a\n"'
expect_totals '1 1 0' '1 of 3 cases reported; exit 0' $unit
program $unit <<< 'printf "1..2\nok 1 - a\n"; kill -SEGV $$'
expect_totals '1 1 0' '1 of 2 cases reported; SIGSEGV' $unit
program $unit <<< 'printf "1..1\nok 1 - a\n"; exit 99'
expect_totals '1 1 0' 'all cases passed, but exit 99' $unit
program $unit <<< 'exit 0'
expect_totals '0 1 0' 'printed no plan' $unit
program $unit <<< 'printf "1..1\nok 1 - a\n"; sleep 9'
TEST_TIMEOUT_S=1 expect_totals '0 1 0' 'no end after 1 s' $unit
expect_totals '0 1 0' 'FAIL' out/tests/unit/test_not_there
program $unit <<< 'printf "1..1\nok 1 - %s %s\n" "$CUBBY_OPTIONS" "$1"'
CUBBY_OPTIONS=chunks expect_totals '1 0 0' 'ok' $unit
grep -q 'chunks' "$tree/out/test-logs/check/unit.test_x.out" ||
	expect_clean false
program wrapper <<< 'echo "# wrapped"; exec "$@"'
WRAP=./wrapper expect_totals '1 0 0' 'ok' $unit
grep -q '# wrapped' "$tree/out/test-logs/check/unit.test_x.out" ||
	expect_clean false

# Abuse programs: the status, every line wanted, no line more.
abuse=out/tests/abuse/abuse_x
plant tests/abuse/abuse_x.c <<- 'END'
	/* SPDX-License-Identifier: MIT */
	/*
	 * expect-signal: SIGABRT
	 * expect-stderr: cubby: double-free .*
	 * expect-stderr: at 0x[0-9a-f]+
	 * env: WORD=two words
	 * env: CUBBY_OPTIONS=misuse=abort
	 */
END
good='echo "cubby: double-free $WORD $CUBBY_OPTIONS" >&2; echo "at 0x1f" >&2'
program $abuse <<< "$good; kill -ABRT \$\$"
expect_totals '1 0 0' '^ok +abuse/abuse_x' $abuse
CUBBY_OPTIONS=chunks expect_totals '1 0 0' 'ok' $abuse
grep -q 'two words chunks,misuse=abort' \
	"$tree/out/test-logs/check/abuse.abuse_x.err" || expect_clean false
program $abuse <<< "$good; exit 0"
expect_totals '0 1 0' 'expected SIGABRT, got exit 0' $abuse
program $abuse <<< "$good; kill -SEGV \$\$"
expect_totals '0 1 0' 'expected SIGABRT, got SIGSEGV' $abuse
program $abuse <<< 'echo "at 0x1f" >&2; kill -ABRT $$'
expect_totals '0 1 0' 'no line of stderr matches: cubby: double' $abuse
program $abuse <<< "$good; echo 'and at 0x1f' >&2; kill -ABRT \$\$"
expect_totals '0 1 0' 'unexpected on stderr: and at 0x1f' $abuse
plant tests/abuse/abuse_x.c <<< '/* nothing stated */'
program $abuse <<< 'exit 0'
expect_totals '0 1 0' 'states no expectation' $abuse
plant tests/abuse/abuse_x.c <<< '/* expect-exit: 3 */'
sed -i 's/ \*\/$/\n *\//; s/^\/\* /\/*\n * /' "$tree/tests/abuse/abuse_x.c"
program $abuse <<< 'exit 3'
expect_totals '1 0 0' 'ok' $abuse

# Scripts and plain programs.
program tests/tools/test_x.sh <<< 'exit 77'
expect_totals '0 0 1' '^skip tools/test_x' tests/tools/test_x.sh
program tests/tools/test_x.sh <<< 'exit 2'
expect_totals '0 1 0' 'exit 2' tests/tools/test_x.sh
program out/tests/smoke/smoke_x <<< 'exit 0'
program $unit <<< 'printf "1..1\nok 1 - a\n"'
expect_totals '2 1 0' '^check: 2 passed, 1 failed' -j 3 \
	out/tests/smoke/smoke_x $unit tests/tools/test_x.sh

# The exit status: 1 for a failure, and 1 if nothing ran.
program tests/tools/test_x.sh <<< 'exit 0'
expect_clean "$run" tests/tools/test_x.sh
expect_caught '0 passed' "$run"
finish

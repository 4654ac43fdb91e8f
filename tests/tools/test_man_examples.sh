#!/bin/bash
# SPDX-License-Identifier: MIT
# What the manual pages show is what happens.  A comment in front of each literal
# block says what to do with it, as in README.md:
#
#	.\" run: c               compile against the library that was built, and run
#	.\" run: c cubby-rcu     with libcubby-rcu besides, where that was built
#	.\" output               exactly what the block before it has printed
#	.\" not run: reason      for the eye only
#
# Each page of section 3, and cubby(7), has one that runs.
set -eu
shopt -s nullglob
unset CUBBY_OPTIONS CUBBY_DEBUG
O=$(realpath "${O:-build/release}")
export O

scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
export scratch

n_faults=0
fault() {
	echo "FAIL: $*"
	n_faults=$((n_faults + 1))
}

# Cut into $scratch/NN.c or .want: "NN PAGE:LINE MARKER" for each, and unescape.
pages=(docs/man/*.[1-8])
awk -v scratch="$scratch" '
function plain(line) {
	gsub(/\\&/, "", line)
	gsub(/\\-/, "-", line)
	gsub(/\\\(aq/, "\047", line)
	gsub(/\\\(ga/, "`", line)
	gsub(/\\\(ti/, "~", line)
	gsub(/\\\(ha/, "^", line)
	gsub(/\\e/, "\001", line)
	if (line ~ /\\/)
		print "fault", FILENAME ":" FNR, "an escape that is not known"
	gsub(/\001/, "\\", line)
	return line
}
FNR == 1 { marker = ""; in_block = 0 }
/^\.\\" (run|not run|output)/ { marker = substr($0, 5); next }
/^\.Bd .*-literal/ {
	in_block = 1
	file = sprintf("%s/%03d.%s", scratch, ++n, marker == "output" ? "want" : "c")
	printf "" > file
	print n, FILENAME ":" FNR, marker
	next
}
/^\.Ed/ { in_block = 0; marker = ""; close(file); next }
in_block && /^\./ { print "fault", FILENAME ":" FNR, "a macro in a program" }
in_block { print plain($0) > file }
!in_block && marker != "" {
	print "fault", FILENAME ":" FNR, "a marker without its block"
	marker = ""
}' "${pages[@]}" > "$scratch/list"

# run NUMBER PAGE:LINE [cubby-rcu]: a line in NUMBER.fault if it fails.
run() {
	local program=$scratch/$1 libs=(-L"$O" -lcubby)

	[ -z "${3:-}" ] || libs=(-L"$O" -lcubby-rcu -lcubby)
	local status=0

	if ! gcc -std=gnu11 -O1 -Wall -Wextra -Werror -Iinclude "$program.c" \
		-o "$program" "${libs[@]}" -Wl,-rpath,"$O" -pthread \
		> "$program.log" 2>&1; then
		echo "$2: does not build" > "$program.fault"
		cat "$program.log" >> "$program.fault"
		return
	fi
	"$program" > "$program.got" 2> "$program.log" || status=$?
	if [ $status != 0 ]; then
		echo "$2: exit status $status" > "$program.fault"
		cat "$program.log" >> "$program.fault"
	fi
}
export -f run

has_rcu=no
[ ! -e "$O/libcubby-rcu.so" ] || has_rcu=yes
last=""
while read -r number line marker; do
	[ "$number" != fault ] || {
		fault "$line: $marker"
		continue
	}
	number=$(printf %03d "$number")
	case $marker in
	"run: c") echo "$number $line" >> "$scratch/jobs" ;;
	"run: c cubby-rcu")
		[ $has_rcu = no ] ||
			echo "$number $line cubby-rcu" >> "$scratch/jobs"
		;;
	output)
		[ -n "$last" ] || fault "$line: output of nothing that is run"
		echo "$number $line $last" >> "$scratch/outputs"
		;;
	"not run: "?*) ;;
	*) fault "$line: a block without a marker" ;;
	esac
	last=""
	[ "${marker#run: c}" = "$marker" ] || last=$number
done < "$scratch/list"

xargs -P 2 -L 1 bash -c 'run "$@"' _ < "$scratch/jobs"
for file in "$scratch"/*.fault; do
	fault "$(cat "$file")"
done
while read -r number line of; do
	[ -f "$scratch/$of.got" ] || continue
	diff "$scratch/$number.want" "$scratch/$of.got" ||
		fault "$line: not what was printed"
done < "$scratch/outputs"
# And what is printed is shown.
for file in "$scratch"/*.got; do
	number=${file##*/}
	[ ! -s "$file" ] || grep -q " ${number%.got}$" "$scratch/outputs" ||
		fault "$(grep "^${number%.got} " "$scratch/jobs"): prints, and no output is shown"
done

for page in docs/man/cubby.7 docs/man/*.3; do
	grep -q "^[0-9]* $page:[0-9]* run: c" "$scratch/list" ||
		fault "$page: has no example that runs"
done
n_run=$(wc -l < "$scratch/jobs")
((n_run >= 17)) || fault "only $n_run examples were run"
echo "$n_run examples run, $n_faults faults"
((n_faults == 0))

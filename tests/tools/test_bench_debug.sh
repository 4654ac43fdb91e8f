#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The goals D1 and D2 of run-bench: right ratios, verdicts and well-formed JSON of
# what the programs say, and no result of a process that was not watched as it was
# told to be, or did something else than the others.  bench_debug, the trucks, the
# event loop and Valgrind are stand-ins here; orders and spent are not.
# shellcheck disable=SC2016 # what is planted is expanded when it runs
. tests/tools/common.sh

if ! command -v python3 > /dev/null; then
	echo "skipped: python3 is not installed"
	exit 77
fi

O=$(realpath "${O:-build/release}")
bin=build/release/bench
cp -r "$root/scripts" "$tree"
mkdir -p "$tree/$bin/programs" "$tree/$bin/server" "$tree/tools"
for program in orders spent; do
	"${CC:-gcc}" -std=gnu11 -D_GNU_SOURCE -O2 -Iinclude -pthread \
		-o "$tree/$bin/programs/$program" bench/programs/$program.c \
		-L"$O" -lcubby -Wl,-rpath,"$O"
done

plant $bin/bench_debug <<- 'END'
	#!/usr/bin/env python3
	import json, os, re, sys
	options = dict(a.split("=", 1) for a in sys.argv[1:])
	here = os.path.dirname(sys.argv[0])
	figures = json.load(open(os.path.join(here, "figures.json")))
	word = os.environ.get("CUBBY_DEBUG", "")
	malloc = "glibc-debug" if "MALLOC_CHECK_" in os.environ else "glibc"
	ns = figures["ns"].get(word, 50)
	runs = []
	for who in ("cubby", "cubby-inline", "ctor", malloc, "floor"):
	    for case in ("24B-1-pair", "64B-1-pair", "256B-1-pair",
	                 "64B-1000-replace", "64B-1-pair-deep16",
	                 "64B-1-pair-deep64"):
	        name = f"D1/{who}/{case}/iterations:1/manual_time"
	        if not re.search(options["--benchmark_filter"], name):
	            continue
	        deep = int(case.partition("-deep")[2] or 4)
	        is_fast = word in ("", "guard=100000", figures["fast"])
	        runs.append(dict(
	            name=name, run_name=name, run_type="iteration",
	            ns_per_pair=ns + (100 * deep if "U" in word else 0),
	            n_frames=deep, is_fast=float(is_fast),
	            first_byte=90.0 if "P" in word else 0.0))
	json.dump(dict(context=dict(malloc=malloc), benchmarks=runs),
	          open(options["--benchmark_out"], "w"))
END
# As if the library knew of sampled guard pages, also where it does not.
mv "$tree/$bin/programs/orders" "$tree/$bin/programs/orders.real"
plant $bin/programs/orders <<- 'END'
	#!/bin/bash
	[[ $CUBBY_DEBUG != guard=* ]] || CUBBY_DEBUG=
	exec "$0.real" "$@"
END
plant $bin/truck <<- 'END'
	#!/bin/bash
	sums=same
	[ "$CUBBY_DEBUG" != FZPU ] || sums=$(cat "${0%/*}/differs")
	echo "{\"sums\":\"$sums\"}"
END
plant $bin/server/server <<- 'END'
	#!/bin/bash
	trap 'echo open_now 0; echo objects_left 0; echo; exit 0' TERM
	echo ready port 7 admin 8
	while :; do sleep 0.01; done
END
plant $bin/server/load <<- 'END'
	#!/bin/bash
	[ "$1" = --port=7 ]
END
plant tools/valgrind <<- 'END'
	#!/bin/bash
	while [[ $1 == --* ]]; do shift; done
	exec "$@"
END
chmod +x "$tree/$bin/bench_debug" "$tree/$bin/truck" "$tree/tools/valgrind" \
	"$tree/$bin/programs/orders" "$tree/$bin/server/"*

figures() { # NANOSECONDS of FZP, a word that is fast, what FZPU's truck says
	plant $bin/figures.json <<- END
		{"ns": {"": 5, "F": 60, "FZP": $1, "FZPU": $1}, "fast": "$2"}
	END
	plant $bin/differs <<< "$3"
}

run() { # STATUS GOAL...: what it printed is in $tree/out
	local status=0
	(cd "$tree" && PATH=$tree/tools:$PATH \
		scripts/run-bench --no-build --quick "${@:2}") \
		> "$tree/out" 2>&1 || status=$?
	((status == $1)) || {
		echo "FAIL: run-bench ${*:2}: exit is $status, expected $1"
		cat "$tree/out"
		n_faults=$((n_faults + 1))
	}
}

says() { # REGEX...: a line matches each
	local regex
	for regex; do
		grep -qE -e "$regex" "$tree/out" || {
			echo "FAIL: no line matches: $regex"
			cat "$tree/out"
			n_faults=$((n_faults + 1))
		}
	done
}

# All that was left is JSON, and says where it was measured.
check_json() {
	python3 - "$tree"/build/bench/*/*.json <<- 'END' || n_faults=$((n_faults + 1))
		import json, sys
		for path in sys.argv[1:]:
		    found = json.load(open(path))
		    if path.endswith("/summary.json"):
		        assert all(row["goal"] in ("D1", "D2") and row["value"]
		                   for row in found), path
		    else:
		        assert found["context"]["malloc"], path
		        assert found.get("benchmarks") or found["runs"], path
	END
	rm -rf "$tree/build/bench"
}

figures 90 none same
run 0 D1 D2
says '^D1 +F: a pair +60\.0 ns .*, 12\.00 x cubby with nothing on' \
	'^D1 +FZP: a pair +90\.0 ns .*<= 100 ns +met$' \
	'^D1 +guard=100000, cubby-inline: one of 1,000 live replaced +50\.0 ns' \
	'^D1 +U alone, of a pair under 4 frames +400\.0 ns' \
	'^D1 +U alone, of a pair under 64 frames +6400 ns' \
	'^D2 +orders, nothing +[0-9.]+ s, [0-9.]+ MiB' \
	'^D2 +orders, FZPU beside memcheck +[0-9.]+ x' \
	'^D2 +truck, guard=100000 .* <= 1\.01 x CPU ' \
	'^D2 +truck, massif +[0-9.]+ x CPU' \
	'^D2 +server, FZP +[0-9.]+ x CPU .* x wall, .* x memory' \
	'^run-bench: [2-5] targets met, [0-3] missed'
check_json

figures 110 none same
run 0 D1
says '^D1 +FZP: a pair +110\.0 ns .*MISSED$' \
	'^run-bench: 0 targets met, 2 missed, .*; missed: D1 FZP: a pair; '
check_json

# Who says that it has the fast path is not watched.
figures 90 FZ same
run 1 D1
says '^run-bench: D1: under CUBBY_DEBUG=FZ cubby/64B-1-pair has is_fast 1'

figures 90 none other
run 1 D2
# Whichever comes first, in random order, is what the others differ from.
says '^run-bench: truck under [A-Za-z]+ has done something else: (other|same)'

# spent passes on SIGTERM, and how its command ended.
spent=$tree/$bin/programs/spent
for command in 'exit 7' 'kill -TERM $PPID; exec sleep 9' 'kill -KILL $$'; do
	status=0
	rm -f "$tree/spent.json"
	"$spent" "$tree/spent.json" bash -c "$command" || status=$?
	((status == 7 || status == 128 + 15 || status == 128 + 9)) || {
		echo "FAIL: spent: $command: exit is $status"
		n_faults=$((n_faults + 1))
	}
	python3 -c 'import json, sys
used = json.load(open(sys.argv[1]))
assert 0 < used["wall_seconds"] < 9, used
assert used["peak_rss_bytes"] > 1 << 16, used' "$tree/spent.json" ||
		n_faults=$((n_faults + 1))
done

finish

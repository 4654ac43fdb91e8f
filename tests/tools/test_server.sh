#!/bin/bash
# SPDX-License-Identifier: MIT
#
# The event loop of bench/server: events that come too late happen; with handles
# none of them reaches another connection, with pointers some do; a server that
# is told to end leaves nothing behind, idle or busy.
# shellcheck disable=SC2016 # RESP's $ is not the shell's
set -eu

O=$(realpath "${O:-build/release}")
tree=$(mktemp -d)
server=""
trap '[ -z "$server" ] || kill "$server" 2> /dev/null; rm -rf "$tree"' EXIT

N_CLIENTS=4000 # of the churn; the rounds have some 4,900 more
N_OPEN=800
N_ROUNDS=20
N_VICTIMS=100
N_STAY_ROUNDS=20
N_STAY_NEWCOMERS=50
READY_S=20

cc() {
	${CC:-gcc} -std=gnu11 -D_GNU_SOURCE -O2 -g -Wall -Wextra -Iinclude \
		-pthread "$@"
}

if ! echo '#include <urcu/urcu-memb.h>' | cc -E -o /dev/null - 2> /dev/null; then
	echo "skipped: liburcu-dev is not installed"
	exit 77
fi
sources=()
for source in bench/server/*.c; do
	[ "$source" = bench/server/load.c ] || sources+=("$source")
done
cc -o "$tree/server" "${sources[@]}" -L"$O" -lcubby -Wl,-rpath,"$O" -lurcu-memb
cc -o "$tree/load" bench/server/load.c

n_faults=0
fault() {
	echo "FAIL: $run: $*"
	n_faults=$((n_faults + 1))
}

figure() { # FILE NAME: of lines "name value"; -1 if it is not there
	awk -v name="$2" '$1 == name { value = $2; found = 1 }
		END { print found ? value : -1 }' "$tree/$1"
}

expect() { # FILE NAME TEST NUMBER: as of test(1)
	local value
	value=$(figure "$1" "$2")
	test "$value" "$3" "$4" || fault "$1: $2 is $value, expected $3 $4"
}

# Start a server; its ports are in $port and $admin.
start() { # OPTION...
	local ready
	run="$*"
	rm -f "$tree/server.out" # or the last one's line is taken for ours
	# exec: its process is ours to end.
	bash -c 'ulimit -n "$0" && exec "$@"' "${descriptors:-hard}" \
		"$tree/server" "$@" > "$tree/server.out" 2> "$tree/server.err" &
	server=$!
	for ((i = 0; i < READY_S * 50; i++)); do
		ready=$(grep -s '^ready' "$tree/server.out" || true)
		[ -z "$ready" ] || break
		sleep 0.02
	done
	read -r _ _ port _ admin <<< "$ready"
	[ -n "$admin" ] || {
		fault "not ready"
		cat "$tree/server.err"
		exit 1
	}
}

# End it, as an administrator does.
stop() {
	local status=0
	kill -TERM "$server"
	wait "$server" || status=$?
	server=""
	((status == 0)) || {
		fault "the server's exit is $status"
		cat "$tree/server.err"
	}
	expect server.out objects_left -eq 0
	expect server.out open_now -eq 0
}

wait_until_accepted() { # NUMBER
	local name value accepted=0
	exec 3<> "/dev/tcp/127.0.0.1/$admin"
	while ((accepted < $1)); do
		echo stats >&3
		while read -r name value <&3 && [ "$name" != end ]; do
			[ "$name" != accepted ] || accepted=$value
		done
	done
	exec 3>&-
}

# The clients: their exit is 1 if a figure says that something was wrong.
ask() { # OPTION...
	local status=0 want=0 name
	"$tree/load" --port="$port" "$@" > "$tree/load.out" \
		2> "$tree/load.err" || status=$?
	for name in lost server_gone; do
		[ "$(figure load.out $name)" = 0 ] || want=1
	done
	((status == want)) || {
		fault "the clients' exit is $status, expected $want"
		cat "$tree/load.out" "$tree/load.err"
	}
}

# What cannot be begun is said, and nothing else happens.
refuses() { # STATUS TEXT COMMAND...
	local status=0 run="${*:3}"
	"${@:3}" > "$tree/out" 2>&1 || status=$?
	[ $status = "$1" ] || fault "exit is $status, expected $1"
	grep -qe "$2" "$tree/out" || {
		fault "does not say $2:"
		cat "$tree/out"
	}
}

for program in server load; do
	refuses 2 "^usage: $program" "$tree/$program" --help
	! grep -e unrecognized "$tree/out" || fault "$program knows no --help"
	refuses 2 "^usage: $program" "$tree/$program" --nonsense=1
	refuses 2 "^usage: $program" "$tree/$program" --port
	refuses 2 'x: not a number' "$tree/$program" --port=x
done
refuses 2 '^usage: load' "$tree/load"
# Port 1 is nobody's.
refuses 1 '^load: cannot connect to port 1: ' "$tree/load" --port=1

# All of it: churn, and rounds that provoke stale events.
provoke() { # OPTION...
	start "$@"
	ask --admin="$admin" --clients=$N_CLIENTS --open=$N_OPEN \
		--rounds=$N_ROUNDS --victims=$N_VICTIMS
	stop
	expect load.out server_gone -eq 0
	expect load.out opened -ge $N_CLIENTS
	expect server.out accepted -ge $((N_CLIENTS + 2 * N_ROUNDS * N_VICTIMS))
	expect server.out closed -eq "$(figure server.out accepted)"
	expect server.out refused -eq 0
	expect server.out large_batches -gt 0
	expect server.out idle_closed -gt 0
	expect server.out unaudited -eq 0
	echo "$run: $(figure load.out opened) connections," \
		"$(figure server.out stale_events) stale events" \
		"($(figure server.out stale_reused) reused)," \
		"$(figure server.out stale_timers) stale timers," \
		"$(figure server.out wrong) wrong," \
		"$(figure load.out lost) lost"
}

# A request, in pieces of some bytes, and what is answered until the end.
expect_reply() { # BYTES REQUEST REPLY, both for printf
	local request reply got at
	printf -v request '%b' "$2"
	printf -v reply '%b' "$3"
	exec 3<> "/dev/tcp/127.0.0.1/$port"
	for ((at = 0; at < ${#request}; at += $1)); do
		printf '%s' "${request:at:$1}" >&3 2> /dev/null || break
	done
	got=$(timeout 20 cat <&3) || true
	exec 3>&-
	[ "$got" = "${reply%$'\n'}" ] || {
		fault "$2 in pieces of $1: expected $3, got:"
		printf '%s\n' "$got" | cat -A
	}
}

expect_replies() { # REQUEST REPLY: and then it quits
	expect_reply 1000 "$1QUIT\r\n" "$2+OK\r\n"
	expect_reply 7 "$1QUIT\r\n" "$2+OK\r\n"
	expect_reply 1 "$1QUIT\r\n" "$2+OK\r\n"
}

start --names=handle --mode=rcu
long=$(printf '%0512d' 0) # no request is so long
expect_replies 'PING\r\n' '+PONG\r\n'
expect_replies '\r\n  ping   yes\n' '$3\r\nyes\r\n'
expect_replies '*2\r\n$4\r\nECHO\r\n$5\r\na\r\nb \r\n' '$5\r\na\r\nb \r\n'
expect_replies '*1\r\n$4\r\nPING\r\nPING\r\n*0\r\n' '+PONG\r\n+PONG\r\n'
expect_replies 'SET k v\r\nGET k\r\nSET k ww\r\nGET k\r\nDEL k\r\nDEL k\r\nGET k\r\n' \
	'+OK\r\n$1\r\nv\r\n+OK\r\n$2\r\nww\r\n:1\r\n:0\r\n$-1\r\n'
expect_replies "SET k ${long:0:241}\\r\\nSET left over\\r\\n" \
	'-ERR too long, or no memory\r\n+OK\r\n'
expect_replies 'PONG\r\n' '-ERR unknown command\r\n'
expect_replies 'CLIENT KILL ID 12345\r\nDEBUG BARRIER\r\n' ':0\r\n+OK\r\n'
for request in '*x\r\n' '*1\r\n+4\r\n' '*1\r\n$-1\r\n' '*9\r\n' '*2x\r\n' \
	'*1\r\n$4\r\nPINGxx' 'a b c d e f g h i\r\n'; do
	expect_reply 1000 "$request" '-ERR protocol\r\n'
done
expect_reply 1000 "$long" '-ERR too long\r\n'
expect_reply 1000 "*${long:1}" '-ERR too long\r\n'
stop

# What a worker is busy with is not reused; where nothing keeps it, it is.
stay() { # OPTION...: its result in server.out
	start --workers=2 "$@" # one is busy, so the other does all else
	ask --admin="$admin" --clients=10 --open=10 --rounds=0 --idle-rounds=0 \
		--stay-rounds=$N_STAY_ROUNDS --victims=$N_STAY_NEWCOMERS
	stop
	expect server.out stays -eq $N_STAY_ROUNDS
	echo "$run: $(figure server.out overtaken) of $N_STAY_ROUNDS overtaken"
}

stay --names=handle --mode=rcu
expect server.out overtaken -eq 0
stay --names=handle --mode=strong
expect server.out overtaken -eq 0
stay --names=pointer --mode=rcu
expect server.out overtaken -eq 0
stay --names=pointer --mode=strong
expect server.out overtaken -gt 0

for mode in rcu strong; do
	provoke --names=handle --mode=$mode
	expect server.out stale_events -ge $N_ROUNDS
	expect server.out stale_reused -gt 0
	expect server.out stale_timers -gt 0
	expect server.out wrong -eq 0
	expect server.out wrong_closed -eq 0
	expect server.out repeated_names -eq 0
	expect load.out lost -eq 0

	# The same with pointers: or the test above could not fail.
	provoke --names=pointer --mode=$mode
	expect server.out wrong_events -gt 0
	expect server.out wrong_closed -gt 0
	expect load.out lost -gt 0

	# In the midst of it all.
	start --names=handle --mode=$mode
	"$tree/load" --port="$port" --clients=1000000000 --open=$N_OPEN \
		> "$tree/load.out" 2> "$tree/load.err" &
	clients=$!
	wait_until_accepted $N_OPEN
	stop
	expect server.out wrong -eq 0
	status=0
	wait $clients || status=$?
	((status == 1)) || fault "the clients' exit is $status, expected 1"
	expect load.out server_gone -eq 1
done

# Fewer descriptors than clients: some are refused.
descriptors=128 start --names=handle --mode=rcu
ask --clients=1000 --open=200
stop
expect server.out refused -gt 0

# Even fewer than it knows of: accept() fails, and goes on when others went.
start --names=handle --mode=strong --idle-ms=200
prlimit --pid "$server" --nofile=40:40
ask --clients=400 --open=100
stop
expect server.out accept_pauses -gt 0
expect server.out accepted -gt 128
expect load.out wrong_answers -eq 0
expect load.out no_answers -eq 0

echo "$n_faults faults"
((n_faults == 0))

#!/bin/bash
# SPDX-License-Identifier: MIT
#
# loops.sh: arrays, substitutions, functions and subshells of bash; prints what
# is the same in every run.
state=12345
below() { # LIMIT: in $chosen
	state=$(((state * 1103515245 + 12345) & 0x7fffffff))
	chosen=$(((state >> 8) % $1))
}

declare -A seen
declare -a list
sum=0
for ((i = 0; i < 6000; i++)); do
	below 5000
	word=w$chosen
	seen[$word]=${seen[$word]-}x
	list+=("$word:$i")
	if ((i % 100 == 99)); then
		text="${list[*]}"
		text=${text//w1/y}
		sum=$(((sum * 31 + ${#text} + ${#seen[@]}) & 0xffffffff))
		list=("${list[@]:80}")
	fi
	if ((i % 1000 == 999)); then
		sum=$(((sum + $(echo "${!seen[@]}" | wc -w)) & 0xffffffff))
		mapfile -t lines < <(printf '%s\n' "${list[@]}" | sort)
		sum=$(((sum + ${#lines[0]}) & 0xffffffff))
		unset "seen[$word]"
	fi
done
echo "${#seen[@]} words, ${#list[@]} in a list, sum $sum"

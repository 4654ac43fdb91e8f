#!/bin/bash
# SPDX-License-Identifier: MIT
#
# Long random sequences of calls against a model of what each block holds; in
# one thread and in several that free each other's blocks.
# CUBBY_MALLOC_SEED=N runs one seed of your own.
# shellcheck source=tests/tools/malloc_common.sh
source tests/tools/malloc_common.sh

N_OPERATIONS_AT_100=80000

compile malloc_model model
n=$((N_OPERATIONS_AT_100 * scale / 100))
seed=${CUBBY_MALLOC_SEED:-$RANDOM}
echo "seed $seed; CUBBY_MALLOC_SEED=$seed repeats it"

in_fronts model "$seed" $n 1
in_fronts model "$seed" $n 2
in_fronts model "$seed" $n 7
if is_cubby; then
	for words in checked zero quarantine=1M guard=100 \
		checked,zero,quarantine=1M front=none; do
		passes model "$seed" $((n / 10)) 1
		passes model "$seed" $((n / 10)) 3
	done
fi
finish

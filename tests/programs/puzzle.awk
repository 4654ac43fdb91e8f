# SPDX-License-Identifier: MIT
#
# puzzle.awk: SMT-LIB of puzzles whose answers are known.
#   -v kind=holes  -v n=N: N + 1 pigeons in N holes (unsat)
#   -v kind=queens -v n=N: N queens on a board (sat)
function holes(	p, q, h) {
	print "; expect: unsat"
	print "(set-logic QF_UF)"
	for (p = 0; p <= n; p++)
		for (h = 0; h < n; h++)
			printf "(declare-const p%d_%d Bool)\n", p, h
	for (p = 0; p <= n; p++) {
		printf "(assert (or"
		for (h = 0; h < n; h++)
			printf " p%d_%d", p, h
		print "))"
	}
	for (h = 0; h < n; h++)
		for (p = 0; p <= n; p++)
			for (q = p + 1; q <= n; q++)
				printf "(assert (or (not p%d_%d) (not p%d_%d)))\n", p, h, q, h
}

function queens(	i, j) {
	print "; expect: sat"
	print "(set-logic QF_LIA)"
	for (i = 0; i < n; i++) {
		printf "(declare-const q%d Int)\n", i
		printf "(assert (and (<= 0 q%d) (< q%d %d)))\n", i, i, n
	}
	for (i = 0; i < n; i++)
		for (j = i + 1; j < n; j++) {
			printf "(assert (not (= q%d q%d)))\n", i, j
			printf "(assert (not (= (- q%d q%d) %d)))\n", i, j, j - i
			printf "(assert (not (= (- q%d q%d) %d)))\n", j, i, j - i
		}
}

BEGIN {
	if (kind == "holes")
		holes()
	else
		queens()
	print "(check-sat)"
}

; SPDX-License-Identifier: MIT
; expect: unsat
; What rises by steps rises over several.
(set-logic AUFLIA)
(declare-const a (Array Int Int))
(declare-const i Int)
(declare-const j Int)
(assert (forall ((k Int))
	(=> (and (<= 0 k) (< k 100)) (< (select a k) (select a (+ k 1))))))
(assert (and (<= 0 i) (< i j) (<= j 8)))
(assert (>= (select a i) (select a j)))
(check-sat)

; SPDX-License-Identifier: MIT
; expect: unsat
; Multiplication spreads over addition, in 5 bits, written as shifts.
(set-logic QF_BV)
(declare-const a (_ BitVec 5))
(declare-const b (_ BitVec 5))
(declare-const c (_ BitVec 5))
(define-fun bit ((x (_ BitVec 5)) (n (_ BitVec 5))) (_ BitVec 5)
	(bvneg (bvand (bvlshr x n) #b00001)))
(define-fun times ((x (_ BitVec 5)) (y (_ BitVec 5))) (_ BitVec 5)
	(bvadd (bvand y (bit x #b00000))
	(bvadd (bvand (bvshl y #b00001) (bit x #b00001))
	(bvadd (bvand (bvshl y #b00010) (bit x #b00010))
	(bvadd (bvand (bvshl y #b00011) (bit x #b00011))
		(bvand (bvshl y #b00100) (bit x #b00100)))))))
(assert (not (= (times a (bvadd b c)) (bvadd (times a b) (times a c)))))
(check-sat)

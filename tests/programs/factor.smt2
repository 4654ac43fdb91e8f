; SPDX-License-Identifier: MIT
; expect: sat
; Two factors of 16 bits of a number of 32.
(set-logic QF_BV)
(declare-const a (_ BitVec 32))
(declare-const b (_ BitVec 32))
(assert (and (bvugt a #x00000001) (bvugt b #x00000001)))
(assert (and (bvult a #x00010000) (bvult b #x00010000)))
(assert (= (bvmul a b) #x00fa0ba1))
(check-sat)

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 0: plant - bugs that are compiled in on purpose
 *
 * A harness that has never caught anything proves nothing.  With
 * -DCUBBY_PLANT=CUBBY_PLANT_x one rule of the fast path is broken, and the
 * stress test must say so (tests/tools/test_plants.sh); the same rules are
 * broken in the models of tests/model.  Release builds have none of this.
 */
#ifndef CUBBY__PLANT_H
#define CUBBY__PLANT_H

#define CUBBY_PLANT_NONE 0
#define CUBBY_PLANT_NO_TAG 1      /* stacks without a tag */
#define CUBBY_PLANT_NO_RECHECK 2  /* the gate is read before the bracket */
#define CUBBY_PLANT_SWING 3       /* blocks are emptied with the gate open */
#define CUBBY_PLANT_LOCKED_WAIT 4 /* waiting for busy under the slab lock */
#define CUBBY_PLANT_ADOPT_BY_COUNT 5 /* orphans by a count that is stale */
#define CUBBY_PLANT_PAIR_STORE 6     /* two words of a block in one sequence */
#define CUBBY_PLANT_NO_COMPARE 7     /* a word that changed is replaced too */
#define CUBBY_PLANT_TLS_SPARE 8      /* a magazine in hand between exchanges */
#define CUBBY_PLANT_GATE_OUTSIDE 9   /* the gate is read before the sequence */
#define CUBBY_PLANT_EARLY_FENCE                                               \
	10                      /* a drainer's fence before the gate closes */
#define CUBBY_PLANT_NO_COUNT 11 /* a drainer does not wait for exchanges */

/* Of weak handles. */
#define CUBBY_PLANT_NO_GRACE 12     /* reuse without a grace period */
#define CUBBY_PLANT_LATE_BUMP 13    /* the generation changes at reuse */
#define CUBBY_PLANT_WRAP 14         /* the last generation is followed by 0 */
#define CUBBY_PLANT_RELAXED 15      /* handles are made without a release */
#define CUBBY_PLANT_SPLIT_WORD 16   /* identity, then the count */
#define CUBBY_PLANT_ADD_UNDO 17     /* count, then identity, then uncount */
#define CUBBY_PLANT_NO_FLOOR 18     /* generations begin anew with the page */
#define CUBBY_PLANT_NO_WALK_GATE 19 /* a walk does not hold frees up */
#define CUBBY_PLANT_LOST_WATCH 20   /* a watch does not look again */

#ifndef CUBBY_PLANT
#define CUBBY_PLANT CUBBY_PLANT_NONE
#endif

#define PLANTED(bug) (CUBBY_PLANT == CUBBY_PLANT_##bug)

/* Widen the window of a planted bug, so that it is met in seconds. */
#if CUBBY_PLANT != CUBBY_PLANT_NONE
#include <sched.h>
#define PLANT_DELAY(bug)                                                      \
	do {                                                                  \
		static __thread unsigned plant_turn                           \
			__attribute__((tls_model("initial-exec")));           \
		if (PLANTED(bug) && ++plant_turn % 16 == 0)                   \
			sched_yield();                                        \
	} while (0)
#else
#define PLANT_DELAY(bug) ((void)0)
#endif

#endif /* CUBBY__PLANT_H */

/* SPDX-License-Identifier: MIT */
/* context.h - what a result says besides what was measured. */
#ifndef BENCH_CONTEXT_H
#define BENCH_CONTEXT_H

#include "gb.h"
#include "rivals/rival.h"

/* Add where it was measured to the report and go on as gb_main(). */
int bench_main(int argc, char **argv);

/* Add how Cubby's calls were done, if they were Cubby's: after gb_stop(). */
void bench_proof(struct gb_state *state, const struct rival_proof *proof);

#endif /* BENCH_CONTEXT_H */

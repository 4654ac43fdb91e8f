/* SPDX-License-Identifier: MIT */
#include "context.h"

#include "machine.h"

int
bench_main(int argc, char **argv)
{
	machine_describe(gb_context);
	return gb_main(argc, argv);
}

void
bench_proof(struct gb_state *state, const struct rival_proof *proof)
{
	if (proof->n_calls == 0)
		return;
	gb_label(state, rival_front_text(proof));
#define COUNTER(name) gb_counter(state, #name, (double)proof->name, GB_PLAIN);
	RIVAL_PROOF(COUNTER)
#undef COUNTER
}

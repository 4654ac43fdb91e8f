/* SPDX-License-Identifier: MIT */
/* LAYER 3: budget - how much address space a process may reserve */
#include "budget.h"

#include "annotate.h"
#include "bits.h"
#include "host.h"
#include "options.h"
#include "os.h"

#define BUDGET_BYTES (32 * TIB)
#define BUDGET_BYTES_VALGRIND (64 * GIB)
#define BUDGET_BYTES_TSAN (2 * TIB)

/* No more than one part in so many of user space is reserved. */
#define USER_SPACE_PART 4

static uint64_t budget_option;
OPTION_ROW(budget, OPTION_NUMBER, &budget_option, NULL,
	   "most address space to reserve");

uint64_t
cubby__budget_choose(void)
{
	uint64_t limit_bytes = cubby__os_address_space_left_bytes();
	uint64_t bytes = min_u64(BUDGET_BYTES,
				 ((uint64_t)1 << cubby__os_user_space_bits()) /
					 USER_SPACE_PART);

	if (budget_option != 0)
		return budget_option;
	/* Valgrind puts the stack in the middle: the first rule misleads. */
	if (cubby__annotate_on_valgrind())
		bytes = BUDGET_BYTES_VALGRIND;
	if (cubby__annotate_on_tsan())
		bytes = min_u64(bytes, BUDGET_BYTES_TSAN);
	if (limit_bytes != UINT64_MAX)
		bytes = min_u64(bytes, cubby__host.is_malloc ?
					       limit_bytes :
					       limit_bytes / 2);
	return bytes;
}

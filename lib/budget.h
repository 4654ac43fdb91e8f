/* SPDX-License-Identifier: MIT */
/*
 * LAYER 3: budget - how much address space a process may reserve
 *
 * granule.h has the table.
 */
#ifndef CUBBY__BUDGET_H
#define CUBBY__BUDGET_H

#include "compiler.h"

/* In bytes; the option is read already. */
uint64_t cubby__budget_choose(void);

#endif /* CUBBY__BUDGET_H */

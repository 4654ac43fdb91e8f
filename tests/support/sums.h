/* SPDX-License-Identifier: MIT */
/* S1: every cell is counted once. */
#ifndef SUPPORT_SUMS_H
#define SUPPORT_SUMS_H

#include <cubby/stats.h>

/* Cells that are not live. */
static inline uint64_t
sum_not_live(const struct cubby_cache_stats *s)
{
	return s->n_idle_in_blocks + s->n_idle_in_depot + s->n_reserved +
	       s->n_free + s->n_returned + s->n_deferred + s->n_retired +
	       s->n_quarantined;
}

/* Equal to n_cells. */
static inline uint64_t
sum_of_cells(const struct cubby_cache_stats *s)
{
	return s->n_live + sum_not_live(s);
}

#endif /* SUPPORT_SUMS_H */

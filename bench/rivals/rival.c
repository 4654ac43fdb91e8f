/* SPDX-License-Identifier: MIT */
#include "rival.h"

#include <cubby/stats.h>

#include <errno.h>

int
rival_alloc_each(const struct rival *rival, void *pool, size_t n,
		 void **ret_objects)
{
	for (size_t i = 0; i < n; i++) {
		ret_objects[i] = rival->alloc(pool);
		if (!ret_objects[i]) {
			while (i-- > 0)
				rival->free(pool, ret_objects[i]);
			return -ENOMEM;
		}
	}
	return 0;
}

int
rival_check(const struct rival *rival, size_t n_pools, void *const *pools,
	    uint64_t n_calls, struct rival_proof *ret_proof)
{
	*ret_proof = (struct rival_proof){ 0 };
	if (!rival->check_calls)
		return 0;
	return rival->check_calls(n_pools, pools, n_calls, ret_proof);
}

int
rival_is_here(const struct rival *rival)
{
	return !rival->is_here || rival->is_here();
}

const char *
rival_front_text(const struct rival_proof *proof)
{
	if (proof->n_calls == 0)
		return "";
	if (proof->front_end == CUBBY_FRONT_PER_THREAD)
		return "per thread";
	return proof->front_index == CUBBY_FRONT_INDEX_MM_CID ?
		       "per CPU by mm_cid" :
		       "per CPU";
}

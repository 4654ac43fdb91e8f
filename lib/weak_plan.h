/* SPDX-License-Identifier: MIT */
/*
 * LAYER 5: weak_plan - which modes, flavours and back ends go together
 *
 * A cache is asked for a mode of handles, a flavour of RCU and a back end that
 * reclaims, and not all of them go together.  Here they are refused, before
 * anything is made; so the rest of the library need not ask again.
 */
#ifndef CUBBY__WEAK_PLAN_H
#define CUBBY__WEAK_PLAN_H

#include <cubby/cache.h>
#include <cubby/layout.h>

/*
 * Do these attributes go together, and with the layout (NULL: there is none)?
 * 0, or -EINVAL with a detail that names the field, what is wrong with it and
 * what to do.
 */
int cubby__weak_plan_check(const struct cubby_cache_attr *attr,
			   const struct cubby_layout *layout);

#endif /* CUBBY__WEAK_PLAN_H */

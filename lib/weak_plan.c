/* SPDX-License-Identifier: MIT */
/* LAYER 5: weak_plan - which modes, flavours and back ends go together */
#include "weak_plan.h"

#include "compiler.h"
#include "error.h"
#include "flavor.h"

#include <errno.h>

#define N_MODES (CUBBY_WEAK_REUSE + 1)
#define N_RECLAIMS (CUBBY_RECLAIM_POLL + 1)

static const char *const mode_names[N_MODES] = {
	[CUBBY_WEAK_NONE] = "CUBBY_WEAK_NONE",
	[CUBBY_WEAK_RCU] = "CUBBY_WEAK_RCU",
	[CUBBY_WEAK_STRONG] = "CUBBY_WEAK_STRONG",
	[CUBBY_WEAK_REUSE] = "CUBBY_WEAK_REUSE",
};

/* The table at struct cubby_cache_attr, line by line. */
struct row {
	uint64_t weak;
	bool has_flavor;
	bool may_be_strong;
};

static const struct row rows[] = {
	{ CUBBY_WEAK_NONE, false, false },
	{ CUBBY_WEAK_NONE, true, false },
	{ CUBBY_WEAK_RCU, true, true },
	{ CUBBY_WEAK_STRONG, false, false },
	{ CUBBY_WEAK_REUSE, false, false },
};

static const struct row *
find_row(const struct cubby_cache_attr *attr)
{
	const struct row *row;

	for (row = rows; row < rows + ARRAY_SIZE(rows); row++)
		if (row->weak == attr->weak &&
		    row->has_flavor == (attr->rcu != NULL))
			return row;
	return NULL;
}

/* ------------------------------ each by itself --------------------------- */

static int
check_values(const struct cubby_cache_attr *attr)
{
	if (attr->weak >= N_MODES)
		return cubby__error_set(
			-EINVAL,
			"attr.weak is %zu, which is no mode: take "
			"CUBBY_WEAK_NONE, _RCU, _STRONG or _REUSE",
			(size_t)attr->weak);
	if (attr->is_strong > 1)
		return cubby__error_set(-EINVAL,
					"attr.is_strong is %zu: it is 0 or 1",
					(size_t)attr->is_strong);
	if (attr->reclaim >= N_RECLAIMS)
		return cubby__error_set(
			-EINVAL,
			"attr.reclaim is %zu, which is no back end: take "
			"CUBBY_RECLAIM_THREAD or CUBBY_RECLAIM_POLL",
			(size_t)attr->reclaim);
	return 0;
}

static int
check_layout(const struct cubby_cache_attr *attr,
	     const struct cubby_layout *layout)
{
	if (attr->weak == CUBBY_WEAK_NONE || layout == NULL ||
	    (layout->options & CUBBY_LAYOUT_WEAK))
		return 0;
	return cubby__error_set(
		-EINVAL,
		"attr.weak is %s, but layout '%s' is without weak handles: "
		"declare it with CUBBY_WEAK_LAYOUT",
		mode_names[attr->weak],
		layout->names ? layout->names->name : "?");
}

/*
 * A struct of zeroes, or a pointer to something else, would be a crash on a
 * thread of ours at some later time.
 */
static int
check_flavor(const struct rcu_flavor_struct *rcu)
{
	const char *missing = NULL;

	if (rcu == NULL)
		return 0;
	if (rcu->read_ongoing == NULL)
		missing = "read_ongoing";
	else if (rcu->update_call_rcu == NULL)
		missing = "update_call_rcu";
	else if (rcu->update_synchronize_rcu == NULL)
		missing = "update_synchronize_rcu";
	else if (rcu->register_thread == NULL ||
		 rcu->unregister_thread == NULL)
		missing = "register_thread or unregister_thread";
	else if (rcu->thread_offline == NULL || rcu->thread_online == NULL)
		missing = "thread_offline or thread_online";
	if (missing == NULL)
		return 0;
	return cubby__error_set(
		-EINVAL,
		"attr.rcu points to a flavour without %s: give a flavour of "
		"liburcu as it is, for example &urcu_memb_flavor",
		missing);
}

/* --------------------------------- together ------------------------------ */

static int
refuse_flavor(const struct cubby_cache_attr *attr)
{
	if (attr->rcu == NULL)
		return cubby__error_set(
			-EINVAL,
			"attr.weak is CUBBY_WEAK_RCU and attr.rcu is NULL: "
			"give the flavour of your read sections, for example "
			"&urcu_memb_flavor; without any, take "
			"CUBBY_WEAK_STRONG, or cubby_rcu_flavor() of "
			"libcubby-rcu");
	return cubby__error_set(
		-EINVAL,
		"attr.rcu is set and attr.weak is %s, which waits for no grace "
		"period: leave it NULL, or take CUBBY_WEAK_RCU%s",
		mode_names[attr->weak],
		attr->weak == CUBBY_WEAK_STRONG ? " with is_strong = 1" : "");
}

static int
refuse_strong(const struct cubby_cache_attr *attr)
{
	return cubby__error_set(
		-EINVAL,
		"attr.is_strong is 1 and attr.weak is %s: it adds references "
		"to CUBBY_WEAK_RCU only; %s",
		mode_names[attr->weak],
		attr->weak == CUBBY_WEAK_STRONG ?
			"leave it 0, objects are counted without it" :
			"leave it 0, or take CUBBY_WEAK_STRONG");
}

/* A field that says something about waiting, where nothing waits. */
static int
refuse_deferral(const char *field)
{
	return cubby__error_set(-EINVAL,
				"attr.%s is set and attr.rcu is NULL, so that "
				"no object waits for a grace period: leave it "
				"0, or give a flavour",
				field);
}

static int
check_deferral(const struct cubby_cache_attr *attr)
{
	const struct {
		const char *name;
		bool is_set;
	} fields[] = {
		{ "reclaim", attr->reclaim != 0 },
		{ "soft_deferred_objects", attr->soft_deferred_objects != 0 },
		{ "soft_deferred_bytes", attr->soft_deferred_bytes != 0 },
		{ "max_deferred_objects", attr->max_deferred_objects != 0 },
		{ "max_deferred_bytes", attr->max_deferred_bytes != 0 },
		{ "on_stall", attr->on_stall != NULL },
		{ "stall_ms", attr->stall_ms != 0 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(fields); i++)
		if (fields[i].is_set)
			return refuse_deferral(fields[i].name);
	return 0;
}

/* Zero is no limit, or the default one, which gives way. */
static int
check_limits(const char *what, uint64_t soft, uint64_t hard)
{
	if (hard == 0 || soft <= hard)
		return 0;
	return cubby__error_set(
		-EINVAL,
		"attr.soft_deferred_%s is %zu and attr.max_deferred_%s is "
		"%zu: make the soft limit the lower one, or leave it 0",
		what, (size_t)soft, what, (size_t)hard);
}

int
cubby__weak_plan_check(const struct cubby_cache_attr *attr,
		       const struct cubby_layout *layout)
{
	const struct row *row;
	int err = check_values(attr);

	if (!err)
		err = check_layout(attr, layout);
	if (!err)
		err = check_flavor(attr->rcu);
	if (err)
		return err;
	row = find_row(attr);
	if (row == NULL)
		return refuse_flavor(attr);
	if (attr->is_strong && !row->may_be_strong)
		return refuse_strong(attr);
	if (attr->on_expire != NULL && attr->weak == CUBBY_WEAK_NONE)
		return cubby__error_set(
			-EINVAL,
			"attr.on_expire is set and attr.weak is "
			"CUBBY_WEAK_NONE, so that there are no handles to "
			"expire: leave it NULL, or choose a mode");
	if (!row->has_flavor)
		return check_deferral(attr);
	err = check_limits("objects", attr->soft_deferred_objects,
			   attr->max_deferred_objects);
	return err ? err :
		     check_limits("bytes", attr->soft_deferred_bytes,
				  attr->max_deferred_bytes);
}

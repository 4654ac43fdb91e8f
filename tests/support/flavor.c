/* SPDX-License-Identifier: MIT */
/* liburcu's flavours side by side; see flavor.h. */
#include "flavor.h"

#include "oracle.h"

#include <stdlib.h>

#include <urcu/urcu-bp.h>

/*
 * Of several flavours' headers in one file only the first declares the table and
 * call_rcu()'s family, under its own names (0.13).
 */
#define DECLARE(name)                                                         \
	extern const struct rcu_flavor_struct urcu_##name##_flavor;           \
	extern void urcu_##name##_call_rcu_before_fork(void);                 \
	extern void urcu_##name##_call_rcu_after_fork_parent(void);           \
	extern void urcu_##name##_call_rcu_after_fork_child(void)
DECLARE(memb);
DECLARE(mb);
DECLARE(qsbr);
DECLARE(bp);

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TELL_TSAN 1
#endif
#endif
#if defined(TELL_TSAN) || defined(__SANITIZE_THREAD__)
void __tsan_acquire(void *address);
void __tsan_release(void *address);
#else
#define __tsan_acquire(address) ((void)(address))
#define __tsan_release(address) ((void)(address))
#endif

const struct test_flavor test_flavors[N_TEST_FLAVORS] = {
	[TEST_MEMB] = { "memb", &urcu_memb_flavor, true, false, false },
	[TEST_MB] = { "mb", &urcu_mb_flavor, true, false, false },
	[TEST_QSBR] = { "qsbr", &urcu_qsbr_flavor, true, true, false },
	[TEST_BP] = { "bp", &urcu_bp_flavor, false, false, true },
};

static void
end_of_sections(const struct test_flavor *flavor)
{
	__tsan_release((void *)flavor->rcu);
}

static void
grace_period_is_over(const struct test_flavor *flavor)
{
	__tsan_acquire((void *)flavor->rcu);
}

/* -------------------------------- readers -------------------------------- */

void
test_flavor_register(const struct test_flavor *flavor)
{
	if (flavor->needs_registration)
		flavor->rcu->register_thread();
}

void
test_flavor_unregister(const struct test_flavor *flavor)
{
	end_of_sections(flavor);
	if (flavor->needs_registration)
		flavor->rcu->unregister_thread();
}

void
test_flavor_lock(const struct test_flavor *flavor)
{
	flavor->rcu->read_lock();
}

void
test_flavor_unlock(const struct test_flavor *flavor)
{
	end_of_sections(flavor);
	flavor->rcu->read_unlock();
}

void
test_flavor_quiesce(const struct test_flavor *flavor)
{
	if (!flavor->is_qsbr)
		return;
	end_of_sections(flavor);
	flavor->rcu->read_quiescent_state();
}

void
test_flavor_offline(const struct test_flavor *flavor)
{
	if (!flavor->is_qsbr)
		return;
	end_of_sections(flavor);
	flavor->rcu->thread_offline();
}

void
test_flavor_online(const struct test_flavor *flavor)
{
	if (flavor->is_qsbr)
		flavor->rcu->thread_online();
}

void
test_flavor_leave(const struct test_flavor *flavor)
{
	test_flavor_unlock(flavor);
	test_flavor_quiesce(flavor);
}

bool
test_flavor_is_reading(const struct test_flavor *flavor)
{
	return flavor->rcu->read_ongoing() != 0;
}

/* ----------------------------- grace periods ----------------------------- */

void
test_flavor_synchronize(const struct test_flavor *flavor)
{
	if (flavor->is_qsbr)
		end_of_sections(flavor);
	flavor->rcu->update_synchronize_rcu();
	grace_period_is_over(flavor);
}

void
test_flavor_barrier(const struct test_flavor *flavor)
{
	if (flavor->is_qsbr)
		end_of_sections(flavor);
	flavor->rcu->barrier();
	grace_period_is_over(flavor);
}

struct call {
	struct rcu_head head;
	const struct test_flavor *flavor;
	void (*fn)(void *argument);
	void *argument;
};

static void
run_call(struct rcu_head *head)
{
	struct call call;

	/* What the caller wrote came by liburcu's queue, unseen by TSan. */
	__tsan_acquire(head);
	call = *caa_container_of(head, struct call, head);
	free(caa_container_of(head, struct call, head));
	grace_period_is_over(call.flavor);
	call.fn(call.argument);
	end_of_sections(call.flavor);
}

void
test_flavor_call(const struct test_flavor *flavor, void (*fn)(void *),
		 void *argument)
{
	struct call *call = malloc(sizeof(*call));

	if (call == NULL)
		test_die("no memory for a callback");
	call->flavor = flavor;
	call->fn = fn;
	call->argument = argument;
	__tsan_release(&call->head);
	flavor->rcu->update_call_rcu(&call->head, run_call);
}

/* ---------------------------------- fork --------------------------------- */

struct fork_hooks {
	void (*before)(void);
	void (*in_parent)(void);
	void (*in_child)(void);
};

#define HOOKS(name)                                                           \
	{                                                                     \
		urcu_##name##_call_rcu_before_fork,                           \
			urcu_##name##_call_rcu_after_fork_parent,             \
			urcu_##name##_call_rcu_after_fork_child               \
	}

static const struct fork_hooks hooks[N_TEST_FLAVORS] = {
	[TEST_MEMB] = HOOKS(memb),
	[TEST_MB] = HOOKS(mb),
	[TEST_QSBR] = HOOKS(qsbr),
	[TEST_BP] = HOOKS(bp),
};

/* urcu-bp's own hooks inside: its call_rcu() thread may wait for readers. */
void
test_flavor_before_fork(const struct test_flavor *flavor)
{
	hooks[flavor - test_flavors].before();
	if (flavor == &test_flavors[TEST_BP])
		urcu_bp_before_fork();
}

void
test_flavor_after_fork(const struct test_flavor *flavor, bool in_child)
{
	const struct fork_hooks *hook = &hooks[flavor - test_flavors];

	if (flavor == &test_flavors[TEST_BP] && in_child)
		urcu_bp_after_fork_child();
	else if (flavor == &test_flavors[TEST_BP])
		urcu_bp_after_fork_parent();
	(in_child ? hook->in_child : hook->in_parent)();
}

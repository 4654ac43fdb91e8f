/* SPDX-License-Identifier: MIT */
/* LAYER 5: fork - a child finds every structure whole */
#include "fork.h"

#include "cache.h"
#include "domain.h"
#include "granule.h"
#include "lock.h"
#include "reclaim.h"
#include "registry.h"

#include <pthread.h>

/* The forking thread's mask; written while all locks are held. */
static sigset_t saved_signals;

static void
prepare(void)
{
	sigset_t saved;

	cubby__domain_fork_prepare();
	cubby__lock_block_signals(&saved);
	cubby__registry_fork_prepare();
	cubby__stripe_fork_prepare();
	cubby__magazine_fork_prepare();
	cubby__granule_fork_prepare();
	saved_signals = saved;
	cubby__lock_hold_all(true);
}

static void
done(void)
{
	sigset_t saved = saved_signals;

	cubby__lock_hold_all(false);
	cubby__granule_fork_done();
	cubby__magazine_fork_done();
	cubby__stripe_fork_done();
	cubby__registry_fork_done();
	cubby__lock_restore_signals(&saved);
}

static void
done_in_parent(void)
{
	done();
	cubby__domain_fork_parent();
}

static void
done_in_child(void)
{
	cubby__registry_fork_child();
	cubby__adopt_stripes();
	cubby__reclaim_fork_child();
	done();
	cubby__domain_fork_child_end();
}

static void
install(void)
{
	pthread_atfork(prepare, done_in_parent, done_in_child);
}

/*
 * As early as can be: who registers first prepares last, so that no fork
 * handler of the host's waits for a lock of its own while we hold ours; and
 * after the fork we are done first.
 */
__attribute__((constructor(101))) static void
install_early(void)
{
	cubby__fork_install();
}

void
cubby__fork_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
}

/* SPDX-License-Identifier: MIT */
/* LAYER 5: fork - a child finds every structure whole */
#include "fork.h"

#include "annotate.h"
#include "cache.h"
#include "domain.h"
#include "granule.h"
#include "host.h"
#include "lock.h"
#include "reclaim.h"
#include "registry.h"

#include <pthread.h>

/* Of glibc 2.32 and later: no thread was ever started. */
extern char __libc_single_threaded WEAK_SYMBOL;

/* The forking thread's mask; written while all locks are held. */
static sigset_t saved_signals;

/*
 * Nobody else can be in the middle of anything, and of this thread the child has
 * all.  Then no lock is taken: each is on a page of its own, which child and
 * parent would both copy.
 */
static __thread bool is_alone __attribute__((tls_model("initial-exec")));

static bool
will_be_alone(void)
{
	return &__libc_single_threaded != NULL && __libc_single_threaded &&
	       !cubby__annotate_on_tsan();
}

static void
prepare(void)
{
	sigset_t saved;

	cubby__domain_fork_prepare();
	is_alone = will_be_alone();
	if (is_alone)
		return;
	cubby__lock_block_signals(&saved);
	cubby__registry_fork_prepare();
	cubby__stripe_fork_prepare();
	cubby__magazine_fork_prepare();
	if (cubby__host.fork_prepare != NULL)
		cubby__host.fork_prepare();
	cubby__granule_fork_prepare();
	saved_signals = saved;
	cubby__lock_hold_all(true);
}

static void
done(void)
{
	sigset_t saved = saved_signals;

	if (is_alone)
		return;
	cubby__lock_hold_all(false);
	cubby__granule_fork_done();
	if (cubby__host.fork_done != NULL)
		cubby__host.fork_done();
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
	if (is_alone) {
		cubby__adopt_self();
	} else {
		cubby__registry_fork_child();
		cubby__adopt_stripes();
	}
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
	/* What a malloc calls at its start may allocate: boot.h. */
	if (!cubby__host.is_malloc)
		cubby__fork_install();
}

void
cubby__fork_install(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
}

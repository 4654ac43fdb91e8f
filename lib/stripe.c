/* SPDX-License-Identifier: MIT */
/* LAYER 4: stripe - the blocks of a thread, and the bracket around their use */
#include "stripe.h"

#include "bits.h"
#include "check.h"
#include "cpu.h"
#include "granule.h"
#include "lock.h"
#include "options.h"
#include "os.h"
#include "percpu.h"
#include "task.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <unistd.h>

/* 8,189 caches and 32,768 threads; less under a small address budget. */
#define STRIPE_BYTES (256 * KIB)
#define STRIPE_BYTES_SMALL (32 * KIB)
#define N_STRIPES_MAX 32768
#define BUDGET_SHARE 256

#define WAIT_NS (NS_PER_S / 10)
#define YIELDS 100
#define NAP_NS 50000
#define PATIENCE_NS (5 * NS_PER_S) /* with a thread that is only crowded out */

/* Of the address budget, for the stripes of all CPUs. */
#define BUDGET_SHARE_CPUS 32

static uint64_t front;
OPTION_ROW(front, OPTION_WORD, &front, "auto|cpu|mmcid|thread|none",
	   "who holds magazines: each CPU (by its number, or by mm_cid), each "
	   "thread, or nobody (slow; every misuse of free is found at once)");

__thread struct stripe *cubby__my_stripe
	__attribute__((tls_model("initial-exec")));
static __thread struct stripe *my_stripe
	__attribute__((tls_model("initial-exec")));
static __thread bool my_exit __attribute__((tls_model("initial-exec")));

#ifndef __SANITIZE_THREAD__
bool cubby__stripe_fenced = true;
#endif

static char *base; /* NULL: no stripes */
static uint64_t stripe_bytes;
static uint32_t n_most;
static uint32_t n_stripes;
static uint64_t first_free; /* number + 1 */
static uint64_t used_blocks[STRIPE_BYTES / BLOCK_BYTES / 64];
static bool works; /* constant after the first cache */

static void (*on_exit_fn)(struct stripe *stripe);
static pthread_key_t exit_key;
static bool exit_key_works;

static struct lock lock = LOCK_INIT(LOCK_RANK_ARRAY);

static void
full_barrier(void)
{
#ifdef __SANITIZE_THREAD__
	/* Which knows no fences; a locked instruction on a word of our own. */
	uint32_t word = 0;

	__atomic_exchange_n(&word, 1, __ATOMIC_SEQ_CST);
#else
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
#endif
}

uint32_t
cubby__stripe_n(void)
{
	return __atomic_load_n(&n_stripes, __ATOMIC_ACQUIRE);
}

uint32_t
cubby__stripe_number(const struct stripe *stripe)
{
	return (uint32_t)(((const char *)stripe - base) / stripe_bytes);
}

struct stripe *
cubby__stripe_at(uint32_t i)
{
	return (struct stripe *)(base + i * stripe_bytes);
}

bool
cubby__stripe_works(void)
{
	return works;
}

/* ---------------------------- threads come and go ------------------------- */

static void
release_stripe(struct stripe *stripe)
{
	stripe->state = STRIPE_FREE;
	__atomic_store_n(&stripe->tid, 0, __ATOMIC_RELAXED);
	stripe->next_free = first_free;
	first_free = (uint64_t)((char *)stripe - base) / stripe_bytes + 1;
}

static void
thread_exits(void *pointer)
{
	struct stripe *stripe = pointer;
	sigset_t saved;

	/* Destructors of other keys may still free: without magazines. */
	my_exit = true;
	cubby__my_stripe = NULL;
	/* It may be 1: a handler in a bracket ended the thread. */
	stripe_leave(stripe);
	on_exit_fn(stripe);
	cubby__lock_acquire(&lock, &saved);
	release_stripe(stripe);
	my_stripe = NULL; /* until now it is ours, also for a fork */
	cubby__lock_release(&lock, &saved);
}

static char *
take_percpu(uint64_t bytes)
{
	char *reserved;

	if (cubby__magazine_init() != 0 ||
	    cubby__granule_take_plain(bytes, &reserved) != 0)
		return NULL;
	if (cubby__os_show_zeroes(reserved, bytes) != 0) {
		cubby__granule_give_plain(reserved, bytes);
		return NULL;
	}
	cubby__os_advise_huge(reserved, bytes, false);
	return reserved;
}

/* The stripes of the threads: false if they cannot be had. */
static bool
init_per_thread(void (*on_exit)(struct stripe *stripe))
{
	uint64_t bytes = n_most * stripe_bytes;
	char *reserved;

	if (n_most == 0 || cubby__magazine_init() != 0 ||
	    cubby__granule_take_plain(bytes, &reserved) != 0)
		return false;
	exit_key_works = cubby__os_key_create(&exit_key, thread_exits);
	if (!exit_key_works) {
		cubby__granule_give_plain(reserved, bytes);
		return false;
	}
	cubby__os_advise_huge(reserved, bytes, false);
#ifndef __SANITIZE_THREAD__
	cubby__stripe_fenced = !cubby__cpu_fence_ready();
#endif
	on_exit_fn = on_exit;
	base = reserved;
	return true;
}

void
cubby__stripe_init(void (*on_exit)(struct stripe *stripe))
{
	static bool done;

	if (done)
		return;
	done = true;
	stripe_bytes = cubby__granule_budget_bytes() < SMALL_BUDGET_BYTES ?
			       STRIPE_BYTES_SMALL :
			       STRIPE_BYTES;
	stripe_bytes = align_up(stripe_bytes, cubby__os_page_bytes());
	n_most = (uint32_t)min_u64(N_STRIPES_MAX,
				   cubby__granule_budget_bytes() /
					   BUDGET_SHARE / stripe_bytes);
	cubby__percpu_init(front, take_percpu,
			   cubby__granule_budget_bytes() / BUDGET_SHARE_CPUS);
	works = cubby__percpu_works ||
		(front != PERCPU_WISH_NONE && init_per_thread(on_exit));
	used_blocks[0] = 1; /* block 0 is nobody's */
}

static bool
is_gone(pid_t tid)
{
	int saved = errno;
	bool gone = syscall(SYS_tgkill, getpid(), tid, 0) != 0 &&
		    errno == ESRCH;

	errno = saved;
	return gone;
}

/*
 * Threads whose first call came in the last round of their key destructors
 * were not told to us: glibc ran no more.  What they left, the next owner has.
 */
static void
release_lost(void)
{
	for (uint32_t i = 0; i < n_stripes; i++) {
		struct stripe *stripe = cubby__stripe_at(i);

		if (stripe->state == STRIPE_USED && is_gone(stripe->tid)) {
			stripe_leave(stripe);
			release_stripe(stripe);
		}
	}
}

static struct stripe *
take_stripe(void)
{
	struct stripe *stripe;
	uint32_t n = n_stripes;

	/* Seldom: as often as there are twice as many, and at the end. */
	if (first_free == 0 && n >= 64 && (is_pow2(n) || n == n_most))
		release_lost();
	if (first_free != 0) {
		stripe = cubby__stripe_at((uint32_t)first_free - 1);
		first_free = stripe->next_free;
		return stripe;
	}
	if (n == n_most ||
	    cubby__os_commit(cubby__stripe_at(n), stripe_bytes) != 0)
		return NULL;
	stripe = cubby__stripe_at(n);
	stripe->magazines = cubby__magazine_base;
	__atomic_store_n(&n_stripes, n + 1, __ATOMIC_RELEASE);
	return stripe;
}

/* Signals are blocked: no handler meets a half-attached thread. */
static COLD struct stripe *
attach(void)
{
	struct stripe *stripe;
	sigset_t saved;

	if (my_exit || !exit_key_works)
		return NULL;
	cubby__lock_acquire(&lock, &saved);
	/* A handler may have been faster. */
	stripe = my_stripe != NULL ? my_stripe : take_stripe();
	if (stripe != NULL) {
		stripe->state = STRIPE_USED;
		__atomic_store_n(&stripe->tid, gettid(), __ATOMIC_RELAXED);
		pthread_setspecific(exit_key, stripe);
		my_stripe = stripe;
		cubby__my_stripe = STRIPE_FENCED ? NULL : stripe;
	}
	cubby__lock_release(&lock, &saved);
	/* Who closes a gate and does not see us: we see it closed. */
	full_barrier();
	return stripe;
}

struct stripe *
cubby__stripe_mine(void)
{
	struct stripe *stripe = my_stripe;

	if (unlikely(stripe == NULL || my_exit))
		return attach();
	/* After vfork, clone(CLONE_VM) or _Fork it is somebody else's. */
	CHECK_DEBUG(stripe->tid == gettid() || cubby__lock_holds_all());
	return stripe;
}

uintptr_t
cubby__stripe_self(void)
{
	return (uintptr_t)&my_stripe;
}

struct stripe *
cubby__stripe_current(void)
{
	return my_stripe;
}

/* ------------------------------ block numbers ----------------------------- */

uint32_t
cubby__stripe_take_block(void)
{
	uint64_t n_words = stripe_bytes / BLOCK_BYTES / 64;
	uint32_t number = 0;
	sigset_t saved;

	if (!cubby__stripe_works())
		return 0;
	cubby__lock_acquire(&lock, &saved);
	for (uint64_t i = 0; i < n_words && number == 0; i++) {
		if (used_blocks[i] == UINT64_MAX)
			continue;
		number = (uint32_t)(i * 64 + bit_lowest(~used_blocks[i]));
		/* The header took the room of two blocks. */
		if (number >= stripe_bytes / BLOCK_BYTES - 2)
			number = 0;
		else
			used_blocks[i] |= (uint64_t)1 << (number % 64);
		break;
	}
	cubby__lock_release(&lock, &saved);
	return number * BLOCK_BYTES;
}

void
cubby__stripe_give_block(uint32_t offset_bytes)
{
	uint32_t number = offset_bytes / BLOCK_BYTES;
	sigset_t saved;

	if (number == 0)
		return;
	cubby__lock_acquire(&lock, &saved);
	used_blocks[number / 64] &= ~((uint64_t)1 << (number % 64));
	cubby__lock_release(&lock, &saved);
}

/* --------------------------------- waiting -------------------------------- */

bool
cubby__stripe_fence(void)
{
	if (!STRIPE_FENCED)
		return cubby__cpu_fence_all();
	full_barrier();
	return true;
}

/*
 * Would the thread run if it had a processor, or the page that it touched?
 * Then it is not stopped, only crowded out, and its bracket will end.
 */
static bool
wants_to_run(pid_t tid)
{
	char state = cubby__task_state(tid);

	return state == 'R' || state == 'D';
}

/* Wait for one thread, until the deadline or longer. */
static int
wait_for(const struct stripe *stripe, uint64_t *deadline_ns, pid_t *ret_tid)
{
	uint64_t last_ns = cubby__os_now_ns() + PATIENCE_NS;
	unsigned n_yields = 0;
	uint64_t now;

	while (!stripe_is_idle(stripe)) {
		*ret_tid = __atomic_load_n(&stripe->tid, __ATOMIC_RELAXED);
		if (stripe == my_stripe)
			return -EBUSY;
		now = cubby__os_now_ns();
		if (now >= *deadline_ns) {
			if (now >= last_ns || !wants_to_run(*ret_tid))
				return -EBUSY;
			*deadline_ns = now + WAIT_NS;
		}
		/* A real-time thread must sleep for others to run. */
		if (n_yields++ < YIELDS)
			sched_yield();
		else
			cubby__os_nap(NAP_NS);
	}
	return 0;
}

int
cubby__stripe_wait(pid_t *ret_tid)
{
	uint64_t deadline_ns = 0;
	uint32_t n;
	int err = 0;

	if (base == NULL)
		return 0;
	*ret_tid = 0;
	if (!cubby__stripe_fence())
		return -EPERM;
	n = cubby__stripe_n();
	for (uint32_t i = 0; i < n && !err; i++) {
		const struct stripe *stripe = cubby__stripe_at(i);

		if (stripe_is_idle(stripe))
			continue;
		if (deadline_ns == 0)
			deadline_ns = cubby__os_now_ns() + WAIT_NS;
		err = wait_for(stripe, &deadline_ns, ret_tid);
	}
	return err;
}

/* ---------------------------------- fork --------------------------------- */

void
cubby__stripe_fork_prepare(void)
{
	cubby__lock_seize(&lock);
}

void
cubby__stripe_fork_done(void)
{
	cubby__lock_unseize(&lock);
}

void
cubby__stripe_fork_alone(void)
{
	if (my_stripe != NULL)
		__atomic_store_n(&my_stripe->tid, gettid(), __ATOMIC_RELAXED);
}

void
cubby__stripe_fork_child(void (*bury)(struct stripe *stripe))
{
	cubby__stripe_fork_alone();
	for (uint32_t i = 0; i < n_stripes; i++) {
		struct stripe *stripe = cubby__stripe_at(i);

		if (stripe == my_stripe)
			continue;
		bury(stripe);
		if (stripe->state == STRIPE_USED) {
			stripe->busy = 0;
			release_stripe(stripe);
		}
	}
}

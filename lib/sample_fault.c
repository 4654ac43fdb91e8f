/* SPDX-License-Identifier: MIT */
/* LAYER 5: sample_fault - an access to a page that nobody may access */
#include "sample_fault.h"

#include "bits.h"
#include "finding.h"
#include "os.h"
#include "report.h"
#include "sample.h"
#include "stacks.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

MISUSE_ROW(CUBBY_MISUSE_GUARD_PAGE, "guard-page",
	   "somebody went beyond its ends, or has kept a pointer to it");

static struct sigaction before;

/* ---------------------------------- finding ------------------------------ */

static uint64_t
distance_to(const struct cubby_cache *cache, const struct sample_slot *slot,
	    const char *address)
{
	const char *object = region_object(&cache->region, slot->cell);
	const char *end = object + cache->region.geometry.object_bytes;

	if (address < object)
		return (uint64_t)(object - address);
	return address < end ? 0 : (uint64_t)(address - end) + 1;
}

/* What an access is about: an object in a slot, or one beside the area. */
struct finding {
	struct sample_slot slot;
	bool is_beside;
};

/* The cell right in front of the area, or right behind it, is as near as that. */
static void
find_beside(const struct cubby_cache *cache, const char *address,
	    uint64_t best, struct finding *ret_finding)
{
	const struct sample *sample = cache->sample;
	const struct region *region = &cache->region;
	uint64_t first = slab_first_cell(&cache->slabs, sample->slab);
	uint64_t cells[] = {
		first - 1,
		first + slab_record(&cache->slabs, sample->slab)->n_cells
	};

	for (size_t i = 0; i < ARRAY_SIZE(cells); i++) {
		struct sample_slot beside = { .cell = cells[i] };

		if (cells[i] >= cache->slabs.n_cells ||
		    region_piece_end(region, cells[i]) !=
			    region_piece_end(region, first) ||
		    distance_to(cache, &beside, address) >= best)
			continue;
		best = distance_to(cache, &beside, address);
		*ret_finding = (struct finding){ beside, true };
	}
}

/* The object that it is nearest to, if it is in a cache's area. */
static bool
find(const struct cubby_cache *cache, const char *address,
     struct finding *ret_finding)
{
	const struct sample *sample = cache->sample;
	uint64_t best = UINT64_MAX;

	if (sample == NULL || sample->start == NULL ||
	    address < sample->start || address >= sample->end)
		return false;
	for (uint32_t i = 0; i < sample->n_slots; i++) {
		uint64_t distance = distance_to(cache, &sample->slots[i],
						address);

		if (distance >= best)
			continue;
		best = distance;
		*ret_finding = (struct finding){ sample->slots[i], false };
	}
	find_beside(cache, address, best, ret_finding);
	return true;
}

/* ---------------------------------- reports ------------------------------ */

/* "was written": where the processor says which. */
static const char *
access_of(const void *context)
{
#if defined(__x86_64__)
	const ucontext_t *cpu = context;

	return cpu->uc_mcontext.gregs[REG_ERR] & 2 ? "was written" :
						     "was read";
#else
	(void)context;
	return "was accessed";
#endif
}

/* Where the access was made. */
static const void *
pc_of(const void *context)
{
	const ucontext_t *cpu = context;

#if defined(__x86_64__)
	return (const void *)cpu->uc_mcontext.gregs[REG_RIP];
#elif defined(__aarch64__)
	return (const void *)cpu->uc_mcontext.pc;
#else
	(void)cpu;
	return NULL;
#endif
}

static const char *
state_of(const struct finding *finding)
{
	if (finding->is_beside)
		return "has no guard pages of its own";
	switch (finding->slot.state) {
	case SAMPLE_IDLE:
		return "is free";
	case SAMPLE_LIVE:
		return "is live";
	case SAMPLE_LOOSE:
		break;
	}
	return "is no longer watched, and may be another's by now";
}

static void
report(const struct cubby_cache *cache, const struct finding *finding,
       const char *address, const void *context)
{
	const struct sample_slot *slot = &finding->slot;
	const char *object = region_object(&cache->region, slot->cell);
	uint32_t object_bytes = cache->region.geometry.object_bytes;
	const char *where;
	size_t distance = cubby__finding_place(address - object, object_bytes,
					       &where);
	struct report report;

	cubby__report_open(&report, CUBBY_MISUSE_GUARD_PAGE, cache->name,
			   address,
			   "%p, %zu bytes %s object %p (cell %zu, %u bytes), "
			   "which %s, %s",
			   (const void *)address, distance, where,
			   (const void *)object, (size_t)slot->cell,
			   object_bytes, state_of(finding),
			   access_of(context));
	cubby__report_more("by thread %d at", (int)gettid());
	cubby__finding_stack_from(cubby__stacks_take(), pc_of(context));
	cubby__finding_events(&slot->user);
	if (!finding->is_beside && slot->user.alloc.at_ns == 0)
		cubby__report_more("who allocated it is not known: its free "
				   "was not waited for");
	if (!cubby__report_aborts())
		cubby__report_more("its page is opened, and the program goes "
				   "on");
	cubby__report_close(&report, true);
}

/* ---------------------------------- handler ------------------------------ */

static bool
handle(const siginfo_t *info, const void *context)
{
	const char *address = info->si_addr;
	struct cubby_cache *cache = cubby_cache_of(address);
	struct finding finding;
	sigset_t saved;
	bool is_ours;

	if (cache == NULL || cache->sample == NULL)
		return false;
	cubby__lock_acquire(&cache->lock, &saved);
	is_ours = find(cache, address, &finding);
	cubby__lock_release(&cache->lock, &saved);
	if (!is_ours)
		return false;
	report(cache, &finding, address, context);
	return cubby__os_commit((void *)align_down((uintptr_t)address,
						   cubby__os_page_bytes()),
				cubby__os_page_bytes()) == 0;
}

/* As the kernel would have called what was there before us. */
static void
call_before(int number, siginfo_t *info, void *context)
{
	struct sigaction action = before;
	sigset_t saved;

	if (action.sa_flags & (int)SA_RESETHAND)
		before = (struct sigaction){ .sa_handler = SIG_DFL };
	pthread_sigmask(SIG_BLOCK, &action.sa_mask, &saved);
	if (action.sa_flags & SA_SIGINFO)
		action.sa_sigaction(number, info, context);
	else
		action.sa_handler(number);
	pthread_sigmask(SIG_SETMASK, &saved, NULL);
}

/*
 * If nobody handled it before us: an access is made again, and ends us; what was
 * sent is sent again.
 */
static void
pass_on(int number, siginfo_t *info, void *context)
{
	struct sigaction action = { .sa_handler = SIG_DFL };
	bool was_sent = info->si_code <= 0;

	if ((before.sa_flags & SA_SIGINFO) ||
	    (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN)) {
		call_before(number, info, context);
		return;
	}
	if (was_sent && before.sa_handler == SIG_IGN)
		return;
	sigaction(number, &action, NULL);
	if (was_sent)
		syscall(SYS_tgkill, getpid(), gettid(), number);
}

static void
on_fault(int number, siginfo_t *info, void *context)
{
	int saved_errno = errno;

	if (info->si_code != SEGV_ACCERR || !handle(info, context))
		pass_on(number, info, context);
	errno = saved_errno;
}

void
cubby__sample_fault_install(void)
{
	static uint32_t is_done;
	struct sigaction action = {
		.sa_sigaction = on_fault,
		.sa_flags = SA_SIGINFO | SA_ONSTACK,
	};

	if (__atomic_exchange_n(&is_done, 1, __ATOMIC_RELAXED) != 0)
		return;
	sigaction(SIGSEGV, NULL, &before);
	sigaction(SIGSEGV, &action, NULL);
}

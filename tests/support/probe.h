/* SPDX-License-Identifier: MIT */
/*
 * Probes: something else happens at one chosen instruction of a call.
 *
 *	trace   run the call once, one step at a time, and note where it was;
 *	        rseq sections are looked through by hiding them from the kernel,
 *	        for what it knows of it sends back at each step
 *	strike  put a breakpoint at one of these instructions, run the call, and
 *	        let its handler do whatever a signal handler may do
 *
 * A breakpoint in a section aborts it: that the kernel has done so is checked.
 *
 * Where signals are blocked nobody's handler runs, and no probe strikes.
 * SIGTRAP itself must never be blocked when a breakpoint is met; so this header
 * defines pthread_sigmask(), which is what Cubby blocks signals with.
 *
 * For one thread, on x86-64, in a program that is linked with libcubby.a.
 * Another thread that meets the breakpoint stays there until it is gone.
 */
#ifndef CUBBY_TESTS_PROBE_H
#define CUBBY_TESTS_PROBE_H

#include "support/oracle.h"

#include <cubby/inline/abi.h>

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#define PROBE_POINTS_MAX 16384
#define PROBE_INT3 0xcc
#define PROBE_TRAP_FLAG 0x100

/* The kernel's struct rseq_cs. */
struct probe_section {
	uint32_t version, flags;
	uint64_t start, length, abort;
};

/* Of all sections in this executable; the linker knows where they are. */
extern const struct probe_section *const __start___rseq_cs_ptr_array[]
	__attribute__((weak));
extern const struct probe_section *const __stop___rseq_cs_ptr_array[]
	__attribute__((weak));

/* The library's own words. */
extern struct cubby__fast_abi cubby__rseq_abi
	__attribute__((visibility("hidden")));

extern char __executable_start[], etext[];

static struct {
	volatile bool tracing, blocked;
	bool no_aborts; /* the kernel is told of no section */
	uintptr_t at;   /* of the breakpoint */
	uintptr_t last; /* where tracing ends */
	uint8_t code;   /* what the breakpoint replaced */
	uintptr_t then; /* of another one when this was met; 0: none */
	void (*action)(void);
	unsigned n_hits;
	size_t n_points;
	uintptr_t points[PROBE_POINTS_MAX];
	bool known[PROBE_POINTS_MAX * 64]; /* by offset in the text */
} probe;

/* What stands in for rseq_cs while sections are hidden. */
static __thread uint64_t probe_cs __attribute__((tls_model("initial-exec")));

/* In the thread that the probe is for. */
static __thread bool probe_is_here __attribute__((tls_model("initial-exec")));

static inline size_t
probe_n_sections(void)
{
	return (size_t)(__stop___rseq_cs_ptr_array -
			__start___rseq_cs_ptr_array);
}

/* The section of an instruction, or NULL. */
static inline const struct probe_section *
probe_section_of(uintptr_t at)
{
	for (size_t i = 0; i < probe_n_sections(); i++) {
		const struct probe_section *section =
			__start___rseq_cs_ptr_array[i];

		if (at - section->start < section->length)
			return section;
	}
	return NULL;
}

/* Signals stay blocked for everybody but the probe. */
int
pthread_sigmask(int how, const sigset_t *set, sigset_t *saved)
{
	bool was_blocked = probe.blocked;
	sigset_t kept;

	if (set != NULL) {
		kept = *set;
		sigdelset(&kept, SIGTRAP);
		sigdelset(&kept, SIGALRM); /* of alarm(): the test hangs */
		if (probe_is_here && how == SIG_SETMASK &&
		    sigismember(set, SIGUSR1))
			probe.blocked = true;
	}
	syscall(SYS_rt_sigprocmask, how, set != NULL ? &kept : NULL, saved, 8);
	if (saved != NULL && probe_is_here && was_blocked)
		sigaddset(saved, SIGUSR1);
	if (probe_is_here && set != NULL && how == SIG_SETMASK &&
	    !sigismember(set, SIGUSR1))
		probe.blocked = false;
	return 0;
}

static inline void
probe_set(uintptr_t at, uint8_t code)
{
	*(volatile uint8_t *)at = code;
}

static inline void
probe_arm(uintptr_t at)
{
	probe.at = at;
	probe.code = *(volatile uint8_t *)at;
	probe_set(at, PROBE_INT3);
}

static inline void
probe_note(uintptr_t at)
{
	size_t offset = at - (uintptr_t)__executable_start;

	/* Not what is in shared libraries, nor what no handler interrupts. */
	if (probe.blocked || at < (uintptr_t)__executable_start ||
	    at >= (uintptr_t)etext || offset >= sizeof(probe.known) ||
	    probe.known[offset] || probe.n_points == PROBE_POINTS_MAX)
		return;
	probe.known[offset] = true;
	probe.points[probe.n_points++] = at;
}

static inline void
probe_on_break(greg_t *regs)
{
	const struct probe_section *section = probe_section_of(probe.at);
	uintptr_t ip = (uintptr_t)regs[REG_RIP];

	probe_set(probe.at, probe.code);
	if (section != NULL && !probe.no_aborts && probe.last == 0) {
		if (ip != section->abort)
			test_die("instruction %#lx: the section was not "
				 "aborted",
				 (unsigned long)probe.at);
	} else {
		if (ip != probe.at + 1)
			test_die("a breakpoint that nobody set");
		regs[REG_RIP] = (greg_t)probe.at;
	}
	if (probe.last != 0) { /* the first instruction of a trace */
		probe.last = *(uintptr_t *)regs[REG_RSP];
		probe.tracing = true;
		regs[REG_EFL] |= PROBE_TRAP_FLAG;
		probe_note(probe.at);
	} else if (!probe.blocked) {
		probe.n_hits++;
		probe.action();
		if (probe.then != 0)
			probe_arm(probe.then);
		probe.then = 0;
	}
}

static inline bool
probe_is_abort(uintptr_t ip)
{
	for (size_t i = 0; i < probe_n_sections(); i++)
		if (ip == __start___rseq_cs_ptr_array[i]->abort)
			return true;
	return false;
}

/* It is met again, or gone by then. */
static inline void
probe_stay(greg_t *regs)
{
	if (!probe_is_abort((uintptr_t)regs[REG_RIP]))
		regs[REG_RIP]--;
	sched_yield();
}

static inline void
probe_on_trap(int number, siginfo_t *info, void *context)
{
	greg_t *regs = ((ucontext_t *)context)->uc_mcontext.gregs;
	uintptr_t ip = (uintptr_t)regs[REG_RIP];

	(void)number;
	(void)info;
	if (!probe_is_here) {
		probe_stay(regs);
	} else if (probe.tracing && ip != probe.last) {
		probe_note(ip);
	} else if (probe.tracing) {
		probe.tracing = false;
		regs[REG_EFL] &= ~(greg_t)PROBE_TRAP_FLAG;
	} else {
		probe_on_break(regs);
	}
}

/* false: the text cannot be written. */
static inline bool
probe_init(void)
{
	struct sigaction action = { .sa_sigaction = probe_on_trap,
				    .sa_flags = SA_SIGINFO };
	uintptr_t page = (uintptr_t)__executable_start & ~(uintptr_t)4095;

	probe_is_here = true;
	return sigaction(SIGTRAP, &action, NULL) == 0 &&
	       mprotect((void *)page, (uintptr_t)etext - page,
			PROT_READ | PROT_WRITE | PROT_EXEC) == 0;
}

static inline int64_t
probe_cs_offset(void)
{
	char *pointer;

	__asm__("movq %%fs:0, %0" : "=r"(pointer));
	return (char *)&probe_cs - pointer;
}

/* Where does this call come by?  The answer is in points[]. */
static inline void
probe_trace(void (*call)(void))
{
	int64_t offset = cubby__rseq_abi.cs_offset;

	for (size_t i = 0; i < probe.n_points; i++)
		probe.known[probe.points[i] - (uintptr_t)__executable_start] =
			false;
	probe.n_points = 0;
	probe.last = 1;
	cubby__rseq_abi.cs_offset = probe_cs_offset();
	cubby__fast_abi_1.cs_offset = probe_cs_offset();
	probe_arm((uintptr_t)call);
	call();
	cubby__rseq_abi.cs_offset = offset;
	cubby__fast_abi_1.cs_offset = offset;
	probe.last = 0;
}

/*
 * The call, with the action at its first visit of a point, and later at the
 * next visit of another one: how often was there one?
 */
static inline unsigned
probe_strike(void (*call)(void), uintptr_t at, uintptr_t then,
	     void (*action)(void))
{
	probe.n_hits = 0;
	probe.then = then;
	probe.action = action;
	probe_arm(at);
	call();
	probe_set(probe.at, probe.code);
	return probe.n_hits;
}

#endif /* CUBBY_TESTS_PROBE_H */

/* SPDX-License-Identifier: MIT */
/* LAYER 1: cpu - CPU numbers and restartable sequences */
#include "cpu.h"

#include "bits.h"
#include "os.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <sys/auxv.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef AT_RSEQ_FEATURE_SIZE
#define AT_RSEQ_FEATURE_SIZE 27
#endif

/* The two sizes that old C libraries claim whatever the kernel has. */
#define RSEQ_SIZE_FIRST 20
#define RSEQ_SIZE_PADDED 32

/* glibc 2.35 and later. */
extern const unsigned int __rseq_size WEAK_SYMBOL;
extern const ptrdiff_t __rseq_offset WEAK_SYMBOL;

uint32_t
cubby__cpu_parse_list(const char *list)
{
	uint32_t highest = 0;

	if (*list < '0' || *list > '9')
		return 0;
	for (uint32_t number = 0;; list++) {
		if (*list >= '0' && *list <= '9') {
			number = number * 10 + (uint32_t)(*list - '0');
			continue;
		}
		highest = number > highest ? number : highest;
		number = 0;
		if (*list == '\0' || *list == '\n')
			return highest + 1;
		if (*list != '-' && *list != ',')
			return 0;
	}
}

uint32_t
cubby__cpu_n_possible(void)
{
	char list[256];

	/* Not sysconf(): without /sys it counts what affinity allows. */
	if (cubby__os_read_text("/sys/devices/system/cpu/possible", list,
				sizeof(list)) <= 0)
		return 0;
	return cubby__cpu_parse_list(list);
}

bool
cubby__cpu_knows_rseq(void)
{
	return &__rseq_size != NULL && &__rseq_offset != NULL;
}

ptrdiff_t
cubby__cpu_rseq_offset(void)
{
	return cubby__cpu_knows_rseq() ? __rseq_offset : 0;
}

uint32_t
cubby__cpu_rseq_rule(uint32_t rseq_size, uint64_t feature_size)
{
	if (rseq_size != RSEQ_SIZE_FIRST && rseq_size != RSEQ_SIZE_PADDED)
		return rseq_size;
	if (feature_size == 0)
		return RSEQ_BYTES_CPU_ID;
	return (uint32_t)min_u64(RSEQ_SIZE_PADDED, feature_size);
}

uint32_t
cubby__cpu_rseq_bytes(void)
{
	if (!cubby__cpu_knows_rseq())
		return 0;
	return cubby__cpu_rseq_rule(__rseq_size,
				    getauxval(AT_RSEQ_FEATURE_SIZE));
}

static long
membarrier(int command)
{
	int saved = errno;
	long answer = syscall(SYS_membarrier, command, 0, 0);

	errno = saved;
	return answer;
}

/* Register for a kind of barrier: false if the kernel has none. */
static bool
register_for(long barrier, int registration)
{
	/* An emulator may answer every command with 0 and do nothing. */
	long commands = membarrier(MEMBARRIER_CMD_QUERY);

	return commands > 0 && (commands & barrier) != 0 &&
	       membarrier(registration) == 0;
}

bool
cubby__cpu_fence_ready(void)
{
	return register_for(MEMBARRIER_CMD_PRIVATE_EXPEDITED,
			    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED);
}

bool
cubby__cpu_fence_all(void)
{
	return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED) == 0;
}

bool
cubby__cpu_rseq_fence_ready(void)
{
	return register_for(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ,
			    MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED_RSEQ);
}

bool
cubby__cpu_rseq_fence_all(void)
{
	return membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED_RSEQ) == 0;
}

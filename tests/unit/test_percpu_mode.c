/* SPDX-License-Identifier: MIT */
/*
 * Which front end a process gets, and what becomes of the per-CPU one in
 * surroundings that turn hostile: a table of all reasons; a kernel that refuses
 * membarrier(2), before the first cache and after it; threads without
 * restartable sequences beside those that have them; locked memory.
 */
#include "unit/unit.h"

#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "cpu.h"
#include "percpu.h"
#include "support/light.h"

/* -------------------------------- the choice ------------------------------ */

#define WISH(name) .wish = PERCPU_WISH_##name
#define GOOD                                                                  \
	.built = true, .proven = true, .rseq_bytes = 28, .knows_rseq = true,  \
	.cpu_id = 0, .fences = true, .fits = true
#define ARRAY_LENGTH(array) (sizeof(array) / sizeof((array)[0]))
#define REASON(name) CUBBY_FRONT_REASON_##name
#define INDEX(name) CUBBY_FRONT_INDEX_##name

static const struct {
	struct percpu_facts facts;
	enum cubby_front_index index;
	enum cubby_front_reason reason;
} choices[] = {
	/* all is there: what was wished for */
	{ { WISH(AUTO), GOOD }, INDEX(CPU), REASON(BEST) },
	{ { WISH(CPU), GOOD }, INDEX(CPU), REASON(OPTION) },
	{ { WISH(MM_CID), GOOD }, INDEX(MM_CID), REASON(OPTION) },
	{ { WISH(THREAD), GOOD }, INDEX(NONE), REASON(OPTION) },
	{ { WISH(NONE), GOOD }, INDEX(NONE), REASON(OPTION) },
	/* an option that needs nothing is never in doubt */
	{ { WISH(THREAD) }, INDEX(NONE), REASON(OPTION) },
	{ { WISH(NONE) }, INDEX(NONE), REASON(OPTION) },
};

static void
not_built(struct percpu_facts *facts)
{
	facts->built = false;
}

static void
under_tsan(struct percpu_facts *facts)
{
	facts->tsan = true;
}

static void
no_c_library(struct percpu_facts *facts)
{
	facts->knows_rseq = false;
	facts->rseq_bytes = 0;
}

static void
no_rseq(struct percpu_facts *facts)
{
	facts->rseq_bytes = 0;
}

static void
rseq_too_small(struct percpu_facts *facts)
{
	facts->rseq_bytes = RSEQ_BYTES_CPU_ID - 1;
}

static void
not_registered(struct percpu_facts *facts)
{
	facts->cpu_id = -1;
}

static void
registration_failed(struct percpu_facts *facts)
{
	facts->cpu_id = -2;
}

static void
no_fences(struct percpu_facts *facts)
{
	facts->fences = false;
}

static void
too_many_cpus(struct percpu_facts *facts)
{
	facts->fits = false;
}

/* In the order in which they are looked at: the first one is the reason. */
static const struct {
	void (*spoil)(struct percpu_facts *facts);
	enum cubby_front_reason reason;
} faults[] = {
	{ not_built, REASON(NOT_BUILT) },
	{ under_tsan, REASON(TSAN) },
	{ no_c_library, REASON(C_LIBRARY) },
	{ no_rseq, REASON(NO_RSEQ) },
	{ rseq_too_small, REASON(NO_RSEQ) },
	{ not_registered, REASON(NOT_REGISTERED) },
	{ registration_failed, REASON(NOT_REGISTERED) },
	{ no_fences, REASON(NO_MEMBARRIER) },
	{ too_many_cpus, REASON(CPUS) },
};

static void
choose_with_all_facts_good_follows_the_wish(void **state)
{
	enum cubby_front_reason reason;

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(choices); i++) {
		assert_int_equal(cubby__percpu_choose(&choices[i].facts,
						      &reason),
				 choices[i].index);
		assert_int_equal(reason, choices[i].reason);
	}
}

static void
choose_with_one_fact_wrong_says_which(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(faults); i++) {
		for (uint64_t wish = PERCPU_WISH_AUTO;
		     wish <= PERCPU_WISH_MM_CID; wish++) {
			struct percpu_facts facts = { .wish = wish, GOOD };
			enum cubby_front_reason reason;

			faults[i].spoil(&facts);
			assert_int_equal(cubby__percpu_choose(&facts, &reason),
					 INDEX(NONE));
			assert_int_equal(reason, faults[i].reason);
		}
	}
}

/* What is looked at first is what is said; later ones make no difference. */
static void
choose_with_more_facts_wrong_says_the_first(void **state)
{
	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(faults); i++) {
		struct percpu_facts facts = { WISH(CPU), GOOD };
		enum cubby_front_reason reason;

		for (size_t k = ARRAY_LENGTH(faults); k-- > i;)
			faults[k].spoil(&facts);
		cubby__percpu_choose(&facts, &reason);
		assert_int_equal(reason, faults[i].reason);
	}
}

/* A processor that no test has run on: only who asks for it gets it. */
static void
choose_where_not_proven_needs_the_option(void **state)
{
	struct percpu_facts facts = { WISH(AUTO), GOOD };
	enum cubby_front_reason reason;

	(void)state;
	facts.proven = false;
	assert_int_equal(cubby__percpu_choose(&facts, &reason), INDEX(NONE));
	assert_int_equal(reason, REASON(NOT_PROVEN));
	facts.wish = PERCPU_WISH_CPU;
	assert_int_equal(cubby__percpu_choose(&facts, &reason), INDEX(CPU));
	assert_int_equal(reason, REASON(OPTION));
}

/* A registration of 20 bytes has no mm_cid, and nothing else is missed. */
static void
choose_mm_cid_needs_a_kernel_that_has_it(void **state)
{
	struct percpu_facts facts = { WISH(MM_CID), GOOD };
	enum cubby_front_reason reason;

	(void)state;
	facts.rseq_bytes = RSEQ_BYTES_MM_CID - 1;
	assert_int_equal(cubby__percpu_choose(&facts, &reason), INDEX(NONE));
	assert_int_equal(reason, REASON(NO_MM_CID));
	for (facts.rseq_bytes = RSEQ_BYTES_CPU_ID; facts.rseq_bytes <= 64;
	     facts.rseq_bytes++) {
		facts.wish = PERCPU_WISH_AUTO;
		assert_int_equal(cubby__percpu_choose(&facts, &reason),
				 INDEX(CPU));
		facts.wish = PERCPU_WISH_CPU;
		assert_int_equal(cubby__percpu_choose(&facts, &reason),
				 INDEX(CPU));
	}
}

static void
reason_text_differs_for_each_reason(void **state)
{
	const char *unknown = cubby_front_reason_text(UINT64_MAX);

	(void)state;
	for (unsigned i = 0; i <= REASON(NO_MM_CID); i++) {
		const char *text = cubby_front_reason_text(i);

		assert_string_not_equal(text, unknown);
		for (unsigned k = 0; k < i; k++)
			assert_string_not_equal(text,
						cubby_front_reason_text(k));
	}
}

/* ---------------------------- hostile surroundings ------------------------ */

enum {
	OBJECT_BYTES = 64,
	N_OBJECTS = 400,
	N_ROUNDS = 100,
	N_THREADS = 3, /* of each kind */
	N_SLOTS = 64
};

static struct light light = { .last = OBJECT_BYTES / 8 - 1 };

static void
check_ok(int err)
{
	if (err)
		print_message("%s: %s\n", cubby_error_name(err),
			      cubby_error_detail());
	assert_int_equal(err, 0);
}

static struct cubby_cache_stats
snapshot(void)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };

	check_ok(cubby_cache_stats_snapshot(light.cache, &stats));
	return stats;
}

static void
make_cache(void)
{
	check_ok(cubby_cache_create_sized(&light.cache, "mode", OBJECT_BYTES,
					  0, NULL));
}

/* The case is about what happens to the per-CPU front end. */
static void
make_percpu_cache(void)
{
	make_cache();
	if (snapshot().front_end != CUBBY_FRONT_PER_CPU)
		skip_because(cubby_front_reason_text(snapshot().front_reason));
}

static void
alloc_and_free(void)
{
	void *objects[N_OBJECTS];

	for (size_t i = 0; i < N_OBJECTS; i++)
		objects[i] = light_alloc(&light, i + 1);
	for (size_t i = 0; i < N_OBJECTS; i++)
		light_free(&light, objects[i]);
}

/* From now on the kernel refuses this call to the thread and its children. */
static void
refuse_call(int number)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS,
			 offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)number, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { ARRAY_LENGTH(filter), filter };

	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
	    prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
		skip_because("no seccomp");
	if (syscall(number, 0, 0, 0, 0) == 0 || errno != EPERM)
		skip_because("seccomp filters nothing");
}

static void
membarrier_refused_before_first_cache_is_per_thread(void **state)
{
	(void)state;
	refuse_call(SYS_membarrier);
	make_cache();
	assert_int_equal(snapshot().front_end, CUBBY_FRONT_PER_THREAD);
	if (snapshot().front_reason < REASON(NO_MEMBARRIER))
		skip_because("another fact was missed first");
	assert_int_equal(snapshot().front_reason, REASON(NO_MEMBARRIER));
	alloc_and_free();
	check_ok(cubby_cache_shrink(light.cache, NULL));
	assert_int_equal(cubby_cache_verify(light.cache), 0);
	check_ok(cubby_cache_destroy(light.cache));
}

#define REFUSED                                                                \
	"cache 'mode': the kernel refuses membarrier(2), which it allowed at " \
	"first; is there a seccomp filter?"

static void
check_refused(int answer)
{
	assert_int_equal(answer, -EBUSY);
	assert_string_equal(cubby_error_detail(), REFUSED);
}

/* Nothing can make the cache stand still, but who uses it goes on. */
static void
membarrier_refused_after_first_cache_leaves_alloc_and_free(void **state)
{
	struct cubby_walk *walk;
	void *object;

	(void)state;
	make_percpu_cache();
	alloc_and_free();
	object = light_alloc(&light, 1);
	refuse_call(SYS_membarrier);
	for (size_t i = 0; i < 3; i++) {
		check_refused(cubby_walk_create(&walk, light.cache));
		check_refused(cubby_cache_shrink(light.cache, NULL));
		check_refused(cubby_is_live(light.cache, object));
		check_refused(cubby_cache_destroy(light.cache));
		check_refused(cubby_cache_destroy_force(light.cache));
		assert_int_equal(snapshot().is_exact, 0);
		for (size_t k = 0; k < N_ROUNDS; k++)
			alloc_and_free();
	}
	light_free(&light, object);
	/* The gate was opened again each time: few of the calls took a lock. */
	assert_true(snapshot().n_direct_allocs < N_ROUNDS);
}

/* --------------------- threads without restartable sequences -------------- */

extern const unsigned int __rseq_size __attribute__((weak));

/* Signature and least size of glibc's registration on x86-64. */
#define RSEQ_SIGNATURE 0x53053053
#define RSEQ_BYTES_REGISTERED 32
#define RSEQ_UNREGISTER 1

static int32_t
my_cpu_id(void)
{
	const char *area = (const char *)__builtin_thread_pointer() +
			   cubby__cpu_rseq_offset();

	return __atomic_load_n((const int32_t *)(area + 4), __ATOMIC_RELAXED);
}

static bool
unregister_rseq(void)
{
	char *area = (char *)__builtin_thread_pointer() +
		     cubby__cpu_rseq_offset();
	unsigned bytes = __rseq_size > RSEQ_BYTES_REGISTERED ?
				 __rseq_size :
				 RSEQ_BYTES_REGISTERED;

	return syscall(SYS_rseq, area, bytes, RSEQ_UNREGISTER,
		       RSEQ_SIGNATURE) == 0;
}

/* Objects on their way: any thread allocates them, any other frees them. */
static void *slots[N_SLOTS];
static unsigned n_unregistered; /* that worked so */
static bool cannot;

static void
churn(uint64_t random)
{
	unsigned n = scaled(N_ROUNDS * N_OBJECTS);

	for (unsigned i = 0; i < n; i++) {
		void **slot = &slots[test_random(&random) % N_SLOTS];
		void *object = light_alloc(&light, random | 1);

		object = __atomic_exchange_n(slot, object, __ATOMIC_ACQ_REL);
		if (object != NULL)
			light_free(&light, object);
		if (i % N_OBJECTS == 0)
			alloc_and_free();
	}
}

static void *
churn_registered(void *context)
{
	churn((uintptr_t)context);
	return NULL;
}

/* Its threads begin without a registration, and the kernel never knew them. */
static void *
churn_unregistered(void *context)
{
	if (my_cpu_id() >= 0)
		test_die("registered");
	__atomic_add_fetch(&n_unregistered, 1, __ATOMIC_RELAXED);
	churn((uintptr_t)context);
	return NULL;
}

/* cpu_id is -1 from here, and -2 in the threads that start from here. */
static void *
unregister_and_churn(void *context)
{
	pthread_t thread;

	if (!unregister_rseq()) {
		cannot = true;
		return NULL;
	}
	if (my_cpu_id() >= 0 ||
	    pthread_create(&thread, NULL, churn_unregistered,
			   (char *)context + 100) != 0)
		test_die("no thread without sequences");
	churn_unregistered(context);
	pthread_join(thread, NULL);
	return NULL;
}

static void
look(void)
{
	for (unsigned i = 0; i < scaled(100); i++) {
		struct cubby_walk *walk;

		check_ok(cubby_walk_create(&walk, light.cache));
		cubby_walk_destroy(walk);
		check_ok(cubby_cache_shrink(light.cache, NULL));
		assert_int_equal(cubby_cache_verify(light.cache), 0);
		usleep(1000);
	}
}

static void
threads_without_rseq_beside_others_corrupt_nothing(void **state)
{
	pthread_t threads[2 * N_THREADS];

	(void)state;
	make_percpu_cache();
	for (uintptr_t i = 0; i < 2 * N_THREADS; i++)
		assert_int_equal(pthread_create(&threads[i], NULL,
						i % 2 ? unregister_and_churn :
							churn_registered,
						(void *)i),
				 0);
	look();
	for (size_t i = 0; i < 2 * N_THREADS; i++)
		pthread_join(threads[i], NULL);
	if (cannot)
		skip_because("rseq cannot be unregistered");
	assert_int_equal(n_unregistered, 2 * N_THREADS);
	/* Each of their calls took the slab lock. */
	assert_true(snapshot().n_direct_allocs >=
		    n_unregistered * (uint64_t)scaled(N_ROUNDS * N_OBJECTS));
	for (size_t i = 0; i < N_SLOTS; i++)
		if (slots[i] != NULL)
			light_free(&light, slots[i]);
	assert_int_equal(snapshot().n_live, 0);
	assert_int_equal(cubby_cache_verify(light.cache), 0);
	check_ok(cubby_cache_destroy(light.cache));
}

/* ------------------------------- locked memory ---------------------------- */

/* Without a limit, which counts even what is reserved only. */
static void
lock_all(void)
{
	const size_t reserved_bytes = (size_t)1 << 40;
	void *reserved = MAP_FAILED;

	if (mlockall(MCL_CURRENT | MCL_FUTURE) == 0)
		reserved = mmap(NULL, reserved_bytes, PROT_NONE,
				MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
				-1, 0);
	if (reserved == MAP_FAILED)
		skip_because("memory may not be locked");
	munmap(reserved, reserved_bytes);
}

static void
use_where_memory_is_locked(void)
{
	make_cache();
	for (size_t i = 0; i < N_ROUNDS; i++)
		alloc_and_free();
	check_ok(cubby_cache_shrink(light.cache, NULL));
	assert_int_equal(cubby_cache_verify(light.cache), 0);
	assert_int_equal(snapshot().n_live, 0);
	check_ok(cubby_cache_destroy(light.cache));
}

static uint64_t
resident_bytes(void)
{
	char line[128];
	unsigned long kib = 0;
	FILE *file = fopen("/proc/self/status", "re");

	assert_non_null(file);
	while (fgets(line, sizeof(line), file) != NULL)
		if (sscanf(line, "VmRSS: %lu", &kib) == 1)
			break;
	fclose(file);
	return (uint64_t)kib << 10;
}

/* A cache more costs what it commits, and not what it reserves. */
static void
mlockall_before_first_cache_works_and_populates_little(void **state)
{
	enum { BYTES_MAX = 64 << 20 };
	uint64_t before;

	(void)state;
	lock_all();
	before = resident_bytes();
	use_where_memory_is_locked();
	if (!test_is_slow())
		assert_true(resident_bytes() - before < BYTES_MAX);
}

static void
mlockall_after_first_cache_works(void **state)
{
	(void)state;
	use_where_memory_is_locked();
	lock_all();
	use_where_memory_is_locked();
}

/* In a process of a user who may lock so many bytes. */
static void
create_with_limit(uint64_t bytes)
{
	enum { NOBODY = 65534 };
	struct rlimit limit;
	int err;

	getrlimit(RLIMIT_MEMLOCK, &limit);
	limit.rlim_cur = bytes < limit.rlim_max ? bytes : limit.rlim_max;
	if (setrlimit(RLIMIT_MEMLOCK, &limit) != 0 ||
	    (geteuid() == 0 && setuid(NOBODY) != 0) ||
	    mlockall(MCL_FUTURE) != 0)
		_exit(EXIT_SKIPPED);
	err = cubby_cache_create_sized(&light.cache, "locked", OBJECT_BYTES, 0,
				       NULL);
	if (err == 0)
		alloc_and_free();
	else if (err != -ENOMEM ||
		 strstr(cubby_error_detail(), "refuses its memory") == NULL)
		test_die("%d: %s", err, cubby_error_detail());
	_exit(0);
}

/* Even reserved addresses count: a cache is refused, or it works. */
static void
mlockall_with_a_small_limit_refuses_or_works(void **state)
{
	static const uint64_t limits[] = { 64 << 10, 8 << 20, 256 << 20 };

	(void)state;
	for (size_t i = 0; i < ARRAY_LENGTH(limits); i++) {
		pid_t child = fork();
		int status;

		if (child == 0)
			create_with_limit(limits[i]);
		assert_int_equal(waitpid(child, &status, 0), child);
		if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_SKIPPED)
			skip_because("memory may not be locked");
		assert_int_equal(status, 0);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(choose_with_all_facts_good_follows_the_wish),
		cmocka_unit_test(choose_with_one_fact_wrong_says_which),
		cmocka_unit_test(choose_with_more_facts_wrong_says_the_first),
		cmocka_unit_test(choose_where_not_proven_needs_the_option),
		cmocka_unit_test(choose_mm_cid_needs_a_kernel_that_has_it),
		cmocka_unit_test(reason_text_differs_for_each_reason),
		CHILD_TEST(membarrier_refused_before_first_cache_is_per_thread,
			   ""),
		CHILD_TEST(
			membarrier_refused_after_first_cache_leaves_alloc_and_free,
			""),
		CHILD_TEST_AS(
			threads_without_rseq_beside_others_corrupt_nothing,
			"_auto", ""),
		CHILD_TEST_AS(
			threads_without_rseq_beside_others_corrupt_nothing,
			"_cpu", "front=cpu"),
		CHILD_TEST(
			mlockall_before_first_cache_works_and_populates_little,
			""),
		CHILD_TEST(mlockall_after_first_cache_works, ""),
		CHILD_TEST(mlockall_with_a_small_limit_refuses_or_works, ""),
	};

	return cmocka_run_group_tests_name("test_percpu_mode", tests, NULL,
					   NULL);
}

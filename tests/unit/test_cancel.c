/* SPDX-License-Identifier: MIT */
/*
 * A thread that is to be cancelled ends at a place of its own choice, never
 * inside Cubby, where it would leave locks held for ever.
 *
 * Each case runs in a child that is killed when it waits for such a lock.
 */
#include "unit/with_cache.h"

#include <fcntl.h>
#include <pthread.h>
#include <sys/wait.h>

enum { CHILD_TIMEOUT_S = 10, N_OBJECTS = 4000 };

#define OPTIONS_BYTES 256

/* The thread writes it, main reads it after the join. */
static const char *reached;

static bool
makes_slabs_come_and_go(struct cubby_cache *cache)
{
	void *objects[N_OBJECTS];

	if (cubby_alloc_bulk(cache, N_OBJECTS, objects) != 0)
		return false;
	cubby_free_bulk(cache, N_OBJECTS, objects);
	return cubby_cache_verify(cache) == 0;
}

static bool
refuses_an_empty_name(void)
{
	struct cubby_cache *cache;

	return cubby_cache_create_sized(&cache, "", 8, 0, NULL) == -EINVAL &&
	       strstr(cubby_error_detail(), "empty") != NULL;
}

static bool
reports_a_misuse(void)
{
	uint64_t n_before = cubby_misuse_count();

	cubby_free_any(&n_before); /* found at once, magazines or not */
	return cubby_misuse_count() == n_before + 1;
}

static bool
reports_live_objects(struct cubby_cache *cache)
{
	int fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	bool done = cubby_cache_report_live(cache, fd) == 0;

	close(fd);
	return done;
}

/* What fails first, or NULL. */
static const char *
use_everything(void)
{
	struct cubby_cache *cache = NULL;

	if (cubby_cache_create_sized(&cache, "mine", 1000, 0, NULL) != 0)
		return "create";
	if (!makes_slabs_come_and_go(cache))
		return "reclaim";
	if (!refuses_an_empty_name())
		return "error";
	if (!reports_a_misuse())
		return "misuse";
	if (cubby_cache_shrink(cache, NULL) != 0)
		return "shrink";
	return cubby_cache_destroy(cache) == 0 ? NULL : "destroy";
}

static void *
use_everything_while_cancelled(void *nothing)
{
	pthread_cancel(pthread_self());
	reached = "the thread was cancelled within Cubby";
	reached = use_everything();
	if (reached == NULL)
		reached = "";
	pthread_testcancel();
	reached = "the thread was not cancelled at all";
	return nothing;
}

static void *
report_while_cancelled(void *cache)
{
	int state;

	reached = "the thread was cancelled within Cubby";
	pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &state);
	pthread_cancel(pthread_self());
	if (!reports_live_objects(cache)) /* disabled before: stays so */
		reached = "report_live failed";
	else
		reached = "";
	pthread_setcancelstate(state, NULL);
	pthread_testcancel();
	reached = "the thread was not cancelled at all";
	return NULL;
}

/* Nothing is left behind: main can do all that the thread did. */
static const char *
after_thread(void *(*body)(void *), void *argument)
{
	const char *failed;
	pthread_t thread;
	void *result;

	if (pthread_create(&thread, NULL, body, argument) != 0 ||
	    pthread_join(thread, &result) != 0)
		return "there is no thread";
	if (reached[0] != '\0')
		return reached;
	if (result != PTHREAD_CANCELED)
		return "the thread ended otherwise";
	failed = use_everything();
	return failed;
}

static const char *
first_use_is_cancelled(void)
{
	return after_thread(use_everything_while_cancelled, NULL);
}

static const char *
later_use_is_cancelled(void)
{
	const char *failed = use_everything();

	return failed ? failed : first_use_is_cancelled();
}

static const char *
disabled_state_is_kept(void)
{
	struct cubby_cache *cache = NULL;

	if (cubby_cache_create_sized(&cache, "mine", 1000, 0, NULL) != 0 ||
	    cubby_alloc(cache) == NULL)
		return "create";
	return after_thread(report_while_cancelled, cache);
}

/* Where a misuse does not end the process. */
static void
in_child(const char *(*body)(void))
{
	const char *given = getenv("CUBBY_OPTIONS");
	char options[OPTIONS_BYTES];
	int status = -1;
	pid_t pid;

	snprintf(options, sizeof(options), "%s%smisuse=continue",
		 given ? given : "", given && given[0] ? "," : "");
	fflush(NULL);
	pid = fork();
	if (pid == 0) {
		const char *failed;

		alarm(CHILD_TIMEOUT_S);
		setenv("CUBBY_OPTIONS", options, 1);
		failed = body();
		if (failed != NULL)
			fprintf(stderr, "# %s: %s\n", failed,
				cubby_error_detail());
		_exit(failed != NULL);
	}
	assert_true(pid > 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
}

static void
cancel_pending_at_the_first_use_waits_for_the_end(void **state)
{
	(void)state;
	in_child(first_use_is_cancelled);
}

static void
cancel_pending_at_a_later_use_waits_for_the_end(void **state)
{
	(void)state;
	in_child(later_use_is_cancelled);
}

static void
cancel_disabled_by_the_program_stays_disabled(void **state)
{
	(void)state;
	in_child(disabled_state_is_kept);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(
			cancel_pending_at_the_first_use_waits_for_the_end),
		cmocka_unit_test(
			cancel_pending_at_a_later_use_waits_for_the_end),
		cmocka_unit_test(
			cancel_disabled_by_the_program_stays_disabled),
	};

	return cmocka_run_group_tests_name("cancel", tests, NULL, NULL);
}

/* SPDX-License-Identifier: MIT */
/*
 * LAYER 1: error - error codes and the thread's detail text
 *
 * A thread's text lives in a page that is mapped at its first failure, so
 * that the library's static TLS is one pointer.  Pages of threads that ended
 * wait on a stack for the next thread that fails.  The stack is popped whole
 * (exchange with NULL) and pushed one by one, which needs no tags: there is no
 * compare-exchange on a pointer that another thread could have popped and
 * pushed back meanwhile.
 *
 * The page is found again at thread exit through a pthread key; where there is
 * none that does not allocate, the page of an ended thread is lost.
 */
#include "error.h"

#include "os.h"
#include "text.h"

#include <errno.h>
#include <pthread.h>

struct record {
	struct record *next;
	int code;
	char text[];
};

TABLE_ENDS(struct error_row, errors);

ERROR_ROW(EINVAL, "an argument is impossible");
ERROR_ROW(ENOMEM, "no memory, no address space, or a limit was reached");
ERROR_ROW(E2BIG, "larger than this version can handle");
ERROR_ROW(EBUSY, "in use: a walk is open, or it is being looked at");

static __thread struct record *my_record
	__attribute__((tls_model("initial-exec")));
static __thread int my_code __attribute__((tls_model("initial-exec")));

static struct record *spare_records;
static pthread_key_t exit_key;
static bool exit_key_works;

static const struct error_row *
find_row(int error)
{
	const struct error_row *row;

	TABLE_FOR_EACH (row, errors)
		if (row->code == (error < 0 ? -(int64_t)error : error))
			return row;
	return NULL;
}

const char *
cubby_error_name(int error)
{
	const struct error_row *row = find_row(error);

	return row ? row->name : "unknown error";
}

const char *
cubby_error_text(int error)
{
	const struct error_row *row = find_row(error);

	return row ? row->text : "unknown error";
}

const char *
cubby_error_detail(void)
{
	if (my_code == 0)
		return "";
	return my_record ? my_record->text : cubby_error_text(my_code);
}

static void
push_spares(struct record *first)
{
	struct record *last = first;
	struct record *head;

	while (last->next != NULL)
		last = last->next;
	head = __atomic_load_n(&spare_records, __ATOMIC_RELAXED);
	do
		last->next = head;
	while (!__atomic_compare_exchange_n(&spare_records, &head, first, true,
					    __ATOMIC_RELEASE,
					    __ATOMIC_RELAXED));
}

static struct record *
pop_spare(void)
{
	struct record *record;

	/* Pairs with the release in push_spares: `next` and the page. */
	record = __atomic_exchange_n(&spare_records, NULL, __ATOMIC_ACQUIRE);
	if (record != NULL && record->next != NULL) {
		push_spares(record->next);
		record->next = NULL;
	}
	return record;
}

static void
thread_exits(void *record)
{
	my_record = NULL;
	my_code = 0;
	push_spares(record);
}

static void
make_key(void)
{
	exit_key_works = cubby__os_key_create(&exit_key, thread_exits);
}

/*
 * A plugin that links the static library may be unloaded before threads end:
 * they must not run a destructor that is gone.
 */
__attribute__((destructor)) static void
delete_key(void)
{
	if (exit_key_works)
		pthread_key_delete(exit_key);
	exit_key_works = false;
}

/* Leave my_record NULL if there is no memory. */
static void
get_record(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;
	struct record *record = pop_spare();
	void *page;

	if (record == NULL) {
		if (cubby__os_map(cubby__os_page_bytes(), &page) != 0)
			return;
		record = page;
	}
	record->next = NULL;
	my_record = record;
	pthread_once(&once, make_key);
	if (exit_key_works)
		pthread_setspecific(exit_key, record);
}

int
cubby__error_set(int code, const char *format, ...)
{
	int saved = errno;
	va_list arguments;
	struct text text;

	my_code = code;
	if (my_record == NULL)
		get_record();
	if (my_record != NULL) {
		cubby__text_init(&text, my_record->text,
				 cubby__os_page_bytes() -
					 offsetof(struct record, text));
		va_start(arguments, format);
		cubby__text_vprintf(&text, format, arguments);
		va_end(arguments);
	}
	errno = saved;
	return code;
}

/* SPDX-License-Identifier: MIT */
/*
 * conn.c - what the names of connections mean, in each mode.
 *
 *	names    mode    find                             free
 *	handle   rcu     section, cubby_weak_get()        cubby_free()
 *	handle   strong  cubby_weak_upgrade()             cubby_free()
 *	pointer  rcu     section, the address             cubby_free_rcu()
 *	pointer  strong  the address                      cubby_free()
 *
 * With pointers the cache is the same but has no handles; a stale event then
 * reads memory that is or was some connection, which nothing tells.  It does
 * not crash, as the cache keeps its address range: what makes the harm silent.
 */
#include "conn.h"

#include "audit.h"
#include "wheel.h"

#include <err.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>
#include <urcu/urcu-memb.h>

/*
 * In pointers' upper bits, for the audit only: two connections that had one
 * cell have one address.  With handles there is no room, and no need.
 */
#define TAG_SHIFT 48
#define TAG_BITS 16
#define ADDRESS_MASK (((uint64_t)1 << TAG_SHIFT) - 1)

/* What is idle is little, so that cells are used again soon. */
enum { MAGAZINE_CONNS = 16, IDLE_BYTES = 128 << 10 };

enum { STAY_MS_MAX = 5000 };

/*
 * Of a cell.  There is no fini: with pointers a late visitor may still lock it.
 */
static int
init_cell(void *object, void *context)
{
	struct conn *conn = object;

	(void)context;
	conn->is_open = false;
	conn->fd = -1;
	return pthread_mutex_init(&conn->lock, NULL);
}

struct cubby_cache *
conn_cache_make(const struct config *config)
{
	struct cubby_cache_attr attr =
		CUBBY_CACHE_ATTR(.init = init_cell,
				 .max_objects = config->max_clients,
				 .magazine_capacity = MAGAZINE_CONNS,
				 .max_idle_bytes = IDLE_BYTES);
	struct cubby_cache *cache;

	if (config->mode == MODE_RCU)
		attr.rcu = &urcu_memb_flavor;
	if (config->names == NAMES_HANDLE)
		attr.weak = config->mode == MODE_RCU ? CUBBY_WEAK_RCU :
						       CUBBY_WEAK_STRONG;
	if (conn_cache_create(&cache, &attr) != 0)
		errx(1, "cache: %s", cubby_error_detail());
	return cache;
}

/* --------------------------------- names --------------------------------- */

static uint64_t
name_of(struct server *server, const struct conn *conn, uint64_t serial)
{
	if (server->config.names == NAMES_HANDLE)
		return conn_weak_of(server->conns, conn);
	return (uintptr_t)conn | serial << TAG_SHIFT;
}

/* The connection of a name, which may be gone in spite of it; or NULL. */
static struct conn *
borrow(struct server *server, uint64_t name)
{
	struct conn *conn;

	if (server->config.mode == MODE_RCU)
		urcu_memb_read_lock();
	if (server->config.names == NAMES_POINTER)
		conn = (struct conn *)(uintptr_t)(name & ADDRESS_MASK);
	else if (server->config.mode == MODE_RCU)
		conn = conn_weak_get(server->conns, name);
	else
		conn = conn_weak_upgrade(server->conns, name);
	if (conn == NULL && server->config.mode == MODE_RCU)
		urcu_memb_read_unlock();
	return conn;
}

static void
give_back(struct server *server, struct conn *conn)
{
	if (server->config.mode == MODE_RCU)
		urcu_memb_read_unlock();
	else if (server->config.names == NAMES_HANDLE)
		cubby_ref_put(server->conns, conn);
}

static void
free_conn(struct server *server, struct conn *conn)
{
	if (server->config.names == NAMES_POINTER &&
	    server->config.mode == MODE_RCU)
		cubby_free_rcu(server->conns, conn);
	else
		conn_free(server->conns, conn);
}

/* A peer is not to be trusted with handles. */
uint64_t
conn_peer_name(struct server *server, const struct conn *conn)
{
	if (server->config.names == NAMES_POINTER)
		return conn->name;
	return cubby_weak_seal(server->conns, conn->name);
}

uint64_t
conn_name_of_peer(struct server *server, uint64_t peer_name)
{
	uint64_t name = peer_name;

	if (server->config.names == NAMES_HANDLE)
		return cubby_weak_unseal(server->conns, peer_name);
	/* As well as can be: it is an address that somebody once had. */
	return audit_serial(server->audit, name) != 0 ? name : 0;
}

/* --------------------------------- visits -------------------------------- */

static void
count_purpose(enum purpose purpose, uint64_t *of_event, uint64_t *of_timer,
	      uint64_t *of_call)
{
	uint64_t *const counters[N_PURPOSES] = {
		[FOR_EVENT] = of_event,
		[FOR_TIMER] = of_timer,
		[FOR_CALL] = of_call,
	};

	count(counters[purpose]);
}

static void
count_stale(struct worker *worker, enum purpose purpose, uint64_t name)
{
	struct counters *counters = &worker->counters;

	count_purpose(purpose, &counters->stale_events,
		      &counters->stale_timers, &counters->stale_calls);
	if (purpose == FOR_EVENT &&
	    audit_is_reused(worker->server->audit, name))
		count(&counters->stale_reused);
}

bool
visit_begin(struct visit *visit, struct worker *worker, uint64_t name,
	    enum purpose purpose)
{
	struct server *server = worker->server;
	struct counters *counters = &worker->counters;
	struct conn *conn = name ? borrow(server, name) : NULL;
	uint64_t serial;

	*visit = (struct visit){ .worker = worker,
				 .conn = conn,
				 .purpose = purpose };
	count_purpose(purpose, &counters->events, &counters->timers,
		      &counters->calls);
	if (conn == NULL) {
		count_stale(worker, purpose, name);
		return false;
	}
	pthread_mutex_lock(&conn->lock);
	/* Between its close and its free; with pointers, also any time after. */
	if (!conn->is_open) {
		pthread_mutex_unlock(&conn->lock);
		give_back(server, conn);
		count_stale(worker, purpose, name);
		return false;
	}
	serial = audit_serial(server->audit, name);
	visit->is_wrong = serial != 0 && serial != conn->serial;
	if (visit->is_wrong)
		count_purpose(purpose, &counters->wrong_events,
			      &counters->wrong_timers, &counters->wrong_calls);
	return true;
}

void
visit_end(struct visit *visit)
{
	struct server *server = visit->worker->server;

	pthread_mutex_unlock(&visit->conn->lock);
	if (visit->is_ours)
		free_conn(server, visit->conn);
	give_back(server, visit->conn);
}

void
visit_close(struct visit *visit)
{
	struct worker *worker = visit->worker;
	struct conn *conn = visit->conn;

	if (visit->is_over)
		return;
	conn->is_open = false;
	close(conn->fd); /* and with it the epoll's interest in it */
	conn->fd = -1;
	visit->is_over = visit->is_ours = true;
	count(&worker->counters.closed);
	if (visit->is_wrong)
		count(&worker->counters.wrong_closed);
	__atomic_sub_fetch(&worker->server->n_open, 1, __ATOMIC_RELAXED);
}

void
visit_stay(struct visit *visit, uint64_t n_more)
{
	struct server *server = visit->worker->server;
	const struct timespec nap = { .tv_nsec = 1000000 };
	struct conn *conn = visit->conn;
	uint64_t serial = conn->serial;
	uint64_t until_ms = server_now_ms() + STAY_MS_MAX;
	uint64_t until = n_more + __atomic_load_n(&server->last_serial,
						  __ATOMIC_RELAXED);

	pthread_mutex_unlock(&conn->lock);
	while (__atomic_load_n(&server->last_serial, __ATOMIC_RELAXED) <
		       until &&
	       server_now_ms() < until_ms)
		nanosleep(&nap, NULL);
	pthread_mutex_lock(&conn->lock);
	count(&visit->worker->counters.stays);
	if (conn->serial != serial)
		count(&visit->worker->counters.overtaken);
	visit->is_over = conn->serial != serial || !conn->is_open;
}

/* One shot: while a worker has an event of a connection nobody gets another. */
static int
watch(struct server *server, struct conn *conn, int operation)
{
	struct epoll_event event = {
		.events = EPOLLONESHOT | EPOLLRDHUP |
			  (conn->out_at < conn->out_end ? EPOLLOUT : EPOLLIN),
		.data.u64 = conn->name
	};

	return epoll_ctl(server->epoll, operation, conn->fd, &event);
}

void
visit_arm(struct visit *visit)
{
	if (watch(visit->worker->server, visit->conn, EPOLL_CTL_MOD) != 0)
		visit_close(visit);
}

void
visit_touch(struct visit *visit)
{
	struct conn *conn = visit->conn;

	conn->deadline_ms = visit->worker->now_ms + conn->idle_ms;
}

void
visit_set_idle(struct visit *visit, uint32_t idle_ms)
{
	struct conn *conn = visit->conn;

	conn->idle_ms = idle_ms;
	visit_touch(visit);
	/* Besides the entry that it has: which is not looked for. */
	wheel_add(visit->worker->server->wheel, conn->name, conn->deadline_ms);
}

/* ------------------------------ life of a server -------------------------- */

static void
reset(struct worker *worker, struct conn *conn, int fd)
{
	struct server *server = worker->server;

	conn->fd = fd;
	conn->serial = __atomic_add_fetch(&server->last_serial, 1,
					  __ATOMIC_RELAXED);
	conn->name = name_of(server, conn, conn->serial);
	conn->idle_ms = server->config.idle_ms;
	conn->deadline_ms = worker->now_ms + conn->idle_ms;
	conn->is_open = true;
	conn->is_leaving = false;
	conn->in_at = conn->in_end = conn->out_at = conn->out_end = 0;
}

int
conn_open(struct worker *worker, int fd)
{
	struct server *server = worker->server;
	struct conn *conn = conn_alloc(server->conns);

	if (conn == NULL)
		return -1;
	/* With pointers a late visitor may have the lock. */
	pthread_mutex_lock(&conn->lock);
	reset(worker, conn, fd);
	audit_note(server->audit, conn->name, (uintptr_t)conn, conn->serial,
		   server->config.names == NAMES_POINTER);
	if (watch(server, conn, EPOLL_CTL_ADD) != 0) {
		conn->is_open = false;
		pthread_mutex_unlock(&conn->lock);
		free_conn(server, conn);
		return -1;
	}
	wheel_add(server->wheel, conn->name, conn->deadline_ms);
	count(&worker->counters.accepted);
	__atomic_add_fetch(&server->n_open, 1, __ATOMIC_RELAXED);
	pthread_mutex_unlock(&conn->lock);
	return 0;
}

void
conn_thread_begin(struct server *server)
{
	if (server->config.mode == MODE_RCU)
		urcu_memb_register_thread();
}

void
conn_thread_end(struct server *server)
{
	if (server->config.mode == MODE_RCU)
		urcu_memb_unregister_thread();
}

void
conn_barrier(struct server *server)
{
	if (cubby_rcu_barrier(server->conns) != 0)
		errx(1, "barrier: %s", cubby_error_detail());
}

void
conn_close_all(struct worker *worker)
{
	struct server *server = worker->server;
	struct cubby_walk *walk;
	struct cubby_run run;
	struct conn *conn;

	if (cubby_walk_create(&walk, server->conns) != 0)
		errx(1, "walk: %s", cubby_error_detail());
	/* What is freed during a walk stays as it is until its end. */
	while (cubby_walk_next(walk, &run)) {
		CUBBY_RUN_FOR_EACH (conn, &run) {
			struct visit visit = { .worker = worker,
					       .conn = conn };

			visit_close(&visit);
			free_conn(server, conn);
		}
	}
	cubby_walk_destroy(walk);
	conn_barrier(server);
}

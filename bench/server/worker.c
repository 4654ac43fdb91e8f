/* SPDX-License-Identifier: MIT */
/*
 * worker.c - the loop: take a batch of events, and for each find the connection
 * that it names, if that is still there.
 *
 * All descriptors but the gate's are watched for one shot, so an event is with
 * one worker only, and what it is for is not looked at again until that worker
 * has said so.  That keeps two workers from serving one connection; it does not
 * keep a connection from being closed and its cell from being reused between
 * epoll_wait() and an event's turn.
 */
#include "worker.h"

#include "command.h"
#include "wheel.h"

#include <err.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <unistd.h>

enum io { IO_DONE, IO_BLOCKED, IO_OVER };

static void
watch(struct server *server, int operation, int fd, uint64_t name,
      uint32_t events)
{
	struct epoll_event event = { .events = events, .data.u64 = name };

	if (epoll_ctl(server->epoll, operation, fd, &event) != 0)
		err(1, "epoll_ctl");
}

void
worker_watch(struct server *server, int fd, uint64_t name)
{
	watch(server, EPOLL_CTL_ADD, fd, name,
	      EPOLLIN | (name == NAME_GATE ? 0 : EPOLLONESHOT));
}

static void
watch_again(struct server *server, int fd, uint64_t name)
{
	watch(server, EPOLL_CTL_MOD, fd, name, EPOLLIN | EPOLLONESHOT);
}

/* --------------------------------- the gate ------------------------------- */

void
gate_init(struct gate *gate)
{
	pthread_mutex_init(&gate->lock, NULL);
	pthread_cond_init(&gate->changed, NULL);
	gate->kick = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (gate->kick < 0)
		err(1, "eventfd");
}

static void
kick(struct gate *gate)
{
	if (eventfd_write(gate->kick, 1) != 0)
		err(1, "eventfd");
}

void
gate_hold(struct server *server)
{
	struct gate *gate = &server->gate;

	pthread_mutex_lock(&gate->lock);
	if (!gate->is_closed) {
		__atomic_store_n(&gate->is_closed, true, __ATOMIC_RELAXED);
		kick(gate);
	}
	while (gate->n_parked < server->config.n_workers)
		pthread_cond_wait(&gate->changed, &gate->lock);
	pthread_mutex_unlock(&gate->lock);
}

void
gate_release(struct server *server)
{
	struct gate *gate = &server->gate;
	eventfd_t n;

	pthread_mutex_lock(&gate->lock);
	if (gate->is_closed) {
		eventfd_read(gate->kick, &n);
		__atomic_store_n(&gate->is_closed, false, __ATOMIC_RELAXED);
		pthread_cond_broadcast(&gate->changed);
	}
	pthread_mutex_unlock(&gate->lock);
}

void
gate_stop(struct server *server)
{
	__atomic_store_n(&server->is_stopping, true, __ATOMIC_SEQ_CST);
	gate_release(server);
	kick(&server->gate);
}

static void
gate_pass(struct gate *gate)
{
	if (!__atomic_load_n(&gate->is_closed, __ATOMIC_RELAXED))
		return;
	pthread_mutex_lock(&gate->lock);
	gate->n_parked++;
	pthread_cond_broadcast(&gate->changed);
	while (gate->is_closed)
		pthread_cond_wait(&gate->changed, &gate->lock);
	gate->n_parked--;
	pthread_mutex_unlock(&gate->lock);
}

/* ------------------------------- connections ------------------------------ */

static enum io
write_replies(struct conn *conn)
{
	while (conn->out_at < conn->out_end) {
		ssize_t n = send(conn->fd, conn->out + conn->out_at,
				 (size_t)(conn->out_end - conn->out_at),
				 MSG_NOSIGNAL);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0)
			return errno == EAGAIN ? IO_BLOCKED : IO_OVER;
		conn->out_at += (uint16_t)n;
	}
	conn->out_at = conn->out_end = 0;
	return conn->is_leaving ? IO_OVER : IO_DONE;
}

static enum io
read_more(struct conn *conn)
{
	ssize_t n;

	conn->in_end -= conn->in_at;
	memmove(conn->in, conn->in + conn->in_at, conn->in_end);
	conn->in_at = 0;
	do {
		n = recv(conn->fd, conn->in + conn->in_end,
			 (size_t)(CONN_IN_BYTES - conn->in_end), 0);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return errno == EAGAIN ? IO_BLOCKED : IO_OVER;
	conn->in_end += (uint16_t)n;
	return n > 0 ? IO_DONE : IO_OVER;
}

/* What to do next: run a request that is there, or write, or read. */
static enum io
step(struct visit *visit, struct errand *errand)
{
	struct conn *conn = visit->conn;
	struct resp_request request;
	size_t n_bytes = (size_t)(conn->in_end - conn->in_at);
	int used;
	enum io io;

	if (conn->is_leaving ||
	    CONN_OUT_BYTES - conn->out_end < CONN_REPLY_BYTES_MAX)
		return write_replies(conn);
	used = resp_parse(conn->in + conn->in_at, n_bytes, &request);
	if (used < 0 || (used == 0 && n_bytes == CONN_IN_BYTES)) {
		command_refuse(visit, used < 0 ? "protocol" : "too long");
		conn->is_leaving = true;
		return IO_DONE;
	}
	if (used > 0) {
		conn->in_at += (uint16_t)used;
		count(&visit->worker->counters.commands);
		command_run(visit, &request, errand);
		return IO_DONE;
	}
	io = write_replies(conn);
	return io == IO_DONE ? read_more(conn) : io;
}

/* The peer is told at once, and is as good as never slow to hear. */
static enum io
stay(struct visit *visit, struct errand *errand)
{
	enum io io = write_replies(visit->conn);

	if (io == IO_DONE)
		visit_stay(visit, errand->n_more);
	errand->kind = ERRAND_NONE;
	return io;
}

static void
serve(struct visit *visit, struct errand *errand)
{
	enum io io;

	visit_touch(visit);
	if (errand->kind != ERRAND_NONE)
		command_finish(visit, errand);
	*errand = (struct errand){ .kind = ERRAND_NONE };
	do {
		io = step(visit, errand);
		if (errand->kind == ERRAND_STAY)
			io = stay(visit, errand);
	} while (io == IO_DONE && errand->kind == ERRAND_NONE &&
		 !visit->is_over);
	if (io == IO_OVER)
		visit_close(visit);
	else if (io == IO_BLOCKED)
		visit_arm(visit);
}

/* Outside of visits and so of read sections. */
static void
run_errand(struct worker *worker, struct errand *errand)
{
	struct visit visit;

	if (errand->kind == ERRAND_BARRIER) {
		conn_barrier(worker->server);
	} else if (errand->kind == ERRAND_KILL &&
		   visit_begin(&visit, worker, errand->name, FOR_CALL)) {
		visit_close(&visit);
		count(&worker->counters.killed);
		errand->is_done = true;
		visit_end(&visit);
	}
}

static void
handle_conn(struct worker *worker, uint64_t name, uint32_t events)
{
	struct errand errand = { .kind = ERRAND_NONE };
	enum purpose purpose = FOR_EVENT;
	struct visit visit;

	do {
		if (!visit_begin(&visit, worker, name, purpose))
			return;
		if (events & (EPOLLERR | EPOLLHUP))
			visit_close(&visit);
		else
			serve(&visit, &errand);
		visit_end(&visit);
		run_errand(worker, &errand);
		purpose = FOR_CALL;
	} while (errand.kind != ERRAND_NONE);
}

static void
handle_timer(uint64_t name, void *context)
{
	struct worker *worker = context;
	struct visit visit;

	if (!visit_begin(&visit, worker, name, FOR_TIMER))
		return;
	if (visit.conn->deadline_ms <= worker->now_ms) {
		visit_close(&visit);
		count(&worker->counters.idle_closed);
	} else {
		wheel_add(worker->server->wheel, name,
			  visit.conn->deadline_ms);
	}
	visit_end(&visit);
}

/* ---------------------------- the server's own ---------------------------- */

static void
refuse(struct worker *worker, int fd)
{
	static const char text[] = "-ERR max number of clients reached\r\n";

	send(fd, text, sizeof(text) - 1, MSG_NOSIGNAL | MSG_DONTWAIT);
	close(fd);
	count(&worker->counters.refused);
}

static void
handle_listener(struct worker *worker)
{
	struct server *server = worker->server;
	int on = 1, fd;

	for (;;) {
		fd = accept4(server->listener, NULL, NULL,
			     SOCK_NONBLOCK | SOCK_CLOEXEC);
		if (fd < 0 && (errno == EINTR || errno == ECONNABORTED))
			continue;
		if (fd < 0)
			break;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
		if (__atomic_load_n(&server->n_open, __ATOMIC_RELAXED) >=
			    server->config.max_clients ||
		    conn_open(worker, fd) != 0)
			refuse(worker, fd);
	}
	/* No descriptors, no memory: let some time pass. */
	if (errno != EAGAIN) {
		count(&worker->counters.accept_pauses);
		__atomic_store_n(&server->is_accept_paused, true,
				 __ATOMIC_RELEASE);
	} else {
		watch_again(server, server->listener, NAME_LISTENER);
	}
}

static void
handle_tick(struct worker *worker)
{
	struct server *server = worker->server;
	uint64_t n_ticks;

	if (read(server->tick, &n_ticks, sizeof(n_ticks)) > 0)
		wheel_tick(server->wheel, worker->now_ms, handle_timer,
			   worker);
	if (__atomic_exchange_n(&server->is_accept_paused, false,
				__ATOMIC_ACQUIRE))
		watch_again(server, server->listener, NAME_LISTENER);
	watch_again(server, server->tick, NAME_TICK);
}

static void
handle_event(struct worker *worker, const struct epoll_event *event)
{
	switch (event->data.u64) {
	case NAME_LISTENER:
		handle_listener(worker);
		break;
	case NAME_TICK:
		handle_tick(worker);
		break;
	case NAME_GATE:
		break; /* see gate_pass() */
	default:
		handle_conn(worker, event->data.u64, event->events);
	}
}

void *
worker_main(void *argument)
{
	struct worker *worker = argument;
	struct server *server = worker->server;
	struct epoll_event events[BATCH_MAX];
	int n;

	conn_thread_begin(server);
	while (!__atomic_load_n(&server->is_stopping, __ATOMIC_RELAXED)) {
		n = epoll_wait(server->epoll, events,
			       (int)server->config.batch, -1);
		if (n < 0 && errno != EINTR)
			err(1, "epoll_wait");
		worker->now_ms = server_now_ms();
		count(&worker->counters.batches);
		if (n >= BATCH_LARGE)
			count(&worker->counters.large_batches);
		for (int i = 0; i < n; i++)
			handle_event(worker, &events[i]);
		gate_pass(&server->gate);
	}
	conn_thread_end(server);
	return NULL;
}

/* SPDX-License-Identifier: MIT */
/*
 * main.c - options, sockets, and the beginning and end of a server.
 *
 * Prints "ready port P admin Q" when it can be used, and all figures when it
 * was ended by SIGTERM or SIGINT.  Exits with 1 if an object is left over.
 */
#include "admin.h"
#include "audit.h"
#include "conn.h"
#include "store.h"
#include "wheel.h"
#include "worker.h"

#include <arpa/inet.h>
#include <err.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

/* What the server opens besides connections, and some that libraries may. */
enum { FDS_OF_OUR_OWN = 32, BACKLOG = 4096 };

static struct server server;

static const struct option options[] = {
	{ "names", required_argument, NULL, 'n' },
	{ "mode", required_argument, NULL, 'm' },
	{ "workers", required_argument, NULL, 'w' },
	{ "batch", required_argument, NULL, 'b' },
	{ "clients", required_argument, NULL, 'c' },
	{ "idle-ms", required_argument, NULL, 'i' },
	{ "audit", required_argument, NULL, 'a' },
	{ "port", required_argument, NULL, 'p' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
	"usage: server [--names=handle|pointer] [--mode=rcu|strong]\n"
	"              [--workers=4] [--batch=256] [--clients=16384]\n"
	"              [--idle-ms=60000] [--audit=NAMES] [--port=0]\n";

static const char *const names_texts[] = { "handle", "pointer", NULL };
static const char *const mode_texts[] = { "rcu", "strong", NULL };

uint64_t
server_now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void
server_print(struct server *it, int fd)
{
	struct counters sum = { 0 };

	for (unsigned i = 0; i <= WORKERS_MAX; i++) {
		const struct counters *one = &it->workers[i].counters;

#define SERVER_ADD(name)                                                      \
	sum.name += __atomic_load_n(&one->name, __ATOMIC_RELAXED);
		SERVER_COUNTERS(SERVER_ADD)
#undef SERVER_ADD
	}
#define SERVER_SAY(name) dprintf(fd, "%s %lu\n", #name, sum.name);
	SERVER_COUNTERS(SERVER_SAY)
#undef SERVER_SAY
	dprintf(fd, "wrong %lu\n",
		sum.wrong_events + sum.wrong_timers + sum.wrong_calls);
	dprintf(fd, "repeated_names %lu\nunaudited %lu\n",
		audit_n_repeated(it->audit), audit_n_unaudited(it->audit));
	dprintf(fd, "timers_now %lu\nopen_now %lu\n", wheel_n_names(it->wheel),
		__atomic_load_n(&it->n_open, __ATOMIC_RELAXED));
}

/* ---------------------------------- options ------------------------------- */

static unsigned
one_of(const char *const *texts, const char *text)
{
	for (unsigned i = 0; texts[i] != NULL; i++)
		if (strcmp(texts[i], text) == 0)
			return i;
	fputs(usage, stderr);
	exit(2);
}

static unsigned
number(const char *text, unsigned min, unsigned max)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (end == text || *end != '\0' || value < min || value > max)
		errx(2, "%s: not a number from %u to %u", text, min, max);
	return (unsigned)value;
}

static void
read_options(struct config *config, int argc, char **argv)
{
	int option;

	*config = (struct config){ .n_workers = 4,
				   .batch = 256,
				   .max_clients = 16384,
				   .idle_ms = 60000,
				   .audit_names = 1 << 18 };
	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		switch (option) {
		case 'n':
			config->names = one_of(names_texts, optarg);
			break;
		case 'm':
			config->mode = one_of(mode_texts, optarg);
			break;
		case 'w':
			config->n_workers = number(optarg, 1, WORKERS_MAX);
			break;
		case 'b':
			config->batch = number(optarg, 1, BATCH_MAX);
			break;
		case 'c':
			config->max_clients = number(optarg, 1, 1 << 20);
			break;
		case 'i':
			config->idle_ms = number(optarg, 1, 1 << 30);
			break;
		case 'a':
			config->audit_names = number(optarg, 0, 1 << 26);
			break;
		case 'p':
			config->port = number(optarg, 0, UINT16_MAX);
			break;
		default:
			fputs(usage, stderr);
			exit(2);
		}
	}
}

/* As many clients as there may be descriptors. */
static void
limit_clients(struct config *config)
{
	struct rlimit limit;
	rlim_t wanted = config->max_clients + FDS_OF_OUR_OWN;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		err(1, "getrlimit");
	if (limit.rlim_cur < wanted) {
		limit.rlim_cur = limit.rlim_max < wanted ? limit.rlim_max :
							   wanted;
		if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
			err(1, "setrlimit");
	}
	if (limit.rlim_cur <= FDS_OF_OUR_OWN)
		errx(1, "only %lu descriptors", (unsigned long)limit.rlim_cur);
	if (limit.rlim_cur < wanted)
		config->max_clients = (unsigned)limit.rlim_cur -
				      FDS_OF_OUR_OWN;
}

/* --------------------------------- life ---------------------------------- */

static int
listen_at(unsigned port, unsigned *ret_port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(
					       INADDR_LOOPBACK) };
	socklen_t n_bytes = sizeof(address);
	int on = 1;
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC,
			0);

	if (fd < 0 ||
	    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0 ||
	    listen(fd, BACKLOG) != 0 ||
	    getsockname(fd, (struct sockaddr *)&address, &n_bytes) != 0)
		err(1, "port %u", port);
	*ret_port = ntohs(address.sin_port);
	return fd;
}

static int
make_tick(void)
{
	struct itimerspec every = { 0 };
	int fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);

	every.it_interval.tv_nsec = TICK_MS * 1000000l;
	every.it_value = every.it_interval;
	if (fd < 0 || timerfd_settime(fd, 0, &every, NULL) != 0)
		err(1, "timerfd");
	return fd;
}

/* Blocked here, and so in every thread that is made later. */
static int
take_signals(void)
{
	sigset_t signals;
	int fd;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	pthread_sigmask(SIG_BLOCK, &signals, NULL);
	fd = signalfd(-1, &signals, SFD_CLOEXEC);
	if (fd < 0)
		err(1, "signalfd");
	signal(SIGPIPE, SIG_IGN); /* of admin's client */
	return fd;
}

static void
start(unsigned *ret_port)
{
	struct config *config = &server.config;

	limit_clients(config);
	server.conns = conn_cache_make(config);
	if (config->audit_names > 0)
		server.audit = audit_create(config->audit_names);
	server.wheel = wheel_create(server_now_ms(), TICK_MS);
	server.store = store_create();
	gate_init(&server.gate);
	server.epoll = epoll_create1(EPOLL_CLOEXEC);
	if (server.epoll < 0)
		err(1, "epoll_create1");
	server.listener = listen_at(config->port, ret_port);
	server.tick = make_tick();
	worker_watch(&server, server.listener, NAME_LISTENER);
	worker_watch(&server, server.tick, NAME_TICK);
	worker_watch(&server, server.gate.kick, NAME_GATE);
	for (unsigned i = 0; i <= WORKERS_MAX; i++)
		server.workers[i].server = &server;
	for (unsigned i = 0; i < config->n_workers; i++)
		if (pthread_create(&server.workers[i].thread, NULL,
				   worker_main, &server.workers[i]) != 0)
			errx(1, "no thread");
}

/* Returns the objects that were left over. */
static uint64_t
stop(void)
{
	struct cubby_cache_stats stats = { .stats_bytes = sizeof(stats) };
	uint64_t n_left;

	gate_stop(&server);
	for (unsigned i = 0; i < server.config.n_workers; i++)
		pthread_join(server.workers[i].thread, NULL);
	dprintf(STDOUT_FILENO, "open_at_end %lu\n", server.n_open);
	conn_close_all(&server.workers[WORKERS_MAX]);
	server_print(&server, STDOUT_FILENO);
	if (cubby_cache_stats_snapshot(server.conns, &stats) != 0)
		errx(1, "stats: %s", cubby_error_detail());
	n_left = stats.n_live + stats.n_deferred;
	if (cubby_cache_verify(server.conns) != 0)
		errx(1, "verify: %s", cubby_error_detail());
	if (cubby_cache_destroy(server.conns) != 0)
		errx(1, "destroy: %s", cubby_error_detail());
	n_left += store_destroy(server.store);
	dprintf(STDOUT_FILENO, "objects_peak %lu\nobjects_left %lu\n",
		stats.n_live_peak, n_left);
	wheel_destroy(server.wheel);
	audit_destroy(server.audit);
	close(server.epoll);
	close(server.listener);
	close(server.tick);
	close(server.gate.kick);
	return n_left;
}

int
main(int argc, char **argv)
{
	unsigned port, admin_port;
	int signals, admin;

	read_options(&server.config, argc, argv);
	signals = take_signals();
	admin = listen_at(0, &admin_port);
	start(&port);
	dprintf(STDOUT_FILENO, "names %s\nmode %s\n",
		names_texts[server.config.names],
		mode_texts[server.config.mode]);
	dprintf(STDOUT_FILENO, "ready port %u admin %u\n", port, admin_port);
	admin_run(&server, admin, signals);
	return stop() != 0;
}

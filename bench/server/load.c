/* SPDX-License-Identifier: MIT */
/*
 * load.c - clients for the server, who check what they are answered.
 *
 *	churn        threads open and close connections at random, ask, leave
 *		     without reading, kill each other
 *	kill rounds  provoke stale events, for certain:
 *
 *		hold        the server's workers take no more events
 *		killer      asks for the death of all victims, and for their
 *			    cells to be free by then
 *		newcomers   connect
 *		victims     ask something, or vanish
 *		release     one worker takes all that at once, in this order
 *
 *		When it comes to the victims' events they are gone, and the
 *		newcomers have their cells.
 *	idle rounds  the same, but a timer is the killer
 *	stay rounds  a worker is busy with a connection when another kills it and
 *		     newcomers come: that is not to be pulled from under it
 *
 * A newcomer has done nothing and must be served.  One that is not, or any
 * other whose connection ends for no reason, is `lost`.
 *
 * Prints figures, "name value" a line.  Exits with 1 if an answer was wrong or
 * did not come, a connection was lost, or the server went away, which ends it
 * all (`server_gone`); with 2 for options that make no sense.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <getopt.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum {
	THREADS_MAX = 16,
	LINE_BYTES_MAX = 128,
	PIPELINE_MAX = 4,    /* requests that are sent at once */
	ANSWER_S = 20,       /* no answer comes later than that */
	SHORT_IDLE_MS = 60,  /* in the churn */
	ROUND_IDLE_MS = 100, /* in idle rounds */
	ROUND_SLEEP_MS = 250,
	FDS_OF_OUR_OWN = 32
};

/* What a peer's connection has come to. */
enum said { SAID, ENDED };

struct peer {
	int fd; /* -1: none */
	bool may_end;
	bool has_id;
	long long id;
	uint64_t serial;
	unsigned n_asked, n_answered;
	size_t n_in;
	char in[LINE_BYTES_MAX];
};

struct thread {
	pthread_t thread;
	uint64_t random;
	unsigned n_peers;
	struct peer *peers;
};

static struct {
	unsigned port, admin, n_clients, n_open, n_threads;
	unsigned n_rounds, n_idle_rounds, n_stay_rounds, n_victims, seed;
} config = { .n_clients = 4000,
	     .n_open = 800,
	     .n_threads = 2,
	     .n_rounds = 20,
	     .n_idle_rounds = 3,
	     .n_stay_rounds = 3,
	     .n_victims = 100,
	     .seed = 1 };

static struct {
	uint64_t opened, answers, wrong_answers, no_answers, lost, ended;
	uint64_t killed, provoked, refused, server_gone;
} total;

static void
add(uint64_t *figure)
{
	__atomic_add_fetch(figure, 1, __ATOMIC_RELAXED);
}

static bool
is_gone(void)
{
	return __atomic_load_n(&total.server_gone, __ATOMIC_RELAXED) != 0;
}

/* --------------------------------- a peer -------------------------------- */

static int
connect_to(unsigned port)
{
	struct sockaddr_in address = { .sin_family = AF_INET,
				       .sin_port = htons((uint16_t)port),
				       .sin_addr.s_addr = htonl(
					       INADDR_LOOPBACK) };
	struct timeval patience = { .tv_sec = ANSWER_S };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	int on = 1, saved;

	if (fd < 0)
		err(1, "socket");
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
	if (connect(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
		if (errno != ECONNREFUSED && errno != ECONNRESET)
			err(1, "cannot connect to port %u", port);
		saved = errno;
		close(fd);
		errno = saved;
		return -1;
	}
	return fd;
}

/* Where there must be somebody. */
static int
connect_first(unsigned port)
{
	int fd = connect_to(port);

	if (fd < 0)
		err(1, "cannot connect to port %u", port);
	return fd;
}

static bool
peer_open(struct peer *peer)
{
	*peer = (struct peer){ .fd = connect_to(config.port) };
	if (peer->fd < 0) {
		__atomic_store_n(&total.server_gone, 1, __ATOMIC_RELAXED);
		return false;
	}
	peer->serial = __atomic_add_fetch(&total.opened, 1, __ATOMIC_RELAXED);
	return true;
}

/* With a reset: the server hears of it at once, as EPOLLHUP. */
static void
peer_vanish(struct peer *peer)
{
	struct linger at_once = { .l_onoff = 1, .l_linger = 0 };

	if (peer->fd < 0)
		return;
	setsockopt(peer->fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once));
	close(peer->fd);
	peer->fd = -1;
}

static void
peer_close(struct peer *peer)
{
	if (peer->fd >= 0)
		close(peer->fd);
	peer->fd = -1;
}

/* The server has ended it.  With a reason? */
static enum said
peer_ended(struct peer *peer)
{
	add(peer->may_end ? &total.ended : &total.lost);
	peer_vanish(peer);
	return ENDED;
}

static enum said
peer_send(struct peer *peer, const char *text, size_t n_bytes)
{
	if (send(peer->fd, text, n_bytes, MSG_NOSIGNAL) != (ssize_t)n_bytes)
		return peer_ended(peer);
	return SAID;
}

static enum said
peer_ask(struct peer *peer, const char *format, ...)
{
	char line[LINE_BYTES_MAX];
	va_list arguments;
	int n;

	va_start(arguments, format);
	n = vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	return peer_send(peer, line, (size_t)n);
}

static const char refusal[] = "-ERR max number of clients";

/* The next line, without its end. */
static enum said
peer_hear(struct peer *peer, char line[LINE_BYTES_MAX])
{
	char *end;
	ssize_t n;

	while (!(end = memchr(peer->in, '\n', peer->n_in))) {
		if (peer->n_in == sizeof(peer->in)) {
			add(&total.wrong_answers);
			return peer_ended(peer);
		}
		n = recv(peer->fd, peer->in + peer->n_in,
			 sizeof(peer->in) - peer->n_in, 0);
		if (n < 0 && (errno == EAGAIN || errno == EINTR))
			add(&total.no_answers);
		if (n <= 0)
			return peer_ended(peer);
		peer->n_in += (size_t)n;
	}
	n = end + 1 - peer->in;
	memcpy(line, peer->in, (size_t)n);
	line[n - (n > 1 && end[-1] == '\r' ? 2 : 1)] = '\0';
	peer->n_in -= (size_t)n;
	memmove(peer->in, end + 1, peer->n_in);
	if (strncmp(line, refusal, sizeof(refusal) - 1) == 0) {
		add(&total.refused);
		peer->may_end = true;
		return peer_ended(peer);
	}
	return SAID;
}

static enum said
peer_expect(struct peer *peer, const char *want)
{
	char line[LINE_BYTES_MAX];

	if (peer_hear(peer, line) == ENDED)
		return ENDED;
	add(&total.answers);
	if (strcmp(line, want) != 0) {
		add(&total.wrong_answers);
		fprintf(stderr, "load: expected '%s', got '%s'\n", want, line);
	}
	return SAID;
}

/* A number that differs for each request of all. */
static void
echo_text(const struct peer *peer, unsigned n, char text[LINE_BYTES_MAX])
{
	snprintf(text, LINE_BYTES_MAX, "%lu.%u", peer->serial, n);
}

static enum said
peer_ask_echoes(struct peer *peer, unsigned n)
{
	char text[LINE_BYTES_MAX], all[PIPELINE_MAX * LINE_BYTES_MAX];
	size_t n_bytes = 0;

	for (unsigned i = 0; i < n; i++) {
		echo_text(peer, peer->n_asked++, text);
		n_bytes += (size_t)snprintf(all + n_bytes,
					    sizeof(all) - n_bytes,
					    "*2\r\n$4\r\nECHO\r\n$%zu\r\n%s"
					    "\r\n",
					    strlen(text), text);
	}
	return peer_send(peer, all, n_bytes);
}

static enum said
peer_hear_echoes(struct peer *peer)
{
	char text[LINE_BYTES_MAX], header[LINE_BYTES_MAX];

	while (peer->n_answered < peer->n_asked) {
		echo_text(peer, peer->n_answered++, text);
		snprintf(header, sizeof(header), "$%zu", strlen(text));
		if (peer_expect(peer, header) == ENDED ||
		    peer_expect(peer, text) == ENDED)
			return ENDED;
	}
	return SAID;
}

static enum said
peer_learn_id(struct peer *peer)
{
	char line[LINE_BYTES_MAX];

	if (peer_ask(peer, "CLIENT ID\r\n") == ENDED ||
	    peer_hear(peer, line) == ENDED)
		return ENDED;
	if (line[0] != ':')
		errx(1, "CLIENT ID: %s", line);
	peer->id = strtoll(line + 1, NULL, 10);
	peer->has_id = true;
	return SAID;
}

static enum said
peer_set_idle(struct peer *peer, unsigned idle_ms)
{
	peer->may_end = true;
	if (peer_ask(peer, "CLIENT IDLE %u\r\n", idle_ms) == ENDED)
		return ENDED;
	return peer_expect(peer, "+OK");
}

/* ---------------------------------- churn -------------------------------- */

/* Source: G. Marsaglia, "Xorshift RNGs", 2003. */
static unsigned
below(struct thread *thread, unsigned limit)
{
	thread->random ^= thread->random << 13;
	thread->random ^= thread->random >> 7;
	thread->random ^= thread->random << 17;
	return (unsigned)(thread->random >> 32) % limit;
}

static void
come(struct thread *thread, struct peer *peer)
{
	if (!peer_open(peer))
		return;
	if (below(thread, 8) == 0)
		peer_set_idle(peer, SHORT_IDLE_MS);
	else if (below(thread, 4) == 0)
		peer_learn_id(peer);
}

static void
quit(struct peer *peer)
{
	char line[LINE_BYTES_MAX];

	if (peer_hear_echoes(peer) == ENDED ||
	    peer_ask(peer, "QUIT\r\n") == ENDED ||
	    peer_expect(peer, "+OK") == ENDED)
		return;
	peer->may_end = true;
	if (peer_hear(peer, line) == SAID) {
		add(&total.wrong_answers);
		peer_close(peer);
	}
}

/* Another one, preferably with a request that is not answered yet. */
static void
kill_other(struct thread *thread, struct peer *peer)
{
	struct peer *other = &thread->peers[below(thread, thread->n_peers)];
	char line[LINE_BYTES_MAX];

	if (other == peer || other->fd < 0 || !other->has_id)
		return;
	if (peer_hear_echoes(peer) == ENDED)
		return;
	other->may_end = true;
	if (peer_ask_echoes(other, 1) == ENDED ||
	    peer_ask(peer, "CLIENT KILL ID %lld\r\n", other->id) == ENDED ||
	    peer_hear(peer, line) == ENDED)
		return;
	if (strcmp(line, ":1") == 0)
		add(&total.killed);
}

static void
go_on(struct thread *thread, struct peer *peer)
{
	if (peer->n_asked == peer->n_answered) {
		peer_ask_echoes(peer, 1 + below(thread, PIPELINE_MAX));
		return;
	}
	switch (below(thread, 8)) {
	case 0:
		peer_vanish(peer);
		break;
	case 1:
		quit(peer);
		break;
	case 2:
		kill_other(thread, peer);
		break;
	case 3:
		if (peer_hear_echoes(peer) == SAID)
			peer_close(peer);
		break;
	default:
		peer_hear_echoes(peer);
	}
}

static void *
churn(void *argument)
{
	struct thread *thread = argument;

	while (!is_gone() && __atomic_load_n(&total.opened, __ATOMIC_RELAXED) <
				     config.n_clients) {
		struct peer *peer =
			&thread->peers[below(thread, thread->n_peers)];

		if (peer->fd < 0)
			come(thread, peer);
		else
			go_on(thread, peer);
	}
	for (unsigned i = 0; i < thread->n_peers; i++)
		peer_vanish(&thread->peers[i]);
	return NULL;
}

static struct peer *
make_peers(unsigned n)
{
	struct peer *peers = calloc(n, sizeof(*peers));

	if (peers == NULL)
		err(1, "peers");
	for (unsigned i = 0; i < n; i++)
		peers[i].fd = -1;
	return peers;
}

static void
churn_all(void)
{
	static struct thread threads[THREADS_MAX];

	for (unsigned i = 0; i < config.n_threads; i++) {
		struct thread *thread = &threads[i];

		thread->random = config.seed * 1000003ull + i + 1;
		thread->n_peers = config.n_open / config.n_threads;
		thread->peers = make_peers(thread->n_peers);
		if (pthread_create(&thread->thread, NULL, churn, thread) != 0)
			errx(1, "no thread");
	}
	for (unsigned i = 0; i < config.n_threads; i++) {
		pthread_join(threads[i].thread, NULL);
		free(threads[i].peers);
	}
}

/* --------------------------------- rounds -------------------------------- */

static struct peer admin;

/* Do as the server's admin says; its figure, if it is asked for one. */
static uint64_t
ask_admin(const char *command, const char *figure)
{
	char line[LINE_BYTES_MAX], name[LINE_BYTES_MAX];
	uint64_t value, found = 0;

	if (admin.fd < 0 || peer_ask(&admin, "%s\n", command) == ENDED) {
		__atomic_store_n(&total.server_gone, 1, __ATOMIC_RELAXED);
		return 0;
	}
	while (peer_hear(&admin, line) == SAID) {
		if (strcmp(line, figure ? "end" : "ok") == 0)
			return found;
		if (figure && sscanf(line, "%127s %lu", name, &value) == 2 &&
		    strcmp(name, figure) == 0)
			found = value;
	}
	__atomic_store_n(&total.server_gone, 1, __ATOMIC_RELAXED);
	return 0;
}

static void
sleep_ms(unsigned ms)
{
	struct timespec span = { ms / 1000, (long)(ms % 1000) * 1000000 };

	while (nanosleep(&span, &span) != 0)
		continue;
}

/* Held: all of these are in the kernel's list behind what kills the victims. */
static void
crowd_in(struct peer *victims, struct peer *newcomers)
{
	for (unsigned i = 0; i < config.n_victims; i++)
		peer_open(&newcomers[i]);
	for (unsigned i = 0; i < config.n_victims && !is_gone(); i++) {
		add(&total.provoked);
		if (i % 2 != 0)
			peer_vanish(&victims[i]);
		else
			peer_ask(&victims[i], "PING\r\n");
	}
}

static void
look_after(struct peer *victims, struct peer *newcomers)
{
	for (unsigned i = 0; i < config.n_victims; i++) {
		if (newcomers[i].fd >= 0 &&
		    peer_ask_echoes(&newcomers[i], 1) == SAID)
			peer_hear_echoes(&newcomers[i]);
		peer_vanish(&newcomers[i]);
		peer_vanish(&victims[i]);
	}
}

static void
kill_round(struct peer *victims, struct peer *newcomers)
{
	struct peer killer;
	char line[LINE_BYTES_MAX];

	for (unsigned i = 0; i < config.n_victims; i++) {
		if (!peer_open(&victims[i]) ||
		    peer_learn_id(&victims[i]) == ENDED)
			return;
		victims[i].may_end = true;
	}
	if (!peer_open(&killer))
		return;
	ask_admin("hold", NULL);
	for (unsigned i = 0; i < config.n_victims; i++)
		if (peer_ask(&killer, "CLIENT KILL ID %lld\r\n",
			     victims[i].id) == ENDED)
			return;
	peer_ask(&killer, "DEBUG BARRIER\r\n");
	crowd_in(victims, newcomers);
	ask_admin("release", NULL);
	for (unsigned i = 0; i < config.n_victims; i++)
		if (peer_hear(&killer, line) == SAID &&
		    strcmp(line, ":1") == 0)
			add(&total.killed);
		else if (killer.fd < 0)
			break;
	if (killer.fd >= 0)
		peer_expect(&killer, "+OK");
	look_after(victims, newcomers);
	peer_vanish(&killer);
}

static void
idle_round(struct peer *victims, struct peer *newcomers)
{
	for (unsigned i = 0; i < config.n_victims; i++)
		if (!peer_open(&victims[i]) ||
		    peer_set_idle(&victims[i], ROUND_IDLE_MS) == ENDED)
			return;
	ask_admin("hold", NULL);
	sleep_ms(ROUND_SLEEP_MS); /* a tick, and all their time is up */
	crowd_in(victims, newcomers);
	ask_admin("release", NULL);
	look_after(victims, newcomers);
}

static void
stay_round(struct peer *newcomers)
{
	struct peer stayer, killer;

	if (!peer_open(&stayer) || !peer_open(&killer))
		return;
	if (peer_learn_id(&stayer) == SAID &&
	    peer_ask(&stayer, "DEBUG STAY %u\r\n", config.n_victims) == SAID &&
	    peer_expect(&stayer, "+OK") == SAID &&
	    peer_ask(&killer, "CLIENT KILL ID %lld\r\n", stayer.id) == SAID &&
	    peer_expect(&killer, ":1") == SAID)
		for (unsigned i = 0; i < config.n_victims; i++)
			if (peer_open(&newcomers[i]) &&
			    peer_ask_echoes(&newcomers[i], 1) == SAID)
				peer_hear_echoes(&newcomers[i]);
	for (unsigned i = 0; i < config.n_victims; i++)
		peer_vanish(&newcomers[i]);
	peer_vanish(&stayer);
	peer_vanish(&killer);
}

/* A timer whose connection has long gone. */
static void
wait_for_stale_timer(void)
{
	struct peer peer;

	if (!peer_open(&peer) || peer_set_idle(&peer, SHORT_IDLE_MS) == ENDED)
		return;
	peer_vanish(&peer);
	for (unsigned ms = 0; ms < ANSWER_S * 1000 && !is_gone() &&
			      ask_admin("stats", "stale_timers") == 0;
	     ms += SHORT_IDLE_MS)
		sleep_ms(SHORT_IDLE_MS);
}

static void
run_rounds(void)
{
	struct peer *victims = make_peers(config.n_victims);
	struct peer *newcomers = make_peers(config.n_victims);

	for (unsigned i = 0; i < config.n_rounds && !is_gone(); i++)
		kill_round(victims, newcomers);
	for (unsigned i = 0; i < config.n_idle_rounds && !is_gone(); i++)
		idle_round(victims, newcomers);
	for (unsigned i = 0; i < config.n_stay_rounds && !is_gone(); i++)
		stay_round(newcomers);
	if (!is_gone())
		wait_for_stale_timer();
	peer_close(&admin);
	for (unsigned i = 0; i < config.n_victims; i++) {
		peer_vanish(&victims[i]);
		peer_vanish(&newcomers[i]);
	}
	free(victims);
	free(newcomers);
}

/* --------------------------------- options ------------------------------- */

static const struct option options[] = {
	{ "port", required_argument, NULL, 'p' },
	{ "admin", required_argument, NULL, 'a' },
	{ "clients", required_argument, NULL, 'c' },
	{ "open", required_argument, NULL, 'o' },
	{ "threads", required_argument, NULL, 't' },
	{ "rounds", required_argument, NULL, 'r' },
	{ "idle-rounds", required_argument, NULL, 'i' },
	{ "stay-rounds", required_argument, NULL, 'y' },
	{ "victims", required_argument, NULL, 'v' },
	{ "seed", required_argument, NULL, 's' },
	{ "help", no_argument, NULL, 'h' },
	{ NULL, 0, NULL, 0 },
};

static const char usage[] =
	"usage: load --port=P [--admin=Q] [--clients=4000] [--open=800]\n"
	"            [--threads=2] [--rounds=20] [--idle-rounds=3]\n"
	"            [--stay-rounds=3] [--victims=100] [--seed=1]\n"
	"P and Q are what the server prints; without --admin no rounds.\n";

static void
refuse(void)
{
	fputs(usage, stderr);
	exit(2);
}

/* NULL: help, or no option of ours, which getopt has said. */
static unsigned *
place_of(int option)
{
	switch (option) {
	case 'p':
		return &config.port;
	case 'a':
		return &config.admin;
	case 'c':
		return &config.n_clients;
	case 'o':
		return &config.n_open;
	case 't':
		return &config.n_threads;
	case 'r':
		return &config.n_rounds;
	case 'i':
		return &config.n_idle_rounds;
	case 'y':
		return &config.n_stay_rounds;
	case 'v':
		return &config.n_victims;
	case 's':
		return &config.seed;
	default:
		return NULL;
	}
}

static unsigned
number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (text[0] < '0' || text[0] > '9' || *end != '\0' ||
	    value > UINT32_MAX)
		errx(2, "%s: not a number from 0 to %u", text, UINT32_MAX);
	return (unsigned)value;
}

static void
read_options(int argc, char **argv)
{
	unsigned *place;
	int option;

	while ((option = getopt_long(argc, argv, "", options, NULL)) != -1) {
		place = place_of(option);
		if (place == NULL)
			refuse();
		else
			*place = number(optarg);
	}
	if (optind != argc || config.port == 0 || config.port > UINT16_MAX ||
	    config.admin > UINT16_MAX || config.n_threads == 0 ||
	    config.n_threads > THREADS_MAX || config.n_open < config.n_threads)
		refuse();
}

/* As many open ones as there may be descriptors. */
static void
limit_open(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
		err(1, "getrlimit");
	limit.rlim_cur = limit.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &limit) != 0)
		err(1, "setrlimit");
	if (config.n_open > limit.rlim_cur - FDS_OF_OUR_OWN)
		config.n_open = (unsigned)limit.rlim_cur - FDS_OF_OUR_OWN;
	if (config.n_victims > (limit.rlim_cur - FDS_OF_OUR_OWN) / 2)
		errx(1, "too few descriptors for so many victims");
}

int
main(int argc, char **argv)
{
	read_options(argc, argv);
	limit_open();
	close(connect_first(config.port));
	if (config.admin != 0)
		admin = (struct peer){ .fd = connect_first(config.admin),
				       .may_end = true };
	churn_all();
	if (config.admin != 0 && !is_gone())
		run_rounds();
#define SAY(name) printf(#name " %lu\n", total.name)
	SAY(opened);
	SAY(answers);
	SAY(wrong_answers);
	SAY(no_answers);
	SAY(killed);
	SAY(provoked);
	SAY(ended);
	SAY(lost);
	SAY(refused);
	SAY(server_gone);
	return total.wrong_answers != 0 || total.no_answers != 0 ||
	       total.lost != 0 || total.server_gone != 0;
}

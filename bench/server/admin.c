/* SPDX-License-Identifier: MIT */
/* admin.c - see admin.h; runs on the main thread, beside the workers. */
#include "admin.h"

#include "worker.h"

#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

enum { LINE_BYTES_MAX = 64 };

/* The place of each in what is polled. */
enum { SIGNALS, LISTENER, CLIENT, N_POLLED };

struct client {
	size_t n_bytes;
	char line[LINE_BYTES_MAX];
};

static void
run(struct server *server, const char *command, int fd)
{
	const char *answer = "ok\n";

	if (strcmp(command, "hold") == 0) {
		gate_hold(server);
	} else if (strcmp(command, "release") == 0) {
		gate_release(server);
	} else if (strcmp(command, "stats") == 0) {
		server_print(server, fd);
		answer = "end\n";
	} else {
		answer = "stats, hold or release\n";
	}
	dprintf(fd, "%s", answer);
}

/* Returns false when the client has gone, or is none that we understand. */
static bool
serve(struct server *server, struct client *client, int fd)
{
	ssize_t n = recv(fd, client->line + client->n_bytes,
			 sizeof(client->line) - client->n_bytes, 0);
	char *newline;

	if (n <= 0)
		return false;
	client->n_bytes += (size_t)n;
	while ((newline = memchr(client->line, '\n', client->n_bytes))) {
		size_t n_used = (size_t)(newline + 1 - client->line);

		*newline = '\0';
		run(server, client->line, fd);
		client->n_bytes -= n_used;
		memmove(client->line, newline + 1, client->n_bytes);
	}
	return client->n_bytes < sizeof(client->line);
}

void
admin_run(struct server *server, int listener, int signals)
{
	struct client client = { 0 };
	struct pollfd polled[N_POLLED] = {
		[SIGNALS] = { .fd = signals, .events = POLLIN },
		[LISTENER] = { .fd = listener, .events = POLLIN },
		[CLIENT] = { .fd = -1, .events = POLLIN },
	};

	for (;;) {
		int *fd = &polled[CLIENT].fd;

		if (poll(polled, N_POLLED, -1) < 0)
			continue;
		if (polled[SIGNALS].revents)
			break;
		if (*fd < 0 && polled[LISTENER].revents) {
			*fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
			client.n_bytes = 0;
		} else if (*fd >= 0 && polled[CLIENT].revents &&
			   !serve(server, &client, *fd)) {
			close(*fd);
			*fd = -1;
			gate_release(server);
		}
		/* The next client waits until this one has gone. */
		polled[LISTENER].events = *fd < 0 ? POLLIN : 0;
	}
	if (polled[CLIENT].fd >= 0)
		close(polled[CLIENT].fd);
}

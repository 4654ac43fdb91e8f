/* SPDX-License-Identifier: MIT */
/*
 * command.c - see command.h.
 *
 * Whoever calls has made room for a reply.  Where it is missing all the same,
 * somebody who was not meant has replied on this connection meanwhile, which
 * happens with pointers: it is closed.
 */
#include "command.h"

#include "store.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

enum { LINE_BYTES_MAX = 64 };

static void
put(struct visit *visit, const char *bytes, size_t n_bytes)
{
	struct conn *conn = visit->conn;

	if (n_bytes > sizeof(conn->out) - conn->out_end) {
		visit_close(visit);
		return;
	}
	memcpy(conn->out + conn->out_end, bytes, n_bytes);
	conn->out_end += (uint16_t)n_bytes;
}

/* A short line; its \r\n is not in the format. */
static void __attribute__((format(printf, 2, 3)))
reply(struct visit *visit, const char *format, ...)
{
	char line[LINE_BYTES_MAX];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(line, sizeof(line), format, arguments);
	va_end(arguments);
	put(visit, line, strlen(line));
	put(visit, "\r\n", 2);
}

static void
reply_bytes(struct visit *visit, const struct resp_word *word)
{
	reply(visit, "$%zu", word->n_bytes);
	put(visit, word->text, word->n_bytes);
	put(visit, "\r\n", 2);
}

void
command_refuse(struct visit *visit, const char *why)
{
	reply(visit, "-ERR %s", why);
}

static void
run_client(struct visit *visit, const struct resp_request *request,
	   struct errand *errand)
{
	struct server *server = visit->worker->server;
	const struct resp_word *words = request->words;
	int64_t number;

	if (request->n_words == 2 && resp_is(&words[1], "ID")) {
		/* RESP's integers are signed: a name may come out negative. */
		reply(visit, ":%lld",
		      (long long)conn_peer_name(server, visit->conn));
	} else if (request->n_words == 4 && resp_is(&words[1], "KILL") &&
		   resp_is(&words[2], "ID") &&
		   resp_number(&words[3], &number)) {
		errand->kind = ERRAND_KILL;
		errand->name = conn_name_of_peer(server, (uint64_t)number);
	} else if (request->n_words == 3 && resp_is(&words[1], "IDLE") &&
		   resp_number(&words[2], &number) && number > 0 &&
		   number <= UINT32_MAX) {
		visit_set_idle(visit, (uint32_t)number);
		reply(visit, "+OK");
	} else {
		command_refuse(visit, "CLIENT ID, KILL ID n or IDLE ms");
	}
}

/* False if it is none of these. */
static bool
run_store(struct visit *visit, const struct resp_request *request)
{
	struct store *store = visit->worker->server->store;
	const struct resp_word *words = request->words, *key = &words[1];
	char value[STORE_VALUE_BYTES_MAX];
	struct resp_word got = { .text = value };

	if (request->n_words == 3 && resp_is(&words[0], "SET")) {
		if (store_set(store, key->text, key->n_bytes, words[2].text,
			      words[2].n_bytes))
			reply(visit, "+OK");
		else
			command_refuse(visit, "too long, or no memory");
	} else if (request->n_words == 2 && resp_is(&words[0], "GET")) {
		if (store_get(store, key->text, key->n_bytes, value,
			      &got.n_bytes))
			reply_bytes(visit, &got);
		else
			reply(visit, "$-1");
	} else if (request->n_words == 2 && resp_is(&words[0], "DEL")) {
		reply(visit, ":%d",
		      store_delete(store, key->text, key->n_bytes));
	} else {
		return false;
	}
	return true;
}

void
command_run(struct visit *visit, const struct resp_request *request,
	    struct errand *ret_errand)
{
	const struct resp_word *words = request->words;
	size_t n_words = request->n_words;
	int64_t number;

	if (n_words == 0)
		return;
	if (n_words == 1 && resp_is(&words[0], "PING")) {
		reply(visit, "+PONG");
	} else if (n_words == 2 && (resp_is(&words[0], "PING") ||
				    resp_is(&words[0], "ECHO"))) {
		reply_bytes(visit, &words[1]);
	} else if (n_words == 1 && resp_is(&words[0], "QUIT")) {
		visit->conn->is_leaving = true;
		reply(visit, "+OK");
	} else if (resp_is(&words[0], "CLIENT")) {
		run_client(visit, request, ret_errand);
	} else if (n_words == 2 && resp_is(&words[0], "DEBUG") &&
		   resp_is(&words[1], "BARRIER")) {
		ret_errand->kind = ERRAND_BARRIER;
	} else if (n_words == 3 && resp_is(&words[0], "DEBUG") &&
		   resp_is(&words[1], "STAY") &&
		   resp_number(&words[2], &number) && number >= 0) {
		*ret_errand = (struct errand){ .kind = ERRAND_STAY,
					       .n_more = (uint64_t)number };
		reply(visit, "+OK");
	} else if (!run_store(visit, request)) {
		command_refuse(visit, "unknown command");
	}
}

void
command_finish(struct visit *visit, const struct errand *errand)
{
	if (errand->kind == ERRAND_KILL)
		reply(visit, ":%d", errand->is_done);
	else
		reply(visit, "+OK");
}

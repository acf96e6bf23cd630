/* dm-recv: pass on verified chunks, from standard input or from workers that
 * it runs and feeds.  dm-recv(1) */
#include <stdlib.h>

#include "base/bytes.h"
#include "base/child.h"
#include "base/confine.h"
#include "base/err.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "job/filter.h"
#include "job/sealing.h"
#include "job/workers.h"

static void warn(const char *text)
{
	err_warn("%s", text);
}

/* Words for child_spawn: a shell for each line of --worker, the words behind
 * -- as they are. */
static void commands_make(struct workers_options *w, const struct opt_list *lines, char **rest)
{
	w->command = x_array(lines->n + 1, sizeof *w->command);
	for (size_t i = 0; i < lines->n; i++) {
		char **c = x_array(4, sizeof *c);

		c[0] = x_strdup("/bin/sh");
		c[1] = x_strdup("-c");
		c[2] = x_strdup(lines->v[i]);
		w->command[w->ncommands++] = c;
	}
	if (rest)
		w->command[w->ncommands++] = rest;
	if (w->streams * w->ncommands > WORKERS_MAX)
		opt_die("more than %d workers", WORKERS_MAX);
}

static void commands_free(struct workers_options *w, size_t lines)
{
	for (size_t i = 0; i < lines; i++) {
		for (char **c = w->command[i]; *c; c++)
			free(*c);
		free(w->command[i]);
	}
	free(w->command);
}

int main(int argc, char **argv)
{
	struct workers_options w = { .warn = warn };
	struct opt_list lines = { 0 };
	struct filter_options f = { .verify = false };
	bool progress = false, one_way = false;
	struct sealing seal = { 0 };
	struct key key;
	const struct opt opts[] = {
		{ "worker", 'w', OPT_LIST, &lines, "LINE",
		  "a worker that a shell runs; may be repeated, for other hosts", 0, 0 },
		{ "streams", 's', OPT_U64, &w.streams, "N", "run N workers of each (1)", 1, WORKERS_MAX },
		{ "timeout", 't', OPT_U64, &w.timeout, "SECONDS",
		  "replace a worker that owes and is silent for this long (60)", 1, 86400 },
		{ "give-up-after", 'g', OPT_U64, &w.give_up, "SECONDS",
		  "fail when nothing came from any worker for this long (300)", 1, 1000000 },
		{ "verify", 'v', OPT_FLAG, &f.verify, NULL,
		  "without workers: compare content with the ids it came with", 0, 0 },
		{ "seal", 0, OPT_STR, &seal.seal, "KEYFILE",
		  "talk sealed with the workers, who have the same key", 0, 0 },
		{ "pad", 0, OPT_FLAG, &seal.pad, NULL, "hide the lengths of what is sealed", 0, 0 },
		SEALING_IN(&seal),
		{ "one-way", 0, OPT_FLAG, &one_way, NULL,
		  "take a sealed stream that nobody asked for: it may be an old one", 0, 0 },
		SEALING_SESSION(&seal),
		{ "progress", 'p', OPT_FLAG, &progress, NULL, "show progress on standard error", 0, 0 },
		{ 0 },
	};
	const struct opt_prog prog = {
		.name = "dm-recv", .args = "[-- COMMAND ...]", .opts = opts,
		.about = "Pass on verified chunks, of workers that run COMMAND or of standard input.",
	};
	struct err e = { 0 };
	char **args, **rest;
	size_t nargs;
	bool workers;
	int r;

	fd_startup();
	opt_parse(&prog, argc, argv, &args, &nargs, &rest);
	workers = rest || lines.n;
	f.progress = w.progress = progress;
	if (rest && !rest[0])
		opt_die("no command behind --");
	if (workers && f.verify)
		opt_die("--verify is for chunks on standard input; dm-write verifies workers' chunks");
	if (!workers && (w.streams || w.timeout || w.give_up))
		opt_die("--streams, --timeout and --give-up-after need a command: "
		    "dm-recv --streams 2 -- COMMAND");
	if (!w.streams)
		w.streams = 1;
	if (!w.timeout)
		w.timeout = 60;
	if (!w.give_up)
		w.give_up = 300;
	if (workers && (seal.unseal || one_way || seal.session))
		opt_die("--unseal, --one-way and --session are for chunks on standard input; "
		    "workers talk with --seal");
	if (!workers && (seal.seal || seal.pad))
		opt_die("--seal and --pad are for workers; what comes sealed is read with "
		    "--one-way --unseal KEYFILE");
	if (one_way != !!seal.unseal)
		opt_die("a sealed stream on standard input is taken with both --one-way and "
		    "--unseal KEYFILE");
	if (seal.pad && !seal.seal)
		opt_die("--pad is for sealed streams: --seal KEYFILE");
	commands_make(&w, &lines, rest);
	/* Made before the key is read: whoever starts workers needs none. */
	r = workers ? child_broker(w.command, w.ncommands, &e) : sealing_load(&seal, &e);
	if (r >= 0 && workers && seal.seal)
		r = key_read(seal.seal, &key, &e);
	if (r < 0)
		goto out;
	w.key = seal.seal ? &key : NULL;
	w.pad = seal.pad;
	f.unseal = seal.in;
	confine();
	r = workers ? workers_run(&w, &e) : filter_run(&f, &e);
out:
	commands_free(&w, lines.n);
	free(lines.v);
	sealing_free(&seal);
	key_wipe(&key, sizeof key);
	return r < 0 ? err_report(&e) : DM_OK;
}

/* dm-recv: pass on verified chunks, from standard input or from workers that
 * it runs and feeds.  dm-recv(1) */
#include "base/bytes.h"
#include "base/err.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "job/filter.h"
#include "job/workers.h"

int main(int argc, char **argv)
{
	struct workers_options w = { .timeout = 0 };
	struct filter_options f = { .verify = false };
	bool progress = false;
	const struct opt opts[] = {
		{ "streams", 's', OPT_U64, &w.streams, "N", "run N workers (1)", 1, WORKERS_MAX },
		{ "timeout", 't', OPT_U64, &w.timeout, "SECONDS",
		  "replace a worker that owes and is silent for this long (60)", 1, 86400 },
		{ "verify", 'v', OPT_FLAG, &f.verify, NULL,
		  "without workers: compare content with the ids it came with", 0, 0 },
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
	int r;

	fd_startup();
	opt_parse(&prog, argc, argv, &args, &nargs, &rest);
	f.progress = w.progress = progress;
	if (rest && !rest[0])
		opt_die("no command behind --");
	if (rest && f.verify)
		opt_die("--verify is for chunks on standard input; dm-write verifies workers' chunks");
	if (!rest && (w.streams || w.timeout))
		opt_die("--streams and --timeout need a command: dm-recv --streams 2 -- COMMAND");
	if (!w.streams)
		w.streams = 1;
	if (!w.timeout)
		w.timeout = 60;
	w.command = rest;
	r = rest ? workers_run(&w, &e) : filter_run(&f, &e);
	return r < 0 ? err_report(&e) : DM_OK;
}

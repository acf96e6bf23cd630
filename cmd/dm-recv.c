/* dm-recv: pass on verified chunks, from standard input or from workers that
 * it runs and feeds.  dm-recv(1) */
#include "base/bytes.h"
#include "base/confine.h"
#include "base/err.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "job/filter.h"
#include "job/sealing.h"
#include "job/workers.h"

int main(int argc, char **argv)
{
	struct workers_options w = { .timeout = 0 };
	struct filter_options f = { .verify = false };
	bool progress = false, one_way = false;
	struct sealing seal = { 0 };
	struct key key;
	const struct opt opts[] = {
		{ "streams", 's', OPT_U64, &w.streams, "N", "run N workers (1)", 1, WORKERS_MAX },
		{ "timeout", 't', OPT_U64, &w.timeout, "SECONDS",
		  "replace a worker that owes and is silent for this long (60)", 1, 86400 },
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
	if (rest && (seal.unseal || one_way || seal.session))
		opt_die("--unseal, --one-way and --session are for chunks on standard input; "
		    "workers talk with --seal");
	if (!rest && (seal.seal || seal.pad))
		opt_die("--seal and --pad are for workers; what comes sealed is read with "
		    "--one-way --unseal KEYFILE");
	if (one_way != !!seal.unseal)
		opt_die("a sealed stream on standard input is taken with both --one-way and "
		    "--unseal KEYFILE");
	if (seal.pad && !seal.seal)
		opt_die("--pad is for sealed streams: --seal KEYFILE");
	if (rest && seal.seal && key_read(seal.seal, &key, &e) < 0)
		return err_report(&e);
	if (!rest && sealing_load(&seal, &e) < 0)
		return err_report(&e);
	w.key = seal.seal ? &key : NULL;
	w.pad = seal.pad;
	f.unseal = seal.in;
	w.command = rest;
	/* Workers are run, so only the filter can go without running anything. */
	if (!rest)
		confine();
	r = rest ? workers_run(&w, &e) : filter_run(&f, &e);
	sealing_free(&seal);
	key_wipe(&key, sizeof key);
	return r < 0 ? err_report(&e) : DM_OK;
}

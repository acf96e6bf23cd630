/* dm-window: ask for what is described, never more at once than the windows
 * allow.  dm-window(1) */
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/confine.h"
#include "base/err.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "job/budget.h"
#include "job/sealing.h"
#include "job/window.h"
#include "repo/site.h"
#include "repo/site_cache.h"

#define SIZE_MOST (UINT64_C(1) << 50)

int main(int argc, char **argv)
{
	struct opt_list limits = { 0 }, shared = { 0 };
	bool status = false, json = false;
	struct window_options o = {
		.priority = PRIORITY_DEFAULT,
		.window = MIB(32), .interval = MIB(500), .timeout = 600,
	};
	struct sealing seal = { 0 };
	const char *key = NULL;
	const struct opt opts[] = {
		{ "acks", 'a', OPT_STR, &o.acks, "FIFO", "read acknowledgements from this FIFO", 0, 0 },
		{ "window", 'w', OPT_SIZE, &o.window, "SIZE",
		  "ask for about this much at once, per disk (32M)", KIB(4), SIZE_MOST },
		{ "window-min", 0, OPT_SIZE, &o.window_min, "SIZE",
		  "the window never falls below this by measuring (half of --window)", KIB(4), SIZE_MOST },
		{ "window-max", 0, OPT_SIZE, &o.window_max, "SIZE",
		  "the window never rises above this (twice --window)", KIB(4), SIZE_MOST },
		{ "budget", 'b', OPT_STR, &o.budget, "FILE[,SIZE]",
		  "share SIZE (256M) in flight with all that use this file", 0, 0 },
		{ "priority", 0, OPT_U64, &o.priority, "N",
		  "weight of each disk in the budget (10)", 1, PRIORITY_MAX },
		{ "limit", 'l', OPT_LIST, &limits, "RATE[@HH:MM-HH:MM]",
		  "ask for no more per second, all day or at that time; may be repeated", 0, 0 },
		{ "shared-limit", 0, OPT_LIST, &shared, "RATE[@HH:MM-HH:MM]",
		  "the same for all that share the budget and --shared-name", 0, 0 },
		{ "shared-name", 0, OPT_STR, &o.shared_name, "NAME",
		  "of the plan, say, that the shared limits are for", 0, 0 },
		{ "status", 0, OPT_FLAG, &status, NULL, "show who shares the budget, and do nothing else", 0, 0 },
		{ "json", 'j', OPT_FLAG, &json, NULL, "with --status: one JSON object", 0, 0 },
		{ "interval", 'i', OPT_SIZE, &o.interval, "SIZE",
		  "make what was asked for durable each time it is this much (500M)", KIB(4), SIZE_MOST },
		{ "resume", 'r', OPT_STR, &o.resume, "SITE",
		  "do not ask for what an interrupted session of this site holds", 0, 0 },
		{ "have", 'H', OPT_STR, &o.have, "SITE",
		  "do not ask for content that this site holds, by the ids in descriptors", 0, 0 },
		{ "timeout", 't', OPT_U64, &o.timeout, "SECONDS",
		  "give up when nothing moves for this long (600)", 1, 86400 },
		{ "key", 'k', OPT_STR, &key, "FILE", "key or passphrase of an encrypted site (" SITE_KEY_ENV ")", 0, 0 },
		SEALING_OUT(&seal), SEALING_IN(&seal), SEALING_SESSION(&seal),
		{ "progress", 'p', OPT_FLAG, &o.progress, NULL, "show progress off a terminal too", 0, 0 },
		{ "report", 0, OPT_STR, &o.report, "FILE",
		  "keep in this file how far each disk is, as JSON, while it runs", 0, 0 },
		{ 0 },
	};
	const struct opt_prog prog = {
		.name = "dm-window", .args = "", .opts = opts,
		.about = "Turn descriptors into requests, as many as may be in flight.",
	};
	struct err e = { 0 };
	char **args;
	size_t nargs;

	fd_startup();
	opt_parse(&prog, argc, argv, &args, &nargs, NULL);
	site_use_key(key);
	if (status || json) {
		if (!status || !o.budget)
			opt_die("--status needs --budget FILE, and --json needs --status");
		return budget_print(o.budget, json, &e) < 0 ? err_report(&e) : DM_OK;
	}
	o.limit = limits.v;
	o.nlimits = limits.n;
	o.shared = shared.v;
	o.nshared = shared.n;
	if (o.budget && !o.acks)
		opt_die("--budget needs --acks");
	if (o.nshared ? !o.shared_name || !o.budget : !!o.shared_name)
		opt_die("--shared-limit, --shared-name and --budget belong together");
	if (!o.window_min)
		o.window_min = o.window_max ? min64(o.window / 2, o.window_max) : o.window / 2;
	if (!o.window_max)
		o.window_max = max64(o.window * 2, o.window_min);
	if (o.window_min > o.window_max)
		opt_die("--window-min is more than --window-max");
	o.window = min64(max64(o.window, o.window_min), o.window_max);
	/* What the site turns out not to hold must be asked for again. */
	if (o.have && !o.acks)
		opt_die("--have needs --acks");
	if (sealing_load(&seal, &e) < 0)
		return err_report(&e);
	o.seal = seal.out;
	o.unseal = seal.in;
	if (site_away(argv + 1))
		confine_privileges();
	else
		confine_local();
	window_run(&o, &e);
	sealing_free(&seal);
	free(limits.v);
	free(shared.v);
	return err_report(&e);
}

/* dm-recover: emits what to read to have a checkpoint again. */
#include <stdlib.h>
#include <unistd.h>

#include "base/confine.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "job/recover.h"
#include "job/sealing.h"
#include "repo/site.h"
#include "repo/site_cache.h"

int main(int argc, char **argv)
{
	struct recover_how how = { .at = "latest" };
	struct sealing seal = { 0 };
	const char *key = NULL;
	bool ids = false, chunk_ids = false, told;
	int code;
	struct err e = { 0 };
	char **args;
	size_t n;
	const struct opt opts[] = {
		{ "at", 0, OPT_STR, &how.at, "POINT", "latest, a checkpoint's number, or a time such as -2h (latest)", 0, 0 },
		{ "disk", 'd', OPT_LIST, &how.disks, "NAME", "only this disk; may be repeated", 0, 0 },
		{ "since", 0, OPT_STR, &how.since, "POINT", "only what differs from this checkpoint or root", 0, 0 },
		{ "ids", 0, OPT_FLAG, &ids, NULL, "identities alone, with those of leaves (for dm-changed --against)", 0, 0 },
		{ "ids-chunk", 0, OPT_FLAG, &chunk_ids, NULL, "identities of chunks alone", 0, 0 },
		{ "key", 'k', OPT_STR, &key, "FILE", "key or passphrase of an encrypted site (" SITE_KEY_ENV ")", 0, 0 },
		SEALING_OUT(&seal), SEALING_SESSION(&seal),
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-recover", "SITE WORKLOAD",
		"Emit descriptors of a checkpoint's disks: what to read to have them again.",
		opts, 2, 2,
	};

	fd_startup();
	opt_parse(&prog, argc, argv, &args, &n, NULL);
	site_use_key(key);
	if (ids && chunk_ids)
		opt_die("--ids and --ids-chunk exclude each other");
	how.site = args[0];
	how.workload = args[1];
	how.ids = ids || chunk_ids;
	how.leaves = ids;
	if (sealing_load(&seal, &e) < 0)
		return err_report(&e);
	how.seal = seal.out;
	if (site_away(argv + 1))
		confine_privileges();
	else
		confine_local();
	code = recover_run(&how, STDOUT_FILENO, &told, &e) ? e.code : DM_OK;
	if (code && !told)
		err_report(&e);
	sealing_free(&seal);
	free(how.disks.v);
	return code;
}

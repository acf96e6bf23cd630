/* dm-checkpoint: makes a site, seals iterations, looks after checkpoints. */
#include <stdio.h>
#include <string.h>

#include "base/bytes.h"
#include "base/confine.h"
#include "base/fdio.h"
#include "base/opt.h"
#include "job/checkpoint.h"
#include "repo/site_cache.h"

static const struct command {
	const char *name;
	int (*run)(int argc, char **argv, struct err *e);
	const char *about;
} commands[] = {
	{ "init", checkpoint_init_main, "make a site" },
	{ "commit", checkpoint_commit_main, "read acks and seal an iteration into a checkpoint" },
	{ "list", checkpoint_list_main, "list checkpoints" },
	{ "show", checkpoint_show_main, "show one checkpoint" },
	{ "verify", checkpoint_verify_main, "read back everything that is stored" },
	{ "prune", checkpoint_prune_main, "drop old checkpoints and give back their space" },
	{ "pin", checkpoint_pin_main, "keep a checkpoint from being pruned" },
	{ "unpin", checkpoint_unpin_main, "let it be pruned again" },
	{ "sessions", checkpoint_sessions_main, "list iterations in progress or interrupted" },
	{ "abandon", checkpoint_abandon_main, "give up interrupted iterations" },
	{ "stats", checkpoint_stats_main, "count what is stored" },
	{ "export", checkpoint_export_main, "write a checkpoint as a tar archive" },
	{ "import", checkpoint_import_main, "make a checkpoint of such an archive" },
	{ "key", checkpoint_key_main, "make keys, and say which ones open a site" },
	{ "reindex", checkpoint_reindex_main, "rebuild the index from the packs" },
};

static int help(void)
{
	struct err e = { 0 };

	printf("usage: dm-checkpoint COMMAND [options] SITE ...\n"
	    "Make a site, seal iterations into checkpoints, and look after them.\n\ncommands:\n");
	for (size_t i = 0; i < LEN(commands); i++)
		printf("  %-10s %s\n", commands[i].name, commands[i].about);
	printf("\ndm-checkpoint COMMAND --help tells more, --version the version; see dm-checkpoint(1).\n");
	return checkpoint_flush(&e) ? err_report(&e) : DM_OK;
}

/* Does it delete points that are kept in a cloud? */
static bool reaches_out(char *const *argv)
{
	bool found = false;

	if (!strcmp(*argv, "prune"))
		for (argv++; *argv && strcmp(*argv, "--") != 0; argv++)
			found |= !strncmp(*argv, "--target", 8);
	return found;
}

int main(int argc, char **argv)
{
	struct err e = { 0 };

	fd_startup();
	err_set_program("dm-checkpoint");
	if (argc < 2)
		opt_die("no command given (see dm-checkpoint --help)");
	if (!strcmp(argv[1], "--help"))
		return help();
	if (!strcmp(argv[1], "--version")) {
		printf("dm-checkpoint %s\n", dm_version);
		return checkpoint_flush(&e) ? err_report(&e) : DM_OK;
	}
	if (site_away(argv + 1) || reaches_out(argv + 1))
		confine_privileges();
	else
		confine_local();
	for (size_t i = 0; i < LEN(commands); i++)
		if (!strcmp(argv[1], commands[i].name))
			return commands[i].run(argc - 1, argv + 1, &e) ? err_report(&e) : DM_OK;
	opt_die("unknown command: %s (see dm-checkpoint --help)", argv[1]);
}

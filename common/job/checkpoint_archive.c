/* dm-checkpoint export, import. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/confine.h"
#include "base/fdio.h"
#include "base/newfile.h"
#include "base/opt.h"
#include "base/uri.h"
#include "job/portable.h"
#include "job/checkpoint.h"
#include "repo/store.h"

#define EXPORT_LEVEL 3

static int export_file(struct site *s, const struct checkpoint *c, const char *path, int level,
    struct err *e)
{
	struct newfile f;
	int rc = -1;

	if (newfile_open(&f, path, e) == 0)
		rc = portable_export(s, c, f.fd, level, e) || newfile_publish(&f, e) ? -1 : 0;
	newfile_close(&f);
	return rc;
}

int checkpoint_export_main(int argc, char **argv, struct err *e)
{
	const char *at = "latest";
	uint64_t level = 0;
	bool zstd = false;
	struct checkpoint *c = NULL;
	struct site *s;
	int hold = -1, rc = -1;
	char **args;
	size_t n;
	const struct opt opts[] = {
		{ "at", 0, OPT_STR, &at, "POINT", "latest, a checkpoint's number, or a time such as -2h (latest)", 0, 0 },
		{ "zstd", 'z', OPT_FLAG, &zstd, NULL, "compress the archive", 0, 0 },
		{ "level", 0, OPT_U64, &level, "N", "with --zstd: the level (3)", 1, 19 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-checkpoint export", "SITE WORKLOAD FILE|-",
		"Write a checkpoint as a tar archive of its disks.", opts, 3, 3,
	};

	checkpoint_opts(&prog, argc, argv, &args, &n);
	if (level && !zstd)
		opt_die("--level goes with --zstd");
	if (!strcmp(args[2], "-") && isatty(STDOUT_FILENO))
		opt_die("an archive is not written to a terminal");
	level = zstd ? (level ? level : EXPORT_LEVEL) : 0;
	s = site_open(args[0], e);
	if (!s)
		return -1;
	c = catalog_find(s, args[1], at, e);
	if (c && catalog_trust(s, c, e) == 0)
		hold = catalog_hold(s, c, e);
	if (hold >= 0)
		rc = strcmp(args[2], "-") ? export_file(s, c, args[2], (int)level, e) :
		    portable_export(s, c, STDOUT_FILENO, (int)level, e);
	fd_close(hold);
	checkpoint_free(c);
	site_close(s);
	return rc;
}

/* An archive is a stranger's: whoever reads it can change this site only. */
static int import_confine(struct site *s, struct err *e)
{
	const char *write[] = { s->path, s->index_path };
	struct store *st;

	/* What it is about to change is elsewhere. */
	if (s->objects) {
		confine_privileges();
		return 0;
	}
	st = store_open(s, STORE_READ, e);
	if (!st)
		return -1;
	store_close(st);	/* the index is there now, wherever it is kept */
	confine_to(write, LEN(write));
	return 0;
}

int checkpoint_import_main(int argc, char **argv, struct err *e)
{
	struct import_how how = { .recovery = false };
	struct checkpoint *c = NULL;
	struct site *s;
	char **args;
	size_t n;
	int fd, rc = -1;
	const struct opt opts[] = {
		{ "workload", 'w', OPT_STR, &how.workload, "NAME", "of which it becomes a checkpoint (the one it was of)", 0, 0 },
		{ "recovery", 0, OPT_FLAG, &how.recovery, NULL, "take its recovery configuration too, whose programs a failover runs", 0, 0 },
		{ NULL, 0, 0, NULL, NULL, NULL, 0, 0 },
	};
	const struct opt_prog prog = {
		"dm-checkpoint import", "SITE FILE|-",
		"Make a checkpoint of an archive that export wrote.", opts, 2, 2,
	};

	checkpoint_opts(&prog, argc, argv, &args, &n);
	if (how.workload && !name_valid(how.workload))
		opt_die("--workload: not a name: %s", how.workload);
	fd = strcmp(args[1], "-") ? open(args[1], O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
	if (fd < 0)
		return err_sys(e, DM_ENV, errno, "%s", args[1]);
	s = site_open(args[0], e);
	if (s && import_confine(s, e) == 0)
		rc = portable_import(s, fd, &how, &c, e);
	if (rc == 0 && how.left_out)
		err_warn("%s: checkpoint %llu: the archive's recovery configuration was left out: it names "
		    "programs that a failover runs; --recovery takes it", c->workload, (unsigned long long)c->seq);
	if (rc == 0 && isatty(STDOUT_FILENO))
		printf("%s: checkpoint %llu\n", c->workload, (unsigned long long)c->seq);
	checkpoint_free(c);
	site_close(s);
	if (fd != STDIN_FILENO)
		fd_close(fd);
	return rc ? rc : checkpoint_flush(e);
}

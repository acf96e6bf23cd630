/* file: volumes, what an iteration left in a directory that made its file and
 * never became a checkpoint.  Only what tells itself whose it is goes: the
 * record beside it names the site, and a session that the site knows neither
 * as a checkpoint's nor as one that may become one. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "volume/drv_file.h"

static bool among(const char *word, const char *const *v, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(word, v[i]))
			return true;
	return false;
}

/* Number of the newest that the catalog names in this directory.  Later ones
 * may be of a catalog that was restored from a backup: these stay. */
static uint64_t newest_known(const struct volume_sweep *how, const char *dir)
{
	size_t n = strlen(dir);
	uint64_t top = 0;

	for (size_t i = 0; i < how->nknown; i++) {
		const char *path = how->known[i];

		if (!strncmp(path, dir, n) && path[n] == '/')
			top = max64(top, file_dir_number(path + n + 1, how->disk));
	}
	return top;
}

/* Does the record name our site, and a session that came to nothing? */
static bool came_to_nothing(const struct target_record *r, const struct volume_sweep *how)
{
	char site[33];

	hex_put(site, how->site, 16);
	return r->state == RECORD_COMPLETE && !strcmp(r->site, site) &&
	    !among(r->session, how->session, how->nsessions);
}

/* Is this file, if it is there, the one that the record is of? */
static bool as_recorded(const char *path, const struct target_record *r)
{
	struct stat st;
	char *now;
	bool same;

	if (lstat(path, &st) != 0)
		return errno == ENOENT;	/* killed before its name, or before we came to the record */
	if (!S_ISREG(st.st_mode) || st.st_mode & 0222)
		return false;
	now = file_identity(&st, (uint64_t)st.st_size, false);
	same = !strcmp(now, r->identity);
	free(now);
	return same;
}

static int remove_both(const char *path, const char *record, struct err *e)
{
	if (unlink(path) != 0 && errno != ENOENT)
		return err_sys(e, DM_ENV, errno, "%s", path);
	/* The record is what would lead here once more. */
	if (durable_name(AT_FDCWD, path, e) < 0)
		return -1;
	return unlink(record) == 0 || errno == ENOENT ? 0 : err_sys(e, DM_ENV, errno, "%s", record);
}

/* The file that this entry of the directory, "NAME.NNNNNN.raw.dm", is the
 * record of. */
static int look_at(const char *dir, const char *entry, uint64_t top, const struct volume_sweep *how,
    struct volume_swept *out, struct err *e)
{
	size_t len = strlen(entry);
	char *file = x_strndup(entry, len < 3 || strcmp(entry + len - 3, ".dm") ? 0 : len - 3);
	uint64_t number = file_dir_number(file, how->disk);
	char *path = x_printf("%s/%s", dir, file), *record = x_printf("%s/%s", dir, entry);
	struct target_record r = { .state = RECORD_NONE };
	struct err why = { 0 };
	int rc = 0;

	if (number && number < top && !among(path, how->known, how->nknown) &&
	    target_record_load(record, &r, &why) == 0 && came_to_nothing(&r, how) && as_recorded(path, &r)) {
		rc = how->dry_run ? 0 : remove_both(path, record, e);
		out->removed += rc == 0;
	}
	target_record_free(&r);
	free(file);
	free(path);
	free(record);
	return rc;
}

int file_sweep(const struct uri *u, const struct volume_sweep *how, struct volume_swept *out, struct err *e)
{
	struct dirent *de;
	uint64_t top;
	DIR *d;
	int rc = 0;

	if (!how->site)
		return err_set(e, DM_USAGE, "a target of this kind has no points of its own");
	top = newest_known(how, u->path);
	d = opendir(u->path);
	if (!d) {
		out->left++;
		snprintf(out->why, sizeof(out->why), "%.120s: %s", u->path, strerror(errno));
		return 0;
	}
	while (rc == 0 && (de = readdir(d)))
		rc = look_at(u->path, de->d_name, top, how, out, e);
	closedir(d);
	return rc;
}

#include "repo/dead.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "repo/catalog_dir.h"
#include "repo/catalog_record.h"
#include "repo/crypt.h"

/* DIR/NAME.NNNNNN.raw, absolute? */
static bool is_checkpoint_path(const char *path, const char *disk)
{
	const char *file = strrchr(path, '/');
	size_t n = strlen(disk), digits;

	if (*path != '/' || strncmp(++file, disk, n) || file[n] != '.')
		return false;
	file += n + 1;
	digits = strspn(file, "0123456789");
	return digits >= 6 && !strcmp(file + digits, ".raw");
}

static int remove_file(const char *path, struct err *e)
{
	if (unlink(path) && errno != ENOENT)
		return err_sys(e, DM_ENV, errno, "%s", path);
	return 0;
}

static int delete_point(const struct checkpoint_disk *d, struct err *e)
{
	struct stat st;
	char *record, *dir;
	int rc;

	if (!is_checkpoint_path(d->point, d->name))
		return 0;
	if (lstat(d->point, &st) == 0 && (!S_ISREG(st.st_mode) || st.st_mode & 0222))
		return 0;
	record = x_printf("%s.dm", d->point);
	dir = x_strdup(d->point);
	*strrchr(dir, '/') = '\0';
	rc = remove_file(record, e) || remove_file(d->point, e) ? -1 : 0;
	if (rc == 0 && access(*dir ? dir : "/", F_OK) == 0)
		rc = durable_dir(AT_FDCWD, *dir ? dir : "/", e);
	free(dir);
	free(record);
	return rc;
}

/* A record here is WORKLOAD.SEQ.json, and sealed for its place in the catalog. */
static char *dead_place(char place[CATALOG_PLACE], const char *name)
{
	size_t len = strlen(name);
	char *seq;

	snprintf(place, CATALOG_PLACE, "checkpoint %.*s",
	    (int)(len > 5 && !strcmp(name + len - 5, ".json") ? len - 5 : len), name);
	seq = strrchr(place, '.');
	if (seq)
		*seq = '/';
	return place;
}

static int clear_record(const struct site *s, int dir, const char *name, struct err *e)
{
	struct checkpoint *c = NULL;
	int fd = openat(dir, name, O_RDONLY | O_CLOEXEC), rc = 0;
	size_t len;
	char *text = fd < 0 ? NULL : fd_slurp(fd, RECORD_MAX, &len), place[CATALOG_PLACE];

	if (!text)
		rc = err_sys(e, DM_ENV, errno, "%s", name);
	else
		text = crypt_text_open(s, dead_place(place, name), text, &len, e);
	if (text)
		c = checkpoint_parse(text, len, e);
	for (size_t i = 0; c && rc == 0 && i < c->ndisks; i++)
		rc = delete_point(&c->disk[i], e);
	if (c && rc == 0 && unlinkat(dir, name, 0))
		rc = err_sys(e, DM_ENV, errno, "%s", name);
	checkpoint_free(c);
	free(text);
	fd_close(fd);
	return c ? rc : -1;
}

int dead_clear(struct site *s, struct err *e)
{
	int fd = openat(s->dir, "dead", O_RDONLY | O_DIRECTORY | O_CLOEXEC), rc = 0;
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *de;

	if (!d) {
		fd_close(fd);
		return errno == ENOENT ? 0 : err_sys(e, DM_ENV, errno, "%s/dead", s->path);
	}
	while (rc == 0 && (de = readdir(d)))
		if (de->d_name[0] != '.')
			rc = clear_record(s, fd, de->d_name, e);
	if (rc)
		err_prefix(e, "%s/dead", s->path);
	closedir(d);
	return rc;
}

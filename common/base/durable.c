#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"

int durable_sync(int fd, const char *what, struct err *e)
{
	if (fsync(fd) < 0)
		return err_sys(e, DM_ENV, errno, "%s: fsync", what);
	return 0;
}

int durable_dir(int dirfd, const char *path, struct err *e)
{
	int fd = openat(dirfd, path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int r;

	if (fd < 0)
		return err_sys(e, DM_ENV, errno, "%s", path);
	r = durable_sync(fd, path, e);
	fd_close(fd);
	return r;
}

char *durable_parent(const char *name)
{
	const char *slash = strrchr(name, '/');

	if (!slash)
		return x_strdup(".");
	return slash == name ? x_strdup("/") : x_strndup(name, (size_t)(slash - name));
}

/* A synced temporary file beside name with these bytes; its name or NULL. */
static char *put_temp(int dirfd, const char *name, const void *p, size_t len, struct err *e)
{
	uint64_t salt = 0;
	char *tmp;
	int fd;

	if (getrandom(&salt, sizeof salt, 0) != sizeof salt) {
		err_sys(e, DM_ENV, errno, "getrandom");
		return NULL;
	}
	tmp = x_printf("%s.tmp-%016llx", name, (unsigned long long)salt);
	fd = openat(dirfd, tmp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (fd < 0) {
		err_sys(e, DM_ENV, errno, "%s", tmp);
		goto err0;
	}
	if (fd_write_full(fd, p, len) < 0) {
		err_sys(e, DM_ENV, errno, "%s", tmp);
		goto err1;
	}
	if (durable_sync(fd, tmp, e) < 0)
		goto err1;
	if (close(fd) < 0) {
		err_sys(e, DM_ENV, errno, "%s", tmp);
		unlinkat(dirfd, tmp, 0);
		goto err0;
	}
	return tmp;
err1:
	close(fd);
	unlinkat(dirfd, tmp, 0);
err0:
	free(tmp);
	return NULL;
}

int durable_name(int dirfd, const char *name, struct err *e)
{
	char *dir = durable_parent(name);
	int r = durable_dir(dirfd, dir, e);

	free(dir);
	return r;
}

int durable_create(int dirfd, const char *name, const void *p, size_t len, struct err *e)
{
	char *tmp = put_temp(dirfd, name, p, len, e);
	int r;

	if (!tmp)
		return -1;
	r = linkat(dirfd, tmp, dirfd, name, 0);
	if (r < 0 && errno == EEXIST)
		r = 1;
	else if (r < 0)
		err_sys(e, DM_ENV, errno, "%s", name);
	unlinkat(dirfd, tmp, 0);
	free(tmp);
	if (r == 0)
		r = durable_name(dirfd, name, e);
	return r;
}

int durable_replace(int dirfd, const char *name, const void *p, size_t len, struct err *e)
{
	char *tmp = put_temp(dirfd, name, p, len, e);
	int r;

	if (!tmp)
		return -1;
	r = renameat(dirfd, tmp, dirfd, name);
	if (r < 0) {
		err_sys(e, DM_ENV, errno, "%s", name);
		unlinkat(dirfd, tmp, 0);
	}
	free(tmp);
	return r < 0 ? -1 : durable_name(dirfd, name, e);
}

int durable_mkdirs(const char *path, struct err *e)
{
	char *p = x_strdup(path);
	int r = 0;

	for (char *s = p + 1; r == 0; s++) {
		char c = *s;

		if (c != '/' && c)
			continue;
		*s = 0;
		if (mkdir(p, 0700) == 0)
			r = durable_name(AT_FDCWD, p, e);
		else if (errno != EEXIST)
			r = err_sys(e, DM_ENV, errno, "%s", p);
		*s = c;
		if (!c)
			break;
	}
	free(p);
	return r;
}

int durable_tmp(struct err *e)
{
	const char *dir = getenv("TMPDIR");
	int fd;

	if (!dir || !*dir)
		dir = "/var/tmp";
	fd = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == ENOENT)) {
		char *name = x_printf("%s/dm-XXXXXX", dir);

		fd = mkostemp(name, O_CLOEXEC);
		if (fd >= 0)
			unlink(name);
		free(name);
	}
	if (fd < 0)
		return err_sys(e, DM_ENV, errno, "%s: temporary file", dir);
	return fd;
}

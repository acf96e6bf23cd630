#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "base/newfile.h"

/* Made here, by one that was killed; not somebody's file of that name. */
static bool left_behind(const struct stat *st)
{
	return S_ISREG(st->st_mode) && st->st_uid == geteuid() && (st->st_mode & 0777) == 0600;
}

static int open_part(const char *part, bool *made)
{
	int fd = openat(AT_FDCWD, part, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

	*made = fd >= 0;
	return *made || errno != EEXIST ? fd : openat(AT_FDCWD, part, O_WRONLY | O_NOFOLLOW | O_CLOEXEC);
}

/* PATH.part under a lock, which says whether its maker lives, and empty: fd;
 * -1; -2 it went, or had its name already: once more. */
static int part_lock(const char *part, struct err *e)
{
	struct stat st, named;
	bool made;
	int fd = open_part(part, &made), r;

	if (fd < 0)
		return errno == ENOENT ? -2 : err_sys(e, errno == ELOOP ? DM_NO : DM_ENV, errno, "%s", part);
	r = lock_try(fd, LOCK_EXCLUSIVE, e);
	if (r == 1)
		err_set(e, DM_NO, "%s: another program is writing it", part);
	if (r == 0 && (fstat(fd, &st) < 0 || lstat(part, &named) < 0 || st.st_dev != named.st_dev ||
	    st.st_ino != named.st_ino)) {
		fd_close(fd);
		return -2;
	}
	if (r == 0 && !made && !left_behind(&st)) {
		err_set(e, DM_NO, "%s: is in the way: move it, or choose another name", part);
	} else if (r == 0 && st.st_nlink > 1) {
		/* It is whole, and only this name is too many. */
		unlink(part);
		fd_close(fd);
		return -2;
	} else if (r == 0 && ftruncate(fd, 0) < 0) {
		err_sys(e, DM_ENV, errno, "%s", part);
	}
	if (!e->code)
		return fd;
	fd_close(fd);
	return -1;
}

static int open_unnamed(const char *path)
{
	char *dir = durable_parent(path);
	int fd = openat(AT_FDCWD, dir, O_TMPFILE | O_WRONLY | O_CLOEXEC, 0600);

	free(dir);
	return fd;
}

int newfile_open(struct newfile *f, const char *path, struct err *e)
{
	struct stat st;

	*f = (struct newfile){ .fd = -1, .path = path };
	if (lstat(path, &st) == 0)
		return err_sys(e, DM_NO, EEXIST, "%s", path);
	f->fd = open_unnamed(path);
	if (f->fd >= 0)
		return 0;
	if (errno != EOPNOTSUPP && errno != EISDIR && errno != EINVAL)
		return err_sys(e, DM_ENV, errno, "%s", path);
	f->part = x_printf("%s.part", path);
	do
		f->fd = part_lock(f->part, e);
	while (f->fd == -2);
	if (f->fd >= 0)
		return 0;
	free(f->part);
	f->part = NULL;
	return -1;
}

int newfile_publish(struct newfile *f, struct err *e)
{
	char proc[64];

	if (durable_sync(f->fd, f->path, e) < 0)
		return -1;
	snprintf(proc, sizeof proc, "/proc/self/fd/%d", f->fd);
	/* A link, so that nothing is overwritten. */
	if (linkat(AT_FDCWD, f->part ? f->part : proc, AT_FDCWD, f->path, f->part ? 0 : AT_SYMLINK_FOLLOW) < 0)
		return err_sys(e, errno == EEXIST ? DM_NO : DM_ENV, errno, "%s", f->path);
	return durable_name(AT_FDCWD, f->path, e);
}

void newfile_close(struct newfile *f)
{
	if (f->part && f->fd >= 0)
		unlinkat(AT_FDCWD, f->part, 0);
	fd_close(f->fd);
	free(f->part);
	f->fd = -1;
	f->part = NULL;
}

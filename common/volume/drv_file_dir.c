/* file: volumes, a directory as target: each iteration makes one more file
 * NAME.NNNNNN.raw.  The newest is never written: a clone of it is. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "volume/drv_file.h"

#define OPEN_TRIES 16

/* NAME.NNNNNN.raw, at least six digits: the number, else 0. */
uint64_t file_dir_number(const char *file, const char *name)
{
	size_t n = strlen(name), digits;
	uint64_t number;
	char text[24];

	if (strncmp(file, name, n) != 0 || file[n] != '.')
		return 0;
	file += n + 1;
	digits = strspn(file, "0123456789");
	if (digits < 6 || digits >= sizeof(text) || strcmp(file + digits, ".raw") != 0)
		return 0;
	memcpy(text, file, digits);
	text[digits] = 0;
	return u64_parse(text, 1, UINT64_MAX / 2, &number) == 0 ? number : 0;
}

static char *checkpoint_path(const char *dir, const char *name, uint64_t number)
{
	return x_printf("%s/%s.%06" PRIu64 ".raw", dir, name, number);
}

/* The highest number below `below' that exists; 0: none. */
static int newest(const char *dir, const char *name, uint64_t below, uint64_t *out, struct err *e)
{
	DIR *d = opendir(dir);
	struct dirent *de;
	uint64_t n;

	*out = 0;
	if (!d)
		return err_sys(e, DM_ENV, errno, "%s", dir);
	while ((de = readdir(d))) {
		n = file_dir_number(de->d_name, name);
		if (n < below && n > *out)
			*out = n;
	}
	closedir(d);
	return 0;
}

/* The work file, locked, one that no checkpoint shares: fd, or -1. *made: it was
 * not there. */
static int open_work(const char *path, bool *made, struct err *e)
{
	for (int i = 0; i < OPEN_TRIES; i++) {
		int fd = open(path, O_RDWR | O_CLOEXEC), r;
		struct stat mine, there;

		*made = fd < 0 && errno == ENOENT;
		if (*made)
			fd = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
		if (fd < 0 && errno == EEXIST)
			continue;
		if (fd < 0)
			return err_sys(e, DM_ENV, errno, "%s", path);
		r = lock_try(fd, LOCK_EXCLUSIVE, e);
		if (r == 1)
			err_set(e, DM_NO, "%s: another program is writing it", path);
		if (r != 0) {
			close(fd);
			return -1;
		}
		if (fstat(fd, &mine) == 0 && stat(path, &there) == 0 &&
		    mine.st_ino == there.st_ino && mine.st_dev == there.st_dev) {
			if (mine.st_nlink == 1)
				return fd;
			unlink(path);	/* published, but not cleaned up after */
		}
		close(fd);
	}
	return err_set(e, DM_ENV, "%s: cannot be made", path);
}

static int no_reflink(const char *dir, int errnum, struct err *e)
{
	if (errnum != EOPNOTSUPP && errnum != ENOTTY && errnum != EINVAL && errnum != EXDEV &&
	    errnum != ENOSYS)
		return err_sys(e, DM_ENV, errnum, "%s: clone", dir);
	return err_set(e, DM_NO, "%s: this file system cannot clone files; use XFS or btrfs, "
	    "or name a file instead of the directory (it keeps one state only)", dir);
}

/* Can files be cloned here?  Asked before the first, full iteration. */
static int probe_reflink(const char *dir, struct err *e)
{
	static const char page[4096] = { 1 };
	int a = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600);
	int b = open(dir, O_TMPFILE | O_RDWR | O_CLOEXEC, 0600), r;

	if (a < 0 || b < 0 || fd_write_full(a, page, sizeof(page)) != 0)
		r = err_sys(e, DM_ENV, errno, "%s", dir);
	else
		r = ioctl(b, FICLONE, a) == 0 ? 0 : no_reflink(dir, errno, e);
	fd_close(a);
	fd_close(b);
	return r;
}

/* Is this checkpoint the base, as its record left it?  1, 0, -1. */
static int checkpoint_is_base(const char *path, const struct volume_how *how, struct err *e)
{
	char *record = x_printf("%s.dm", path), *now;
	struct target_record r;
	struct stat st;
	int yes = target_record_load(record, &r, e) == 0 ? 0 : -1;

	if (yes == 0 && target_record_is_base(&r, how) && stat(path, &st) == 0) {
		now = file_identity(&st, (uint64_t)st.st_size, false);
		yes = !strcmp(now, r.identity);
		free(now);
	}
	target_record_free(&r);
	free(record);
	return yes;
}

/* The newest checkpoint that is the base.  Mostly the newest of all; an older
 * one when an iteration of several disks failed between them. */
static char *find_base(const char *dir, const struct volume_how *how, uint64_t top, struct err *e)
{
	uint64_t n = top;

	while (n) {
		char *path = checkpoint_path(dir, how->disk, n);
		int r = checkpoint_is_base(path, how, e);

		if (r == 1)
			return path;
		free(path);
		if (r < 0 || newest(dir, how->disk, n, &n, e) != 0)
			return NULL;
	}
	err_set(e, DM_NO, "%s: no checkpoint of %s here is the base of this iteration; "
	    "send a full iteration", dir, how->disk);
	return NULL;
}

static int clone_base(struct file_vol *f, const char *dir, const char *base, struct err *e)
{
	int fd = open(base, O_RDONLY | O_CLOEXEC), r = 0;

	if (fd < 0)
		return err_sys(e, DM_ENV, errno, "%s", base);
	if (ftruncate(f->fd, 0) != 0)
		r = err_sys(e, DM_ENV, errno, "%s", f->target->path);
	else if (ioctl(f->fd, FICLONE, fd) != 0)
		r = no_reflink(dir, errno, e);
	close(fd);
	return r;
}

/* Was the work file that this step shall go on with published, but its
 * checkpoint never committed?  Then a clone of that is the same.  1, 0, -1. */
static int clone_published(struct volume *v, struct file_vol *f, const char *dir, uint64_t top,
    const struct volume_how *how)
{
	char *path = top && how->work ? checkpoint_path(dir, how->disk, top) : NULL, *record, *name;
	struct target_record r = { .state = RECORD_NONE };
	struct err none = { 0 };
	struct stat st;
	int yes = 0;

	if (!path)
		return 0;
	record = x_printf("%s.dm", path);
	if (stat(path, &st) == 0 && target_record_load(record, &r, &none) == 0) {
		name = file_work_name(&st, f->target->path);
		yes = !strcmp(name, how->work) && target_record_resumes(&r, how);
		free(name);
	}
	if (yes)	/* what the record said of the work file is void before that goes */
		unlink(f->target->record_path);
	if (yes && (clone_base(f, dir, path, &v->err) != 0 || fsync(f->fd) != 0))
		yes = v->err.code ? -1 : err_sys(&v->err, DM_ENV, errno, "%s", f->target->path);
	target_record_free(&r);
	free(record);
	free(path);
	return yes;
}

/* Leave the work file as the base, said durably, unless an interrupted run of
 * this very step left it further on. */
static int prepare(struct volume *v, struct file_vol *f, const char *dir, uint64_t top,
    const struct volume_how *how)
{
	struct file_target *t = f->target;
	struct err none = { 0 };
	char *base, *now;
	int r;

	(void)target_record_load(t->record_path, &t->record, &none);	/* NONE is what it fails with */
	r = file_goes_on(v, how) ? 1 : clone_published(v, f, dir, top, how);
	if (r < 0)
		return -1;
	v->resumes = t->resumes = r;
	if (r) {
		if (!t->prepared)
			target_record_step(&t->record, how);
		target_record_own(&t->record, how);
		return 0;
	}
	if (how->full) {
		target_record_step(&t->record, how);
		return probe_reflink(dir, &v->err);
	}
	base = find_base(dir, how, top, &v->err);
	if (!base)
		return -1;
	/* Without a word of what is durable it is as good a start as the base. */
	now = file_identity(&f->st, (uint64_t)f->st.st_size, false);
	t->prepared = t->record.state == RECORD_WRITING && target_record_resumes(&t->record, how) &&
	    file_identity_same_object(now, t->record.identity);
	free(now);
	if (t->prepared) {
		target_record_own(&t->record, how);
		free(base);
		return 0;
	}
	/* What the record said of the old work file is void before it goes. */
	unlink(t->record_path);
	r = clone_base(f, dir, base, &v->err);
	free(base);
	target_record_step(&t->record, how);
	return r;
}

int file_open_dir(struct volume *v, const char *dir, const struct volume_how *how)
{
	struct file_vol *f = v->priv;
	struct file_target *t = f->target;
	char *real;
	uint64_t top;
	bool made;

	if (!how->disk || !name_valid(how->disk))
		return err_set(&v->err, DM_USAGE, "%s: a directory needs a disk with a name", v->uri);
	/* The catalog will name the checkpoint to whoever prunes, from anywhere. */
	real = realpath(dir, NULL);
	if (!real)
		return err_sys(&v->err, DM_ENV, errno, "%s", dir);
	dir = t->dir = real;
	t->path = x_printf("%s/.%s.work", dir, how->disk);
	t->record_path = x_printf("%s.dm", t->path);
	f->fd = open_work(t->path, &made, &v->err);
	if (f->fd < 0)
		return -1;
	if (made)	/* it may have the inode of the one the record is of */
		unlink(t->record_path);
	if (fstat(f->fd, &f->st) != 0)
		return err_sys(&v->err, DM_ENV, errno, "%s", t->path);
	if (newest(dir, how->disk, UINT64_MAX, &top, &v->err) != 0)
		return -1;
	t->final = checkpoint_path(dir, how->disk, top + 1);
	v->size = how->size;
	return prepare(v, f, dir, top, how);
}

/* The record of the checkpoint is durable before its name is. */
static int link_checkpoint(struct file_vol *f, struct err *e)
{
	struct file_target *t = f->target;
	char *record = x_printf("%s.dm", t->final);
	int r = 0;

	if (access(t->final, F_OK) == 0)
		r = err_set(e, DM_NO, "%s: exists already; another program made it", t->final);
	if (r == 0)
		r = target_record_save(record, &t->record, e);
	if (r == 0 && link(t->path, t->final) != 0)
		r = err_sys(e, errno == EEXIST ? DM_NO : DM_ENV, errno, "%s", t->final);
	if (r == 0)
		r = durable_dir(AT_FDCWD, t->dir, e);
	free(record);
	return r;
}

int file_dir_publish(struct volume *v)
{
	struct file_vol *f = v->priv;
	struct file_target *t = f->target;
	struct err e = { 0 };

	if (fchmod(f->fd, 0400) != 0 || fsync(f->fd) != 0)
		return volume_fail(v, errno, "%s", t->path);
	if (link_checkpoint(f, &e) != 0)
		return volume_fail_err(v, &e);
	unlink(t->path);
	unlink(t->record_path);
	return 0;
}

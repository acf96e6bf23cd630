/* file: volumes, reading: raw files and block devices. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/fs.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/pool.h"
#include "volume/drv_file.h"

/* First line of a small sysfs file into buf; "" if there is none. */
static bool sysfs_line(dev_t dev, const char *name, char *buf, size_t len)
{
	char path[128];
	FILE *f;

	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/%s", major(dev), minor(dev), name);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (!fgets(buf, (int)len, f))
		*buf = 0;
	fclose(f);
	buf[strcspn(buf, "\n")] = 0;
	return *buf;
}

/* Something that stays with the disk when device numbers are dealt anew. */
static char *device_serial(dev_t dev)
{
	static const char *const names[] = {
		"wwid", "device/wwid", "serial", "device/serial", "dm/uuid", "md/uuid",
		"loop/backing_file", "../wwid", "../device/wwid", "../serial", "../device/serial",
		"../loop/backing_file",
	};
	char part[32], line[512];

	if (!sysfs_line(dev, "partition", part, sizeof(part)))
		snprintf(part, sizeof(part), "0");
	for (size_t i = 0; i < LEN(names); i++)
		if (sysfs_line(dev, names[i], line, sizeof(line)))
			return x_printf("%s:%s", part, line);
	return x_printf("%s:number %u:%u", part, major(dev), minor(dev));
}

static uint64_t nanoseconds(struct timespec t)
{
	return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

char *file_identity(const struct stat *st, uint64_t size, bool with_ctime)
{
	char *serial, *text;

	if (S_ISBLK(st->st_mode)) {
		serial = device_serial(st->st_rdev);
		text = x_printf("device:%" PRIu64 ":%s", size, serial);
		free(serial);
		return text;
	}
	text = x_printf("file:%ju:%ju:%" PRIu64 ":%" PRIu64, (uintmax_t)st->st_dev,
	    (uintmax_t)st->st_ino, size, nanoseconds(st->st_mtim));
	if (with_ctime) {
		char *point = x_printf("%s:%" PRIu64, text, nanoseconds(st->st_ctim));

		free(text);
		return point;
	}
	return text;
}

bool file_identity_same_object(const char *a, const char *b)
{
	size_t n = 0;
	int colons = 0;

	if (strncmp(a, "file:", 5) != 0)
		return !strcmp(a, b);
	while (a[n] && colons < 3)
		colons += a[n++] == ':';
	return !strncmp(a, b, n);
}

int file_size(int fd, const struct stat *st, uint64_t *size)
{
	if (S_ISREG(st->st_mode)) {
		*size = (uint64_t)st->st_size;
		return 0;
	}
	return ioctl(fd, BLKGETSIZE64, size) == 0 ? 0 : -errno;
}

static void device_limits(struct volume *v, struct file_vol *f)
{
	int sector = 512;

	f->device = S_ISBLK(f->st.st_mode);
	if (f->device && ioctl(f->fd, BLKSSZGET, &sector) != 0)
		sector = 512;
	f->sector = (uint32_t)sector;
	v->limits.min = 1;
	v->limits.preferred = f->sector;
}

/* A state was asked for: the file must still be in it. */
static int check_point(struct volume *v, const struct file_vol *f, const char *point)
{
	char *now;
	bool same;

	if (!point || !*point || f->device)
		return 0;
	now = file_identity(&f->st, v->size, true);
	same = !strcmp(now, point);
	free(now);
	return same ? 0 : err_set(&v->err, DM_NO,
	    "%s: is no longer in the state asked for (written, replaced or touched since)", v->uri);
}

static int open_source(struct volume *v, const char *path, const struct volume_how *how)
{
	struct file_vol *f = v->priv;
	int r;

	f->fd = open(path, O_RDONLY | O_CLOEXEC);
	if (f->fd < 0 || fstat(f->fd, &f->st) != 0)
		return err_sys(&v->err, DM_ENV, errno, "%s", v->uri);
	if (!S_ISREG(f->st.st_mode) && !S_ISBLK(f->st.st_mode))
		return err_set(&v->err, DM_USAGE, "%s: neither a regular file nor a block device", v->uri);
	r = file_size(f->fd, &f->st, &v->size);
	if (r < 0)
		return err_sys(&v->err, DM_ENV, -r, "%s: size", v->uri);
	device_limits(v, f);
	(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_SEQUENTIAL);
	(void)posix_fadvise(f->fd, 0, 0, POSIX_FADV_NOREUSE);
	return check_point(v, f, how->point);
}

static void file_close(struct volume *v)
{
	struct file_vol *f = v->priv;

	file_close_target(f);
	file_base_close(&f->base);
	fd_close(f->direct);
	fd_close(f->behind);
	fd_close(f->fd);
	pthread_mutex_destroy(&f->lock);
	free(f);
}

static int file_open(struct volume *v, const struct uri *u, const struct volume_how *how)
{
	struct file_vol *f = x_alloc(sizeof(*f));
	int r;

	f->fd = f->direct = f->behind = -1;
	f->base.fd = -1;
	pthread_mutex_init(&f->lock, NULL);
	v->priv = f;
	if (how->mode == VOL_READ) {
		r = open_source(v, u->path, how);
	} else {
		r = file_open_target(v, u, how);
		if (r == 0) {
			device_limits(v, f);
			file_direct_open(f);
			/* Some wait for the disk while others unpack. */
			v->limits.calls = f->direct >= 0 ? pool_cpus() + 2 : 0;
		}
	}
	if (r != 0)
		file_close(v);
	return r;
}

static int file_read(struct volume *v, void *p, size_t len, uint64_t off)
{
	struct file_vol *f = v->priv;
	ssize_t n = fd_pread_full(f->fd, p, len, off);

	if (n < 0)
		return volume_fail(v, errno, "read at %" PRIu64, off);
	if ((size_t)n != len)
		return volume_fail(v, EIO, "read at %" PRIu64 ": it became shorter", off + (uint64_t)n);
	return 0;
}

/* A read-only file is taken not to change; one that may be written is named,
 * but its name says nothing about tomorrow. */
static char *file_point(struct volume *v, bool *frozen)
{
	struct file_vol *f = v->priv;
	struct stat st;

	if (f->device)
		return x_strdup("");
	if (fstat(f->fd, &st) != 0) {
		volume_fail(v, errno, "stat");
		return NULL;
	}
	*frozen = !(st.st_mode & 0222);
	return file_identity(&st, (uint64_t)st.st_size, true);
}

const struct driver drv_file = {
	.scheme = "file",
	.open = file_open,
	.close = file_close,
	.read = file_read,
	.write = file_write,
	.zero = file_zero,
	.held = file_held,
	.extents = file_extents,
	.base_point = file_base_point,
	.flush = file_flush,
	.point = file_point,
	.sweep = file_sweep,
	.finalize = file_finalize,
};

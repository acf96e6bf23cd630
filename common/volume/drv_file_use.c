/* Is a target in use by somebody else?  Asked before anything is written:
 * mounts of the device or of what lies on it, loop devices over the file,
 * processes that hold it open. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/lock.h"
#include "volume/drv_file.h"

/* Is dev this device, or a partition of it? */
static bool on_device(dev_t dev, dev_t whole)
{
	char path[96], line[32];
	unsigned maj, min;
	FILE *f;
	bool yes;

	if (dev == whole)
		return true;
	snprintf(path, sizeof(path), "/sys/dev/block/%u:%u/../dev", major(dev), minor(dev));
	f = fopen(path, "re");
	if (!f)
		return false;
	yes = fgets(line, sizeof(line), f) && sscanf(line, "%u:%u", &maj, &min) == 2 &&
	    makedev(maj, min) == whole;
	fclose(f);
	return yes;
}

static int device_mounted(dev_t dev, const char *path, const char *why, struct err *e)
{
	FILE *f = fopen("/proc/self/mountinfo", "re");
	char *line = NULL, where[256];
	size_t cap = 0;
	unsigned maj, min;
	int r = 0;

	if (!f)
		return err_sys(e, DM_ENV, errno, "/proc/self/mountinfo");
	while (r == 0 && getline(&line, &cap, f) > 0)
		if (sscanf(line, "%*u %*u %u:%u %*s %255s", &maj, &min, where) == 3 &&
		    on_device(makedev(maj, min), dev))
			r = err_set(e, DM_NO, "%s: %smounted at %s; unmount it first", path, why, where);
	free(line);
	fclose(f);
	return r;
}

/* The device number of loop device `name' when its backing file is st. */
static bool loop_over(const char *name, const struct stat *st, dev_t *dev)
{
	char path[320], line[4096];
	struct stat back;
	unsigned maj, min;
	bool yes = false;
	FILE *f;

	snprintf(path, sizeof(path), "/sys/block/%s/loop/backing_file", name);
	f = fopen(path, "re");
	if (!f)
		return false;
	if (fgets(line, sizeof(line), f)) {
		line[strcspn(line, "\n")] = 0;
		yes = stat(line, &back) == 0 && back.st_dev == st->st_dev && back.st_ino == st->st_ino;
	}
	fclose(f);
	if (!yes)
		return false;
	snprintf(path, sizeof(path), "/sys/block/%s/dev", name);
	f = fopen(path, "re");
	yes = f && fgets(line, sizeof(line), f) && sscanf(line, "%u:%u", &maj, &min) == 2;
	if (f)
		fclose(f);
	*dev = yes ? makedev(maj, min) : 0;
	return true;
}

static int under_loop(const char *path, const struct stat *st, struct err *e)
{
	DIR *d = opendir("/sys/block");
	struct dirent *de;
	char why[300];
	dev_t dev;
	int r = 0;

	while (d && r == 0 && (de = readdir(d))) {
		if (strncmp(de->d_name, "loop", 4) != 0 || !loop_over(de->d_name, st, &dev))
			continue;
		snprintf(why, sizeof(why), "attached to /dev/%s and ", de->d_name);
		r = dev ? device_mounted(dev, path, why, e) : 0;
		if (r == 0)
			r = err_set(e, DM_NO, "%s: attached to /dev/%s; detach it (losetup -d) first",
			    path, de->d_name);
	}
	if (d)
		closedir(d);
	return r;
}

/* Was descriptor `fd' of a process opened for writing? */
static bool opened_to_write(const char *pid, const char *fd)
{
	char path[600], line[64];
	unsigned flags = O_RDONLY;
	FILE *f;

	snprintf(path, sizeof(path), "/proc/%s/fdinfo/%s", pid, fd);
	f = fopen(path, "re");
	while (f && fgets(line, sizeof(line), f))
		if (sscanf(line, "flags: %o", &flags) == 1)
			break;
	if (f)
		fclose(f);
	return (flags & O_ACCMODE) != O_RDONLY;
}

/* Devices are opened for a moment by udev and the like: there only writers
 * count. */
static bool is_held(const char *pid, const char *fd, const struct stat *s, const struct stat *st)
{
	if (S_ISBLK(st->st_mode))
		return S_ISBLK(s->st_mode) && s->st_rdev == st->st_rdev && opened_to_write(pid, fd);
	return s->st_ino == st->st_ino && s->st_dev == st->st_dev;
}

static bool process_holds(const char *pid, const struct stat *st)
{
	char path[300];
	struct dirent *de;
	struct stat s;
	bool yes = false;
	DIR *d;

	snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	d = opendir(path);
	while (d && !yes && (de = readdir(d)))
		yes = de->d_name[0] != '.' && fstatat(dirfd(d), de->d_name, &s, 0) == 0 &&
		    is_held(pid, de->d_name, &s, st);
	if (d)
		closedir(d);
	return yes;
}

static int held_open(const char *path, const struct stat *st, struct err *e)
{
	DIR *d = opendir("/proc");
	char comm[300], name[64] = "?";
	struct dirent *de;
	int r = 0;

	while (d && r == 0 && (de = readdir(d))) {
		FILE *f;

		if (strspn(de->d_name, "0123456789") != strlen(de->d_name) ||
		    strtol(de->d_name, NULL, 10) == (long)getpid() || !process_holds(de->d_name, st))
			continue;
		snprintf(comm, sizeof(comm), "/proc/%s/comm", de->d_name);
		f = fopen(comm, "re");
		if (f) {
			if (fgets(name, sizeof(name), f))
				name[strcspn(name, "\n")] = 0;
			fclose(f);
		}
		r = err_set(e, DM_NO, "%s: open in process %s (%s)", path, de->d_name, name);
	}
	if (d)
		closedir(d);
	return r;
}

int file_in_use(const char *path, int fd, const struct stat *st, struct err *e)
{
	bool device = S_ISBLK(st->st_mode);
	int r = device ? device_mounted(st->st_rdev, path, "", e) : under_loop(path, st, e);

	if (r == 0)
		r = held_open(path, st, e);
	if (r == 0 && !device && lock_try(fd, LOCK_EXCLUSIVE, e) == 1)
		r = err_set(e, DM_NO, "%s: locked by another program", path);
	return e->code ? -1 : r;
}

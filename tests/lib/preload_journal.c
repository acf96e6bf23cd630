/* Record what a program does to files, by interposition (LD_PRELOAD):
 *
 *   DM_JOURNAL=FILE
 *
 * Each call that changes a file or a directory, or makes changes durable, is
 * appended to FILE once it has succeeded, those of several processes and
 * threads in the order in which they happened.  tests/fault/power-points makes
 * of them what a power failure could have left.
 *
 * A record: u8 operation, u8 flags, u16 length of the first name, u16 of the
 * second, u16 0, u64 file, u64 directory, u64 second directory, u64 offset, u32
 * length of the data, u32 0; then the names and the data.  Files and directories
 * are inodes.  Mapped writes are not seen. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum op { WRITE = 1, TRUNCATE, SYNC, CREATE, LINK, RENAME, UNLINK, MKDIR };
enum { DURABLE = 1 };	/* flag: the file was opened with O_DSYNC or O_SYNC */

struct head {
	uint8_t op, flags;
	uint16_t name, name2, zero;
	uint64_t file, dir, dir2, off;
	uint32_t data, zero2;
};

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static int journal = -1;

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))

/* One call at a time, in all processes: so that the order is that of the
 * kernel. */
static int enter(void)
{
	int saved = errno;

	pthread_mutex_lock(&mutex);
	if (journal == -1) {
		const char *path = getenv("DM_JOURNAL");

		journal = path ? REAL(int (*)(const char *, int, ...), "open")(path,
		    O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600) : -2;
	}
	if (journal >= 0 && flock(journal, LOCK_EX))
		abort();
	errno = saved;
	return journal >= 0;
}

static void leave(void)
{
	int saved = errno;

	if (journal >= 0)
		flock(journal, LOCK_UN);
	pthread_mutex_unlock(&mutex);
	errno = saved;
}

static void note(struct head h, const char *name, const char *name2, const struct iovec *iov, int n, size_t len)
{
	struct iovec v[64] = { { &h, sizeof h } };
	int saved = errno, k = 1;
	size_t all = sizeof h;
	ssize_t r;

	h.name = name ? (uint16_t)strlen(name) : 0;
	h.name2 = name2 ? (uint16_t)strlen(name2) : 0;
	h.data = (uint32_t)len;
	if (name)
		v[k++] = (struct iovec){ (void *)name, h.name };
	if (name2)
		v[k++] = (struct iovec){ (void *)name2, h.name2 };
	all += h.name + (size_t)h.name2 + len;
	for (int i = 0; i < n && len; i++) {
		size_t part = iov[i].iov_len < len ? iov[i].iov_len : len;

		if (k == 64)
			abort();
		v[k++] = (struct iovec){ iov[i].iov_base, part };
		len -= part;
	}
	r = REAL(ssize_t (*)(int, const struct iovec *, int), "writev")(journal, v, k);
	if (r < 0 || (size_t)r != all)
		abort();
	errno = saved;
}

/* A regular file or a directory; 0 of anything else. */
static uint64_t file_of(int fd)
{
	struct stat st;

	if (fstat(fd, &st) || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode)))
		return 0;
	return st.st_ino;
}

/* The directory of a path, and its last part. */
static uint64_t dir_of(int dirfd, const char *path, const char **last)
{
	const char *slash = strrchr(path, '/');
	char dir[4096] = ".";
	struct stat st;

	*last = slash ? slash + 1 : path;
	if (slash)
		snprintf(dir, sizeof dir, "%.*s", slash == path ? 1 : (int)(slash - path), path);
	return fstatat(dirfd, dir, &st, 0) ? 0 : st.st_ino;
}

static uint64_t file_at(int dirfd, const char *path)
{
	struct stat st;

	return fstatat(dirfd, path, &st, AT_SYMLINK_NOFOLLOW) ? 0 : st.st_ino;
}

/* ---- opening ---- */

static int open_noted(int dirfd, const char *path, int flags, mode_t mode)
{
	int (*real)(int, const char *, int, ...) = REAL(int (*)(int, const char *, int, ...), "openat");
	uint64_t before, size = 0;
	const char *last;
	struct stat st;
	int fd, on;

	if (!(flags & (O_CREAT | O_TRUNC)) || (flags & O_TMPFILE) == O_TMPFILE)
		return real(dirfd, path, flags, mode);
	on = enter();
	before = file_at(dirfd, path);
	if (before && !fstatat(dirfd, path, &st, 0))
		size = (uint64_t)st.st_size;
	fd = real(dirfd, path, flags, mode);
	if (on && fd >= 0 && file_of(fd)) {
		struct head h = { .op = before ? TRUNCATE : CREATE, .file = file_of(fd) };

		h.dir = dir_of(dirfd, path, &last);
		if (!before || (flags & O_TRUNC && size))
			note(h, before ? NULL : last, NULL, NULL, 0, 0);
	}
	leave();
	return fd;
}

#define MODE(flags) mode_t mode = 0; \
	if ((flags) & O_CREAT || ((flags) & O_TMPFILE) == O_TMPFILE) { \
		va_list ap; va_start(ap, flags); mode = va_arg(ap, mode_t); va_end(ap); }

int open(const char *path, int flags, ...)
{
	MODE(flags)
	return open_noted(AT_FDCWD, path, flags, mode);
}
int open64(const char *path, int flags, ...)
{
	MODE(flags)
	return open_noted(AT_FDCWD, path, flags, mode);
}
int openat(int dirfd, const char *path, int flags, ...)
{
	MODE(flags)
	return open_noted(dirfd, path, flags, mode);
}
int openat64(int dirfd, const char *path, int flags, ...)
{
	MODE(flags)
	return open_noted(dirfd, path, flags, mode);
}

/* ---- content ---- */

static void wrote(int fd, const struct iovec *v, int n, off_t off, ssize_t done)
{
	struct head h = { .op = WRITE, .file = file_of(fd), .off = (uint64_t)off };
	int flags = fcntl(fd, F_GETFL);

	if (done <= 0 || !h.file)
		return;
	h.flags = flags >= 0 && flags & O_DSYNC ? DURABLE : 0;
	note(h, NULL, NULL, v, n, (size_t)done);
}

ssize_t write(int fd, const void *p, size_t n)
{
	struct iovec v = { (void *)p, n };
	off_t off;
	ssize_t r;

	if (!file_of(fd))
		return REAL(ssize_t (*)(int, const void *, size_t), "write")(fd, p, n);
	int on = enter();
	off = lseek(fd, 0, SEEK_CUR);
	r = REAL(ssize_t (*)(int, const void *, size_t), "write")(fd, p, n);
	if (on)
		wrote(fd, &v, 1, fcntl(fd, F_GETFL) & O_APPEND ? lseek(fd, 0, SEEK_CUR) - r : off, r);
	leave();
	return r;
}
ssize_t writev(int fd, const struct iovec *v, int n)
{
	ssize_t (*real)(int, const struct iovec *, int) = REAL(ssize_t (*)(int, const struct iovec *, int), "writev");
	off_t off;
	ssize_t r;

	if (!file_of(fd))
		return real(fd, v, n);
	int on = enter();
	off = lseek(fd, 0, SEEK_CUR);
	r = real(fd, v, n);
	if (on)
		wrote(fd, v, n, off, r);
	leave();
	return r;
}
ssize_t pwrite(int fd, const void *p, size_t n, off_t off)
{
	struct iovec v = { (void *)p, n };
	int on = enter();
	ssize_t r = REAL(ssize_t (*)(int, const void *, size_t, off_t), "pwrite")(fd, p, n, off);

	if (on)
		wrote(fd, &v, 1, off, r);
	leave();
	return r;
}
ssize_t pwrite64(int fd, const void *p, size_t n, off_t off)
{
	return pwrite(fd, p, n, off);
}
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t off)
{
	int on = enter();
	ssize_t r = REAL(ssize_t (*)(int, const struct iovec *, int, off_t), "pwritev")(fd, v, n, off);

	if (on)
		wrote(fd, v, n, off, r);
	leave();
	return r;
}
ssize_t pwritev64(int fd, const struct iovec *v, int n, off_t off)
{
	return pwritev(fd, v, n, off);
}

/* ---- sizes and syncs ---- */

#define NOTED(type, call, ok, ...) do { \
	int on_ = enter(); \
	type r_ = call; \
	if (on_ && (ok)) \
		note((struct head){ __VA_ARGS__ }, NULL, NULL, NULL, 0, 0); \
	leave(); \
	return r_; \
} while (0)

int ftruncate(int fd, off_t n)
{
	NOTED(int, REAL(int (*)(int, off_t), "ftruncate")(fd, n), r_ == 0, .op = TRUNCATE,
	    .file = file_of(fd), .off = (uint64_t)n);
}
int ftruncate64(int fd, off_t n)
{
	return ftruncate(fd, n);
}
int fsync(int fd)
{
	NOTED(int, REAL(int (*)(int), "fsync")(fd), r_ == 0, .op = SYNC, .file = file_of(fd));
}
int fdatasync(int fd)
{
	NOTED(int, REAL(int (*)(int), "fdatasync")(fd), r_ == 0, .op = SYNC, .file = file_of(fd));
}

/* ---- directories ---- */

int linkat(int a, const char *from, int b, const char *to, int flags)
{
	int on = enter(), r;
	const char *last;
	struct head h = { .op = LINK, .file = file_at(a, from), .dir = dir_of(b, to, &last) };

	r = REAL(int (*)(int, const char *, int, const char *, int), "linkat")(a, from, b, to, flags);
	if (on && r == 0)
		note(h, last, NULL, NULL, 0, 0);
	leave();
	return r;
}
int renameat(int a, const char *from, int b, const char *to)
{
	int on = enter(), r;
	const char *last, *last2;
	struct head h = { .op = RENAME, .file = file_at(a, from), .dir = dir_of(a, from, &last),
		.dir2 = dir_of(b, to, &last2) };

	r = REAL(int (*)(int, const char *, int, const char *), "renameat")(a, from, b, to);
	if (on && r == 0)
		note(h, last, last2, NULL, 0, 0);
	leave();
	return r;
}
int rename(const char *from, const char *to)
{
	return renameat(AT_FDCWD, from, AT_FDCWD, to);
}
int renameat2(int a, const char *from, int b, const char *to, unsigned flags)
{
	int on = enter(), r;
	const char *last, *last2;
	struct head h = { .op = RENAME, .file = file_at(a, from), .dir = dir_of(a, from, &last),
		.dir2 = dir_of(b, to, &last2) }, back = h;

	back.file = flags & RENAME_EXCHANGE ? file_at(b, to) : 0;
	r = REAL(int (*)(int, const char *, int, const char *, unsigned), "renameat2")(a, from, b, to, flags);
	if (on && r == 0) {
		note(h, last, last2, NULL, 0, 0);
		if (back.file)
			note((struct head){ .op = LINK, .file = back.file, .dir = back.dir }, last, NULL, NULL, 0, 0);
	}
	leave();
	return r;
}
int unlinkat(int dirfd, const char *path, int flags)
{
	int on = enter(), r;
	const char *last;
	struct head h = { .op = UNLINK, .dir = dir_of(dirfd, path, &last) };

	r = REAL(int (*)(int, const char *, int), "unlinkat")(dirfd, path, flags);
	if (on && r == 0)
		note(h, last, NULL, NULL, 0, 0);
	leave();
	return r;
}
int unlink(const char *path)
{
	return unlinkat(AT_FDCWD, path, 0);
}
int rmdir(const char *path)
{
	return unlinkat(AT_FDCWD, path, AT_REMOVEDIR);
}
int mkdirat(int dirfd, const char *path, mode_t mode)
{
	int on = enter(), r = REAL(int (*)(int, const char *, mode_t), "mkdirat")(dirfd, path, mode);
	const char *last;

	if (on && r == 0) {
		struct head h = { .op = MKDIR, .file = file_at(dirfd, path), .dir = dir_of(dirfd, path, &last) };

		note(h, last, NULL, NULL, 0, 0);
	}
	leave();
	return r;
}
int mkdir(const char *path, mode_t mode)
{
	return mkdirat(AT_FDCWD, path, mode);
}

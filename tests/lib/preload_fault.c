/* Faults at a chosen system call, by interposition (LD_PRELOAD).
 *
 *   DM_FAULT=PROGRAM:CALL:N:WHAT[,...]
 *
 * The Nth (from 1) call of CALL in PROGRAM fails with errno WHAT (EIO, ENOSPC,
 * EDQUOT, ...), is short (SHORT, for writes), kills the process before it is
 * made (KILL) or right after (AFTER), or stops it right after (STOP), until
 * SIGCONT.  CALL "any" counts all of those below
 * together; PROGRAM "*" is every program.  With DM_FAULT_COUNT=FILE each
 * program appends "PROGRAM N" at its end: how many calls "any" would count.
 * Only calls on regular files and directories count, so pipes are not
 * disturbed.  N 0 is every fourth call of CALL, with pipes: a program that
 * takes an interruption (EINTR) or less than it asked for (SHORT) amiss shows
 * it. */
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

enum what { NONE, FAIL, SHORT };

static atomic_ulong any_calls;
static atomic_ulong calls[24];
static const char *const names[] = {
	"fsync", "fdatasync", "write", "writev", "pwrite", "pwritev", "pread", "linkat",
	"renameat", "rename", "unlinkat", "ftruncate", "fallocate", "sync_file_range",
	"openat", "mkdirat", "read", "readv", "poll",
};
enum { SPECIAL = 17 };	/* from here on only by name */

/* A program that has given up the right to send signals ends like one that was
 * killed all the same. */
static void stop_here(void)
{
	kill(getpid(), SIGKILL);
	for (;;)
		syscall(SYS_exit_group, 128 + SIGKILL);
}

static int errno_of(const char *w, size_t n)
{
	static const struct { const char *name; int v; } t[] = {
		{ "EIO", EIO }, { "ENOSPC", ENOSPC }, { "EDQUOT", EDQUOT }, { "EROFS", EROFS },
		{ "ENOMEM", ENOMEM }, { "EMFILE", EMFILE }, { "EINTR", EINTR },
		{ "EOPNOTSUPP", EOPNOTSUPP },
	};

	for (size_t i = 0; i < sizeof t / sizeof *t; i++)
		if (strlen(t[i].name) == n && !memcmp(t[i].name, w, n))
			return t[i].v;
	return EIO;
}

/* Does a rule meet this call, the nth of its kind and the mth of all? */
static const char *match(const char *call, unsigned long nth, unsigned long mth, size_t *len)
{
	const char *r = getenv("DM_FAULT");

	while (r && *r) {
		char prog[64], name[32], what[16];
		unsigned long n;

		if (sscanf(r, "%63[^:]:%31[^:]:%lu:%15[^,]", prog, name, &n, what) == 4 &&
		    (!strcmp(prog, "*") || !strcmp(prog, program_invocation_short_name)) &&
		    ((!strcmp(name, call) && (n == nth || (n == 0 && nth % 4 == 0))) ||
		    (!strcmp(name, "any") && n == mth && mth))) {
			const char *w = strrchr(r, ':'), *end = strchr(r, ',');

			if (end)
				for (w = end; *w != ':'; w--)
					;
			*len = strlen(what);
			return w + 1;
		}
		r = strchr(r, ',');
		r = r ? r + 1 : NULL;
	}
	return NULL;
}

/* Is there a rule for every fourth call of this? */
static int every(const char *call)
{
	const char *r = getenv("DM_FAULT"), *at = r ? strstr(r, call) : NULL;
	size_t n = strlen(call);

	return at && at > r && at[-1] == ':' && !strncmp(at + n, ":0:", 3);
}

enum after { GO_ON, DIE, PAUSE };

/* Count the call and say what becomes of it; *after: and when it is done. */
static enum what meet(int call, int fd, enum after *after)
{
	struct stat st;
	unsigned long nth, mth;
	const char *w;
	size_t len;

	*after = GO_ON;
	if (fd >= 0 && !every(names[call]) &&
	    (fstat(fd, &st) < 0 || !(S_ISREG(st.st_mode) || S_ISDIR(st.st_mode) || S_ISBLK(st.st_mode))))
		return NONE;
	nth = atomic_fetch_add(&calls[call], 1) + 1;
	mth = call < SPECIAL ? atomic_fetch_add(&any_calls, 1) + 1 : 0;
	w = match(names[call], nth, mth, &len);
	if (!w)
		return NONE;
	if (len == 4 && !memcmp(w, "KILL", 4))
		stop_here();
	if (len == 5 && !memcmp(w, "AFTER", 5)) {
		*after = DIE;
		return NONE;
	}
	if (len == 4 && !memcmp(w, "STOP", 4)) {
		*after = PAUSE;
		return NONE;
	}
	if (len == 5 && !memcmp(w, "SHORT", 5))
		return SHORT;
	errno = errno_of(w, len);
	return FAIL;
}

/* Opened before a program may give up the right to. */
static int count_fd = -1;

__attribute__((constructor)) static void count_open(void)
{
	const char *path = getenv("DM_FAULT_COUNT");

	if (path)
		count_fd = ((int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open"))(path,
		    O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
}

__attribute__((destructor)) static void count(void)
{
	char line[96];
	int n = snprintf(line, sizeof line, "%s %lu\n", program_invocation_short_name, (unsigned long)any_calls);

	if (count_fd >= 0 &&
	    ((ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write"))(count_fd, line, (size_t)n) < 0)
		_exit(99);
}

#define REAL(type, name) ((type)dlsym(RTLD_NEXT, name))
#define WRAP(call, fd, failed, cut, real) do { \
	enum after after; \
	enum what w = meet(call, fd, &after); \
	if (w == FAIL) \
		return failed; \
	if (w == SHORT) { cut; } \
	__typeof__(real) r_ = real; \
	if (after == DIE) \
		stop_here(); \
	if (after == PAUSE) \
		raise(SIGSTOP); \
	return r_; \
} while (0)

int fsync(int fd) { WRAP(0, fd, -1, , REAL(int (*)(int), "fsync")(fd)); }
int fdatasync(int fd) { WRAP(1, fd, -1, , REAL(int (*)(int), "fdatasync")(fd)); }
ssize_t write(int fd, const void *p, size_t n)
{
	WRAP(2, fd, -1, n = n > 1 ? n / 2 : n, REAL(ssize_t (*)(int, const void *, size_t), "write")(fd, p, n));
}
ssize_t writev(int fd, const struct iovec *v, int n)
{
	WRAP(3, fd, -1, n = 1, REAL(ssize_t (*)(int, const struct iovec *, int), "writev")(fd, v, n));
}
ssize_t pwrite(int fd, const void *p, size_t n, off_t o)
{
	WRAP(4, fd, -1, n = n > 1 ? n / 2 : n, REAL(ssize_t (*)(int, const void *, size_t, off_t), "pwrite")(fd, p, n, o));
}
ssize_t pwritev(int fd, const struct iovec *v, int n, off_t o)
{
	WRAP(5, fd, -1, n = 1, REAL(ssize_t (*)(int, const struct iovec *, int, off_t), "pwritev")(fd, v, n, o));
}
ssize_t pread(int fd, void *p, size_t n, off_t o)
{
	WRAP(6, fd, -1, n = n > 1 ? n / 2 : n, REAL(ssize_t (*)(int, void *, size_t, off_t), "pread")(fd, p, n, o));
}
int linkat(int a, const char *f, int b, const char *t, int g)
{
	WRAP(7, -1, -1, , REAL(int (*)(int, const char *, int, const char *, int), "linkat")(a, f, b, t, g));
}
int renameat(int a, const char *f, int b, const char *t)
{
	WRAP(8, -1, -1, , REAL(int (*)(int, const char *, int, const char *), "renameat")(a, f, b, t));
}
int rename(const char *f, const char *t)
{
	WRAP(9, -1, -1, , REAL(int (*)(const char *, const char *), "rename")(f, t));
}
int unlinkat(int a, const char *f, int g)
{
	WRAP(10, -1, -1, , REAL(int (*)(int, const char *, int), "unlinkat")(a, f, g));
}
int ftruncate(int fd, off_t n) { WRAP(11, fd, -1, , REAL(int (*)(int, off_t), "ftruncate")(fd, n)); }
int fallocate(int fd, int m, off_t o, off_t n)
{
	WRAP(12, fd, -1, , REAL(int (*)(int, int, off_t, off_t), "fallocate")(fd, m, o, n));
}
int sync_file_range(int fd, off64_t o, off64_t n, unsigned f)
{
	WRAP(13, fd, -1, , REAL(int (*)(int, off64_t, off64_t, unsigned), "sync_file_range")(fd, o, n, f));
}
int openat(int dirfd, const char *path, int flags, ...)
{
	mode_t mode = 0;

	if (flags & O_CREAT || (flags & O_TMPFILE) == O_TMPFILE) {
		va_list ap;

		va_start(ap, flags);
		mode = va_arg(ap, mode_t);
		va_end(ap);
	}
	WRAP(14, -1, -1, , REAL(int (*)(int, const char *, int, ...), "openat")(dirfd, path, flags, mode));
}
int mkdirat(int dirfd, const char *path, mode_t mode)
{
	WRAP(15, -1, -1, , REAL(int (*)(int, const char *, mode_t), "mkdirat")(dirfd, path, mode));
}
ssize_t read(int fd, void *p, size_t n)
{
	WRAP(16, fd, -1, n = n > 1 ? n / 2 : n, REAL(ssize_t (*)(int, void *, size_t), "read")(fd, p, n));
}
ssize_t readv(int fd, const struct iovec *v, int n)
{
	WRAP(17, fd, -1, n = 1, REAL(ssize_t (*)(int, const struct iovec *, int), "readv")(fd, v, n));
}
int poll(struct pollfd *p, nfds_t n, int timeout)
{
	WRAP(18, -1, -1, , REAL(int (*)(struct pollfd *, nfds_t, int), "poll")(p, n, timeout));
}

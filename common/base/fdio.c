#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fdio.h"

#define PIPE_WANTED (1 << 20)

static int wait_fd(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };
	int r;

	do
		r = poll(&p, 1, -1);
	while (r < 0 && errno == EINTR);
	return r < 0 ? -1 : 0;
}

ssize_t fd_read_some(int fd, void *p, size_t len)
{
	ssize_t r;

	do
		r = read(fd, p, len);
	while (r < 0 && errno == EINTR);
	return r;
}

ssize_t fd_read_full(int fd, void *p, size_t len)
{
	size_t got = 0;

	while (got < len) {
		ssize_t r = fd_read_some(fd, (char *)p + got, len - got);

		if (r > 0)
			got += (size_t)r;
		else if (r == 0)
			break;
		else if (errno != EAGAIN || wait_fd(fd, POLLIN) < 0)
			return -1;
	}
	return (ssize_t)got;
}

ssize_t fd_pread_full(int fd, void *p, size_t len, uint64_t off)
{
	size_t got = 0;

	while (got < len) {
		ssize_t r = pread(fd, (char *)p + got, len - got, (off_t)(off + got));

		if (r > 0)
			got += (size_t)r;
		else if (r == 0)
			break;
		else if (errno != EINTR)
			return -1;
	}
	return (ssize_t)got;
}

int fd_write_full(int fd, const void *p, size_t len)
{
	struct iovec v = { (void *)(uintptr_t)p, len };

	return fd_writev_full(fd, &v, 1);
}

/* Leave out what went through. */
static void consume(struct iovec **iov, int *n, size_t done)
{
	while (*n && done >= (*iov)->iov_len) {
		done -= (*iov)->iov_len;
		(*iov)++;
		(*n)--;
	}
	if (*n) {
		(*iov)->iov_base = (char *)(*iov)->iov_base + done;
		(*iov)->iov_len -= done;
	}
}

int fd_writev_full(int fd, struct iovec *iov, int n)
{
	consume(&iov, &n, 0);
	while (n) {
		ssize_t r = writev(fd, iov, n < IOV_MAX ? n : IOV_MAX);

		if (r >= 0)
			consume(&iov, &n, (size_t)r);
		else if (errno == EAGAIN) {
			if (wait_fd(fd, POLLOUT) < 0)
				return -1;
		} else if (errno != EINTR)
			return -1;
	}
	return 0;
}

int fd_pwrite_full(int fd, const void *p, size_t len, uint64_t off)
{
	struct iovec v = { (void *)(uintptr_t)p, len };

	return fd_pwritev_full(fd, &v, 1, off);
}

int fd_pwritev_full(int fd, struct iovec *iov, int n, uint64_t off)
{
	consume(&iov, &n, 0);
	while (n) {
		ssize_t r = pwritev(fd, iov, n < IOV_MAX ? n : IOV_MAX, (off_t)off);

		if (r > 0) {
			off += (uint64_t)r;
			consume(&iov, &n, (size_t)r);
		} else if (r == 0) {
			errno = ENOSPC;
			return -1;
		} else if (errno != EINTR)
			return -1;
	}
	return 0;
}

char *fd_slurp(int fd, size_t cap, size_t *len)
{
	size_t size = 4096, n = 0;
	char *p = malloc(size), *q;

	while (p) {
		ssize_t r = fd_read_some(fd, p + n, size - n - 1);

		if (r < 0)
			break;
		if (r == 0) {
			p[n] = 0;
			if (len)
				*len = n;
			return p;
		}
		n += (size_t)r;
		if (n > cap) {
			errno = EFBIG;
			break;
		}
		if (n + 1 == size) {
			q = realloc(p, size *= 2);
			if (!q)
				break;
			p = q;
		}
	}
	free(p);
	return NULL;
}

int fd_nonblock(int fd, bool on)
{
	int f = fcntl(fd, F_GETFL);

	if (f < 0)
		return -1;
	f = on ? f | O_NONBLOCK : f & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, f);
}

size_t fd_pipe_grow(int fd)
{
	int now = fcntl(fd, F_GETPIPE_SZ);

	if (now < 0)
		return 0;
	if (now < PIPE_WANTED) {
		int r = fcntl(fd, F_SETPIPE_SZ, PIPE_WANTED);

		if (r > 0)
			now = r;
	}
	return (size_t)now;
}

bool fd_is_stream(int fd)
{
	struct stat st;

	return fstat(fd, &st) == 0 && (S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode));
}

bool fd_reader_gone(int fd)
{
	struct pollfd p = { .fd = fd };

	return poll(&p, 1, 0) == 1 && (p.revents & (POLLERR | POLLNVAL));
}

void fd_close(int fd)
{
	int keep = errno;

	if (fd >= 0)
		close(fd);
	errno = keep;
}

void fd_startup(void)
{
	signal(SIGPIPE, SIG_IGN);
	/* A missing standard descriptor would be taken by the first file we
	 * open, and messages would go into it. */
	for (int fd = 0; fd <= 2; fd++)
		if (fcntl(fd, F_GETFD) < 0 && open("/dev/null", fd ? O_WRONLY : O_RDONLY) != fd)
			_exit(4);
}

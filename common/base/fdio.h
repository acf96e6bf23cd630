/* File descriptors: EINTR, short transfers, pipes.  "full" transfers all or
 * fails; "some" may be short.  -1 sets errno. */
#ifndef DM_BASE_FDIO_H
#define DM_BASE_FDIO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

/* > 0 bytes, 0 at the end, -1 (EAGAIN on a non-blocking fd). */
ssize_t fd_read_some(int fd, void *p, size_t len);
/* len, or fewer only at end of file, or -1.  Waits with poll on EAGAIN. */
ssize_t fd_read_full(int fd, void *p, size_t len);
ssize_t fd_pread_full(int fd, void *p, size_t len, uint64_t off);
/* 0 or -1. */
int fd_write_full(int fd, const void *p, size_t len);
int fd_writev_full(int fd, struct iovec *iov, int n);	/* iov is consumed */
int fd_pwrite_full(int fd, const void *p, size_t len, uint64_t off);
int fd_pwritev_full(int fd, struct iovec *iov, int n, uint64_t off);
/* Whole file into a NUL-terminated allocation, at most cap bytes (EFBIG). */
char *fd_slurp(int fd, size_t cap, size_t *len);

int fd_nonblock(int fd, bool on);
/* Make a pipe's buffer as large as allowed, up to 1 MiB; returns its size, or
 * 0 if fd is no pipe. */
size_t fd_pipe_grow(int fd);
/* Is it a pipe, FIFO or socket: something a program of ours may read? */
bool fd_is_stream(int fd);
/* Did the reader of this pipe go away?  Never blocks. */
bool fd_reader_gone(int fd);
/* close, keeping errno; -1 is harmless. */
void fd_close(int fd);

/* Called first by every main: SIGPIPE ignored, descriptors 0-2 open. */
void fd_startup(void);

#endif

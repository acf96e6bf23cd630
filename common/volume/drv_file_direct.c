/* file: volumes, writes that go past the page cache.
 *
 * A target is written once and read by nobody meanwhile.  Through the page
 * cache its bytes would be copied once more, push out what others have there,
 * and still have to reach the disk before the end; past it they cost the
 * processor next to nothing.  Only whole pages from whole pages go this way,
 * and a file system that will not have them gets all of it the other way. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "volume/drv_file.h"

#define DIRECT_ALIGN 4096u	/* no less anywhere */
#define DIRECT_MIN KIB(64)	/* shorter ones are quicker through the cache */

void file_direct_open(struct file_vol *f)
{
	char path[64];

	/* The descriptor, not the name: the file may have none any more. */
	snprintf(path, sizeof(path), "/proc/self/fd/%d", f->fd);
	f->direct = open(path, O_WRONLY | O_DIRECT | O_CLOEXEC);
	f->behind = open(path, O_RDONLY | O_CLOEXEC);
}

/* Bytes at p that can go past the cache. */
static size_t direct_part(const struct file_vol *f, const void *p, size_t len, uint64_t off)
{
	if (f->direct < 0 || f->target->no_direct || (uintptr_t)p % DIRECT_ALIGN || off % DIRECT_ALIGN)
		return 0;
	len -= len % DIRECT_ALIGN;
	return len < DIRECT_MIN ? 0 : len;
}

/* The kernel lets one writer at a time into a regular file, and the others
 * spin for it; here they sleep. */
static int write_cached(struct file_vol *f, const void *p, size_t len, uint64_t off)
{
	int r;

	if (!f->device)
		pthread_mutex_lock(&f->target->turn);
	r = fd_pwrite_full(f->fd, p, len, off);
	if (!f->device)
		pthread_mutex_unlock(&f->target->turn);
	if (r == 0)
		file_written(f, off, len);
	return r;
}

int file_put(struct file_vol *f, const uint8_t *p, size_t len, uint64_t off)
{
	size_t n = direct_part(f, p, len, off);

	if (n && fd_pwrite_full(f->direct, p, n, off) != 0) {
		/* Not taken like that, or interrupted between two pages. */
		if (errno != EINVAL && errno != EOPNOTSUPP)
			return -1;
		f->target->no_direct = true;
		n = 0;
	}
	return n < len ? write_cached(f, p + n, len - n, off + n) : 0;
}

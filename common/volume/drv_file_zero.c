/* file: volumes, zeros: left out where all is zero, punched or zeroed by the
 * device where it can, else written. */
#include <errno.h>
#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fs.h>
#include <sys/ioctl.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "volume/drv_file.h"

#define HOLE_STEP 4096u		/* zeros are looked for in blocks of this size */
#define HOLE_MIN KIB(16)	/* and left out from this length on */
#define PUNCH_MIN KIB(64)	/* shorter zero ranges are written */
#define ZEROS_LEN KIB(64)

/* Length of the zeros, in whole steps, at p. */
static size_t zero_run(const uint8_t *p, size_t len)
{
	size_t n = 0;

	while (n < len && bytes_zero(p + n, min64(HOLE_STEP, len - n)))
		n += min64(HOLE_STEP, len - n);
	return n;
}

/* Where all is zero already, zeros are not written. */
int file_put_sparse(struct file_vol *f, const uint8_t *p, size_t len, uint64_t off)
{
	size_t from = 0, at = 0;

	while (at < len) {
		size_t n = zero_run(p + at, len - at);

		if (n >= HOLE_MIN || (n && at + n == len)) {
			if (at > from && file_put(f, p + from, at - from, off + from) != 0)
				return -1;
			from = at + n;
		}
		at += n ? n : min64(HOLE_STEP, len - at);
	}
	return at > from ? file_put(f, p + from, at - from, off + from) : 0;
}

static int write_zeros(struct file_vol *f, uint64_t off, uint64_t len)
{
	static const uint8_t zeros[ZEROS_LEN];

	while (len > 0) {
		size_t n = min64(len, ZEROS_LEN);

		if (fd_pwrite_full(f->fd, zeros, n, off) != 0)
			return -1;
		file_written(f, off, n);
		off += n;
		len -= n;
	}
	return 0;
}

/* Zero a whole-page range by the quickest way there is: 0, 1 no such way, or
 * -1. */
static int zero_fast(struct file_vol *f, uint64_t off, uint64_t len)
{
	struct file_target *t = f->target;
	uint64_t range[2] = { off, len };
	int r;

	if (S_ISBLK(f->st.st_mode)) {
		if (t->no_zeroout)
			return 1;
		r = ioctl(f->fd, BLKZEROOUT, range);
		if (r != 0 && (errno == EOPNOTSUPP || errno == ENOTTY || errno == EINVAL)) {
			t->no_zeroout = true;
			return 1;
		}
		return r;
	}
	if (t->no_punch)
		return 1;
	r = fallocate(f->fd, FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, (off_t)off, (off_t)len);
	if (r != 0 && (errno == EOPNOTSUPP || errno == ENOSYS)) {
		t->no_punch = true;
		return 1;
	}
	return r;
}

/* Ends that are no whole pages are written, what is between is zeroed fast. */
int file_zero_range(struct file_vol *f, uint64_t off, uint64_t len)
{
	uint64_t lo = (off + HOLE_STEP - 1) & ~(uint64_t)(HOLE_STEP - 1);
	uint64_t hi = (off + len) & ~(uint64_t)(HOLE_STEP - 1);
	int r;

	if (len < PUNCH_MIN || lo >= hi)
		return write_zeros(f, off, len);
	r = zero_fast(f, lo, hi - lo);
	if (r == 1)
		return write_zeros(f, off, len);
	if (r == 0)
		r = write_zeros(f, off, lo - off);
	return r == 0 ? write_zeros(f, hi, off + len - hi) : r;
}

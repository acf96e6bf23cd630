/* file: volumes, writing in place: one state only, guarded by the record
 * beside it. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "volume/drv_file.h"

#define WRITEBACK_STEP MIB(8)

/* Give a regular file its new size; for a full iteration all of it becomes one
 * hole, so that nothing of the old content needs to be looked at again. */
static int shape(struct volume *v, struct file_vol *f)
{
	struct file_target *t = f->target;

	if (S_ISREG(f->st.st_mode)) {
		if (t->full && !t->resumes && ftruncate(f->fd, 0) != 0)
			return volume_fail(v, errno, "truncate");
		if (ftruncate(f->fd, (off_t)v->size) != 0)
			return volume_fail(v, errno, "truncate to %" PRIu64, v->size);
		t->fresh = t->full && !t->resumes;
	}
	if (t->full)
		t->covered = iset_new();
	return 0;
}

/* Before the first byte: say durably that the file is between two states. */
static int begin(struct volume *v, struct file_vol *f)
{
	struct file_target *t = f->target;
	struct err e = { 0 };
	int r = 0;

	pthread_mutex_lock(&t->lock);
	if (t->failed) {
		r = -EIO;
	} else if (!t->begun) {
		if (t->record_path && !t->prepared) {
			free(t->record.identity);
			t->record.identity = file_present_identity(f);
			if (target_record_save(t->record_path, &t->record, &e) != 0)
				r = volume_fail_err(v, &e);
		}
		if (r == 0)
			r = shape(v, f);
		t->begun = r == 0;
		t->failed = r != 0;
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

/* Remember what a full iteration wrote.  *untouched: nothing of the range was
 * written before and the file is fresh, so that zeros there can be left out. */
static int claim(struct volume *v, struct file_target *t, uint64_t off, uint64_t len, bool *untouched)
{
	int r = 0;

	*untouched = false;
	if (!t->covered || len == 0)
		return 0;
	pthread_mutex_lock(&t->lock);
	r = iset_add(t->covered, off, len);
	*untouched = r == 0 && t->fresh;
	if (r == 1)
		r = iset_cover(t->covered, off, len);
	pthread_mutex_unlock(&t->lock);
	return r < 0 ? volume_fail(v, ENOMEM, "write at %" PRIu64, off) : 0;
}

/* What writeback was started for one step ago is on the disk soon; then nobody
 * needs it in the page cache.  On a descriptor of its own, as an error is told
 * once on each, and a flush has to see it. */
static void write_behind(const struct file_vol *f, uint64_t lo, uint64_t hi)
{
	if (f->behind < 0 || lo == hi)
		return;
	(void)sync_file_range(f->behind, (off_t)lo, (off_t)(hi - lo), SYNC_FILE_RANGE_WAIT_BEFORE |
	    SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER);
	(void)posix_fadvise(f->behind, (off_t)lo, (off_t)(hi - lo), POSIX_FADV_DONTNEED);
}

/* Count bytes that wait in the page cache, start writeback each 8 MiB, and wait
 * for that of the step before: so a flush finds little left to do, and neither
 * what is dirty nor what is cached grows with the disk. */
void file_written(struct file_vol *f, uint64_t off, uint64_t len)
{
	struct file_target *t = f->target;
	uint64_t lo = 0, hi = 0, old_lo = 0, old_hi = 0;

	pthread_mutex_lock(&t->lock);
	lo = t->dirty_lo = t->dirty ? min64(t->dirty_lo, off) : off;
	hi = t->dirty_hi = t->dirty ? max64(t->dirty_hi, off + len) : off + len;
	t->dirty += len;
	if (t->dirty >= WRITEBACK_STEP) {
		t->dirty = 0;
		old_lo = t->behind_lo;
		old_hi = t->behind_hi;
		t->behind_lo = lo;
		t->behind_hi = hi;
	} else {
		hi = 0;
	}
	pthread_mutex_unlock(&t->lock);
	if (!hi)
		return;
	(void)sync_file_range(f->fd, (off_t)lo, (off_t)(hi - lo), SYNC_FILE_RANGE_WRITE);
	write_behind(f, old_lo, old_hi);
}

int file_write(struct volume *v, const void *p, size_t len, uint64_t off)
{
	struct file_vol *f = v->priv;
	bool untouched;
	int r = begin(v, f);

	if (r == 0)
		r = claim(v, f->target, off, len, &untouched);
	if (r != 0)
		return r;
	r = untouched ? file_put_sparse(f, p, len, off) : file_put(f, p, len, off);
	return r == 0 ? 0 : volume_fail(v, errno, "write at %" PRIu64, off);
}

int file_zero(struct volume *v, uint64_t off, uint64_t len)
{
	struct file_vol *f = v->priv;
	bool untouched;
	int r = begin(v, f);

	if (r == 0)
		r = claim(v, f->target, off, len, &untouched);
	if (r != 0 || untouched)
		return r;
	return file_zero_range(f, off, len) == 0 ? 0 : volume_fail(v, errno, "zero at %" PRIu64, off);
}

/* It is as it shall be, and a full iteration leaves it so at its end. */
int file_held(struct volume *v, uint64_t off, uint32_t len, const struct id *id)
{
	struct file_vol *f = v->priv;
	bool untouched;
	int r;

	(void)id;
	if (!v->resumes)
		return 0;
	r = begin(v, f);
	if (r == 0)
		r = claim(v, f->target, off, len, &untouched);
	return r != 0 ? r : 1;
}

int file_flush(struct volume *v, uint32_t epoch)
{
	struct file_vol *f = v->priv;

	(void)epoch;
	if (!f->target->begun)
		return 0;
	if (fdatasync(f->fd) == 0)
		return 0;
	pthread_mutex_lock(&f->target->lock);
	f->target->failed = true;
	pthread_mutex_unlock(&f->target->lock);
	return volume_fail(v, errno, "flush");
}

/* A full iteration onto something that was not empty: what it did not name
 * reads as zeros. */
static int zero_rest(struct volume *v, struct file_vol *f)
{
	uint64_t at = 0, first, n;

	if (!f->target->covered || f->target->fresh)
		return 0;
	while (iset_gap(f->target->covered, at, v->size, &first, &n)) {
		if (file_zero_range(f, first, n) != 0)
			return volume_fail(v, errno, "zero at %" PRIu64, first);
		at = first + n;
	}
	return 0;
}

static int sync_all(struct volume *v, struct file_vol *f)
{
	struct file_target *t = f->target;
	struct err e = { 0 };

	if (fsync(f->fd) != 0) {
		t->failed = true;
		return volume_fail(v, errno, "flush");
	}
	if (!t->created)
		return 0;
	return durable_name(AT_FDCWD, t->path, &e) == 0 ? 0 : volume_fail_err(v, &e);
}

static int save_complete(struct volume *v, struct file_vol *f, const char *point,
    const struct id *root)
{
	struct target_record *r = &f->target->record;
	struct err e = { 0 };

	target_record_done(r, point, root, file_present_identity(f));
	if (!f->target->record_path || target_record_save(f->target->record_path, r, &e) == 0)
		return 0;
	return volume_fail_err(v, &e);
}

int file_finalize(struct volume *v, const char *source_point, const struct id *source_root,
    struct volume_final *out)
{
	struct file_vol *f = v->priv;
	struct file_target *t = f->target;
	char *identity;
	int r = begin(v, f);

	if (r == 0)
		r = zero_rest(v, f);
	if (r == 0)
		r = sync_all(v, f);
	if (r == 0)
		r = save_complete(v, f, source_point, source_root);
	if (r == 0 && t->dir)
		r = file_dir_publish(v);
	if (r != 0)
		return r;
	out->has_root = source_root != NULL;
	if (source_root)
		out->root = *source_root;
	if (t->dir) {
		out->point = x_strdup(t->final);
		return 0;
	}
	identity = file_present_identity(f);
	out->point = x_printf("%s@%s", identity, t->path);
	free(identity);
	return 0;
}

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

static int open_existing(const char *path, bool *created)
{
	struct stat st;
	int fd, flags = O_RDWR | O_CLOEXEC;

	if (stat(path, &st) == 0 && S_ISBLK(st.st_mode))
		flags |= O_EXCL;	/* refused while mounted or claimed */
	fd = open(path, flags);
	if (fd >= 0 || errno != ENOENT)
		return fd;
	*created = true;
	return open(path, flags | O_CREAT | O_EXCL, 0600);
}

static int open_failed(struct volume *v, const char *path, int errnum)
{
	struct stat st;

	if (errnum != EBUSY)
		return err_sys(&v->err, errnum == ENXIO ? DM_USAGE : DM_ENV, errnum, "%s", path);
	if (stat(path, &st) == 0)
		(void)file_in_use(path, -1, &st, &v->err);
	return err_set(&v->err, DM_NO, "%s: in use (mounted, or claimed by another driver)", path);
}

/* Room for the new state? */
static int check_size(struct volume *v, struct file_vol *f, const struct volume_how *how)
{
	uint64_t size;
	int r = file_size(f->fd, &f->st, &size);

	if (r < 0)
		return err_sys(&v->err, DM_ENV, -r, "%s: size", v->uri);
	if (!S_ISREG(f->st.st_mode) && size < how->size)
		return err_set(&v->err, DM_NO, "%s: has %" PRIu64 " bytes, the disk has %" PRIu64,
		    v->uri, size, how->size);
	v->size = how->size;
	return 0;
}

static char *present_identity(struct file_vol *f)
{
	uint64_t size = 0;

	if (fstat(f->fd, &f->st) != 0 || file_size(f->fd, &f->st, &size) != 0)
		return x_strdup("");
	return file_identity(&f->st, size, false);
}

/* An incremental step needs the record to name exactly its base, and the file
 * to be as the record left it. */
static int check_base(struct volume *v, struct file_vol *f, const struct volume_how *how)
{
	struct file_target *t = f->target;
	const struct file_record *r = &t->record;
	char *now;
	bool same;

	if (how->full)
		return 0;
	if (!t->record_path)
		return err_set(&v->err, DM_NO, "%s: a device's state is not known without "
		    "?record=FILE; name one, or send a full iteration", v->uri);
	if (r->state == RECORD_NONE)
		return err_set(&v->err, DM_NO, "%s: nothing says what it holds (no %s); "
		    "send a full iteration", v->uri, t->record_path);
	if (r->state == RECORD_WRITING && !file_record_resumes(r, how))
		return err_set(&v->err, DM_NO, "%s: an interrupted iteration left it between two "
		    "states; repeat that one, or send a full iteration", v->uri);
	if (r->state == RECORD_COMPLETE && !file_record_is_base(r, how))
		return err_set(&v->err, DM_NO, "%s: does not hold the base of this iteration; "
		    "send the changes since its own state, or a full iteration", v->uri);
	now = present_identity(f);
	same = r->state == RECORD_COMPLETE ? !strcmp(now, r->identity) :
	    file_identity_same_object(now, r->identity);
	free(now);
	return same ? 0 : err_set(&v->err, DM_NO, "%s: was changed or replaced since %s was "
	    "written; send a full iteration", v->uri, t->record_path);
}

static char *record_path(const struct uri *u, bool device)
{
	char *given = uri_query(u, "record");

	if (given || device)
		return given;
	return x_printf("%s.dm", u->path);
}

static int open_in_place(struct volume *v, const struct uri *u, const struct volume_how *how)
{
	struct file_vol *f = v->priv;
	struct file_target *t = f->target;

	t->path = x_strdup(u->path);
	f->fd = open_existing(u->path, &t->created);
	if (f->fd < 0)
		return open_failed(v, u->path, errno);
	if (fstat(f->fd, &f->st) != 0)
		return err_sys(&v->err, DM_ENV, errno, "%s", u->path);
	if (!S_ISREG(f->st.st_mode) && !S_ISBLK(f->st.st_mode))
		return err_set(&v->err, DM_USAGE, "%s: neither a regular file nor a block device", v->uri);
	if (!how->force && file_in_use(u->path, f->fd, &f->st, &v->err) != 0)
		return -1;
	if (check_size(v, f, how) != 0)
		return -1;
	t->record_path = record_path(u, S_ISBLK(f->st.st_mode));
	if (t->record_path && file_record_load(t->record_path, &t->record, &v->err) != 0) {
		if (!how->full)
			return -1;
		v->err = (struct err){ 0 };	/* a full iteration replaces it */
	}
	if (check_base(v, f, how) != 0)
		return -1;
	file_record_step(&t->record, how);
	return 0;
}

int file_open_target(struct volume *v, const struct uri *u, const struct volume_how *how)
{
	struct file_vol *f = v->priv;
	struct stat st;

	f->target = x_alloc(sizeof(*f->target));
	pthread_mutex_init(&f->target->lock, NULL);
	pthread_mutex_init(&f->target->turn, NULL);
	f->target->full = how->full;
	if (stat(u->path, &st) == 0 && S_ISDIR(st.st_mode))
		return file_open_dir(v, u->path, how);
	return open_in_place(v, u, how);
}

void file_close_target(struct file_vol *f)
{
	struct file_target *t = f->target;

	if (!t)
		return;
	if (t->created && !t->begun && t->path)
		unlink(t->path);
	file_record_free(&t->record);
	iset_free(t->covered);
	pthread_mutex_destroy(&t->lock);
	pthread_mutex_destroy(&t->turn);
	free(t->path);
	free(t->record_path);
	free(t->dir);
	free(t->final);
	free(t);
	f->target = NULL;
}

/* Give a regular file its new size; for a full iteration all of it becomes one
 * hole, so that nothing of the old content needs to be looked at again. */
static int shape(struct volume *v, struct file_vol *f)
{
	struct file_target *t = f->target;

	if (S_ISREG(f->st.st_mode)) {
		if (t->full && ftruncate(f->fd, 0) != 0)
			return volume_fail(v, errno, "truncate");
		if (ftruncate(f->fd, (off_t)v->size) != 0)
			return volume_fail(v, errno, "truncate to %" PRIu64, v->size);
		t->fresh = t->full;
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
			t->record.identity = present_identity(f);
			if (file_record_save(t->record_path, &t->record, &e) != 0)
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

static int cover(struct iset *s, uint64_t off, uint64_t len)
{
	int r = iset_add(s, off, len);

	if (r != 1 || len == 1)
		return r < 0 ? -1 : 0;
	return cover(s, off, len / 2) | cover(s, off + len / 2, len - len / 2);
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
		r = cover(t->covered, off, len);
	pthread_mutex_unlock(&t->lock);
	return r < 0 ? volume_fail(v, ENOMEM, "write at %" PRIu64, off) : 0;
}

/* Count written bytes, and start writeback each 8 MiB, so that a flush finds
 * little left to do. */
static void account(struct file_vol *f, uint64_t off, uint64_t len)
{
	struct file_target *t = f->target;
	uint64_t lo = 0, hi = 0;

	pthread_mutex_lock(&t->lock);
	lo = t->dirty_lo = t->dirty ? min64(t->dirty_lo, off) : off;
	hi = t->dirty_hi = t->dirty ? max64(t->dirty_hi, off + len) : off + len;
	t->dirty += len;
	if (t->dirty >= WRITEBACK_STEP)
		t->dirty = 0;
	else
		hi = 0;
	pthread_mutex_unlock(&t->lock);
	if (hi)
		(void)sync_file_range(f->fd, (off_t)lo, (off_t)(hi - lo), SYNC_FILE_RANGE_WRITE);
}

/* The kernel lets one writer at a time into a regular file, and the others
 * spin for it; here they sleep. */
static int write_bytes(struct file_vol *f, const void *p, size_t len, uint64_t off, bool sparse)
{
	int r;

	if (!f->device)
		pthread_mutex_lock(&f->target->turn);
	r = sparse ? file_write_sparse(f->fd, p, len, off) : fd_pwrite_full(f->fd, p, len, off);
	if (!f->device)
		pthread_mutex_unlock(&f->target->turn);
	return r;
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
	if (write_bytes(f, p, len, off, untouched) != 0)
		return volume_fail(v, errno, "write at %" PRIu64, off);
	account(f, off, len);
	return 0;
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
	if (file_zero_range(f, off, len) != 0)
		return volume_fail(v, errno, "zero at %" PRIu64, off);
	account(f, off, len);
	return 0;
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
	char *path, *slash;

	if (fsync(f->fd) != 0) {
		t->failed = true;
		return volume_fail(v, errno, "flush");
	}
	if (!t->created)
		return 0;
	path = x_strdup(t->path);
	slash = strrchr(path, '/');
	if (slash)
		slash[slash == path] = 0;
	if (durable_dir(AT_FDCWD, slash ? path : ".", &e) != 0)
		volume_fail_err(v, &e);
	free(path);
	return e.code ? -EIO : 0;
}

static int save_complete(struct volume *v, struct file_vol *f, const char *point,
    const struct id *root)
{
	struct file_record *r = &f->target->record;
	struct err e = { 0 };

	r->state = RECORD_COMPLETE;
	free(r->target.point);
	r->target.point = x_strdup(point ? point : "");
	r->target.has_root = root != NULL;
	if (root)
		r->target.root = *root;
	free(r->identity);
	r->identity = present_identity(f);
	if (!f->target->record_path || file_record_save(f->target->record_path, r, &e) == 0)
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
	identity = present_identity(f);
	out->point = x_printf("%s@%s", identity, t->path);
	free(identity);
	return 0;
}

/* file: volumes, opening a target: what must be true before it is written. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "volume/drv_file.h"

char *file_present_identity(struct file_vol *f)
{
	uint64_t size = 0;

	if (fstat(f->fd, &f->st) != 0 || file_size(f->fd, &f->st, &size) != 0)
		return x_strdup("");
	return file_identity(&f->st, size, false);
}

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

/* The file itself, by device and inode, or the device by its serial. */
char *file_work_name(const struct stat *st, const char *path)
{
	char *now = file_identity(st, 0, false), *name;
	size_t n = strlen(now), colons = 0;

	for (size_t i = 0; !strncmp(now, "file:", 5) && i < n; i++) {
		colons += now[i] == ':';
		if (colons == 3)
			n = i;
	}
	name = x_printf("%.*s@%s", (int)n, now, path);
	free(now);
	return name;
}

/* Is it what the record is of?  While it was being written, only the same file;
 * one that was made just now may have the inode of another. */
static bool as_recorded(struct file_vol *f)
{
	const struct target_record *r = &f->target->record;
	char *now = file_present_identity(f);
	bool same = r->state == RECORD_COMPLETE ? !strcmp(now, r->identity) :
	    !f->target->created && file_identity_same_object(now, r->identity);

	free(now);
	return same;
}

bool file_goes_on(struct volume *v, const struct volume_how *how)
{
	struct file_vol *f = v->priv;
	struct file_target *t = f->target;

	free(v->work);
	v->work = file_work_name(&f->st, t->path);
	v->resumes = t->resumes = how->work && !strcmp(v->work, how->work) &&
	    target_record_resumes(&t->record, how) && as_recorded(f);
	t->prepared = v->resumes && t->record.state == RECORD_WRITING;
	return v->resumes;
}

/* An incremental step needs the record to name exactly its base, and the file
 * to be as the record left it. */
static int check_base(struct volume *v, struct file_vol *f, const struct volume_how *how)
{
	struct file_target *t = f->target;
	const struct target_record *r = &t->record;

	if (how->full)
		return 0;
	if (!t->record_path)
		return err_set(&v->err, DM_NO, "%s: a device's state is not known without "
		    "?record=FILE; name one, give --verify-base, or send a full iteration", v->uri);
	if (target_record_admit(r, t->record_path, v->uri, how, &v->err) != 0)
		return -1;
	return as_recorded(f) ? 0 : err_set(&v->err, DM_NO, "%s: was changed or replaced since %s was "
	    "written; give --verify-base, or send a full iteration", v->uri, t->record_path);
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
	if (t->record_path && target_record_load(t->record_path, &t->record, &v->err) != 0) {
		if (!how->full)
			return -1;
		v->err = (struct err){ 0 };	/* a full iteration replaces it */
	}
	if (check_base(v, f, how) != 0 && driver_unproved(v, how) != 0)
		return -1;
	/* Without a record nothing would say who wrote there meanwhile. */
	if (!t->record_path || !file_goes_on(v, how) || !t->prepared)
		target_record_step(&t->record, how);
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
	target_record_free(&t->record);
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

/* repo:DIR, s3://BUCKET/PREFIX - disks in a site's repository.
 *
 * As a source:  repo:DIR (the state is named by the stream: root:blake3:HEX),
 *               repo:DIR#WORKLOAD[/CHECKPOINT[/DISK]].
 * As a target:  repo:DIR; all disks of an iteration share one session. */
#include <errno.h>
#include <string.h>

#include "base/bytes.h"
#include "volume/drv_repo.h"

int repo_failed(struct volume *v, const struct err *e)
{
	int errnum = e->errnum ? e->errnum : EIO;

	if (e->code == DM_NO)
		errnum = EPERM;
	else if (e->code == DM_BAD)
		errnum = EBADMSG;
	pthread_mutex_lock(&v->lock);
	if (!v->err.code)
		v->err = *e;
	pthread_mutex_unlock(&v->lock);
	return -errnum;
}

char *repo_point(const struct site *s, const struct id *root)
{
	char text[80];

	return x_printf("root:%s", id_format(s->algo, root, text));
}

bool repo_point_parse(const struct site *s, const char *point, struct id *root)
{
	int algo;

	return !strncmp(point, "root:", 5) && !id_parse(point + 5, &algo, root) && algo == s->algo;
}

char *repo_site_name(const struct uri *u)
{
	return strcmp(u->scheme, "s3") ? x_strdup(u->path) : x_printf("s3:%s", u->path);
}

static int repo_open(struct volume *v, const struct uri *u, const struct volume_how *how)
{
	return how->mode == VOL_READ ? repo_source_open(v, u, how) : repo_target_open(v, u, how);
}

static void repo_close(struct volume *v)
{
	if (v->writable)
		repo_target_close(v);
	else
		repo_source_close(v);
}

static int repo_read(struct volume *v, void *p, size_t len, uint64_t off)
{
	if (v->writable)
		return volume_fail(v, ENOTSUP, "an iteration being written cannot be read");
	return repo_source_read(v, p, len, off);
}

static int repo_extents(struct volume *v, const char *since, uint64_t off, uint64_t len, struct extents *out)
{
	if (v->writable)
		return volume_fail(v, ENOTSUP, "an iteration being written cannot be read");
	return repo_source_extents(v, since, off, len, out);
}

static int repo_get_stored(struct volume *v, uint64_t off, uint32_t len, void *p, int *codec, size_t *stored_len)
{
	return v->writable ? 0 : repo_source_stored(v, off, len, p, codec, stored_len);
}

static char *repo_present(struct volume *v, bool *frozen)
{
	*frozen = !v->writable;
	return v->writable ? x_strdup("") : repo_source_point(v);
}

static int repo_put_zero(struct volume *v, uint64_t off, uint64_t len, uint32_t epoch)
{
	(void)epoch;
	return repo_target_put_zero(v, off, len);
}

static int repo_held(struct volume *v, uint64_t off, uint32_t len, const struct id *id)
{
	(void)len;
	return repo_target_held(v, off, id);
}

static int repo_ref(struct volume *v, uint64_t off, uint32_t len, const struct id *id, uint32_t epoch)
{
	(void)epoch;
	return repo_target_ref(v, off, len, id);
}

static int repo_finalize(struct volume *v, const char *source_point, const struct id *source_root,
    struct volume_final *f)
{
	(void)source_point;	/* the catalog records it */
	return repo_target_finalize(v, source_root, f);
}

extern const struct driver drv_repo;

static int repo_group_flush(struct volume_group *g, uint32_t epoch)
{
	return repo_target_flush(g, &drv_repo, epoch);
}

const struct driver drv_repo = {
	.scheme = "repo s3",
	.keeps_ids = true,
	.open = repo_open,
	.close = repo_close,
	.read = repo_read,
	.extents = repo_extents,
	.put = repo_target_put,
	.put_zero = repo_put_zero,
	.held = repo_held,
	.ref = repo_ref,
	.get_stored = repo_get_stored,
	.group_flush = repo_group_flush,
	.point = repo_present,
	.finalize = repo_finalize,
};

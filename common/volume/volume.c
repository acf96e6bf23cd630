#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "volume/driver.h"

#define ZEROS_LEN (256u << 10)

/* Failures whose text the driver states whole, and what they come to. */
static int plain_code(int errnum)
{
	switch (errnum) {
	case ESTALE:
	case ENOTSUP:
	case EPERM:
		return DM_NO;
	case EBADMSG:
		return DM_BAD;
	default:
		return 0;
	}
}

bool volume_refused(int rc)
{
	return rc == -EAGAIN || rc == -EBUSY;
}

/* A refusal that may pass is no cause beside a failure.  Locked. */
static void refusal_yield(struct volume *v, int errnum)
{
	if (volume_refused(-v->err.errnum) && !volume_refused(-errnum))
		v->err = (struct err){ 0 };
}

int volume_fail(struct volume *v, int errnum, const char *fmt, ...)
{
	char text[400];
	va_list ap;
	int code = plain_code(errnum);

	va_start(ap, fmt);
	vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	pthread_mutex_lock(&v->lock);
	refusal_yield(v, errnum);
	if (code) {
		err_set(&v->err, code, "%s: %s", v->uri, text);
		v->err.errnum = errnum;
	} else {
		err_sys(&v->err, DM_ENV, errnum, "%s: %s", v->uri, text);
		v->err.quiet = 0;
	}
	pthread_mutex_unlock(&v->lock);
	return -errnum;
}

int volume_fail_err(struct volume *v, const struct err *e)
{
	struct err named = *e;
	int errnum = e->errnum ? e->errnum : EIO;

	err_prefix(&named, "%s", v->uri);
	pthread_mutex_lock(&v->lock);
	refusal_yield(v, errnum);
	if (!v->err.code)
		v->err = named;
	pthread_mutex_unlock(&v->lock);
	return -(e->code == DM_NO ? EPERM : errnum);
}

static void volume_free(struct volume *v)
{
	pthread_mutex_destroy(&v->lock);
	free(v->uri);
	free(v->work);
	free(v);
}

static int check_how(const struct driver *d, const struct volume_how *how, const char *uri,
    struct err *e)
{
	if (how->mode == VOL_READ && !d->read)
		return err_set(e, DM_USAGE, "%s: cannot be read from", uri);
	if (how->mode == VOL_WRITE && !d->write && !d->put)
		return err_set(e, DM_USAGE, "%s: cannot be written to", uri);
	return 0;
}

static void default_limits(struct volume *v)
{
	if (!v->limits.min)
		v->limits.min = 1;
	if (!v->limits.preferred)
		v->limits.preferred = 1u << 20;
	if (!v->limits.max)
		v->limits.max = CHUNK_MAX;
}

int volume_open(struct volume **out, const char *uri, const struct volume_how *how, struct err *e)
{
	const struct driver *d;
	struct volume *v;
	struct uri u;

	*out = NULL;
	d = driver_of(uri, &u, e);
	if (!d)
		return -1;
	if (check_how(d, how, uri, e) != 0)
		goto err0;
	v = x_alloc(sizeof(*v));
	pthread_mutex_init(&v->lock, NULL);
	v->drv = d;
	v->uri = x_strdup(uri);
	v->writable = how->mode == VOL_WRITE;
	v->chunk_size = how->chunk_size;
	v->group = how->mode == VOL_WRITE ? how->group : NULL;
	if (d->open(v, &u, how) != 0) {
		if (!v->err.code)
			err_set(&v->err, DM_ENV, "%s: cannot be opened", uri);
		*e = e->code ? *e : v->err;
		goto err1;
	}
	default_limits(v);
	if (v->group)
		volume_group_join(v->group, v);
	uri_free(&u);
	*out = v;
	return 0;
err1:
	volume_free(v);
err0:
	uri_free(&u);
	return -1;
}

void volume_close(struct volume *v)
{
	if (!v)
		return;
	if (v->group)
		volume_group_leave(v->group, v);
	v->drv->close(v);
	volume_free(v);
}

void volume_forgive(struct volume *v, struct err *why)
{
	pthread_mutex_lock(&v->lock);
	if (volume_refused(-v->err.errnum)) {
		*why = v->err;
		v->err = (struct err){ 0 };
	}
	pthread_mutex_unlock(&v->lock);
}

int volume_error(const struct volume *v, struct err *e)
{
	if (!v->err.code)
		return err_set(e, DM_ENV, "%s: failed without a message", v->uri);
	if (!e->code)
		*e = v->err;
	return -1;
}

int driver_unproved(struct volume *v, const struct volume_how *how)
{
	if (!how->verify_base || v->err.code != DM_NO)
		return -1;
	v->err = (struct err){ 0 };
	v->unproved = true;
	return 0;
}

/* The range must lie inside the volume. */
static int check_range(struct volume *v, const char *what, uint64_t off, uint64_t len)
{
	if (off > v->size || len > v->size - off)
		return volume_fail(v, EINVAL, "%s of %llu bytes at %llu passes the end at %llu", what,
		    (unsigned long long)len, (unsigned long long)off, (unsigned long long)v->size);
	return 0;
}

static int check_tiling(struct volume *v, const char *since, uint64_t off, uint64_t len,
    const struct extents *x)
{
	if (!extents_tile(x, off, len))
		return volume_fail(v, EIO, "the driver's extents do not tile %llu+%llu",
		    (unsigned long long)off, (unsigned long long)len);
	for (size_t i = 0; !since && i < x->n; i++)
		if (x->v[i].kind == EXT_SAME)
			return volume_fail(v, EIO, "the driver calls a range unchanged, since nothing");
	return 0;
}

static int no_tracker(struct volume *v)
{
	return volume_fail(v, ENOTSUP, "cannot tell what changed; use --against or --state");
}

char *volume_base_point(struct volume *v, const char *since)
{
	if (v->drv->base_point)
		return v->drv->base_point(v, since);
	no_tracker(v);
	return NULL;
}

int volume_extents(struct volume *v, const char *since, uint64_t off, uint64_t len,
    struct extents *out)
{
	int r = check_range(v, "map", off, len);

	extents_clear(out);
	if (r != 0 || len == 0)
		return r;
	if (!v->drv->extents) {
		if (since)
			return no_tracker(v);
		extents_add(out, off, len, EXT_DATA);
		return 0;
	}
	r = v->drv->extents(v, since, off, len, out);
	return r != 0 ? r : check_tiling(v, since, off, len, out);
}

int volume_read(struct volume *v, void *p, size_t len, uint64_t off)
{
	int r = check_range(v, "read", off, len);

	return r != 0 ? r : v->drv->read(v, p, len, off);
}

int volume_write(struct volume *v, const void *p, size_t len, uint64_t off)
{
	int r = check_range(v, "write", off, len);

	if (r != 0)
		return r;
	if (!v->drv->write)
		return volume_fail(v, ENOTSUP, "takes whole chunks only");
	return v->drv->write(v, p, len, off);
}

static int write_zeros(struct volume *v, uint64_t off, uint64_t len)
{
	static const uint8_t zeros[ZEROS_LEN];
	int r = 0;

	while (r == 0 && len > 0) {
		size_t n = min64(len, ZEROS_LEN);

		r = v->drv->write(v, zeros, n, off);
		off += n;
		len -= n;
	}
	return r;
}

int volume_zero(struct volume *v, uint64_t off, uint64_t len)
{
	int r = check_range(v, "zero", off, len);

	if (r != 0 || len == 0)
		return r;
	if (v->drv->zero)
		return v->drv->zero(v, off, len);
	if (!v->drv->write)
		return volume_fail(v, ENOTSUP, "takes whole chunks only");
	return write_zeros(v, off, len);
}

/* A chunk as plain pieces: what lies between them is left or zeroed. */
static int put_pieces(struct volume *v, const struct volume_chunk *c)
{
	const uint8_t *p = c->plain;
	uint64_t at = 0;
	int r = 0;

	for (size_t i = 0; r == 0 && i < c->nfrags; i++) {
		const struct frag *f = &c->frag[i];

		if (c->rest_zero && f->off > at)
			r = volume_zero(v, c->off + at, f->off - at);
		if (r == 0)
			r = volume_write(v, p, f->len, c->off + f->off);
		p += f->len;
		at = (uint64_t)f->off + f->len;
	}
	if (r == 0 && c->rest_zero && at < c->len)
		r = volume_zero(v, c->off + at, c->len - at);
	return r;
}

int volume_put(struct volume *v, struct volume_chunk *c)
{
	int r = check_range(v, "write", c->off, c->len);
	uint64_t want = c->nfrags ? frags_bytes(c->frag, c->nfrags) : c->len;

	if (r != 0)
		return r;
	if (c->plain_len != want || (c->nfrags && !frags_valid(c->frag, c->nfrags, c->len)))
		return volume_fail(v, EINVAL, "chunk at %llu: its parts and its bytes disagree",
		    (unsigned long long)c->off);
	c->added = 0;
	c->whole_leaves = 0;
	c->dedup = false;
	if (v->drv->put)
		return v->drv->put(v, c);
	c->added = c->plain_len;
	return c->nfrags ? put_pieces(v, c) : v->drv->write(v, c->plain, c->len, c->off);
}

int volume_put_zero(struct volume *v, uint64_t off, uint64_t len, uint32_t epoch)
{
	int r = check_range(v, "zero", off, len);

	if (r != 0 || !v->drv->put_zero)
		return r != 0 ? r : volume_zero(v, off, len);
	return v->drv->put_zero(v, off, len, epoch);
}

int volume_held(struct volume *v, uint64_t off, uint32_t len, const struct id *id)
{
	int r = check_range(v, "check", off, len);

	return r != 0 || !v->drv->held ? r : v->drv->held(v, off, len, id);
}

int volume_ref(struct volume *v, uint64_t off, uint32_t len, const struct id *id, uint32_t epoch)
{
	int r = check_range(v, "reference", off, len);

	return r != 0 || !v->drv->ref ? r : v->drv->ref(v, off, len, id, epoch);
}

int volume_get_stored(struct volume *v, uint64_t off, uint32_t len, void *p, int *codec,
    size_t *stored_len)
{
	int r = check_range(v, "read", off, len);

	return r != 0 || !v->drv->get_stored ? r :
	    v->drv->get_stored(v, off, len, p, codec, stored_len);
}

char *volume_point(struct volume *v, bool *frozen)
{
	*frozen = false;
	return v->drv->point ? v->drv->point(v, frozen) : x_strdup("");
}

int volume_finalize(struct volume *v, const char *source_point, const struct id *source_root,
    struct volume_final *f)
{
	int r;

	memset(f, 0, sizeof(*f));
	r = v->drv->finalize ? v->drv->finalize(v, source_point, source_root, f) : 0;
	if (r == 0 && !f->point)
		f->point = x_strdup("");
	return r;
}

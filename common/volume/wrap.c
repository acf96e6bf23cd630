#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "volume/wrap.h"

const char *const wrap_name[WRAP_OPS] = {
	"read", "write", "zero", "extents", "held", "ref", "flush", "point", "finalize", "close",
};

/* uri behind "scheme+", its query without the parts that are ours. */
static char *inner_uri(const char *uri, bool (*mine)(const char *key, size_t len))
{
	const char *from = strchr(uri, '+') + 1, *query = from + strcspn(from, "?#");
	struct buf b = { 0 };
	char sep = '?', *text;

	buf_put(&b, from, (size_t)(query - from));
	while (*query == '?' || *query == '&') {
		const char *part = query + 1;
		size_t len = strcspn(part, "&#");

		query = part + len;
		if (mine(part, strcspn(part, "=&#")))
			continue;
		buf_put(&b, &sep, 1);
		buf_put(&b, part, len);
		sep = '&';
	}
	buf_put(&b, query, strlen(query) + 1);
	text = x_strdup((char *)b.p);
	buf_free(&b);
	return text;
}

int wrap_open(struct volume *v, const struct volume_how *how, struct wrap *w,
    bool (*mine)(const char *key, size_t len))
{
	char *uri = inner_uri(v->uri, mine);
	int r = volume_open(&w->inner, uri, how, &v->err);

	free(uri);
	if (r != 0)
		return -1;
	v->size = volume_size(w->inner);
	v->limits = volume_limits(w->inner);
	v->wants_ids = volume_wants_ids(w->inner);
	v->work = x_strdup(volume_work(w->inner));
	v->resumes = volume_resumes(w->inner);
	v->write_only = !volume_readable(w->inner);
	v->priv = w;
	return 0;
}

static struct wrap *wrap_of(struct volume *v)
{
	return v->priv;
}

/* The inner volume's failure is ours. */
static int relay(struct volume *v, int r)
{
	struct err e = { 0 };

	if (volume_refused(r))
		volume_forgive(wrap_of(v)->inner, &e);
	else if (r < 0)
		volume_error(wrap_of(v)->inner, &e);
	pthread_mutex_lock(&v->lock);
	if (e.code && (!v->err.code || (volume_refused(-v->err.errnum) && !volume_refused(r))))
		v->err = e;
	pthread_mutex_unlock(&v->lock);
	return r;
}

void wrap_close(struct volume *v)
{
	(void)wrap_of(v)->before(v, WRAP_CLOSE, 0, 0);
	volume_close(wrap_of(v)->inner);
	free(v->priv);
}

int wrap_read(struct volume *v, void *p, size_t len, uint64_t off)
{
	int r = wrap_of(v)->before(v, WRAP_READ, off, len);

	return r != 0 ? r : relay(v, volume_read(wrap_of(v)->inner, p, len, off));
}

int wrap_write(struct volume *v, const void *p, size_t len, uint64_t off)
{
	int r = wrap_of(v)->before(v, WRAP_WRITE, off, len);

	return r != 0 ? r : relay(v, volume_write(wrap_of(v)->inner, p, len, off));
}

int wrap_zero(struct volume *v, uint64_t off, uint64_t len)
{
	int r = wrap_of(v)->before(v, WRAP_ZERO, off, len);

	return r != 0 ? r : relay(v, volume_zero(wrap_of(v)->inner, off, len));
}

int wrap_extents(struct volume *v, const char *since, uint64_t off, uint64_t len, struct extents *out)
{
	int r = wrap_of(v)->before(v, WRAP_EXTENTS, off, len);

	return r != 0 ? r : relay(v, volume_extents(wrap_of(v)->inner, since, off, len, out));
}

char *wrap_base_point(struct volume *v, const char *since)
{
	char *point = volume_base_point(wrap_of(v)->inner, since);

	(void)relay(v, point ? 0 : -1);
	return point;
}

int wrap_put(struct volume *v, struct volume_chunk *c)
{
	int r = wrap_of(v)->before(v, WRAP_WRITE, c->off, c->len);

	return r != 0 ? r : relay(v, volume_put(wrap_of(v)->inner, c));
}

int wrap_put_zero(struct volume *v, uint64_t off, uint64_t len, uint32_t epoch)
{
	int r = wrap_of(v)->before(v, WRAP_ZERO, off, len);

	return r != 0 ? r : relay(v, volume_put_zero(wrap_of(v)->inner, off, len, epoch));
}

int wrap_held(struct volume *v, uint64_t off, uint32_t len, const struct id *id)
{
	int r = wrap_of(v)->before(v, WRAP_HELD, off, len);

	return r != 0 ? r : relay(v, volume_held(wrap_of(v)->inner, off, len, id));
}

int wrap_ref(struct volume *v, uint64_t off, uint32_t len, const struct id *id, uint32_t epoch)
{
	int r = wrap_of(v)->before(v, WRAP_REF, off, len);

	return r != 0 ? r : relay(v, volume_ref(wrap_of(v)->inner, off, len, id, epoch));
}

int wrap_get_stored(struct volume *v, uint64_t off, uint32_t len, void *p, int *codec, size_t *stored_len)
{
	/* a read only if there is a stored form: else the plain read follows */
	int r = volume_get_stored(wrap_of(v)->inner, off, len, p, codec, stored_len);
	int hook = r == 1 ? wrap_of(v)->before(v, WRAP_READ, off, len) : 0;

	return hook != 0 ? hook : relay(v, r);
}

/* The inner volume is in the same group and is flushed as one of it. */
int wrap_flush(struct volume *v, uint32_t epoch)
{
	return wrap_of(v)->before(v, WRAP_FLUSH, epoch, 0);
}

char *wrap_point(struct volume *v, bool *frozen)
{
	char *point;

	if (wrap_of(v)->before(v, WRAP_POINT, 0, 0) != 0)
		return NULL;
	point = volume_point(wrap_of(v)->inner, frozen);
	(void)relay(v, point ? 0 : -1);
	return point;
}

int wrap_finalize(struct volume *v, const char *source_point, const struct id *source_root, struct volume_final *f)
{
	int r = wrap_of(v)->before(v, WRAP_FINALIZE, 0, 0);

	return r != 0 ? r : relay(v, volume_finalize(wrap_of(v)->inner, source_point, source_root, f));
}

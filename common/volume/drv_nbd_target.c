/* nbd: volumes, writing: one state only.  Nothing beside an export can say
 * what it holds, so a record is kept where record= names a file for it. */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "volume/drv_nbd.h"

struct nbdv_target {
	struct target_record record;
	bool full, begun, failed;
	pthread_mutex_t lock;
	struct iset *covered;	/* full iterations: bytes written or zeroed */
};

/* The export, however it is reached. */
static char *identity(const struct nbdv_vol *n)
{
	const struct nbdv_where *w = &n->where;

	return w->socket ? x_printf("nbd:%s:%" PRIu64 ":%s", w->socket, n->size, w->name) :
	    x_printf("nbd:%s:%s:%" PRIu64 ":%s", w->host, w->port, n->size, w->name);
}

static int check_base(struct volume *v, const struct volume_how *how)
{
	struct nbdv_vol *n = v->priv;
	const struct target_record *r = &n->target->record;
	char *now;
	bool same;

	if (how->full)
		return 0;
	if (!n->where.record)
		return err_set(&v->err, DM_NO, "%s: over NBD nothing says what it holds: name a record "
		    "of it (record=FILE), give --verify-base, or send a full iteration", v->uri);
	if (target_record_admit(r, n->where.record, v->uri, how, &v->err) != 0)
		return -1;
	now = identity(n);
	same = !strcmp(now, r->identity);
	free(now);
	return same ? 0 : err_set(&v->err, DM_NO, "%s: %s is the record of %s; name its own, give "
	    "--verify-base, or send a full iteration", v->uri, n->where.record, r->identity);
}

static int check_export(struct volume *v, const struct volume_how *how)
{
	const struct nbdv_vol *n = v->priv;

	if (n->read_only)
		return err_set(&v->err, DM_NO, "%s: the server exports it read-only", v->uri);
	if (n->size < how->size)
		return err_set(&v->err, DM_NO, "%s: has %" PRIu64 " bytes, the disk has %" PRIu64,
		    v->uri, n->size, how->size);
	if (!n->flushes && !n->can_fua && !n->where.synced)
		return err_set(&v->err, DM_NO, "%s: the server offers neither flush nor FUA, so nothing "
		    "written could be called durable; if it syncs by itself say sync=server", v->uri);
	v->size = how->size;
	return 0;
}

int nbdv_target_open(struct volume *v, const struct volume_how *how)
{
	struct nbdv_vol *n = v->priv;
	struct nbdv_target *t = x_alloc(sizeof(*t));

	n->target = t;
	n->wait = how->wait;
	t->full = how->full;
	pthread_mutex_init(&t->lock, NULL);
	if (check_export(v, how) != 0)
		return -1;
	if (n->where.record && target_record_load(n->where.record, &t->record, &v->err) != 0) {
		if (!how->full)
			return -1;
		v->err = (struct err){ 0 };	/* a full iteration replaces it */
	}
	if (check_base(v, how) != 0 && driver_unproved(v, how) != 0)
		return -1;
	target_record_step(&t->record, how);
	return 0;
}

void nbdv_target_close(struct nbdv_vol *n)
{
	struct nbdv_target *t = n->target;

	if (!t)
		return;
	target_record_free(&t->record);
	iset_free(t->covered);
	pthread_mutex_destroy(&t->lock);
	free(t);
}

/* Before the first byte: say durably that the export is between two states. */
static int begin(struct volume *v)
{
	struct nbdv_vol *n = v->priv;
	struct nbdv_target *t = n->target;
	struct err e = { 0 };
	int r = 0;

	pthread_mutex_lock(&t->lock);
	if (t->failed) {
		r = -EIO;
	} else if (!t->begun) {
		free(t->record.identity);
		t->record.identity = identity(n);
		if (n->where.record && target_record_save(n->where.record, &t->record, &e) != 0)
			r = volume_fail_err(v, &e);
		if (t->full)
			t->covered = iset_new();
		t->begun = r == 0;
		t->failed = r != 0;
	}
	pthread_mutex_unlock(&t->lock);
	return r;
}

/* Begin, and remember what a full iteration writes. */
static int claim(struct volume *v, uint64_t off, uint64_t len)
{
	struct nbdv_target *t = ((struct nbdv_vol *)v->priv)->target;
	int r = begin(v);

	if (r != 0 || !t->covered || !len)
		return r;
	pthread_mutex_lock(&t->lock);
	r = iset_cover(t->covered, off, len);
	pthread_mutex_unlock(&t->lock);
	return r == 0 ? 0 : volume_fail(v, ENOMEM, "write at %" PRIu64, off);
}

int nbdv_write(struct volume *v, const void *p, size_t len, uint64_t off)
{
	int r = claim(v, off, len);

	return r != 0 ? r : nbdv_put_bytes(v, p, len, off);
}

int nbdv_zero(struct volume *v, uint64_t off, uint64_t len)
{
	int r = claim(v, off, len);

	return r != 0 ? r : nbdv_put_zeros(v, off, len);
}

/* Its fragments, and zeros between them: the way to the server and back costs
 * once for all of them, not for each. */
int nbdv_put(struct volume *v, struct volume_chunk *c)
{
	struct nbdv_piece *piece;
	const uint8_t *p = c->plain;
	uint64_t at = 0;
	size_t k = 0;
	int r = 0;

	c->added = c->plain_len;
	if (!c->nfrags)
		return nbdv_write(v, p, c->len, c->off);
	piece = x_array(2 * c->nfrags + 1, sizeof(*piece));
	for (size_t i = 0; i < c->nfrags; i++) {
		const struct frag *f = &c->frag[i];

		if (c->rest_zero && f->off > at)
			piece[k++] = (struct nbdv_piece){ NULL, c->off + at, f->off - at };
		piece[k++] = (struct nbdv_piece){ p, c->off + f->off, f->len };
		p += f->len;
		at = (uint64_t)f->off + f->len;
	}
	if (c->rest_zero && at < c->len)
		piece[k++] = (struct nbdv_piece){ NULL, c->off + at, c->len - at };
	for (size_t i = 0; r == 0 && i < k; i++)
		r = claim(v, piece[i].off, piece[i].len);
	if (r == 0)
		r = nbdv_put_pieces(v, piece, k);
	free(piece);
	return r;
}

int nbdv_flush_all(struct volume *v, uint32_t epoch)
{
	struct nbdv_target *t = ((struct nbdv_vol *)v->priv)->target;
	int r = 0;

	(void)epoch;
	if (t->begun)
		r = nbdv_sync(v);
	if (r != 0) {
		pthread_mutex_lock(&t->lock);
		t->failed = true;
		pthread_mutex_unlock(&t->lock);
	}
	return r;
}

#define GAPS 64u	/* zeroed together */

/* Zero what of [off, off + len) the server does not call zero. */
static int zero_gap(struct volume *v, uint64_t off, uint64_t len)
{
	struct extents x = { 0 };
	int r = nbdv_extents(v, NULL, off, len, &x);
	struct nbdv_piece piece[GAPS];
	size_t k = 0;

	for (size_t i = 0; r == 0 && i < x.n; i++) {
		if (x.v[i].kind != EXT_ZERO)
			piece[k++] = (struct nbdv_piece){ NULL, x.v[i].off, x.v[i].len };
		if (k == GAPS || (k && i + 1 == x.n)) {
			r = nbdv_put_pieces(v, piece, k);
			k = 0;
		}
	}
	extents_free(&x);
	return r;
}

/* A full iteration: what it did not name reads as zeros. */
static int zero_rest(struct volume *v)
{
	struct nbdv_target *t = ((struct nbdv_vol *)v->priv)->target;
	uint64_t at = 0, first, n;
	int r = 0;

	while (r == 0 && t->covered && iset_gap(t->covered, at, v->size, &first, &n)) {
		n = min64(n, GIB(1));
		r = zero_gap(v, first, n);
		at = first + n;
	}
	return r;
}

int nbdv_finalize(struct volume *v, const char *source_point, const struct id *source_root,
    struct volume_final *f)
{
	struct nbdv_vol *n = v->priv;
	struct err e = { 0 };
	int r = begin(v);

	if (r == 0)
		r = zero_rest(v);
	if (r == 0)
		r = nbdv_flush_all(v, 0);
	if (r != 0)
		return r;
	target_record_done(&n->target->record, source_point, source_root, identity(n));
	if (n->where.record && target_record_save(n->where.record, &n->target->record, &e) != 0)
		return volume_fail_err(v, &e);
	f->has_root = source_root != NULL;
	if (source_root)
		f->root = *source_root;
	f->point = identity(n);
	return 0;
}

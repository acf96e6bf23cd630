#include "job/idtree.h"

#include <stdlib.h>

#include "base/bytes.h"
#include "job/session_want.h"
#include "repo/tree_grow.h"

struct idtree_disk {
	struct session_disk *state;	/* of the session */
	uint64_t size, base_size;
	struct tree *base;		/* empty for a full iteration */
	struct tree *partial;		/* what the target goes on with, or NULL */
	struct tree_grow *now;
	struct id cut;			/* the root of what is being flushed */
	bool based, base_partial;
	struct id from;			/* with `based' */
	_Atomic bool lost;		/* a chunk became unknown */
};

struct idtree {
	const struct hello *h;
	struct site *site;
	struct session *session;
	struct store *store;
	struct idtree_disk *disk;
};

/* --- opening ------------------------------------------------------------ */

static int check_site(const struct idtree *t, struct err *e)
{
	const struct site *s = t->site;

	if (t->h->chunk_size != s->chunk_size)
		return err_set(e, DM_NO, "%s keeps ids of chunks of %u bytes, the stream has %u: use "
		    "--chunk-size %u", s->path, s->chunk_size, t->h->chunk_size, s->chunk_size);
	if (t->h->algo != s->algo)
		return err_set(e, DM_NO, "%s identifies content by %s, the stream by %s", s->path,
		    id_algo_name(s->algo), id_algo_name(t->h->algo));
	return 0;
}

static int session_start(struct idtree *t, struct err *e)
{
	struct session want = { 0 };
	bool *partial = x_array(t->h->ndisks, sizeof(*partial));

	/* The session comes before the first look-up: prune waits for it. */
	if (session_want(t->site, t->h, true, &want, partial, e) > 0)
		t->session = session_begin(t->site, t->h->session, &want, e);
	for (uint32_t i = 0; i < t->h->ndisks; i++)
		t->disk[i].base_partial = partial[i];
	free(want.disk);
	free(partial);
	return t->session ? 0 : -1;
}

/* Without a base that has a tree, nothing is known of what stays as it is. */
static int disk_open(struct idtree *t, uint32_t i, struct err *e)
{
	struct idtree_disk *d = &t->disk[i];
	struct session_disk *sd = d->state = &t->session->disk[i];
	struct id from = { { 0 } };
	bool based = !sd->full;

	if (sd->has_base)
		from = sd->base;
	else if (based && tree_unknown(t->store, sd->size, &from, e))
		return -1;
	d->base = tree_open(t->store, based ? &from : NULL, e);
	if (!d->base)
		return -1;
	d->size = sd->size;
	d->base_size = based ? tree_size(d->base) : d->size;
	d->based = based;
	d->from = from;
	return 0;
}

const char *idtree_work(const struct idtree *t, uint32_t disk)
{
	const struct session_disk *sd = t->disk[disk].state;

	return sd->has_partial && *sd->work ? sd->work : NULL;
}

int idtree_target(struct idtree *t, uint32_t disk, const struct volume *v, struct err *e)
{
	struct idtree_disk *d = &t->disk[disk];
	struct session_disk *sd = d->state;

	sd->has_partial = sd->has_partial && volume_resumes(v);
	free(sd->work);
	sd->work = x_strdup(volume_work(v));
	if (sd->has_partial) {
		d->partial = tree_open(t->store, &sd->partial, e);
		if (!d->partial)
			return -1;
	}
	d->now = tree_grow_new(t->store, d->partial ? &sd->partial : d->based ? &d->from : NULL, d->size);
	return 0;
}

int idtree_start(struct idtree *t, struct err *e)
{
	return session_save(t->site, t->session, e);
}

struct idtree *idtree_open(const char *site, const struct hello *h, struct err *e)
{
	struct idtree *t = x_alloc(sizeof(*t));
	int rc = -1;

	t->h = h;
	t->disk = x_array(h->ndisks, sizeof(*t->disk));
	t->site = site_open(site, e);
	if (t->site && check_site(t, e) == 0 && session_start(t, e) == 0)
		t->store = store_open(t->site, STORE_WRITE, e);
	if (t->store)
		rc = 0;
	for (uint32_t i = 0; rc == 0 && i < h->ndisks; i++)
		rc = disk_open(t, i, e);
	if (rc == 0)
		return t;
	idtree_close(t);
	return NULL;
}

void idtree_close(struct idtree *t)
{
	if (!t)
		return;
	for (uint32_t i = 0; i < t->h->ndisks; i++) {
		tree_grow_free(t->disk[i].now);
		tree_close(t->disk[i].partial);
		tree_close(t->disk[i].base);
	}
	free(t->disk);
	if (t->store)
		store_close(t->store);
	session_close(t->session);
	site_close(t->site);
	free(t);
}

/* --- chunks ------------------------------------------------------------- */

static uint32_t chunk_len(const struct idtree *t, uint64_t size, uint64_t n)
{
	uint64_t off = n * t->h->chunk_size;

	return off < size ? (uint32_t)min64(t->h->chunk_size, size - off) : 0;
}

static int put(struct idtree *t, uint32_t disk, uint64_t off, uint32_t len, const struct id *leaf,
    struct err *e)
{
	struct id id;

	if (store_put_leaves(t->store, leaf, len, &id, e))
		return -1;
	return tree_grow_put(t->disk[disk].now, off / t->h->chunk_size, 1, &id, e);
}

int idtree_whole(struct idtree *t, uint32_t disk, uint64_t off, uint32_t len, const struct id *leaf,
    struct err *e)
{
	return put(t, disk, off, len, leaf, e);
}

int idtree_zero(struct idtree *t, uint32_t disk, uint64_t off, uint64_t len, struct err *e)
{
	static const struct id zero;
	uint32_t cs = t->h->chunk_size;

	return tree_grow_put(t->disk[disk].now, off / cs, div_up(len, cs), &zero, e);
}

int idtree_held(struct idtree *t, uint32_t disk, uint64_t off, uint32_t len, const struct id *id,
    struct err *e)
{
	struct idtree_disk *d = &t->disk[disk];
	uint64_t n = off / t->h->chunk_size;
	struct id have, base, unknown;

	if (!d->partial)
		return 0;
	if (tree_chunk(d->partial, n, &have, e) || tree_chunk(d->base, n, &base, e))
		return -1;
	id_chunk_unknown(t->h->algo, t->h->chunk_size, len, NULL, &unknown);
	if (id_equal(&have, &unknown))
		return 0;
	return id ? id_equal(&have, id) : !id_equal(&have, &base);
}

/* What becomes known of a chunk, leaf by leaf. */
struct patching {
	struct idtree *t;
	struct volume *v;
	uint64_t off;
	uint32_t len, step;
	uint8_t *buf;			/* a leaf */
	struct id leaf[LEAVES_MAX];
};

static int read_leaf(struct patching *p, unsigned i, struct err *e)
{
	uint32_t at = i * p->step, n = (uint32_t)min64(p->step, p->len - at);

	if (volume_read(p->v, p->buf, n, p->off + at) != 0)
		return volume_error(p->v, e);
	id_leaf(p->t->h->algo, p->buf, n, &p->leaf[i]);
	return 0;
}

/* Leaf ids of the base's chunk: 1; 0: they are not known. */
static int base_leaves(struct patching *p, struct idtree_disk *d, struct err *e)
{
	uint64_t n = p->off / p->t->h->chunk_size;
	struct err why = { 0 };
	struct id base;

	if (chunk_len(p->t, d->base_size, n) != p->len)
		return 0;
	if (tree_chunk(d->base, n, &base, e))
		return -1;
	if (store_tree_leaves(p->t->store, &base, p->len, p->leaf, &why) == 0)
		return !id_unknown(&p->leaf[0]);
	if (why.code != DM_ENV)
		return 0;	/* lost or damaged: then the chunk is read */
	*e = why;
	return -1;
}

/* The one fragment that gives all of a leaf, its bytes, or NULL. */
static const uint8_t *covering(const struct volume_chunk *c, uint32_t at, uint32_t n)
{
	const uint8_t *p = c->plain;

	for (size_t i = 0; i < c->nfrags; i++) {
		const struct frag *f = &c->frag[i];

		if (f->off <= at && (uint64_t)f->off + f->len >= (uint64_t)at + n)
			return p + (at - f->off);
		p += f->len;
	}
	return NULL;
}

static bool touched(const struct volume_chunk *c, uint32_t at, uint32_t n)
{
	for (size_t i = 0; i < c->nfrags; i++)
		if (c->frag[i].off < at + n && at < (uint64_t)c->frag[i].off + c->frag[i].len)
			return true;
	return false;
}

/* Zeros around the fragments: nothing is to be read. */
static void leaf_of_rest(struct patching *p, const struct volume_chunk *c, unsigned i)
{
	uint32_t at = i * p->step, n = (uint32_t)min64(p->step, p->len - at);
	const uint8_t *from = c->plain;

	memset(p->buf, 0, n);
	for (size_t k = 0; k < c->nfrags; k++) {
		const struct frag *f = &c->frag[k];
		uint64_t lo = max64(at, f->off), hi = min64((uint64_t)at + n, (uint64_t)f->off + f->len);

		if (lo < hi)
			memcpy(p->buf + (lo - at), from + (lo - f->off), hi - lo);
		from += f->len;
	}
	id_leaf(p->t->h->algo, p->buf, n, &p->leaf[i]);
}

/* 1; 0: it cannot be known, as the volume does not read. */
static int patch_leaves(struct patching *p, const struct volume_chunk *c, bool known, struct err *e)
{
	unsigned n = leaf_count(p->t->h->chunk_size, p->len);

	for (unsigned i = 0; i < n; i++) {
		uint32_t at = i * p->step, len = (uint32_t)min64(p->step, p->len - at);
		const uint8_t *all = covering(c, at, len);

		if (c->rest_zero)
			leaf_of_rest(p, c, i);
		else if (all)
			id_leaf(p->t->h->algo, all, len, &p->leaf[i]);
		else if (known && !touched(c, at, len))
			continue;
		else if (!volume_readable(p->v))
			return 0;
		else if (read_leaf(p, i, e))
			return -1;
	}
	return 1;
}

int idtree_patched(struct idtree *t, uint32_t disk, struct volume *v, const struct volume_chunk *c,
    uint8_t *buf, struct err *e)
{
	struct idtree_disk *d = &t->disk[disk];
	struct patching p = {
		.t = t, .v = v, .off = c->off, .len = c->len, .step = leaf_size(t->h->chunk_size), .buf = buf,
	};
	struct id none;
	int known = c->rest_zero ? 0 : base_leaves(&p, d, e);

	if (known >= 0)
		known = patch_leaves(&p, c, known, e);
	if (known < 0)
		return -1;
	if (!known) {
		d->lost = true;
		id_chunk_unknown(t->h->algo, t->h->chunk_size, c->len, p.leaf, &none);
	}
	return put(t, disk, c->off, c->len, p.leaf, e);
}

/* --- making it durable -------------------------------------------------- */

int idtree_cut(struct idtree *t, struct err *e)
{
	for (uint32_t i = 0; i < t->h->ndisks; i++)
		if (tree_grow_root(t->disk[i].now, &t->disk[i].cut, e))
			return -1;
	return 0;
}

int idtree_keep(struct idtree *t, uint32_t epoch, struct err *e)
{
	bool changed = false;

	if (store_flush(t->store, e))
		return -1;
	for (uint32_t i = 0; i < t->h->ndisks; i++) {
		struct session_disk *sd = t->disk[i].state;

		/* Only what can be gone on with is worth remembering. */
		if (!*sd->work || (sd->has_partial && id_equal(&sd->partial, &t->disk[i].cut)))
			continue;
		sd->has_partial = changed = true;
		sd->partial = t->disk[i].cut;
	}
	if (!changed)
		return 0;
	t->session->epoch = epoch;
	return session_save(t->site, t->session, e);
}

/* --- the end ------------------------------------------------------------ */

/* The disk was resized, and nothing came for the chunk at the end of the
 * shorter of the two states: it has another length now. */
static int settle_size(struct idtree *t, uint32_t disk, struct volume *v, struct err *e)
{
	struct idtree_disk *d = &t->disk[disk];
	uint64_t n = min64(d->size, d->base_size) / t->h->chunk_size;
	uint32_t old = chunk_len(t, d->base_size, n), len = chunk_len(t, d->size, n);
	struct volume_chunk c = { .off = n * t->h->chunk_size, .len = len };
	struct id root, id, base;
	struct tree *now;
	uint8_t *buf;
	int r = -1;

	if (!old || !len || old == len)
		return 0;
	if (tree_grow_root(d->now, &root, e))
		return -1;
	now = tree_open(t->store, &root, e);
	if (now)
		r = tree_chunk(now, n, &id, e) || tree_chunk(d->base, n, &base, e) ? -1 : 0;
	tree_close(now);
	if (r || id_zero(&base) || !id_equal(&id, &base))
		return r;
	buf = x_pages(leaf_size(t->h->chunk_size), e);
	r = buf ? idtree_patched(t, disk, v, &c, buf, e) : -1;
	free(buf);
	return r;
}

int idtree_root(struct idtree *t, uint32_t disk, struct volume *v, struct id *root, bool *partial,
    struct err *e)
{
	struct idtree_disk *d = &t->disk[disk];
	struct tree *now;
	int rc;

	if (settle_size(t, disk, v, e) || tree_grow_root(d->now, root, e))
		return -1;
	*partial = d->lost;
	if (d->lost || !d->base_partial)
		return 0;
	now = tree_open(t->store, root, e);
	rc = now ? tree_has_unknown(now, e) : -1;
	tree_close(now);
	*partial = rc > 0;
	return rc < 0 ? -1 : 0;
}

int idtree_final(struct idtree *t, uint32_t disk, const struct id *root, struct err *e)
{
	struct session_disk *sd = t->disk[disk].state;

	if (store_flush(t->store, e))
		return -1;
	sd->has_final = true;
	sd->final = *root;
	return session_save(t->site, t->session, e);
}

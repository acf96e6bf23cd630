/* Ids of chunks that came in part. */
#include "job/idtree_impl.h"

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

	if (idtree_chunk_len(p->t, d->base_size, n) != p->len)
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
		else if (c->whole_leaves & 1u << i)
			id_leaf(p->t->h->algo, c->whole + at, len, &p->leaf[i]);
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
	return idtree_whole(t, disk, c->off, c->len, p.leaf, e);
}

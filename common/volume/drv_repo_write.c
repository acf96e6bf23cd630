/* repo: as a target.  The new state of a disk is its base (or nothing) with
 * the chunks of the iteration put in their places: they are collected in
 * memory and merged into the tree at every flush. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "repo/tree_grow.h"
#include "volume/drv_repo_site.h"

struct repo_target {
	struct repo_site *at;
	struct session_disk *disk;	/* of the session */
	uint32_t cs;
	uint64_t size, base_size;
	struct tree *base;		/* empty for a full iteration */
	struct tree *partial, *resume;	/* of an interrupted one, or NULL */
	struct tree_grow *now;
	_Atomic uint64_t added;
};

/* --- opening */

static uint32_t chunk_len(const struct repo_target *t, uint64_t size, uint64_t n)
{
	uint64_t off = n * t->cs;

	return off < size ? (uint32_t)min64(t->cs, size - off) : 0;
}

static int open_trees(struct repo_target *t, struct err *e)
{
	const struct session_disk *d = t->disk;
	struct store *st = t->at->store;

	t->base = tree_open(st, d->has_base ? &d->base : NULL, e);
	if (!t->base)
		return -1;
	t->base_size = tree_size(t->base);
	if ((d->has_partial && !(t->partial = tree_open(st, &d->partial, e))) ||
	    (d->has_resume && !(t->resume = tree_open(st, &d->resume, e))))
		return -1;
	t->now = tree_grow_new(st, d->has_partial ? &d->partial : d->has_base ? &d->base : NULL, t->size);
	return 0;
}

static int target_fill(struct repo_target *t, struct volume *v, const struct uri *u, const struct volume_how *how,
    struct err *e)
{
	char *name;

	if (u->fragment)
		return err_set(e, DM_USAGE, "%s:%s#%s: a target is a site, without a checkpoint", u->scheme,
		    u->path, u->fragment);
	name = repo_site_name(u);
	t->at = repo_site_join(how->group, v->drv, name, how, e);
	free(name);
	if (!t->at)
		return -1;
	for (size_t i = 0; i < t->at->session->ndisks; i++)
		if (!strcmp(t->at->session->disk[i].name, how->disk))
			t->disk = &t->at->session->disk[i];
	if (!t->disk)
		return err_set(e, DM_USAGE, "disk %s is not in the iteration", how->disk);
	return open_trees(t, e);
}

int repo_target_open(struct volume *v, const struct uri *u, const struct volume_how *how)
{
	struct repo_target *t = x_alloc(sizeof *t);
	struct err e = { 0 };

	t->cs = how->chunk_size;
	t->size = how->size;
	v->priv = t;
	if (target_fill(t, v, u, how, &e)) {
		repo_target_close(v);
		return repo_failed(v, &e);
	}
	v->size = t->size;
	v->wants_ids = v->write_only = true;
	v->limits = (struct volume_limits){ .min = 1, .preferred = t->cs, .max = t->cs };
	return 0;
}

void repo_target_close(struct volume *v)
{
	struct repo_target *t = v->priv;

	tree_close(t->base);
	tree_close(t->partial);
	tree_close(t->resume);
	tree_grow_free(t->now);
	free(t);
	v->priv = NULL;
}

/* --- what an iteration brings */

static int put_whole(struct repo_target *t, struct volume_chunk *c, uint64_t n, const struct id *base,
    struct id *id, struct err *e)
{
	struct id leaf[LEAVES_MAX];
	struct store_chunk s = {
		.leaf = c->leaf ? c->leaf : leaf, .plain = c->plain, .len = c->len, .codec = c->codec,
		.stored = c->stored, .stored_len = c->stored_len, .base = base,
		.base_len = chunk_len(t, t->base_size, n), .chunk = n,
	};
	int algo = t->at->site->algo;

	if (c->leaf)
		id_chunk(algo, c->leaf, leaf_count(t->cs, c->len), &s.id);
	else
		id_content(algo, t->cs, c->plain, c->len, leaf, &s.id);
	if (c->id && !id_equal(c->id, &s.id))
		return err_set(e, DM_BAD, "disk %s at %llu: the content is not what its id says",
		    t->disk->name, (unsigned long long)c->off);
	*id = s.id;
	return store_put_chunk(t->at->store, &s, &c->added, e);
}

int repo_target_put(struct volume *v, struct volume_chunk *c)
{
	struct repo_target *t = v->priv;
	uint64_t n = c->off / t->cs;
	struct err e = { 0 };
	struct id base, id;
	int r;

	if (c->off % t->cs || c->len != chunk_len(t, t->size, n))
		return volume_fail(v, EBADMSG, "%u bytes at %llu are not one chunk", c->len, (unsigned long long)c->off);
	r = tree_chunk(t->base, n, &base, &e);
	if (!r && !c->nfrags) {
		r = put_whole(t, c, n, &base, &id, &e);
	} else if (!r) {
		if (c->rest_zero)
			memset(&base, 0, sizeof base);
		r = store_patch(t->at->store, &base, chunk_len(t, t->base_size, n), c->len, n, c->frag,
		    c->nfrags, c->plain, c->id, &id, &c->added, &e);
	}
	if (!r)
		r = tree_grow_put(t->now, n, 1, &id, &e);
	if (r)
		return repo_failed(v, &e);
	t->added += c->added;
	c->dedup = !c->added && !id_zero(&id);
	return 0;
}

int repo_target_put_zero(struct volume *v, uint64_t off, uint64_t len)
{
	static const struct id zero;
	struct repo_target *t = v->priv;
	struct err e = { 0 };

	if (off % t->cs || (len % t->cs && off + len != t->size))
		return volume_fail(v, EBADMSG, "%llu bytes at %llu are not whole chunks", (unsigned long long)len,
		    (unsigned long long)off);
	return tree_grow_put(t->now, off / t->cs, div_up(len, t->cs), &zero, &e) ? repo_failed(v, &e) : 0;
}

/* What `partial' holds is in the new state already: its tree is where the
 * iteration started from.  What only `resume' holds is taken if the id says
 * that it is the content wanted. */
int repo_target_held(struct volume *v, uint64_t off, const struct id *id)
{
	struct repo_target *t = v->priv;
	uint64_t n = off / t->cs;
	struct err e = { 0 };
	struct id have, base;

	if (t->partial) {
		if (tree_chunk(t->partial, n, &have, &e) || tree_chunk(t->base, n, &base, &e))
			return repo_failed(v, &e);
		if (id ? id_equal(&have, id) : !id_equal(&have, &base))
			return 1;
	}
	if (!t->resume || !id)
		return 0;
	if (tree_chunk(t->resume, n, &have, &e))
		return repo_failed(v, &e);
	if (!id_equal(&have, id))
		return 0;
	return tree_grow_put(t->now, n, 1, id, &e) ? repo_failed(v, &e) : 1;
}

int repo_target_ref(struct volume *v, uint64_t off, uint32_t len, const struct id *id)
{
	struct repo_target *t = v->priv;
	struct id leaf[LEAVES_MAX];
	struct err e = { 0 };
	int r;

	if (off % t->cs || len != chunk_len(t, t->size, off / t->cs))
		return volume_fail(v, EBADMSG, "%u bytes at %llu are not one chunk", len, (unsigned long long)off);
	r = store_has(t->at->store, id, &e);
	if (r < 0)
		return repo_failed(v, &e);
	/* It must be a chunk of this length, not just any record. */
	if (!r || store_leaves(t->at->store, id, len, leaf, &e))
		return e.code == DM_ENV ? repo_failed(v, &e) : 0;
	return tree_grow_put(t->now, off / t->cs, 1, id, &e) ? repo_failed(v, &e) : 1;
}

/* --- making it durable */

/* All of the group that write to this site; with its lock held. */
static int merge_members(struct volume_group *g, const struct driver *drv, struct repo_site *rs, bool *changed,
    struct err *e)
{
	for (size_t i = 0; i < g->n; i++) {
		struct repo_target *t = g->member[i]->priv;
		struct id root;

		if (g->member[i]->drv != drv || t->at != rs)
			continue;
		if (tree_grow_root(t->now, &root, e))
			return -1;
		if (!t->disk->has_partial || !id_equal(&t->disk->partial, &root)) {
			t->disk->has_partial = true;
			t->disk->partial = root;
			*changed = true;
		}
	}
	return 0;
}

static int flush_site(struct volume_group *g, const struct driver *drv, struct repo_site *rs, uint32_t epoch,
    struct err *e)
{
	bool changed = false;
	int r;

	pthread_mutex_lock(&rs->lock);
	r = merge_members(g, drv, rs, &changed, e);
	if (!r)
		r = store_flush(rs->store, e);
	if (!r && changed) {
		rs->session->epoch = epoch;
		r = session_save(rs->site, rs->session, e);
	}
	pthread_mutex_unlock(&rs->lock);
	return r;
}

int repo_target_flush(struct volume_group *g, const struct driver *drv, uint32_t epoch)
{
	struct repo_group *rg = g->shared;
	struct err e = { 0 };

	for (struct repo_site *rs = rg->sites; rs; rs = rs->next)
		if (flush_site(g, drv, rs, epoch, &e)) {
			for (size_t i = 0; i < g->n; i++)
				if (g->member[i]->drv == drv)
					return repo_failed(g->member[i], &e);
			return -EIO;
		}
	return 0;
}

/* The disk was resized, and nothing came for the chunk at the end of the
 * shorter of the two states: it gets the length it has now.  Not before the
 * end: in a partial state it would look as if it had come. */
static int settle_size(struct repo_target *t, struct err *e)
{
	uint64_t n = min64(t->size, t->base_size) / t->cs, added = 0;
	uint32_t old = chunk_len(t, t->base_size, n), new = chunk_len(t, t->size, n);
	struct id root, id, base;
	struct tree *now;
	int r;

	if (tree_grow_root(t->now, &root, e))
		return -1;
	now = tree_open(t->at->store, &root, e);
	r = now ? 0 : -1;
	if (!r)
		r = tree_chunk(now, n, &id, e) || tree_chunk(t->base, n, &base, e) ? -1 : 0;
	tree_close(now);
	if (r)
		return -1;
	if (!old || !new || old == new || id_zero(&base) || !id_equal(&id, &base))
		return 0;
	if (store_patch(t->at->store, &base, old, new, n, NULL, 0, NULL, NULL, &id, &added, e))
		return -1;
	t->added += added;
	return tree_grow_put(t->now, n, 1, &id, e);
}

/* Are all disks of the group that go to this site? */
static bool all_final(const struct volume *v)
{
	const struct repo_target *t = v->priv, *o;

	for (size_t i = 0; i < v->group->n; i++) {
		o = v->group->member[i]->priv;
		if (v->group->member[i]->drv == v->drv && o->at == t->at && !o->disk->has_final)
			return false;
	}
	return true;
}

static int finalize(const struct volume *v, const struct id *source_root, struct err *e)
{
	struct repo_target *t = v->priv;
	struct session_disk *d = t->disk;
	char want[80], have[80];
	int algo = t->at->site->algo;
	struct id root;

	if ((d->has_base && t->base_size != t->size && settle_size(t, e)) ||
	    tree_grow_root(t->now, &root, e))
		return -1;
	if (source_root && !id_equal(source_root, &root))
		return err_set(e, DM_NO, "disk %s: what was written is not what the source read: root %s, "
		    "the source says %s", d->name, id_format(algo, &root, have),
		    id_format(algo, source_root, want));
	if (store_flush(t->at->store, e))
		return -1;
	d->has_partial = d->has_final = true;
	d->partial = d->final = root;
	/* Once for all of them: it takes the time of a flush, and the barrier
	 * before the end has said durably what they hold. */
	return all_final(v) ? session_save(t->at->site, t->at->session, e) : 0;
}

int repo_target_finalize(struct volume *v, const struct id *source_root, struct volume_final *f)
{
	struct repo_target *t = v->priv;
	struct err e = { 0 };
	uint64_t all, others = 0;
	int r;

	pthread_mutex_lock(&t->at->lock);
	r = finalize(v, source_root, &e);
	/* Nodes and tables are no disk's own: who comes first bears them. */
	all = store_added(t->at->store);
	for (size_t i = 0; i < v->group->n; i++) {
		struct repo_target *o = v->group->member[i]->priv;

		if (o != t && v->group->member[i]->drv == v->drv && o->at == t->at && !o->disk->has_final)
			others += o->added;
	}
	f->stored = all - others > t->at->reported ? all - others - t->at->reported : 0;
	t->at->reported += f->stored;
	pthread_mutex_unlock(&t->at->lock);
	if (r)
		return repo_failed(v, &e);
	f->point = repo_point(t->at->site, &t->disk->final);
	f->has_root = true;
	f->root = t->disk->final;
	return 0;
}

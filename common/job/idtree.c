#include "job/idtree_impl.h"

#include <stdlib.h>

#include "job/session_want.h"

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

const uint8_t *idtree_site(const struct idtree *t)
{
	return t->site->id;
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

int idtree_whole(struct idtree *t, uint32_t disk, uint64_t off, uint32_t len, const struct id *leaf,
    struct err *e)
{
	struct id id;

	if (store_put_leaves(t->store, leaf, len, &id, e))
		return -1;
	return tree_grow_put(t->disk[disk].now, off / t->h->chunk_size, 1, &id, e);
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
	uint32_t old = idtree_chunk_len(t, d->base_size, n), len = idtree_chunk_len(t, d->size, n);
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

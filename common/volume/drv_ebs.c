/* ebs:SNAPSHOT - a snapshot of Amazon EBS as a source, and
 * ebs:new, ebs:PARENT - a new one, alone or on top of PARENT, as a target. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "volume/drv_ebs.h"

struct ebs_source {
	struct ebs_api api;
	struct ebs_reader *r;
	char *snapshot;
	uint64_t since_size;	/* of the snapshot that changes are asked since, 0: not asked yet */
	pthread_mutex_t lock;	/* of the page */
	struct ebs_page page;
	char *page_of;		/* the older snapshot, "" if none; NULL: no page */
};

#define PAGE_BLOCKS 10000u

static void source_close(struct volume *v)
{
	struct ebs_source *s = v->priv;

	ebs_reader_free(s->r);
	ebs_api_close(&s->api);
	ebs_page_free(&s->page);
	pthread_mutex_destroy(&s->lock);
	free(s->page_of);
	free(s->snapshot);
	free(s);
}

/* size=BYTES: a snapshot is whole GiB, the disk in it may be shorter. */
static int source_size(struct volume *v, const struct uri *u)
{
	struct ebs_source *s = v->priv;
	char *word = uri_query(u, "size");
	int rc = 0;

	v->size = ebs_reader_volume(s->r);
	if (word && size_parse(word, 1, v->size, &v->size) < 0)
		rc = err_set(&v->err, DM_USAGE, "%s: size=%s: a size up to that of the snapshot", v->uri, word);
	free(word);
	return rc;
}

static int source_open(struct volume *v, const struct uri *u)
{
	struct ebs_source *s = x_alloc(sizeof(*s));

	v->priv = s;
	pthread_mutex_init(&s->lock, NULL);
	s->snapshot = x_strdup(u->path);
	if (!ebs_id_valid(s->snapshot))
		err_set(&v->err, DM_USAGE, "%s: the name of a snapshot is needed: ebs:snap-...", v->uri);
	else if (ebs_api_open(&s->api, u, &v->err) == 0)
		s->r = ebs_reader_new(&s->api, s->snapshot, &v->err);
	if (s->r && source_size(v, u) == 0) {
		v->limits = (struct volume_limits){ 512, ebs_reader_block(s->r), CHUNK_MAX, EBS_PARALLEL / 2 };
		return 0;
	}
	err_prefix(&v->err, "%s", v->uri);
	source_close(v);
	return -1;
}

static int ebs_open(struct volume *v, const struct uri *u, const struct volume_how *how)
{
	return how->mode == VOL_READ ? source_open(v, u) : ebs_target_open(v, u, how);
}

static void ebs_close(struct volume *v)
{
	if (v->writable)
		ebs_target_close(v);
	else
		source_close(v);
}

/* What is asked for. */
struct piece {
	struct ebs_source *s;
	uint8_t *out;
	uint64_t off, end;
};

/* A part of a block: all of it is got. */
static int read_part(struct piece *p, uint64_t index, uint64_t from, uint64_t to, struct err *e)
{
	uint32_t size = ebs_reader_block(p->s->r);
	uint8_t *block = x_pages(size, e);
	bool has;
	int rc = block ? ebs_reader_get(p->s->r, index, block, &has, e) : -1;

	if (rc == 0)
		memcpy(p->out + (from - p->off), block + (from - index * size), to - from);
	free(block);
	return rc;
}

static int read_block(void *arg, uint64_t index, struct err *e)
{
	struct piece *p = arg;
	uint32_t size = ebs_reader_block(p->s->r);
	uint64_t from = max64(p->off, index * size), to = min64(p->end, (index + 1) * size);
	bool has;

	return to - from == size ? ebs_reader_get(p->s->r, index, p->out + (from - p->off), &has, e) :
	    read_part(p, index, from, to, e);
}

static int ebs_read(struct volume *v, void *out, size_t len, uint64_t off)
{
	struct ebs_source *s = v->priv;
	struct piece p = { s, out, off, off + len };
	struct err e = { 0 };
	uint32_t size;

	if (v->writable)
		return volume_fail(v, ENOTSUP, "a snapshot being written cannot be read");
	size = ebs_reader_block(s->r);
	return ebs_each(off / size, div_up(off + len, size), read_block, &p, &e) < 0 ? ebs_failed(v, &e) : 0;
}

/* ---- what is there, and what differs ---- */

struct range {
	uint64_t at, end;	/* what is not told yet */
	enum extent_kind gap;	/* what blocks that are not listed are */
	struct extents *out;
};

static void tell(struct range *g, uint64_t off, uint64_t len, enum extent_kind kind)
{
	uint64_t from = max64(off, g->at), to = min64(off + len, g->end);

	if (from >= to)
		return;
	extents_add(g->out, g->at, from - g->at, g->gap);
	extents_add(g->out, from, to - from, kind);
	g->at = to;
}

/* Ranges are asked for one after another, and are smaller than a page: the last
 * page is kept.  Locked. */
static const struct ebs_page *page_at(struct ebs_source *s, const char *first, uint64_t index, struct err *e)
{
	const char *name = first ? first : "";

	if (s->page_of && !strcmp(s->page_of, name) && s->page.from <= index && index < s->page.to)
		return &s->page;
	ebs_page_free(&s->page);
	free(s->page_of);
	s->page_of = NULL;
	s->page = (struct ebs_page){ .from = index, .block_size = ebs_reader_block(s->r) };
	if (!(!first && ebs_reader_known(s->r, index, &s->page)) &&
	    ebs_list(&s->api, s->snapshot, first, PAGE_BLOCKS, &s->page, e) < 0)
		return NULL;
	s->page_of = x_strdup(name);
	return &s->page;
}

static void tell_page(const struct ebs_page *p, struct range *g, uint32_t size)
{
	const struct ebs_block *b = ebs_page_find(p, g->at / size), *end = p->block + p->n;
	uint64_t to = p->to == UINT64_MAX ? g->end : min64(p->to * size, g->end);

	for (; b && b < end && g->at < g->end; b++)
		tell(g, b->index * size, size, b->token ? EXT_DATA : EXT_ZERO);
	if (to > g->at) {
		extents_add(g->out, g->at, to - g->at, g->gap);
		g->at = to;
	}
}

static int list_range(struct ebs_source *s, const char *first, struct range *g, struct err *e)
{
	uint32_t size = ebs_reader_block(s->r);
	int rc = 0;

	pthread_mutex_lock(&s->lock);
	while (rc == 0 && g->at < g->end) {
		const struct ebs_page *p = page_at(s, first, g->at / size, e);

		if (p)
			tell_page(p, g, size);
		rc = p ? 0 : -1;
	}
	pthread_mutex_unlock(&s->lock);
	return rc;
}

/* Where the older snapshot was shorter, the newer one's own blocks count. */
static int old_size(struct ebs_source *s, const char *since, struct err *e)
{
	struct ebs_page page = { .n = 0 };

	if (s->since_size)
		return 0;
	if (ebs_list(&s->api, since, NULL, 100, &page, e) < 0)
		return -1;
	s->since_size = page.volume;
	if (page.block_size != ebs_reader_block(s->r)) {
		ebs_page_free(&page);
		return err_set(e, DM_NO, "%s has blocks of another size", since);
	}
	ebs_page_free(&page);
	return 0;
}

static int ebs_extents(struct volume *v, const char *since, uint64_t off, uint64_t len, struct extents *out)
{
	struct ebs_source *s = v->priv;
	struct range g = { off, off + len, EXT_ZERO, out };
	uint64_t end = off + len;
	struct err e = { 0 };
	int rc = 0;

	if (v->writable)
		return volume_fail(v, ENOTSUP, "a snapshot being written cannot be read");
	if (since) {
		rc = old_size(s, since, &e);
		g.gap = EXT_SAME;
		g.end = max64(off, min64(end, s->since_size));
		if (rc == 0)
			rc = list_range(s, since, &g, &e);
		g.gap = EXT_ZERO;
		g.end = end;
	}
	if (rc == 0)
		rc = list_range(s, NULL, &g, &e);
	if (rc < 0 && since && e.code == DM_NO)
		return volume_fail(v, ESTALE, "changes since %s: %s", since, e.text);
	return rc < 0 ? ebs_failed(v, &e) : 0;
}

static char *ebs_base_point(struct volume *v, const char *since)
{
	if (ebs_id_valid(since))
		return x_strdup(since);
	volume_fail(v, ESTALE, "%s is no snapshot: --since snap-...", since);
	return NULL;
}

static char *ebs_point(struct volume *v, bool *frozen)
{
	const struct ebs_source *s = v->priv;

	*frozen = !v->writable;
	return x_strdup(v->writable ? "" : s->snapshot);
}

static int ebs_put_zero(struct volume *v, uint64_t off, uint64_t len, uint32_t epoch)
{
	(void)epoch;
	return ebs_target_put_zero(v, off, len);
}

static int ebs_held(struct volume *v, uint64_t off, uint32_t len, const struct id *id)
{
	(void)id;
	return ebs_target_held(v, off, len);
}

static int ebs_flush(struct volume *v, uint32_t epoch)
{
	(void)epoch;
	return ebs_target_flush(v);
}

static int ebs_finalize(struct volume *v, const char *source_point, const struct id *source_root,
    struct volume_final *f)
{
	(void)source_point;	/* a tag since the start */
	return ebs_target_finalize(v, source_root, f);
}

const struct driver drv_ebs = {
	.scheme = "ebs",
	.open = ebs_open,
	.close = ebs_close,
	.read = ebs_read,
	.extents = ebs_extents,
	.base_point = ebs_base_point,
	.put = ebs_target_put,
	.put_zero = ebs_put_zero,
	.held = ebs_held,
	.flush = ebs_flush,
	.point = ebs_point,
	.sweep = ebs_sweep,
	.finalize = ebs_finalize,
};

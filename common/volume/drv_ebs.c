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
};

static void source_close(struct volume *v)
{
	struct ebs_source *s = v->priv;

	ebs_reader_free(s->r);
	ebs_api_close(&s->api);
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

/* A part of a block: all of it is got. */
static int read_part(struct ebs_source *s, uint64_t index, uint32_t skip, uint8_t *p, size_t len, struct err *e)
{
	uint8_t *block = x_pages(ebs_reader_block(s->r), e);
	bool has;
	int rc = block ? ebs_reader_get(s->r, index, block, &has, e) : -1;

	if (rc == 0)
		memcpy(p, block + skip, len);
	free(block);
	return rc;
}

static int ebs_read(struct volume *v, void *out, size_t len, uint64_t off)
{
	struct ebs_source *s = v->priv;
	uint32_t size;
	struct err e = { 0 };
	uint8_t *p = out;
	bool has;
	int rc = 0;

	if (v->writable)
		return volume_fail(v, ENOTSUP, "a snapshot being written cannot be read");
	size = ebs_reader_block(s->r);
	while (rc == 0 && len > 0) {
		uint32_t skip = (uint32_t)(off % size);
		size_t n = min64(len, size - skip);

		rc = n == size ? ebs_reader_get(s->r, off / size, p, &has, &e) :
		    read_part(s, off / size, skip, p, n, &e);
		p += n;
		off += n;
		len -= n;
	}
	return rc < 0 ? ebs_failed(v, &e) : 0;
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

static int list_range(struct ebs_source *s, const char *first, struct range *g, struct err *e)
{
	uint32_t size = ebs_reader_block(s->r);

	while (g->at < g->end) {
		struct ebs_page page;

		if (ebs_list(&s->api, s->snapshot, first, g->at / size,
		    div_up(g->end - g->at, size) + 1, &page, e) < 0)
			return -1;
		for (size_t i = 0; i < page.n && g->at < g->end; i++)
			tell(g, page.block[i].index * size, size, page.block[i].token ? EXT_DATA : EXT_ZERO);
		if (page.to == UINT64_MAX) {
			extents_add(g->out, g->at, g->end - g->at, g->gap);
			g->at = g->end;
		} else if (page.to * size > g->at) {
			uint64_t to = min64(page.to * size, g->end);

			extents_add(g->out, g->at, to - g->at, g->gap);
			g->at = to;
		}
		ebs_page_free(&page);
	}
	return 0;
}

/* Where the older snapshot was shorter, the newer one's own blocks count. */
static int old_size(struct ebs_source *s, const char *since, struct err *e)
{
	struct ebs_page page;

	if (s->since_size)
		return 0;
	if (ebs_list(&s->api, since, NULL, 0, 100, &page, e) < 0)
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

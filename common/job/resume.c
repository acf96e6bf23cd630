#include <stdlib.h>

#include "job/resume.h"
#include "repo/catalog.h"
#include "repo/session.h"
#include "repo/site.h"
#include "repo/store.h"
#include "repo/tree.h"

struct resume_disk {
	struct tree *done;	/* NULL: nothing was written yet */
	struct tree *base;	/* NULL: the source moved on, so only ids tell */
};

struct resume {
	struct site *site;
	struct store *store;
	struct resume_disk *disk;
	uint32_t ndisks, chunk_size;
};

/* The stream's disks in the words of sessions; points into h.  1; 0 when the
 * site does not know a base, which dm-write will refuse; -1. */
static int want_fill(struct resume *r, struct session *want, const struct hello *h, struct err *e)
{
	want->workload = h->workload;
	want->ndisks = h->ndisks;
	want->disk = x_array(h->ndisks, sizeof *want->disk);
	for (uint32_t i = 0; i < h->ndisks; i++) {
		const struct disk *d = &h->disk[i];
		bool root = d->flags & DF_BASE_ROOT;
		struct session_disk *sd = &want->disk[i];
		int rc = 1;

		*sd = (struct session_disk){
			.name = d->name, .size = d->size, .block = d->block,
			.frozen = d->flags & DF_FROZEN, .has_base = root || *d->base_point,
			.base_point = d->base_point, .target_point = d->target_point,
		};
		sd->full = !sd->has_base;
		if (sd->has_base)
			rc = catalog_find_base(r->site, d->name, root ? &d->base_root : NULL,
			    d->base_point, &sd->base, e);
		if (rc <= 0)
			return rc;
	}
	return 1;
}

static int disk_open(struct resume *r, uint32_t i, const struct session_disk *sd, struct err *e)
{
	struct resume_disk *d = &r->disk[i];

	if (!sd->has_partial && !sd->has_resume)
		return 0;
	d->done = tree_open(r->store, sd->has_partial ? &sd->partial : &sd->resume, e);
	if (!d->done)
		return -1;
	if (!sd->has_partial)
		return 0;
	d->base = tree_open(r->store, sd->has_base ? &sd->base : NULL, e);
	return d->base ? 0 : -1;
}

/* 0 or -1 with *e. */
static int session_open(struct resume *r, const struct hello *h, struct err *e)
{
	struct session want = { .fd = -1 }, *se = NULL;
	int rc = want_fill(r, &want, h, e);

	if (rc > 0)
		se = session_find(r->site, &want, e);
	free(want.disk);
	if (rc < 0 || (rc > 0 && !se && e->code))
		return -1;
	rc = 0;
	for (uint32_t i = 0; se && !rc && i < h->ndisks; i++)
		rc = disk_open(r, i, &se->disk[i], e);
	session_close(se);
	return rc;
}

struct resume *resume_open(const char *site, const struct hello *h, struct err *e)
{
	struct resume *r = x_alloc(sizeof *r);

	r->ndisks = h->ndisks;
	r->chunk_size = h->chunk_size;
	r->disk = x_array(h->ndisks, sizeof *r->disk);
	r->site = site_open(site, e);
	if (!r->site)
		goto err0;
	if (r->site->chunk_size != h->chunk_size || r->site->algo != h->algo)
		return r;	/* other chunks: nothing can be held; dm-write judges */
	r->store = store_open(r->site, STORE_READ, e);
	if (r->store && session_open(r, h, e) == 0)
		return r;
err0:
	resume_close(r);
	return NULL;
}

void resume_close(struct resume *r)
{
	if (!r)
		return;
	for (uint32_t i = 0; i < r->ndisks; i++) {
		if (r->disk[i].done)
			tree_close(r->disk[i].done);
		if (r->disk[i].base)
			tree_close(r->disk[i].base);
	}
	free(r->disk);
	if (r->store)
		store_close(r->store);
	if (r->site)
		site_close(r->site);
	free(r);
}

int resume_classify(struct resume *r, uint32_t disk, const struct entry *en, struct err *e)
{
	struct resume_disk *d = &r->disk[disk];
	uint64_t n = en->off / r->chunk_size;
	struct id done, base;

	if (!d->done)
		return FT_DESC;
	if (tree_chunk(d->done, n, &done, e) < 0)
		return -1;
	if (en->flags & EF_ID)
		return id_equal(&en->id, &done) ? FT_HELD : FT_DESC;
	if (!d->base)
		return FT_DESC;
	if (tree_chunk(d->base, n, &base, e) < 0)
		return -1;
	return id_equal(&done, &base) ? FT_DESC : FT_HELD;
}

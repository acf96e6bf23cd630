#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "job/resume.h"
#include "job/session_want.h"
#include "repo/catalog.h"
#include "repo/session.h"
#include "repo/site.h"
#include "repo/store.h"
#include "repo/tree.h"
#include "volume/target_journal.h"

struct resume_disk {
	struct tree *done;	/* NULL: nothing was written yet */
	struct tree *base;	/* NULL: the source moved on, so only ids tell */
	struct id unknown[2];	/* a chunk of which nothing is known, and the tail */
	struct target_journal *journal;	/* of a target outside of the store, or NULL */
	bool journaled;		/* it is one that keeps journals */
};

struct resume {
	struct site *site;
	struct store *store;
	struct resume_disk *disk;
	uint32_t ndisks, chunk_size;
};

static int disk_open(struct resume *r, uint32_t i, const struct session_disk *sd, struct err *e)
{
	struct resume_disk *d = &r->disk[i];

	if (!sd->has_partial && !sd->has_resume)
		return 0;
	id_chunk_unknown(r->site->algo, r->chunk_size, r->chunk_size, NULL, &d->unknown[0]);
	id_chunk_unknown(r->site->algo, r->chunk_size, (uint32_t)(sd->size % r->chunk_size), NULL, &d->unknown[1]);
	d->done = tree_open(r->store, sd->has_partial ? &sd->partial : &sd->resume, e);
	if (!d->done)
		return -1;
	if (!sd->has_partial)
		return 0;
	d->base = tree_open(r->store, sd->has_base ? &sd->base : NULL, e);
	return d->base ? 0 : -1;
}

/* The session of content that goes into the store, or to targets elsewhere;
 * NULL with e->code 0: none. */
static struct session *session_of(struct resume *r, const struct hello *h, bool outside, struct err *e)
{
	struct session want = { .fd = -1 }, *se = NULL;

	if (session_want(r->site, h, outside, &want, NULL, e) > 0)
		se = session_find(r->site, &want, e);
	free(want.disk);
	return se;
}

/* 0 or -1 with *e. */
static int session_open(struct resume *r, const struct hello *h, struct err *e)
{
	struct session *se = session_of(r, h, false, e);
	bool outside = !se;
	int rc = 0;

	if (!se && !e->code)
		se = session_of(r, h, true, e);
	if (e->code)
		return -1;
	/* Ids alone do not say that a snapshot being made still has what they are of. */
	for (uint32_t i = 0; se && !rc && i < h->ndisks; i++)
		if (!outside || !r->disk[i].journaled || r->disk[i].journal)
			rc = disk_open(r, i, &se->disk[i], e);
	session_close(se);
	return rc;
}

/* Targets outside of the store leave journals, open/WORKLOAD=DISK. */
static int journals_open(struct resume *r, const struct hello *h, struct err *e)
{
	for (uint32_t i = 0; i < h->ndisks; i++) {
		const struct disk *d = &h->disk[i];
		bool root = d->flags & DF_BASE_ROOT;
		const struct journal_step s = { .base_point = d->base_point, .target_point = d->target_point,
			.base_root = root ? &d->base_root : NULL,
			.full = h->kind != KIND_INCREMENTAL || (!root && !*d->base_point),
			.frozen = d->flags & DF_FROZEN, .algo = h->algo, .size = d->size,
			.chunk_size = h->chunk_size };
		char *path = x_printf("%s/open/%s=%s", r->site->path, h->workload, d->name);

		r->disk[i].journal = journal_read(path, &s, e);
		r->disk[i].journaled = access(path, F_OK) == 0;
		free(path);
		if (e->code)
			return -1;
	}
	return 0;
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
	if (journals_open(r, h, e) < 0)
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
		journal_close(r->disk[i].journal);
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
	int has;

	if (d->journal) {
		/* And its ids must have been kept, or dm-write would refuse it. */
		has = journal_has_chunk(d->journal, n, e);
		if (has <= 0)
			return has < 0 ? -1 : FT_DESC;
	}
	if (!d->done)
		return FT_DESC;
	if (tree_chunk(d->done, n, &done, e) < 0)
		return -1;
	if (id_equal(&done, &d->unknown[0]) || (!id_zero(&done) && id_equal(&done, &d->unknown[1])))
		return FT_DESC;
	if (en->flags & EF_ID)
		return id_equal(&en->id, &done) ? FT_HELD : FT_DESC;
	if (!d->base)
		return FT_DESC;
	if (tree_chunk(d->base, n, &base, e) < 0)
		return -1;
	return id_equal(&done, &base) ? FT_DESC : FT_HELD;
}

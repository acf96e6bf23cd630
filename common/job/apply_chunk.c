/* One chunk of dm-write: decode, verify, put, acknowledge. */
#include "job/apply_impl.h"

#include <errno.h>
#include <stdlib.h>

#include "base/timefmt.h"

int apply_worker_init(struct apply_worker *w, const struct apply *a, struct err *e)
{
	*w = (struct apply_worker){0};
	w->codec = codec_new();
	if (!w->codec)
		return err_set(e, DM_ENV, "out of memory");
	w->plain = x_pages(a->hello.chunk_size, e);
	if (w->plain && a->ids)
		w->again = x_pages(leaf_size(a->hello.chunk_size), e);
	if (w->again)
		w->whole = x_pages(a->hello.chunk_size, e);
	return w->plain && (w->whole || !a->ids) ? 0 : -1;
}

void apply_worker_free(struct apply_worker *w)
{
	codec_free(w->codec);
	free(w->plain);
	free(w->again);
	free(w->whole);
}

static const char *disk_name(const struct apply *a, const struct apply_job *j)
{
	return a->hello.disk[j->disk].name;
}

/* The plain bytes of the job's pieces, or NULL with *e. */
static const uint8_t *decode(struct apply *a, struct apply_worker *w, struct apply_job *j, struct err *e)
{
	const struct chunk *c = &j->c;

	if (c->codec == CODEC_RAW)
		return c->data;
	if (codec_unpack(w->codec, c->codec, c->data, c->stored, w->plain, c->plain, e) < 0) {
		err_prefix(e, "input: disk %s at %llu", disk_name(a, j),
		    (unsigned long long)c->en.off);
		return NULL;
	}
	return w->plain;
}

/* Hash a whole chunk and compare with what its entry claims. */
static int identify(struct apply *a, struct apply_worker *w, struct apply_job *j,
    const uint8_t *plain, struct id *id, struct err *e)
{
	const struct entry *en = &j->c.en;
	const struct disk *d = &a->hello.disk[j->disk];
	unsigned n = leaf_count(a->hello.chunk_size, (uint32_t)en->len);

	id_content(a->hello.algo, a->hello.chunk_size, plain, (uint32_t)en->len, w->leaf, id);
	if ((en->flags & EF_ID) && !id_equal(id, &en->id))
		return err_set(e, DM_NO, d->flags & DF_FROZEN ?
		    "disk %s at %llu: the content is not what its id says: the source is damaged" :
		    "disk %s at %llu: changed while being read: read a snapshot or a clone",
		    d->name, (unsigned long long)en->off);
	if ((en->flags & EF_LEAVES) &&
	    (en->nleaves != n || memcmp(en->leaf, w->leaf, n * sizeof(w->leaf[0]))))
		return err_set(e, DM_BAD, "input: disk %s at %llu: leaf ids that do not fit the chunk's",
		    d->name, (unsigned long long)en->off);
	return 0;
}

static int put_chunk(struct apply *a, struct apply_worker *w, struct apply_job *j,
    struct volume_chunk *v, struct err *e)
{
	const struct entry *en = &j->c.en;
	struct apply_disk *d = &a->disk[j->disk];
	bool whole = !(en->flags & EF_FRAGS);
	struct apply_patience p;
	struct id id;
	int rc, again;

	*v = (struct volume_chunk){
		.off = en->off, .len = (uint32_t)en->len, .epoch = j->epoch,
		.frag = whole ? NULL : en->frag, .nfrags = whole ? 0 : en->nfrags,
		.rest_zero = en->flags & EF_REST_ZERO,
		.plain_len = j->c.plain, .codec = j->c.codec,
		.stored = j->c.data, .stored_len = j->c.stored,
		.id = en->flags & EF_ID ? &en->id : NULL,
		.whole = a->ids && !volume_readable(d->vol) ? w->whole : NULL,
	};
	v->plain = decode(a, w, j, e);
	if (!v->plain)
		return -1;
	if (whole && (d->wants_ids || (en->flags & EF_ID))) {
		if (identify(a, w, j, v->plain, &id, e) < 0)
			return -1;
		v->id = &id;	/* cppcheck-suppress autoVariables */
		v->leaf = w->leaf;
	}
	apply_patience(&p);
	do {
		rc = volume_put(d->vol, v);
		again = apply_again(a, j, &p, rc, e);
	} while (again > 0);
	v->id = NULL;	/* it was ours */
	if (again < 0)
		return -1;
	if (rc < 0)
		return volume_error(d->vol, e);
	if (!a->ids)
		return 0;
	return whole ? idtree_whole(a->ids, j->disk, v->off, v->len, w->leaf, e) :
	    idtree_patched(a->ids, j->disk, d->vol, v, w->again, e);
}

/* Zero needs an entry that says something about all of the chunk. */
static int put_zero(struct apply *a, struct apply_job *j, struct err *e)
{
	const struct entry *en = &j->c.en;
	struct volume *v = a->disk[j->disk].vol;
	struct apply_patience p;
	int rc, again;

	if ((en->flags & EF_FRAGS) && !(en->flags & (EF_REST_ZERO | EF_ZERO)))
		return err_set(e, DM_BAD, "input: disk %s at %llu: zero beside content that is not told",
		    disk_name(a, j), (unsigned long long)en->off);
	apply_patience(&p);
	do {
		rc = volume_put_zero(v, en->off, en->len, j->epoch);
		again = apply_again(a, j, &p, rc, e);
	} while (again > 0);
	if (again < 0)
		return -1;
	if (rc < 0)
		return volume_error(v, e);
	return a->ids ? idtree_zero(a->ids, j->disk, en->off, en->len, e) : 0;
}

/* Does the target really hold what an interrupted iteration is said to have
 * left there? */
static int check_held(struct apply *a, struct apply_job *j, struct err *e)
{
	const struct entry *en = &j->c.en;
	struct volume *v = a->disk[j->disk].vol;
	const struct id *id = en->flags & EF_ID ? &en->id : NULL;
	uint64_t end = en->off + en->len;
	int rc;

	for (uint64_t off = en->off; off < end; off += a->hello.chunk_size) {
		uint32_t len = (uint32_t)min64(end - off, a->hello.chunk_size);

		rc = a->ids ? idtree_held(a->ids, j->disk, off, len, id, e) : 1;
		if (rc < 0)
			return -1;
		if (rc)
			rc = volume_held(v, off, len, id);
		if (rc < 0)
			return volume_error(v, e);
		if (!rc)
			return err_set(e, DM_NO, "disk %s at %llu: said to be here from an "
			    "interrupted iteration, but it is not", disk_name(a, j),
			    (unsigned long long)off);
	}
	return 0;
}

/* 1: linked; 0: the target does not have it (any more). */
static int put_ref(struct apply *a, struct apply_job *j, struct err *e)
{
	const struct entry *en = &j->c.en;
	struct volume *v = a->disk[j->disk].vol;
	int rc;

	if (!(en->flags & EF_ID) || (en->flags & EF_RUN))
		return err_set(e, DM_BAD, "input: disk %s at %llu: a reference without an id",
		    disk_name(a, j), (unsigned long long)en->off);
	rc = volume_ref(v, en->off, (uint32_t)en->len, &en->id, j->epoch);
	return rc < 0 ? volume_error(v, e) : rc;
}

/* WRITTEN, and the books that END is made from. */
static int acknowledge(struct apply *a, struct apply_job *j, uint8_t how, int64_t since,
    const struct volume_chunk *v, struct err *e)
{
	struct written w = { .how = how, .en = j->c.en };
	struct frame_out *o;
	int rc = 0;

	w.service_us = (uint32_t)min64((uint64_t)(time_mono() - since) / 1000, UINT32_MAX);
	pthread_mutex_lock(&a->done_lock);
	tally_add(&a->written, j->disk, &w.en, a->hello.chunk_size);
	a->disk[j->disk].added += v->added;
	a->disk[j->disk].dedup += v->dedup ? v->plain_len : 0;
	acks_written(a->acks, a->written.bytes);
	if (a->how->progress)
		progress_set(a->how->progress, a->written.bytes, 0, NULL);
	o = acks_begin(a->acks);
	if (o) {
		rc = written_put(o, j->disk, j->epoch, &w, e);
		acks_end(a->acks);
	}
	pthread_mutex_unlock(&a->done_lock);
	return rc;
}

int apply_do(struct apply *a, struct apply_worker *w, struct apply_job *j, struct err *e)
{
	int64_t since = time_mono();
	struct volume_chunk v = {0};
	uint8_t how = HOW_DATA;
	int rc;

	apply_doing(j);
	switch (j->type) {
	case FT_CHUNK:
		rc = put_chunk(a, w, j, &v, e);
		break;
	case FT_ZERO:
		how = HOW_ZERO;
		rc = put_zero(a, j, e);
		break;
	case FT_HELD:
		how = HOW_HELD;
		rc = check_held(a, j, e);
		break;
	default:
		how = HOW_REF;
		rc = put_ref(a, j, e);
		if (rc == 0)
			return apply_nak(a, j, &(struct nak){ .index = j->c.en.index, .cls = CLASS_PERMANENT,
			    .again = 1 }, e) < 0 ? -1 : 1;
		break;
	}
	return rc < 0 ? -1 : acknowledge(a, j, how, since, &v, e);
}

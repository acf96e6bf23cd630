/* Appending records and making them durable.
 *
 * The order of a flush is the store's promise: records, fdatasync of their
 * packs, rename, fsync of the directory, index.  Full packs are sealed and
 * synced by a thread of their own as soon as they are full, so that a flush
 * finds little left to wait for. */
#include "repo/store_write.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "repo/store_priv.h"

#define KICK_STEP (8u << 20)	/* writeback starts each so many bytes */
#define PENDING_MAX (1u << 17)	/* records; beyond, a put flushes */

int store_fail(struct store *st, const struct err *why)
{
	pthread_mutex_lock(&st->lock);
	if (!st->failed) {
		st->failed = true;
		st->why = *why;
	}
	pthread_cond_broadcast(&st->change);
	pthread_mutex_unlock(&st->lock);
	return -1;
}

/* With the lock held. */
static int refuse(struct store *st, struct err *e)
{
	if (!st->failed)
		return 0;
	if (!e->code)
		*e = st->why;
	return -1;
}

int store_usable(struct store *st, struct err *e)
{
	int r;

	pthread_mutex_lock(&st->lock);
	r = refuse(st, e);
	pthread_mutex_unlock(&st->lock);
	return r;
}

void store_sync_job(void *job, void *arg)
{
	struct store *st = arg;
	struct opack *o = job;
	struct err e = { 0 };

	if (pack_seal(st->site, o->out, &e) || pack_sync(st->site, o->out, &e))
		store_fail(st, &e);
	else
		atomic_fetch_add(&st->added, o->out->n * PACK_ENTRY + PACK_HEADER + PACK_TRAILER);
	pthread_mutex_lock(&st->lock);
	o->done = true;
	pthread_cond_broadcast(&st->change);
	pthread_mutex_unlock(&st->lock);
}

/* Take no more records; true: nobody writes to it any more, so the caller
 * gives it to the syncer.  With the lock held. */
static bool begin_close(struct opack *o)
{
	if (o->closing)
		return false;
	o->closing = true;
	return !o->out->writing;
}

/* A place for the record in the current pack; a full one is closed and comes
 * out as *full when it is ready for the syncer. */
static struct opack *reserve(struct store *st, const struct record *r, uint32_t *off, struct opack **full,
    struct err *e)
{
	struct opack *o = NULL, *fresh = NULL;
	struct pack_out *out;

	*full = NULL;
	pthread_mutex_lock(&st->lock);
	while (!o) {
		if (refuse(st, e))
			break;
		o = st->open && !st->open->closing ? st->open : NULL;
		if (o && o->out->size + RECORD_HEADER + r->stored > PACK_TARGET) {
			if (begin_close(o))
				*full = o;
			o = NULL;
		}
		if (!o && fresh) {
			fresh->next = st->open;
			o = st->open = fresh;
			fresh = NULL;
		}
		if (o)
			break;
		/* Making a file takes a while: others may go on reading. */
		pthread_mutex_unlock(&st->lock);
		out = pack_create(st->site, st->prefix, e);
		if (out) {
			fresh = x_alloc(sizeof *fresh);
			*fresh = (struct opack){ .out = out, .refs = 1 };
		}
		pthread_mutex_lock(&st->lock);
		if (!out)
			break;
	}
	if (o) {
		*off = pack_reserve(o->out, r);
		o->out->writing++;
	}
	pthread_mutex_unlock(&st->lock);
	if (fresh) {
		pack_out_free(st->site, fresh->out);
		free(fresh);
	}
	return o;
}

/* The record is written: it can be found now.  Returns whether its pack was
 * waiting for this to be sealed; *from, *to: what writeback shall start on. */
static bool settle(struct store *st, struct opack *o, const struct record *r, uint32_t off, uint64_t *from,
    uint64_t *to)
{
	struct pack_entry en = {
		.id = r->id, .off = off, .len = RECORD_HEADER + r->stored, .plain = r->plain,
		.type = r->type, .codec = r->codec, .depth = r->depth, .tier = r->tier,
	};
	bool ready;

	*from = *to = 0;
	pthread_mutex_lock(&st->lock);
	pending_put(&st->pending, &en, o);
	o->out->writing--;
	ready = o->closing && !o->out->writing;
	if (!st->site->objects && !o->closing && off + en.len >= o->out->kicked + KICK_STEP) {
		*from = o->out->kicked;
		*to = o->out->kicked = off + en.len;
		o->refs++;
	}
	pthread_mutex_unlock(&st->lock);
	return ready;
}

static void unref(struct store *st, struct opack *o)
{
	struct loc l = { .in = o };

	store_release(st, &l);
}

/* Too many records wait for the index: memory is bounded here. */
static int drain_if_full(struct store *st, struct err *e)
{
	size_t n;

	pthread_mutex_lock(&st->lock);
	n = st->pending.n;
	pthread_mutex_unlock(&st->lock);
	return n > PENDING_MAX ? store_flush(st, e) : 0;
}

/* Header and body, as they are stored. */
static int append(struct store *st, const struct record *r, struct iovec *iov, int n, uint64_t *added,
    struct err *e)
{
	struct opack *o, *full;
	uint64_t from, to;
	uint32_t off;
	int res;

	o = reserve(st, r, &off, &full, e);
	if (full)
		pool_give(st->syncer, full);
	if (!o)
		return -1;
	res = pack_write(o->out, off, iov, n, e);
	if (res)
		store_fail(st, e);	/* its place in the pack holds nothing */
	if (settle(st, o, r, off, &from, &to))
		pool_give(st->syncer, o);
	if (to > from) {
		/* Only a hint: what fails here fails again in fdatasync. */
		sync_file_range(o->out->fd, (off64_t)from, (off64_t)(to - from), SYNC_FILE_RANGE_WRITE);
		unref(st, o);
	}
	if (res)
		return -1;
	*added = RECORD_HEADER + r->stored;
	atomic_fetch_add(&st->added, *added);
	return drain_if_full(st, e);
}

int store_append(struct store *st, struct record *r, const struct iovec *body, int n, uint64_t *added,
    struct err *e)
{
	uint8_t head[RECORD_HEADER];
	struct iovec iov[8];
	struct record stored = *r;
	struct buf sealed = { 0 };
	int res;

	if (st->mode != STORE_WRITE)
		return err_set(e, DM_ENV, "%s was opened for reading", st->site->path);
	r->stored = 0;
	iov[0] = (struct iovec){ head, sizeof head };
	for (int i = 0; i < n; i++) {
		r->stored += (uint32_t)body[i].iov_len;
		iov[i + 1] = body[i];
	}
	if (!st->site->sealed) {
		record_encode(r, body, n, head);
		return append(st, r, iov, n + 1, added, e);
	}
	res = crypt_record_seal(st->site, &stored, body, n, &sealed, e);
	iov[0] = (struct iovec){ sealed.p, sealed.len };
	if (!res)
		res = append(st, &stored, iov, 1, added, e);
	buf_free(&sealed);
	return res;
}

static bool not_indexed(const struct opack *o)
{
	return !o->indexed;
}

/* Close the current pack and wait until all that are closed are synced.
 * v: they, oldest first, n of them; the caller's. */
static int close_all(struct store *st, struct opack ***v, size_t *n, struct err *e)
{
	struct opack *last, *o;
	bool give;
	int r;

	*v = NULL;
	*n = 0;
	pthread_mutex_lock(&st->lock);
	last = st->open;
	give = last && begin_close(last);
	pthread_mutex_unlock(&st->lock);
	if (give)
		pool_give(st->syncer, last);
	pthread_mutex_lock(&st->lock);
	for (o = last; o; o = o->next)
		while (!o->done && !st->failed)
			pthread_cond_wait(&st->change, &st->lock);
	r = refuse(st, e);
	for (o = last; !r && o; o = o->next)
		++*n;
	*v = x_array(*n + 1, sizeof **v);
	for (size_t i = *n; i; i--, last = last->next)
		(*v)[i - 1] = last;
	pthread_mutex_unlock(&st->lock);
	return r;
}

static int publish(struct store *st, struct opack **v, size_t n, struct err *e)
{
	struct pack_out **out = x_array(n, sizeof *out);
	struct index_new *new = x_array(n, sizeof *new);
	int r = 0;

	for (size_t i = 0; i < n && !r; i++) {
		out[i] = v[i]->out;
		r = pack_publish(st->site, out[i], e);
		memcpy(new[i].id, out[i]->id, PACK_ID);
		new[i].size = out[i]->size;
		new[i].v = out[i]->v;
		new[i].n = out[i]->n;
	}
	if (!r)
		r = pack_sync_dirs(st->site, out, n, e);
	if (!r)
		r = index_add(st->index, new, n, false, e);
	free(new);
	free(out);
	return r;
}

/* The packs are in the index: forget their records, and them once nobody
 * reads from them. */
static void retire(struct store *st, struct opack **v, size_t n)
{
	struct opack **p;

	pthread_mutex_lock(&st->lock);
	for (size_t i = 0; i < n; i++)
		v[i]->indexed = true;
	pending_filter(&st->pending, not_indexed);
	for (p = &st->open; *p;) {
		if ((*p)->indexed)
			*p = (*p)->next;
		else
			p = &(*p)->next;
	}
	pthread_mutex_unlock(&st->lock);
	for (size_t i = 0; i < n; i++)
		unref(st, v[i]);
}

int store_flush(struct store *st, struct err *e)
{
	struct opack **v;
	size_t n;
	int r;

	pthread_mutex_lock(&st->flush_lock);
	r = close_all(st, &v, &n, e);
	if (!r && n) {
		r = publish(st, v, n, e);
		if (r)
			store_fail(st, e);
		else
			retire(st, v, n);
	}
	free(v);
	pthread_mutex_unlock(&st->flush_lock);
	return r;
}

/* The store's frame: opening, look-ups, reading records. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "repo/blocks.h"
#include "repo/chain.h"
#include "repo/store_priv.h"
#include "repo/store_write.h"

/* Threads that put packs into an object store. */
#define SENDERS 4u

struct store *store_open(struct site *s, enum store_mode mode, struct err *e)
{
	struct store *st = x_alloc(sizeof *st);

	st->site = s;
	st->mode = mode;
	pthread_mutex_init(&st->lock, NULL);
	pthread_mutex_init(&st->flush_lock, NULL);
	pthread_cond_init(&st->change, NULL);
	pack_cache_init(&st->cache);
	if (getrandom(&st->prefix, 1, 0) != 1) {
		err_sys(e, DM_ENV, errno, "getrandom");
		goto fail;
	}
	if (mode == STORE_WRITE && pack_clean(s, e))
		goto fail;
	st->index = index_open(s, e);
	if (!st->index)
		goto fail;
	if (mode == STORE_WRITE && !(st->syncer = pool_new(s->objects ? SENDERS : 1, 4, store_sync_job, st, e)))
		goto fail;
	return st;
fail:
	store_close(st);
	return NULL;
}

static void work_free(struct work *w)
{
	if (!w)
		return;
	codec_free(w->codec);
	free(w->rec);
	free(w->now);
	free(w->old);
	free(w->packed);
	free(w);
}

void store_close(struct store *st)
{
	struct opack *o;
	struct work *w;

	if (!st)
		return;
	if (st->syncer)
		pool_free(st->syncer);
	while ((o = st->open)) {
		st->open = o->next;
		pack_out_free(st->site, o->out);
		free(o);
	}
	while ((w = st->idle)) {
		st->idle = w->next;
		work_free(w);
	}
	pending_free(&st->pending);
	index_close(st->index);
	pack_cache_free(&st->cache);
	pthread_cond_destroy(&st->change);
	pthread_mutex_destroy(&st->flush_lock);
	pthread_mutex_destroy(&st->lock);
	free(st);
}

struct work *work_get(struct store *st, struct err *e)
{
	struct work *w;

	pthread_mutex_lock(&st->lock);
	w = st->idle;
	if (w)
		st->idle = w->next;
	pthread_mutex_unlock(&st->lock);
	if (w)
		return w;
	w = x_alloc(sizeof *w);
	w->codec = codec_new();
	w->rec = x_pages(RECORD_HEADER + RECORD_BODY_MAX, e);
	w->now = x_pages(CHUNK_MAX, e);
	w->old = x_pages(CHUNK_MAX, e);
	w->packed = x_pages(codec_bound(CHUNK_MAX), e);
	if (w->codec && w->rec && w->now && w->old && w->packed)
		return w;
	work_free(w);
	return NULL;
}

void work_put(struct store *st, struct work *w)
{
	if (!w)
		return;
	pthread_mutex_lock(&st->lock);
	w->next = st->idle;
	st->idle = w;
	pthread_mutex_unlock(&st->lock);
}

struct site *store_site(const struct store *st)
{
	return st->site;
}

uint64_t store_added(const struct store *st)
{
	return atomic_load(&((struct store *)st)->added);
}

static bool find_pending(struct store *st, const struct id *name, struct loc *l)
{
	const struct pending_slot *s;

	pthread_mutex_lock(&st->lock);
	s = pending_find(&st->pending, name);
	if (s) {
		l->in = s->in;
		l->in->refs++;
		l->en = (struct index_entry){
			.off = s->en.off, .len = s->en.len, .plain = s->en.plain, .type = s->en.type,
			.codec = s->en.codec, .depth = s->en.depth, .tier = s->en.tier,
		};
	}
	pthread_mutex_unlock(&st->lock);
	return s;
}

int store_known(struct store *st, const struct id *id, bool *doomed, struct err *e)
{
	struct index_entry en;
	struct id name;
	bool pending;
	int r;

	*doomed = false;
	crypt_id(st->site, id, &name);
	pthread_mutex_lock(&st->lock);
	pending = pending_find(&st->pending, &name);
	pthread_mutex_unlock(&st->lock);
	if (pending)
		return 1;
	r = index_find(st->index, &name, &en, e);
	if (r > 0 && !en.doomed && en.type == REC_OVERLAY) {
		r = chain_stands(st, id, e);
		*doomed = r == 0;
	} else if (r > 0 && en.doomed) {
		*doomed = true;
		r = 0;
	}
	return r;
}

int64_t store_warm(struct store *st, const struct id *v, size_t n)
{
	struct id *name = x_array(n + 1, sizeof(*name));
	int64_t ns;

	for (size_t i = 0; i < n; i++)
		crypt_id(st->site, &v[i], &name[i]);
	ns = index_warm(st->index, name, n);
	free(name);
	return ns;
}

int store_has(struct store *st, const struct id *id, struct err *e)
{
	bool doomed;

	return store_known(st, id, &doomed, e);
}

/* What was found, as a plain site would have it. */
static int found(struct store *st, const struct id *id, struct loc *l)
{
	uint32_t more = crypt_overhead(st->site, l->en.type);

	l->id = *id;
	l->disk_len = l->en.len;
	/* A shorter one is damaged, which shows when it is opened. */
	l->en.len = l->en.len < RECORD_HEADER + more ? RECORD_HEADER : l->en.len - more;
	return 1;
}

/* A pack may vanish between the look-up and the opening: prune moved its
 * records, and the index knows where. */
int store_locate(struct store *st, const struct id *id, struct loc *l, struct err *e)
{
	struct err why = { 0 };
	struct id name;
	int r;

	*l = (struct loc){ .pack = NULL };
	if (st->site->sealed && !st->site->crypt)
		return site_locked(st->site, e);
	crypt_id(st->site, id, &name);
	for (int attempt = 0; attempt < 3; attempt++) {
		why = (struct err){ 0 };
		if (find_pending(st, &name, l))
			return found(st, id, l);
		r = index_find(st->index, &name, &l->en, e);
		/* In an object store another machine may have put it there. */
		if (r == 0 && st->site->objects && attempt == 0) {
			if (index_refresh(st->site, st->index, e))
				return -1;
			continue;
		}
		if (r <= 0)
			return r;
		l->pack = pack_cache_get(&st->cache, st->site, st->index, l->en.pack, &why);
		if (l->pack)
			return found(st, id, l);
		if (why.code != DM_NO)
			break;
	}
	*e = why;
	if (e->code == DM_NO)
		e->code = DM_BAD;	/* the index promises what is not there */
	return -1;
}

void store_release(struct store *st, struct loc *l)
{
	bool last = false;

	if (l->in) {
		pthread_mutex_lock(&st->lock);
		last = !--l->in->refs;
		pthread_mutex_unlock(&st->lock);
		if (last) {
			pack_out_free(st->site, l->in->out);
			free(l->in);
		}
	} else if (l->pack) {
		pack_cache_put(&st->cache, l->pack);
	}
	free(l->opened);
	l->opened = NULL;
	l->in = NULL;
	l->pack = NULL;
}

/* Another machine's prune has moved the record meanwhile: its bytes are what
 * they were.  0: *l is where they are now; -1 with *e. */
static int locate_again(struct store *st, struct loc *l, struct err *e)
{
	struct loc now;
	struct id id = l->id;

	if (index_refresh(st->site, st->index, e))
		return -1;
	if (store_locate(st, &id, &now, e) != 1)
		return store_unknown(st, &id, e);
	if (now.disk_len != l->disk_len || now.en.type != l->en.type || now.en.depth != l->en.depth) {
		store_release(st, &now);
		return err_set(e, DM_ENV, "%s: a record has changed while it was being read", st->site->path);
	}
	now.opened = l->opened;
	l->opened = NULL;
	store_release(st, l);
	*l = now;
	return 0;
}

static int pread_pending(struct store *st, const struct loc *l, uint32_t off, void *p, uint32_t len, struct err *e)
{
	ssize_t n = fd_pread_full(l->in->out->fd, p, len, (uint64_t)l->en.off + off);

	if (n < 0)
		return err_sys(e, DM_ENV, errno, "%s: read a pack", st->site->path);
	if ((uint32_t)n < len)
		return err_set(e, DM_BAD, "%s: a pack is cut short", st->site->path);
	return 0;
}

static int pread_record(struct store *st, struct loc *l, uint32_t off, void *p, uint32_t len, struct err *e)
{
	struct err why = { 0 };

	if (l->in)
		return pread_pending(st, l, off, p, len, e);
	if (pack_pread(l->pack, p, len, (uint64_t)l->en.off + off, &why) == 0)
		return 0;
	if (why.code == DM_NO && locate_again(st, l, e) == 0)
		return pack_pread(l->pack, p, len, (uint64_t)l->en.off + off, e) ? err_prefix(e, "%s", st->site->path) : 0;
	if (!e->code)
		*e = why;
	return err_prefix(e, "%s", st->site->path);
}

/* All of a sealed record is needed to believe any of it. */
static int open_record(struct store *st, struct loc *l, struct err *e)
{
	uint32_t len = l->disk_len;
	uint8_t *p = x_try(len, 1, e);

	if (p && pread_record(st, l, 0, p, len, e) == 0 &&
	    crypt_record_open(st->site, &l->id, p, &len, e) == 0 && len == l->en.len) {
		l->opened = p;
		return 0;
	}
	free(p);
	err_set(e, DM_BAD, "a record has a wrong length");
	return err_prefix(e, "%s", st->site->path);
}

int store_pread(struct store *st, struct loc *l, uint32_t off, void *p, uint32_t len, struct err *e)
{
	if (off > l->en.len || len > l->en.len - off)
		return err_set(e, DM_BAD, "%s: a record is shorter than its content", st->site->path);
	if (!st->site->sealed)
		return pread_record(st, l, off, p, len, e);
	if (!l->opened && open_record(st, l, e) < 0)
		return -1;
	memcpy(p, l->opened + off, len);
	return 0;
}

bool store_again(struct store *st, struct err *e)
{
	if (!st->site->blocks || e->code != DM_BAD)
		return false;
	blocks_forget(st->site->blocks);
	*e = (struct err){ 0 };
	return true;
}

int store_unknown(struct store *st, const struct id *id, struct err *e)
{
	char text[80];

	return err_set(e, DM_NO, "%s: %s is not there", st->site->path, id_format(st->site->algo, id, text));
}

int store_record(struct store *st, const struct id *id, enum record_type type, bool check, uint8_t *buf,
    struct record *r, struct err *e)
{
	struct err bad = { 0 };
	struct loc l;
	char text[80];
	int res = store_locate(st, id, &l, e);

	if (res <= 0)
		return res ? -1 : store_unknown(st, id, e);
	res = store_pread(st, &l, 0, buf, l.en.len, e);
	if (!res && (record_decode(buf, r, &bad) || !id_equal(&r->id, id) || r->type != type ||
	    r->stored != l.en.len - RECORD_HEADER ||
	    (check && !record_intact(buf, buf + RECORD_HEADER, r->stored))))
		res = err_set(e, DM_BAD, "%s: the record of %s is damaged", st->site->path,
		    id_format(st->site->algo, id, text));
	store_release(st, &l);
	return res;
}

/* The second phase of prune: packs without anything that is needed go, packs
 * that are mostly dead or small are written anew, as their bytes are. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "repo/index_priv.h"
#include "repo/prune_priv.h"

#define ROWS 4096u
#define LIVE_PERCENT 70u		/* packs with less are written anew */
#define SMALL (16u << 20)		/* packs under this are merged */
#define WALK 1000000u			/* entries that are walked in the time a pack is written */
#define ROOM_MIN (4ull * PACK_TARGET)	/* with less room packs go as soon as they can */

struct pack_use {
	struct index_pack pack;
	uint64_t live;		/* bytes of records that stay */
	uint64_t dead;		/* records to be deleted */
	bool rewrite, gone;
};

struct sweep {
	struct prune *p;
	const struct mark *m;
	struct pack_use *use;	/* by ordinal of the pack, ascending */
	size_t n;
	uint64_t rows;		/* of the index */
	struct pack_out *out;	/* NULL: none begun */
	uint64_t written;	/* packs, since some were removed */
	uint8_t *buf;		/* one record */
	uint32_t *gone;		/* ordinals of packs to remove, see finish */
	size_t ngone;
};

/* --- what is where ------------------------------------------------------ */

static struct pack_use *use_of(struct sweep *w, uint32_t ordinal)
{
	size_t i = BELOW(w->use, w->n, pack.ordinal, ordinal);

	return i < w->n && w->use[i].pack.ordinal == ordinal ? &w->use[i] : NULL;
}

/* Packs that are whole in the index.  Of one that is just being added not all
 * records are known yet: it is left alone. */
static int list_packs(struct sweep *w, struct err *e)
{
	struct index_pack *v;
	size_t n;

	if (index_packs(w->p->st->index, &v, &n, e))
		return -1;
	w->use = x_array(n + 1, sizeof(*w->use));
	w->gone = x_array(n + 1, sizeof(*w->gone));
	for (size_t i = 0; i < n; i++)
		if (v[i].complete)
			w->use[w->n++].pack = v[i];
	free(v);
	return 0;
}

static int count_rows(struct sweep *w, struct err *e)
{
	struct index_row *row = x_try(ROWS, sizeof(*row), e);
	struct id after = { { 0 } };
	size_t n;
	int rc;

	if (!row)
		return -1;
	do {
		rc = index_rows(w->p->st->index, &after, row, ROWS, &n, e);
		w->rows += n;
		for (size_t i = 0; rc == 0 && i < n; i++) {
			struct pack_use *u = use_of(w, row[i].en.pack);

			if (u && prune_deletable(w->m, &row[i].en))
				u->dead++;
			else if (u)
				u->live += row[i].en.len;
		}
	} while (rc == 0 && n);
	free(row);
	return rc;
}

/* What of a pack is records, and not its frame or table. */
static uint64_t record_bytes(const struct index_pack *p)
{
	uint64_t frame = PACK_HEADER + PACK_TRAILER + (uint64_t)p->records * PACK_ENTRY;

	return p->size > frame ? p->size - frame : 0;
}

static void choose(struct sweep *w)
{
	size_t mix = 0;

	for (size_t i = 0; i < w->n; i++) {
		struct pack_use *u = &w->use[i];

		u->rewrite = u->live * 100 < record_bytes(&u->pack) * LIVE_PERCENT || !u->live;
		mix += u->live && (u->rewrite || u->pack.size < SMALL);
	}
	/* A small one alone has nothing to be merged with. */
	for (size_t i = 0; mix > 1 && i < w->n; i++)
		w->use[i].rewrite |= w->use[i].pack.size < SMALL;
}

/* --- removing packs ----------------------------------------------------- */

/* The environment on disk must be the one we change: a rebuild would make
 * another from the packs, with what we are about to remove. */
static int check_index(struct sweep *w, struct err *e)
{
	const struct index *ix = w->p->st->index;
	struct stat st;

	if (stat(w->p->site->index_path, &st))
		return err_sys(e, DM_ENV, errno, "%s", w->p->site->index_path);
	if (st.st_dev == ix->dev && st.st_ino == ix->ino)
		return 0;
	return err_set(e, DM_ENV, "the index was rebuilt meanwhile: run prune again");
}

/* Does the index point to no record in them that is still needed? */
static int check_empty(struct sweep *w, struct err *e)
{
	struct index_row *row = x_try(ROWS, sizeof(*row), e);
	struct id after = { { 0 } };
	size_t n = 1;
	int rc = row ? 0 : -1;

	for (size_t i = 0; i < w->ngone; i++)
		use_of(w, w->gone[i])->gone = true;
	while (rc == 0 && n) {
		rc = index_rows(w->p->st->index, &after, row, ROWS, &n, e);
		for (size_t i = 0; rc == 0 && i < n; i++) {
			const struct pack_use *u = use_of(w, row[i].en.pack);

			if (u && u->gone && !prune_deletable(w->m, &row[i].en))
				rc = err_set(e, DM_ENV, "a pack that was to be removed is in use again: run prune again");
		}
	}
	free(row);
	return rc;
}

/* Files go before their entries, so that nobody who looks for packs the index
 * lacks takes them in again; the lock keeps out who is doing that now. */
static int unlink_gone(struct sweep *w, struct err *e)
{
	bool dir[256] = { false };
	char name[32];

	for (size_t i = 0; i < w->ngone; i++) {
		struct pack_use *u = use_of(w, w->gone[i]);

		if (lease_still(w->p->site->turn, e) || pack_unlink(w->p->site, u->pack.id, e))
			return -1;
		dir[u->pack.id[0]] = true;
		w->p->report->freed += (int64_t)u->pack.size;
		w->p->report->packs_removed++;
		w->p->report->deleted += u->dead;
	}
	for (unsigned k = 0; k < 256; k++) {
		snprintf(name, sizeof(name), "chunks/packs/%02x", k);
		if (dir[k] && !w->p->site->objects && durable_dir(w->p->site->dir, name, e))
			return -1;
	}
	return index_drop_packs(w->p->st->index, w->gone, w->ngone, e);
}

static int remove_gone(struct sweep *w, struct err *e)
{
	int fd, rc;

	if (w->ngone == 0)
		return 0;
	fd = index_lock(w->p->site, LOCK_EXCLUSIVE, e);
	if (fd < 0)
		return -1;
	rc = check_index(w, e) || check_empty(w, e) || index_settle(w->p->st->index, e) || unlink_gone(w, e);
	fd_close(fd);
	w->ngone = 0;
	w->written = 0;
	return rc ? -1 : 0;
}

/* To remove packs the whole index is walked: not for each one that was written
 * when that takes longer than to write it, as long as there is room. */
static bool remove_now(const struct sweep *w)
{
	struct statvfs f;

	if (w->written > w->rows / WALK)
		return true;
	return !w->p->site->objects && (fstatvfs(w->p->site->dir, &f) || (uint64_t)f.f_bavail * f.f_frsize < ROOM_MIN);
}

/* --- writing anew ------------------------------------------------------- */

static int out_begin(struct sweep *w, struct err *e)
{
	uint8_t prefix;

	if (w->out)
		return 0;
	if (getrandom(&prefix, 1, 0) != 1)
		return err_sys(e, DM_ENV, errno, "getrandom");
	w->out = pack_create(w->p->site, prefix, e);
	return w->out ? 0 : -1;
}

/* Publish what was copied and point the index at it. */
static int out_finish(struct sweep *w, struct err *e)
{
	struct pack_out *o = w->out;
	struct index_new new;
	int rc;

	if (!o)
		return 0;
	if (pack_seal(w->p->site, o, e) || pack_sync(w->p->site, o, e) || pack_publish(w->p->site, o, e) ||
	    pack_sync_dirs(w->p->site, &o, 1, e))
		return -1;
	new = (struct index_new){ .size = o->size, .v = o->v, .n = o->n };
	memcpy(new.id, o->id, PACK_ID);
	w->p->report->freed -= (int64_t)o->size;
	rc = index_add(w->p->st->index, &new, 1, true, e);
	pack_out_free(w->p->site, o);
	w->out = NULL;
	w->written++;
	return rc ? -1 : 0;
}

/* Is this record of the pack the one the index points to, and needed? */
static int needed(struct sweep *w, const struct pack_use *u, const struct pack_entry *en,
    struct err *e)
{
	struct index_entry now;
	int rc = index_find(w->p->st->index, &en->id, &now, e);

	if (rc <= 0)
		return rc;
	return now.pack == u->pack.ordinal && now.off == en->off && !prune_deletable(w->m, &now);
}

static int by_off(const void *a, const void *b)
{
	const struct pack_entry *x = a, *y = b;

	return (x->off > y->off) - (x->off < y->off);
}

/* Copy what is needed.  1 done; 0 the pack is damaged and stays; -1. */
static int copy_records(struct sweep *w, const struct pack_use *u, struct pack_in *in,
    const struct pack_entry *v, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		struct err why = { 0 };
		struct record r;
		int rc = needed(w, u, &v[i], e);

		if (rc < 0)
			return -1;
		if (rc == 0)
			continue;
		if (pack_record(in, &v[i], w->buf, &r, &why)) {
			*e = why.code == DM_BAD ? *e : why;
			return why.code == DM_BAD ? 0 : -1;
		}
		if (out_begin(w, e) || pack_append(w->out, w->buf, v[i].len, e))
			return -1;
	}
	return 1;
}

/* Copy a pack.  1 done; 0 it stays as it is; -1. */
static int copy_pack(struct sweep *w, const struct pack_use *u, struct err *e)
{
	struct pack_entry *v = NULL;
	struct err why = { 0 };
	uint64_t size;
	bool damaged;
	size_t n;
	struct pack_in *in = pack_open(w->p->site, u->pack.id, u->pack.size, &why);
	int rc = -1;

	if (in && pack_read(w->p->site, in, u->pack.id, &v, &n, &size, &damaged, &why) == 0) {
		if (n)
			qsort(v, n, sizeof(*v), by_off);
		rc = damaged ? 0 : copy_records(w, u, in, v, n, e);
	} else if (why.code == DM_BAD || why.code == DM_NO) {
		rc = 0;		/* verify tells what is lost with it */
	} else {
		*e = why;
	}
	free(v);
	pack_close(in);
	return rc;
}

/* Entries of dead records in packs that stay. */
static int forget_dead(struct sweep *w, struct err *e)
{
	struct index_row *row = x_try(ROWS, sizeof(*row), e);
	struct id *dead = x_try(ROWS, sizeof(*dead), e), after = { { 0 } };
	size_t n = 1, k;
	int rc = row && dead ? 0 : -1;

	while (rc == 0 && n) {
		rc = index_rows(w->p->st->index, &after, row, ROWS, &n, e);
		k = 0;
		for (size_t i = 0; rc == 0 && i < n; i++)
			if (prune_deletable(w->m, &row[i].en))
				dead[k++] = row[i].id;
		if (rc == 0 && k)
			rc = index_reap(w->p->st->index, dead, k, e);
		w->p->report->deleted += k;
	}
	free(dead);
	free(row);
	return rc;
}

/* First what needs no room of its own. */
static int remove_empty(struct sweep *w, struct err *e)
{
	for (size_t i = 0; i < w->n; i++)
		if (!w->use[i].live)
			w->gone[w->ngone++] = w->use[i].pack.ordinal;
	return remove_gone(w, e);
}

static int rewrite(struct sweep *w, struct err *e)
{
	for (size_t i = 0; i < w->n; i++) {
		struct pack_use *u = &w->use[i];
		int rc;

		if (!u->rewrite || !u->live)
			continue;
		rc = copy_pack(w, u, e);
		if (rc < 0)
			return -1;
		if (rc == 0) {
			w->p->report->packs_skipped++;
			continue;
		}
		w->p->report->packs_rewritten++;
		w->gone[w->ngone++] = u->pack.ordinal;
		if (!w->out || w->out->size < PACK_TARGET)
			continue;
		if (out_finish(w, e) || (remove_now(w) && remove_gone(w, e)))
			return -1;
	}
	return out_finish(w, e) || remove_gone(w, e) ? -1 : 0;
}

int prune_sweep(struct prune *p, const struct mark *m, struct err *e)
{
	struct sweep w = { .p = p, .m = m };
	int rc = -1;

	w.buf = x_pages(RECORD_HEADER + RECORD_BODY_MAX, e);
	if (!w.buf || list_packs(&w, e) || count_rows(&w, e))
		goto out;
	choose(&w);
	rc = remove_empty(&w, e) || rewrite(&w, e) || forget_dead(&w, e) ? -1 : 0;
	/* What was doomed is gone. */
	p->report->doomed = p->report->doomed_bytes = 0;
out:
	pack_out_free(p->site, w.out);
	free(w.gone);
	free(w.use);
	free(w.buf);
	return rc;
}

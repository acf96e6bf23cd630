#include "job/verify_outside.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/pool.h"
#include "base/uri.h"
#include "repo/session.h"
#include "repo/tree.h"
#include "volume/volume.h"

#define JOB_BYTES MIB(4)
#define STEP_BYTES GIB(1)	/* passed over at once where it is a hole */

struct reading {
	const struct site *site;
	struct volume *v;
	struct tree *tree;
	uint64_t size;
	struct id unknown, unknown_tail;
	struct progress *progress;
	pthread_mutex_t lock;		/* of all below */
	uint64_t done, differ, first;
	struct err failed;		/* of the volume, or of the store (DM_ENV) */
};

struct job {
	uint64_t off, len;
};

/* --- one stretch of a disk ---------------------------------------------- */

static bool is_hole(const struct extents *x, uint64_t off, uint64_t len)
{
	for (size_t i = 0; i < x->n; i++)
		if (x->v[i].kind == EXT_DATA && x->v[i].off < off + len && off < x->v[i].off + x->v[i].len)
			return false;
	return true;
}

static void note_difference(struct reading *r, uint64_t off)
{
	pthread_mutex_lock(&r->lock);
	r->first = r->differ ? min64(r->first, off) : off;
	r->differ++;
	pthread_mutex_unlock(&r->lock);
}

static int compare_chunk(struct reading *r, uint64_t off, const struct extents *x, uint8_t *buf, struct err *e)
{
	uint32_t cs = r->site->chunk_size, len = (uint32_t)min64(cs, r->size - off);
	struct id want, is = { { 0 } };

	if (tree_chunk(r->tree, off / cs, &want, e))
		return -1;
	if (id_equal(&want, &r->unknown) || (len < cs && id_equal(&want, &r->unknown_tail)))
		return 0;
	if (!is_hole(x, off, len)) {
		if (volume_read(r->v, buf, len, off) != 0)
			return volume_error(r->v, e);
		id_content(r->site->algo, cs, buf, len, NULL, &is);
	}
	if (!id_equal(&is, &want))
		note_difference(r, off);
	return 0;
}

static void run_job(void *job, void *arg)
{
	struct reading *r = arg;
	struct job *j = job;
	struct extents x = { 0 };
	struct err e = { 0 };
	uint8_t *buf = x_pages(r->site->chunk_size, &e);
	int rc = buf ? 0 : -1;

	pthread_mutex_lock(&r->lock);
	rc |= r->failed.code;
	pthread_mutex_unlock(&r->lock);
	if (rc == 0 && volume_extents(r->v, NULL, j->off, j->len, &x) != 0)
		rc = volume_error(r->v, &e);
	for (uint64_t at = j->off; rc == 0 && at < j->off + j->len; at += r->site->chunk_size)
		rc = compare_chunk(r, at, &x, buf, &e);
	pthread_mutex_lock(&r->lock);
	if (e.code && !r->failed.code)
		r->failed = e;
	r->done += j->len;
	progress_set(r->progress, r->done, r->size, NULL);
	pthread_mutex_unlock(&r->lock);
	extents_free(&x);
	free(buf);
	free(j);
}

/* Is it a hole, and known to be zero?  1, 0, -1. */
static int nothing_there(struct reading *r, uint64_t off, uint64_t len, struct err *e)
{
	uint32_t cs = r->site->chunk_size;
	struct extents x = { 0 };
	uint64_t n = off / cs;
	struct id id;
	int rc = 0;

	if (volume_extents(r->v, NULL, off, len, &x) == 0 && is_hole(&x, off, len)) {
		rc = tree_next(r->tree, &n, &id, e);
		rc = rc < 0 ? -1 : rc == 0 || n * cs >= off + len;
	}
	extents_free(&x);
	return rc;	/* a failure of the volume shows when it is read */
}

static void give_step(struct pool *pool, uint64_t off, uint64_t len)
{
	for (uint64_t end = off + len; off < end; off += JOB_BYTES) {
		struct job *j = x_alloc(sizeof(*j));

		*j = (struct job){ .off = off, .len = min64(JOB_BYTES, end - off) };
		pool_give(pool, j);
	}
}

static int read_all(struct reading *r, struct err *e)
{
	struct pool *pool = pool_new(volume_calls(r->v), 4, run_job, r, e);
	int rc = 0;

	if (!pool)
		return -1;
	for (uint64_t off = 0; rc >= 0 && off < r->size; off += STEP_BYTES) {
		uint64_t len = min64(STEP_BYTES, r->size - off);

		rc = nothing_there(r, off, len, e);
		if (rc == 0)
			give_step(pool, off, len);
	}
	pool_free(pool);
	return rc < 0 ? -1 : 0;
}

/* --- one disk ----------------------------------------------------------- */

struct place {
	const char *path;
	char *identity;		/* of what is written in place; NULL: a file that keeps */
};

/* Where a target's point says that a disk is; false: not in a file here. */
static bool place_of(const char *point, struct place *p)
{
	const char *at = strstr(point, "@/");

	*p = (struct place){ .path = point };
	if (*point == '/')
		return true;
	if (!at || (strncmp(point, "file:", 5) && strncmp(point, "device:", 7)))
		return false;
	p->path = at + 1;
	p->identity = x_strdup(point);
	p->identity[at - point] = 0;
	return true;
}

/* Is it still what was written then?  A device does not tell. */
static bool same_file(struct volume *v, const char *identity)
{
	size_t n = strlen(identity);
	bool frozen, same;
	char *now;

	if (!strncmp(identity, "device:", 7))
		return true;
	now = volume_point(v, &frozen);
	same = now && !strncmp(now, identity, n) && now[n] == ':';
	free(now);
	return same;
}

static struct volume *open_place(const struct place *p, const struct checkpoint_disk *d, uint32_t chunk,
    struct err *e)
{
	struct volume_how how = { .mode = VOL_READ, .disk = d->name, .chunk_size = chunk };
	struct volume *v = NULL;
	char *uri = uri_of_file(p->path);

	if (volume_open(&v, uri, &how, e) == 0 && volume_size(v) < d->size) {
		err_set(e, DM_NO, "%s: is shorter than the disk was", p->path);
		volume_close(v);
		v = NULL;
	}
	free(uri);
	return v;
}

/* Read it and say what is wrong in *why; -1 with *e: the store failed. */
static int compare(struct reading *r, const struct checkpoint_disk *d, struct store *st, struct err *why,
    struct err *e)
{
	int rc = -1;

	r->size = d->size;
	id_chunk_unknown(r->site->algo, r->site->chunk_size, r->site->chunk_size, NULL, &r->unknown);
	id_chunk_unknown(r->site->algo, r->site->chunk_size,
	    (uint32_t)(d->size % r->site->chunk_size), NULL, &r->unknown_tail);
	pthread_mutex_init(&r->lock, NULL);
	r->tree = tree_open(st, &d->tree, why);
	if (!r->tree && why->code != DM_ENV)
		rc = 0;		/* verify_run has named it */
	else if (r->tree)
		rc = read_all(r, e);
	else
		*e = *why;
	*why = r->failed;
	if (rc == 0 && r->differ && !why->code)
		err_set(why, DM_NO, "%s: %llu chunk%s not what was written, the first at %llu",
		    volume_uri(r->v), (unsigned long long)r->differ, r->differ > 1 ? "s are" : " is",
		    (unsigned long long)r->first);
	tree_close(r->tree);
	pthread_mutex_destroy(&r->lock);
	return rc;
}

struct look {
	struct site *site;
	struct store *store;
	struct progress *progress;
	struct verify_report *report;
};

/* One disk of a checkpoint; of what is written in place, only the newest state
 * is there. */
static int look_disk(struct look *l, const struct checkpoint *c, const struct checkpoint_disk *d,
    bool newest, struct err *e)
{
	struct reading r = { .site = l->site, .progress = l->progress };
	struct err why = { 0 };
	struct place p;
	int rc = 0;

	if (!d->has_tree || !place_of(d->point, &p))
		return 0;
	if (p.identity && !newest)
		goto out;
	r.v = open_place(&p, d, l->site->chunk_size, &why);
	if (!r.v && why.errnum != ENOENT && why.code != DM_NO)
		goto out;	/* it may well be whole: it is only not for us to read */
	if (r.v && p.identity && !same_file(r.v, p.identity))
		err_set(&why, DM_NO, "%s: was written or replaced since", p.path);
	else if (r.v)
		rc = compare(&r, d, l->store, &why, e);
	if (why.code)
		verify_lost(l->report, c->workload, c->seq, d->name, why.text);
	l->report->outside--;
	l->report->reread++;
out:
	volume_close(r.v);
	free(p.identity);
	return rc;
}

/* --- all of them -------------------------------------------------------- */

/* Is an iteration of the workload at work?  Then what it writes in place is
 * between two states. */
static bool at_work(const struct look *l, const char *workload)
{
	struct session **v;
	struct err ignored = { 0 };
	bool *alive, yes = false;
	size_t n;

	if (session_list(l->site, &v, &alive, &n, &ignored))
		return false;
	for (size_t i = 0; i < n; i++) {
		yes |= alive[i] && (!*v[i]->workload || !strcmp(v[i]->workload, workload));
		session_close(v[i]);
	}
	free(v);
	free(alive);
	return yes;
}

static int look_workload(struct look *l, const char *workload, struct err *e)
{
	struct err why = { 0 };
	uint64_t *seq;
	size_t n;
	int rc = 0;

	if (catalog_seqs(l->site, workload, &seq, &n, e))
		return -1;
	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct checkpoint *c = catalog_read(l->site, workload, seq[i], &why);
		int fd = c ? catalog_hold(l->site, c, &why) : -1;
		bool newest = i == n - 1 && !at_work(l, workload);

		for (size_t k = 0; rc == 0 && fd >= 0 && k < c->ndisks; k++)
			rc = look_disk(l, c, &c->disk[k], newest, e);
		fd_close(fd);
		checkpoint_free(c);
		why = (struct err){ 0 };
	}
	free(seq);
	return rc;
}

int verify_outside(struct site *s, struct progress *progress, struct verify_report *r, struct err *e)
{
	struct look l = { .site = s, .progress = progress, .report = r };
	char **names;
	size_t n;
	int rc = 0;

	if (r->locked || !r->outside)
		return 0;
	l.store = store_open(s, STORE_READ, e);
	if (!l.store || catalog_workloads(s, &names, &n, e)) {
		store_close(l.store);
		return -1;
	}
	for (size_t i = 0; rc == 0 && i < n; i++)
		rc = look_workload(&l, names[i], e);
	catalog_names_free(names, n);
	store_close(l.store);
	return rc;
}

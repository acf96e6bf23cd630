#include "repo/verify.h"

#include <pthread.h>
#include <stdlib.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/pool.h"
#include "repo/store_priv.h"
#include "repo/verify_record.h"

#define ROWS 4096u

/* A pack, and how many entries of the index point into it. */
struct pack_job {
	struct verify *v;
	struct index_pack pack;
	uint64_t rows;
	bool bad;		/* its table did not lead to all of them */
	bool table;		/* its table is whole */
};

struct verify {
	struct site *site;
	struct store *st;
	struct verify_report *report;
	struct progress *progress;
	struct pack_job *job;	/* by ordinal, ascending */
	size_t njobs;
	uint64_t total;
	pthread_mutex_t lock;	/* of everything below and of the report */
	uint64_t done;
	bool index_bad;		/* the index says what no pack bears out */
	struct err failed;
};

void verify_report_free(struct verify_report *r)
{
	for (size_t i = 0; i < r->ndamage; i++)
		free(r->damage[i].why);
	for (size_t i = 0; i < r->nloss; i++) {
		free(r->loss[i].workload);
		free(r->loss[i].disk);
		free(r->loss[i].why);
	}
	free(r->damage);
	free(r->loss);
	*r = (struct verify_report){ 0 };
}

/* --- one record --------------------------------------------------------- */

static void note_damage(struct verify *v, const struct id *id, const struct index_entry *en,
    const uint8_t pack[PACK_ID], const char *why)
{
	struct verify_report *r = v->report;
	struct verify_damage *d;

	pthread_mutex_lock(&v->lock);
	r->damage = x_grow(r->damage, r->ndamage + 1, sizeof(*r->damage));
	d = &r->damage[r->ndamage++];
	*d = (struct verify_damage){ .id = *id, .type = en->type, .off = en->off };
	memcpy(d->pack, pack, PACK_ID);
	d->why = x_strdup(why);
	pthread_mutex_unlock(&v->lock);
}

/* buf has room for a record.  0, also when damage was noted; -1. */
static int check_record(struct verify *v, struct pack_in *in, const struct index_pack *pack, const struct id *id,
    const struct index_entry *en, uint8_t *buf, struct err *e)
{
	struct index_entry now;
	struct err why = { 0 };
	int rc;

	if (verify_record(v->st, in, id, en, buf, &why) == 0)
		return 0;
	if (why.code == DM_ENV) {
		*e = why;
		return -1;
	}
	/* Prune may have moved it, or removed what it is patched from. */
	rc = index_find(v->st->index, id, &now, e);
	if (rc < 0)
		return -1;
	if (rc && now.pack == en->pack && now.off == en->off && !now.doomed)
		note_damage(v, id, en, pack->id, why.text);
	return 0;
}

/* --- one pack ----------------------------------------------------------- */

/* Does the index point to this line of the table?  1, 0, -1. */
static int is_indexed(struct verify *v, const struct pack_job *j, const struct pack_entry *line,
    struct index_entry *en, struct err *e)
{
	int rc = index_find(v->st->index, &line->id, en, e);

	return rc <= 0 ? rc : en->pack == j->pack.ordinal && en->off == line->off;
}

static int check_lines(struct pack_job *j, struct pack_in *in, const struct pack_entry *line, size_t n,
    struct err *e)
{
	uint8_t *buf = x_pages(RECORD_HEADER + RECORD_BODY_MAX, e);
	uint64_t found = 0, bytes = 0;
	int rc = buf ? 0 : -1;

	for (size_t i = 0; rc == 0 && i < n; i++) {
		struct index_entry en;
		int is = is_indexed(j->v, j, &line[i], &en, e);

		if (is == 1)
			rc = check_record(j->v, in, &j->pack, &line[i].id, &en, buf, e);
		if (is < 0)
			rc = -1;
		found += is == 1;
		bytes += is == 1 ? en.len : 0;
	}
	free(buf);
	j->bad = found < j->rows;
	pthread_mutex_lock(&j->v->lock);
	j->v->report->records += found;
	j->v->report->bytes += bytes;
	pthread_mutex_unlock(&j->v->lock);
	return rc;
}

static int check_pack(struct pack_job *j, struct err *e)
{
	struct pack_entry *line = NULL;
	struct err why = { 0 };
	uint64_t size;
	bool damaged;
	size_t n;
	struct pack_in *in = pack_open(j->v->site, j->pack.id, j->pack.size, &why);
	int rc = 0;

	if (!in || pack_read(j->v->site, in, j->pack.id, &line, &n, &size, &damaged, &why)) {
		j->bad = true;
		if (why.code == DM_ENV) {
			*e = why;
			rc = -1;
		}
	} else {
		j->table = !damaged;
		rc = check_lines(j, in, line, n, e);
	}
	free(line);
	pack_close(in);
	return rc;
}

static void run_job(void *job, void *arg)
{
	struct pack_job *j = job;
	struct verify *v = arg;
	struct err e = { 0 };
	bool stop;

	pthread_mutex_lock(&v->lock);
	stop = v->failed.code;
	pthread_mutex_unlock(&v->lock);
	if (!stop)
		check_pack(j, &e);
	pthread_mutex_lock(&v->lock);
	if (e.code && !v->failed.code)
		v->failed = e;
	v->done += j->pack.size;
	v->report->packs++;
	progress_set(v->progress, v->done, v->total, NULL);
	pthread_mutex_unlock(&v->lock);
}

/* --- all packs ---------------------------------------------------------- */

static struct pack_job *job_of(struct verify *v, uint32_t ordinal)
{
	size_t i = BELOW(v->job, v->njobs, pack.ordinal, ordinal);

	return i < v->njobs && v->job[i].pack.ordinal == ordinal ? &v->job[i] : NULL;
}

static int each_row(struct verify *v, int (*each)(struct verify *v, const struct index_row *row,
    struct err *e), struct err *e)
{
	struct index_row *row = x_try(ROWS, sizeof(*row), e);
	struct id after = { { 0 } };
	size_t n = 1;
	int rc = row ? 0 : -1;

	while (rc == 0 && n) {
		rc = index_rows(v->st->index, &after, row, ROWS, &n, e);
		for (size_t i = 0; rc == 0 && i < n; i++)
			rc = each(v, &row[i], e);
	}
	free(row);
	return rc;
}

static int count_row(struct verify *v, const struct index_row *row, struct err *e)
{
	struct pack_job *j = job_of(v, row->en.pack);

	(void)e;
	if (j)
		j->rows++;
	return 0;
}

/* Does the pack's table have this row of the index?  Also 1 when the row is
 * not what it was: then another will tell. */
static int row_in_table(struct verify *v, const struct pack_job *j, const struct index_row *row, struct err *e)
{
	struct pack_entry *line = NULL;
	struct err why = { 0 };
	uint64_t size;
	bool damaged, found = false;
	size_t n = 0;
	struct pack_in *in = pack_open(v->site, j->pack.id, j->pack.size, &why);
	int rc = -1;

	if (in)
		rc = pack_read(v->site, in, j->pack.id, &line, &n, &size, &damaged, &why);
	for (size_t i = 0; rc == 0 && i < n; i++)
		found |= line[i].off == row->en.off && line[i].len == row->en.len && id_equal(&line[i].id, &row->id);
	free(line);
	pack_close(in);
	if (rc && why.code == DM_ENV) {
		*e = why;
		return -1;
	}
	return rc || found;
}

/* A record that no readable table leads to. */
static int check_row(struct verify *v, const struct index_row *row, struct err *e)
{
	struct pack_job *j = job_of(v, row->en.pack);
	struct err why = { 0 };
	struct pack_in *in;
	uint64_t size;
	uint8_t *buf;
	int rc;

	if (!j || !j->bad)
		return 0;
	/* A pack never changes: its table knows better what it holds. */
	if (j->table) {
		rc = row_in_table(v, j, row, e);
		v->index_bad |= rc == 0;
		if (rc <= 0)
			return rc;
	}
	in = pack_open(v->site, j->pack.id, 0, &why);
	if (in && pack_size(in, &size, &why)) {
		pack_close(in);
		in = NULL;
	}
	if (!in && why.code != DM_NO) {
		*e = why;
		return -1;
	}
	if (!in) {
		if (!row->en.doomed)
			note_damage(v, &row->id, &row->en, j->pack.id, "its pack is missing");
		return 0;
	}
	buf = x_pages(RECORD_HEADER + RECORD_BODY_MAX, e);
	rc = buf ? check_record(v, in, &j->pack, &row->id, &row->en, buf, e) : -1;
	free(buf);
	pack_close(in);
	return rc;
}

static int list_jobs(struct verify *v, struct err *e)
{
	struct index_pack *p;
	size_t n;

	if (index_packs(v->st->index, &p, &n, e))
		return -1;
	v->job = x_array(n + 1, sizeof(*v->job));
	v->njobs = n;
	for (size_t i = 0; i < n; i++) {
		v->job[i] = (struct pack_job){ .v = v, .pack = p[i] };
		v->total += p[i].size;
	}
	free(p);
	return each_row(v, count_row, e);
}

static int check_packs(struct verify *v, struct err *e)
{
	struct pool *pool;
	bool bad = false;

	if (list_jobs(v, e))
		return -1;
	pool = pool_new(pool_cpus(), 2, run_job, v, e);
	if (!pool)
		return -1;
	for (size_t i = 0; i < v->njobs; i++)
		pool_give(pool, &v->job[i]);
	pool_drain(pool);
	pool_free(pool);
	if (v->failed.code) {
		*e = v->failed;
		return -1;
	}
	for (size_t i = 0; i < v->njobs; i++)
		bad |= v->job[i].bad;
	return bad ? each_row(v, check_row, e) : 0;
}

/* A pack ordinal may have been given up meanwhile: then so were its entries. */
static int forget_damaged(struct verify *v, struct err *e)
{
	for (size_t i = 0; i < v->report->ndamage; i++) {
		const struct verify_damage *d = &v->report->damage[i];
		struct index_pack p;
		int rc = index_pack_by_id(v->st->index, d->pack, &p, e);

		if (rc < 0 || (rc && index_remove(v->st->index, &d->id, 1, p.ordinal, e)))
			return -1;
	}
	return 0;
}

/* Once over everything; *again: the index may be at fault. */
static int verify_once(struct site *s, struct progress *progress, struct verify_report *r, bool *again, struct err *e)
{
	struct verify v = { .site = s, .report = r, .progress = progress };
	int rc = -1;

	*r = (struct verify_report){ .locked = s->sealed && !s->crypt };
	pthread_mutex_init(&v.lock, NULL);
	v.st = store_open(s, STORE_READ, e);
	if (v.st)
		rc = check_packs(&v, e) || forget_damaged(&v, e) ||
		    (!r->locked && verify_checkpoints(s, r, e)) ? -1 : 0;
	*again = v.index_bad;
	for (size_t i = 0; i < r->nloss && !r->ndamage; i++)
		*again |= *r->loss[i].disk != 0;
	store_close(v.st);
	free(v.job);
	pthread_mutex_destroy(&v.lock);
	return rc;
}

/* The index can rot as well, and then records seem to be gone that are there:
 * it is made anew from the packs before anything is called lost. */
int verify_run(struct site *s, struct progress *progress, struct verify_report *r, struct err *e)
{
	bool again;
	int rc = verify_once(s, progress, r, &again, e);

	if (rc == 0 && again) {
		verify_report_free(r);
		rc = index_remake(s, e) || verify_once(s, progress, r, &again, e) ? -1 : 0;
	}
	return rc;
}

/* Keeping the index with the packs: those it lacks are taken in, and, where
 * other machines change the store too, those that are gone forgotten. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/pool.h"
#include "repo/doomed.h"
#include "repo/index_priv.h"

#define BATCH 64u	/* tables in memory at a time */
#define READERS 16u	/* of an object store */

struct one {
	struct pack_table t;
	const struct pack_name *name;
	struct site *site;
	struct err why;
};

static void read_one(void *job, void *arg)
{
	struct one *x = job;
	struct pack_in *in = pack_open(x->site, x->name->id, x->name->size, &x->why);
	bool damaged;

	(void)arg;
	x->t = (struct pack_table){ .v = NULL };
	memcpy(x->t.id, x->name->id, PACK_ID);
	if (in && pack_read(x->site, in, x->name->id, &x->t.v, &x->t.n, &x->t.size, &damaged, &x->why) == 0 && !x->t.v)
		x->t.v = x_array(1, sizeof *x->t.v);	/* one without records */
	pack_close(in);
}

/* Read these; 0 or -1. */
static int read_batch(struct pool *pool, struct one *v, size_t n, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		v[i].why = (struct err){ 0 };
		if (pool)
			pool_give(pool, &v[i]);
		else
			read_one(&v[i], NULL);
	}
	if (pool)
		pool_drain(pool);
	for (size_t i = 0; i < n; i++)
		if (v[i].why.code && v[i].why.code != DM_NO && v[i].why.code != DM_BAD) {
			*e = v[i].why;
			return -1;
		}
	return 0;
}

int tables_read(struct site *s, const struct pack_name *name, size_t n,
    int (*each)(const struct pack_table *t, void *arg, struct err *e), void *arg, struct err *e)
{
	struct one *v = x_array(BATCH, sizeof *v);
	struct pool *pool = s->objects && n > 1 ? pool_new(READERS, BATCH, read_one, NULL, e) : NULL;
	int r = e->code ? -1 : 0;

	for (size_t at = 0; !r && at < n; at += BATCH) {
		size_t k = (size_t)min64(BATCH, n - at);

		for (size_t i = 0; i < k; i++)
			v[i] = (struct one){ .name = &name[at + i], .site = s };
		r = read_batch(pool, v, k, e);
		for (size_t i = 0; i < k; i++) {
			if (!r)
				r = each(&v[i].t, arg, e);
			free(v[i].t.v);
		}
	}
	if (pool)
		pool_free(pool);
	free(v);
	return r;
}

/* --- packs that are new --------------------------------------------------- */

static int add_table(const struct pack_table *t, void *arg, struct err *e)
{
	struct index_new p = { .size = t->size, .v = t->v, .n = t->n };

	if (!t->v)
		return 0;
	memcpy(p.id, t->id, PACK_ID);
	return index_add(arg, &p, 1, false, e);
}

/* Take in these packs.  The lock keeps prune from removing one of them between
 * our look at it and what we make of that. */
static int ingest(struct site *s, struct index *ix, const struct pack_name *name, size_t n, struct err *e)
{
	int r, fd = index_lock(s, LOCK_SHARED, e);

	if (fd == -1)
		return -1;
	r = pack_sync_names(s, name, n, e) ? -1 : tables_read(s, name, n, add_table, ix, e);
	fd_close(fd);
	return r;
}

/* --- packs that another machine removed ------------------------------------ */

static int by_id(const void *a, const void *b)
{
	return memcmp(a, b, PACK_ID);
}

/* Ordinals of the packs that the index has and the store has not, ascending;
 * the caller's. */
static int find_gone(struct index *ix, const struct pack_name *name, size_t n, uint32_t **gone, size_t *ngone,
    struct err *e)
{
	struct index_pack *v;
	size_t k;

	*gone = NULL;
	*ngone = 0;
	if (index_packs(ix, &v, &k, e))
		return -1;
	*gone = x_array(k + 1, sizeof **gone);
	for (size_t i = 0; i < k; i++)
		if (!n || !bsearch(v[i].id, name, n, sizeof *name, by_id))
			(*gone)[(*ngone)++] = v[i].ordinal;
	free(v);
	return 0;
}

struct regain {
	struct index *ix;
	uint32_t *gone;
	size_t n;
};

static int regain_table(const struct pack_table *t, void *arg, struct err *e)
{
	struct regain *x = arg;
	struct index_new p = { .size = t->size, .v = t->v, .n = t->n };

	if (!t->v)
		return 0;
	memcpy(p.id, t->id, PACK_ID);
	return index_regain(x->ix, &p, x->gone, x->n, e);
}

/* What pointed into packs that are gone is looked for in all that are there:
 * a copy may lie in one that the index knew long since. */
static int forget_gone(struct site *s, struct index *ix, struct err *e)
{
	struct regain x = { .ix = ix };
	struct pack_name *name = NULL;
	size_t n = 0;
	int r = -1, fd = index_lock(s, LOCK_EXCLUSIVE, e);

	if (fd == -1)
		return -1;
	/* Another process may have done it while we waited. */
	if (pack_list(s, &name, &n, e) || find_gone(ix, name, n, &x.gone, &x.n, e))
		goto out;
	r = 0;
	if (x.n)
		r = tables_read(s, name, n, regain_table, &x, e) || index_drop_packs(ix, x.gone, x.n, e) ? -1 : 0;
out:
	free(x.gone);
	free(name);
	fd_close(fd);
	return r;
}

/* --- both ------------------------------------------------------------------ */

static int take_lacking(struct site *s, struct index *ix, struct pack_name *name, size_t n, struct err *e)
{
	size_t lacking = 0;
	MDB_txn *t;
	bool known;
	int rc = 0;

	if (index_read_begin(ix, &t, e))
		return -1;
	for (size_t i = 0; !rc && i < n; i++) {
		rc = index_knows_pack(ix, t, name[i].id, &known);
		if (!known)
			name[lacking++] = name[i];
	}
	index_read_end(ix, t);
	if (rc)
		return index_failed(ix, rc, "look-up of a pack", e);
	return lacking ? ingest(s, ix, name, lacking, e) : 0;
}

int index_refresh(struct site *s, struct index *ix, struct err *e)
{
	struct pack_name *name;
	uint32_t *gone = NULL;
	size_t n, ngone = 0;
	int r;

	if (pack_list(s, &name, &n, e))
		return -1;
	r = s->objects ? find_gone(ix, name, n, &gone, &ngone, e) : 0;
	free(gone);
	if (!r)
		r = take_lacking(s, ix, name, n, e);
	free(name);
	if (!r && ngone)
		r = forget_gone(s, ix, e);
	if (!r && s->objects)
		r = doomed_apply(s, ix, e);
	return r;
}

/* Changes of the index: records and packs put in, marked, taken out. */
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "repo/index_priv.h"

/* One record to add; which: number of its pack in the call. */
struct addition {
	const struct pack_entry *en;
	uint32_t which;
};
struct add {
	const struct index_new *pack;
	size_t npacks;
	bool *skip;		/* the index has it already */
	uint32_t *ordinal;	/* of each pack */
	struct addition *v;	/* sorted by id */
	size_t n, from, to;	/* this transaction's share of v */
	bool replace;
	const uint32_t *gone;	/* packs that are no longer there, ascending */
	size_t ngone;
};

static int by_ordinal(const void *a, const void *b)
{
	uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

	return x < y ? -1 : x > y;
}

static int by_id(const void *a, const void *b)
{
	return memcmp(((const struct addition *)a)->en->id.b, ((const struct addition *)b)->en->id.b, ID_LEN);
}

static int put_pack(struct index *ix, MDB_txn *t, uint32_t ordinal, const struct index_new *p, bool complete)
{
	struct index_pack ip = { .ordinal = ordinal, .size = p->size, .records = (uint32_t)p->n };
	uint8_t val[INDEX_VALUE], num[4];
	uint32_t be = htobe32(ordinal);
	MDB_val k = { 4, &be }, v = { INDEX_VALUE, val };
	MDB_val name = { PACK_ID, (void *)p->id }, o = { 4, num };
	int rc;

	memcpy(ip.id, p->id, PACK_ID);
	index_pack_encode(&ip, complete, val);
	put32(num, ordinal);
	rc = mdb_put(t, ix->packs, &k, &v, 0);
	return rc ? rc : mdb_put(t, ix->names, &name, &o, 0);
}

/* A pack whose adding was cut short keeps the ordinal it got. */
static int number_packs(struct index *ix, MDB_txn *t, struct add *a)
{
	uint64_t next;
	int rc = index_meta_get(ix, t, "packs", &next);

	for (size_t i = 0; !rc && i < a->npacks; i++) {
		MDB_val k = { PACK_ID, (void *)a->pack[i].id }, v;

		if (a->skip[i])
			continue;
		rc = mdb_get(t, ix->names, &k, &v);
		if (!rc && v.mv_size == 4)
			a->ordinal[i] = get32(v.mv_data);
		else if (rc == MDB_NOTFOUND && next < UINT32_MAX)
			a->ordinal[i] = (uint32_t)next++;
		else
			return rc ? rc : MDB_CORRUPTED;
		rc = put_pack(ix, t, a->ordinal[i], &a->pack[i], false);
	}
	return rc ? rc : index_meta_put(ix, t, "packs", next);
}

/* Should the new record take the place of the known one? */
static bool better(const struct pack_entry *en, const struct index_entry *old, bool replace)
{
	return en->depth < old->depth || (en->depth == old->depth && (replace || old->doomed));
}

static bool is_gone(const struct add *a, uint32_t pack)
{
	return a->ngone && bsearch(&pack, a->gone, a->ngone, sizeof *a->gone, by_ordinal);
}

static int put_entry(struct index *ix, MDB_txn *t, const struct add *a, const struct pack_entry *en, uint32_t pack,
    uint64_t *next)
{
	struct index_entry old, new = {
		.pack = pack, .off = en->off, .len = en->len, .plain = en->plain, .type = en->type,
		.codec = en->codec, .depth = en->depth, .tier = en->tier,
	};
	uint8_t val[INDEX_VALUE];
	MDB_val k = { ID_LEN, (void *)en->id.b }, v;
	int rc = mdb_get(t, ix->ids, &k, &v);

	if (rc == MDB_NOTFOUND) {
		new.ordinal = (*next)++;
	} else {
		if (rc || (rc = index_value_decode(&v, &old)))
			return rc;
		if (!is_gone(a, old.pack) && !better(en, &old, a->replace))
			return 0;
		new.ordinal = old.ordinal;
		/* Moving a record does not save it from prune. */
		new.doomed = (a->replace || is_gone(a, old.pack)) && old.doomed;
	}
	index_value_encode(&new, val);
	v = (MDB_val){ INDEX_VALUE, val };
	return mdb_put(t, ix->ids, &k, &v, 0);
}

static int add_some(struct index *ix, MDB_txn *t, void *arg)
{
	struct add *a = arg;
	uint64_t next;
	int rc = 0;

	if (a->from == 0)
		rc = number_packs(ix, t, a);
	if (!rc)
		rc = index_meta_get(ix, t, "ordinals", &next);
	for (size_t i = a->from; !rc && i < a->to; i++)
		rc = put_entry(ix, t, a, a->v[i].en, a->ordinal[a->v[i].which], &next);
	if (!rc)
		rc = index_meta_put(ix, t, "ordinals", next);
	if (a->to == a->n)
		for (size_t i = 0; !rc && i < a->npacks; i++)
			if (!a->skip[i])
				rc = put_pack(ix, t, a->ordinal[i], &a->pack[i], true);
	return rc;
}

static int find_known(struct index *ix, struct add *a, struct err *e)
{
	MDB_txn *t;
	int rc = 0;

	if (index_read_begin(ix, &t, e))
		return -1;
	for (size_t i = 0; !rc && i < a->npacks; i++) {
		/* Somebody who looked for new packs may have taken in the one
		 * that records are moved to: it is not pointed to by that. */
		if (!a->ngone && !a->replace)
			rc = index_knows_pack(ix, t, a->pack[i].id, &a->skip[i]);
		if (!a->skip[i])
			a->n += a->pack[i].n;
	}
	index_read_end(ix, t);
	return rc ? index_failed(ix, rc, "look-up of a pack", e) : 0;
}

static int add_all(struct index *ix, struct add *a, struct err *e)
{
	size_t k = 0;
	int r = -1;

	a->skip = x_array(a->npacks + 1, sizeof *a->skip);
	a->ordinal = x_array(a->npacks + 1, sizeof *a->ordinal);
	if (find_known(ix, a, e) || !(a->v = x_try(a->n + 1, sizeof *a->v, e)))
		goto out;
	for (size_t i = 0; i < a->npacks; i++)
		for (size_t j = 0; !a->skip[i] && j < a->pack[i].n; j++)
			a->v[k++] = (struct addition){ &a->pack[i].v[j], (uint32_t)i };
	qsort(a->v, a->n, sizeof *a->v, by_id);
	do {
		a->to = min64(a->n, a->from + INDEX_BATCH);
		r = index_write(ix, add_some, a, "add", e);
		a->from = a->to;
	} while (!r && a->to < a->n);
out:
	free(a->v);
	free(a->ordinal);
	free(a->skip);
	return r;
}

int index_add(struct index *ix, const struct index_new *pack, size_t npacks, bool replace, struct err *e)
{
	struct add a = { .pack = pack, .npacks = npacks, .replace = replace };

	return add_all(ix, &a, e);
}

int index_regain(struct index *ix, const struct index_new *pack, const uint32_t *gone, size_t ngone, struct err *e)
{
	struct add a = { .pack = pack, .npacks = 1, .gone = gone, .ngone = ngone };

	return add_all(ix, &a, e);
}

struct marks {
	const struct id *v;
	size_t n;
	bool on, remove;
	bool doomed;		/* remove: only what is doomed */
	uint32_t pack;
};

static int mark_one(struct index *ix, MDB_txn *t, const struct id *id, const struct marks *m)
{
	struct index_entry en;
	uint8_t val[INDEX_VALUE];
	MDB_val k = { ID_LEN, (void *)id->b }, v;
	int rc = mdb_get(t, ix->ids, &k, &v);

	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc || (rc = index_value_decode(&v, &en)))
		return rc;
	if (m->remove && m->doomed && !en.doomed)
		return 0;
	if (m->remove)
		return m->pack == UINT32_MAX || m->pack == en.pack ? mdb_del(t, ix->ids, &k, NULL) : 0;
	en.doomed = m->on;
	index_value_encode(&en, val);
	v = (MDB_val){ INDEX_VALUE, val };
	return mdb_put(t, ix->ids, &k, &v, 0);
}

static int mark_some(struct index *ix, MDB_txn *t, void *arg)
{
	const struct marks *m = arg;
	int rc = 0;

	for (size_t i = 0; !rc && i < m->n; i++)
		rc = mark_one(ix, t, &m->v[i], m);
	return rc;
}

static int mark_all(struct index *ix, struct marks m, const char *what, struct err *e)
{
	size_t left = m.n;

	for (; left; left -= m.n, m.v += m.n) {
		m.n = min64(left, INDEX_BATCH);
		if (index_write(ix, mark_some, &m, what, e))
			return -1;
	}
	return 0;
}

int index_doom(struct index *ix, const struct id *v, size_t n, bool on, struct err *e)
{
	return mark_all(ix, (struct marks){ .v = v, .n = n, .on = on }, "doom", e);
}

int index_remove(struct index *ix, const struct id *v, size_t n, uint32_t pack, struct err *e)
{
	return mark_all(ix, (struct marks){ .v = v, .n = n, .remove = true, .pack = pack }, "remove", e);
}

int index_reap(struct index *ix, const struct id *v, size_t n, struct err *e)
{
	return mark_all(ix, (struct marks){ .v = v, .n = n, .remove = true, .doomed = true,
	    .pack = UINT32_MAX }, "reap", e);
}

struct drop {
	uint32_t *v;		/* ascending */
	size_t n;
};

static int drop_name(struct index *ix, MDB_txn *t, uint32_t ordinal)
{
	uint32_t be = htobe32(ordinal);
	MDB_val k = { 4, &be }, v, name;
	struct index_pack p;
	bool complete;
	int rc = mdb_get(t, ix->packs, &k, &v);

	if (rc == MDB_NOTFOUND)
		return 0;
	if (rc || (rc = index_pack_decode(&k, &v, &p, &complete)))
		return rc;
	name = (MDB_val){ PACK_ID, p.id };
	rc = mdb_del(t, ix->packs, &k, NULL);
	return rc ? rc : mdb_del(t, ix->names, &name, NULL);
}

static int drop_names(struct index *ix, MDB_txn *t, void *arg)
{
	const struct drop *d = arg;
	int rc = 0;

	for (size_t i = 0; !rc && i < d->n; i++)
		rc = drop_name(ix, t, d->v[i]);
	return rc;
}

/* A share of the rows that point into one of the packs, one pack at a time. */
static int drop_rows(struct index *ix, const struct drop *d, const struct index_row *row, size_t n,
    struct id *gone, struct err *e)
{
	for (size_t i = 0; i < n; i++) {
		uint32_t pack = row[i].en.pack;
		size_t k = 0;

		if (!bsearch(&pack, d->v, d->n, sizeof *d->v, by_ordinal))
			continue;
		for (; i < n && row[i].en.pack == pack; i++)
			gone[k++] = row[i].id;
		i--;
		if (index_remove(ix, gone, k, pack, e))
			return -1;
	}
	return 0;
}

static int by_pack(const void *a, const void *b)
{
	return by_ordinal(&((const struct index_row *)a)->en.pack, &((const struct index_row *)b)->en.pack);
}

int index_drop_packs(struct index *ix, const uint32_t *ordinal, size_t count, struct err *e)
{
	struct drop d = { x_array(count + 1, sizeof *d.v), count };
	struct index_row *row = x_array(INDEX_BATCH, sizeof *row);
	struct id *gone = x_array(INDEX_BATCH, sizeof *gone), after = { { 0 } };
	size_t n;
	int r;

	memcpy(d.v, ordinal, count * sizeof *d.v);
	qsort(d.v, d.n, sizeof *d.v, by_ordinal);
	do {
		r = index_rows(ix, &after, row, INDEX_BATCH, &n, e);
		qsort(row, n, sizeof *row, by_pack);
		if (!r)
			r = drop_rows(ix, &d, row, n, gone, e);
	} while (!r && n);
	if (!r)
		r = index_write(ix, drop_names, &d, "drop packs", e);
	free(row);
	free(gone);
	free(d.v);
	return r;
}

int index_settle(struct index *ix, struct err *e)
{
	int rc = mdb_env_sync(ix->env, 1);

	return rc ? index_failed(ix, rc, "sync", e) : 0;
}

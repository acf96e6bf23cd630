/* Making the index anew from all packs. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/bytes.h"
#include "base/durable.h"
#include "base/fdio.h"
#include "repo/index_priv.h"
#include "repo/pack_format.h"

/* Rows of a rebuild, in an unlinked file that is mapped: they may be many. */
struct row {
	struct pack_entry en;
	uint32_t pack;
};
struct build {
	int fd;
	struct row *row;
	size_t rows, at;
	uint64_t ordinals;
	struct index_pack *pack;
	size_t packs;
};

static int spill(struct build *b, const struct pack_entry *v, size_t n, struct err *e)
{
	struct row *row = x_try(n + 1, sizeof *row, e);
	int r = 0;

	if (!row)
		return -1;
	for (size_t i = 0; i < n; i++) {
		row[i].en = v[i];
		row[i].pack = (uint32_t)b->packs;
	}
	if (fd_pwrite_full(b->fd, row, n * sizeof *row, b->rows * sizeof *row))
		r = err_sys(e, DM_ENV, errno, "write to a temporary file");
	b->rows += n;
	free(row);
	return r;
}

static int by_age(const void *a, const void *b)
{
	const struct pack_name *x = a, *y = b;

	if (x->modified != y->modified)
		return x->modified > y->modified ? -1 : 1;
	return memcmp(x->id, y->id, PACK_ID);
}

/* The newest first: of two copies of a record the older one may be damaged,
 * and the other what was stored in its place. */
static void sort_by_age(struct site *s, struct pack_name *name, size_t n)
{
	char path[PACK_NAME_LEN];
	struct stat st;

	for (size_t i = 0; !s->objects && i < n; i++) {
		pack_path(name[i].id, path);
		if (fstatat(s->dir, path, &st, 0) == 0)
			name[i].modified = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
	}
	if (n)
		qsort(name, n, sizeof *name, by_age);
}

static int take_table(const struct pack_table *t, void *arg, struct err *e)
{
	struct build *b = arg;
	struct index_pack *p = &b->pack[b->packs];

	if (!t->v)
		return 0;
	*p = (struct index_pack){ .ordinal = (uint32_t)b->packs, .size = t->size, .records = (uint32_t)t->n };
	memcpy(p->id, t->id, PACK_ID);
	if (spill(b, t->v, t->n, e))
		return -1;
	b->packs++;
	return 0;
}

static int collect(struct site *s, struct build *b, struct err *e)
{
	struct pack_name *name;
	size_t n;
	int r;

	if (pack_list(s, &name, &n, e))
		return -1;
	sort_by_age(s, name, n);
	b->pack = x_array(n + 1, sizeof *b->pack);
	r = pack_sync_names(s, name, n, e) ? -1 : tables_read(s, name, n, take_table, b, e);
	free(name);
	return r;
}

/* By id, the shallowest first; among equals the order of packs decides, so
 * that a rebuild always gives the same index. */
static int by_id_depth(const void *a, const void *b)
{
	const struct row *x = a, *y = b;
	int c = memcmp(x->en.id.b, y->en.id.b, ID_LEN);

	if (c)
		return c;
	if (x->en.depth != y->en.depth)
		return x->en.depth < y->en.depth ? -1 : 1;
	if (x->pack != y->pack)
		return x->pack < y->pack ? -1 : 1;
	return (x->en.off > y->en.off) - (x->en.off < y->en.off);
}

/* In place: qsort would copy all of it into memory, so it gets one first byte
 * at a time; ids are spread evenly. */
static void sort_rows(struct row *v, size_t n)
{
	size_t start[257] = { 0 }, next[256];
	struct row tmp;

	for (size_t i = 0; i < n; i++)
		start[v[i].en.id.b[0] + 1]++;
	for (unsigned k = 0; k < 256; k++) {
		start[k + 1] += start[k];
		next[k] = start[k];
	}
	for (unsigned k = 0; k < 256; k++)
		while (next[k] < start[k + 1]) {
			struct row *here = &v[next[k]], *there = &v[next[here->en.id.b[0]]++];

			tmp = *here;
			*here = *there;
			*there = tmp;
		}
	for (unsigned k = 0; k < 256; k++)
		qsort(v + start[k], start[k + 1] - start[k], sizeof *v, by_id_depth);
}

static int append_row(struct index *ix, MDB_txn *t, const struct row *row, uint64_t ordinal)
{
	const struct pack_entry *p = &row->en;
	struct index_entry en = {
		.pack = row->pack, .off = p->off, .len = p->len, .plain = p->plain, .type = p->type,
		.codec = p->codec, .depth = p->depth, .tier = p->tier, .ordinal = ordinal,
	};
	uint8_t val[INDEX_VALUE];
	MDB_val k = { ID_LEN, (void *)p->id.b }, v = { INDEX_VALUE, val };

	index_value_encode(&en, val);
	return mdb_put(t, ix->ids, &k, &v, MDB_APPEND);
}

/* The next batch of rows; b->at and b->ordinals move on only with success, and
 * a run that is repeated starts from the same place. */
static int append_some(struct index *ix, MDB_txn *t, void *arg)
{
	struct build *b = arg;
	size_t i = b->at, end = min64(b->rows, b->at + 16 * INDEX_BATCH);
	uint64_t ordinal = b->ordinals;
	int rc = 0;

	for (; !rc && i < end; i++)
		if (!i || !id_equal(&b->row[i].en.id, &b->row[i - 1].en.id))
			rc = append_row(ix, t, &b->row[i], ordinal++);
	return rc ? rc : index_meta_put(ix, t, "ordinals", ordinal);
}

static int put_packs(struct index *ix, MDB_txn *t, void *arg)
{
	const struct build *b = arg;
	uint8_t val[INDEX_VALUE], num[4];
	int rc = 0;

	for (size_t i = 0; !rc && i < b->packs; i++) {
		uint32_t be = htobe32((uint32_t)i);
		MDB_val k = { 4, &be }, v = { INDEX_VALUE, val };
		MDB_val name = { PACK_ID, b->pack[i].id }, o = { 4, num };

		index_pack_encode(&b->pack[i], true, val);
		put32(num, (uint32_t)i);
		rc = mdb_put(t, ix->packs, &k, &v, MDB_APPEND);
		if (!rc)
			rc = mdb_put(t, ix->names, &name, &o, 0);
	}
	return rc ? rc : index_meta_put(ix, t, "packs", b->packs);
}

static int put_meta(struct index *ix, MDB_txn *t, void *arg)
{
	const struct site *s = arg;
	uint64_t generation;
	int rc;

	if (getrandom(&generation, sizeof generation, 0) != sizeof generation)
		return errno;
	if ((rc = index_meta_put(ix, t, "format", INDEX_FORMAT)) ||
	    (rc = index_meta_put(ix, t, "site0", get64(s->id))) ||
	    (rc = index_meta_put(ix, t, "site1", get64(s->id + 8))) ||
	    (rc = index_meta_put(ix, t, "generation", generation)))
		return rc;
	return index_meta_put(ix, t, "ordinals", 0);
}

static int fill(struct site *s, struct index *ix, struct build *b, struct err *e)
{
	uint64_t n;
	int rc;

	if (index_write(ix, put_meta, s, "build", e))
		return -1;
	while (b->at < b->rows) {
		if (index_write(ix, append_some, b, "build", e) || index_ordinals(ix, &n, e))
			return -1;
		b->ordinals = n;
		b->at = min64(b->rows, b->at + 16 * INDEX_BATCH);
	}
	if (index_write(ix, put_packs, b, "build", e))
		return -1;
	rc = mdb_env_sync(ix->env, 1);
	return rc ? index_failed(ix, rc, "sync", e) : 0;
}

/* An environment's directory with all in it; what is not there is fine. */
static void remove_env(const char *path)
{
	static const char *const file[] = { "data.mdb", "lock.mdb" };
	char *p;

	for (size_t i = 0; i < LEN(file); i++) {
		p = x_printf("%s/%s", path, file[i]);
		unlink(p);
		free(p);
	}
	rmdir(path);
}

static int make_env(struct site *s, const char *path, struct build *b, struct err *e)
{
	struct index ix;
	int r;

	remove_env(path);
	if (durable_mkdirs(path, e) || index_env_open(s, path, MDB_NOSYNC, true, &ix, e))
		return -1;
	r = fill(s, &ix, b, e);
	index_env_close(&ix);
	return r;
}

static int sync_parent(const char *path, struct err *e)
{
	char *dir = x_printf("%s/..", path);
	int r = durable_dir(AT_FDCWD, dir, e);

	free(dir);
	return r;
}

/* Put the new environment in the old one's place.  A crash in between leaves
 * none, which is rebuilt again. */
static int swap_env(struct site *s, const char *from, struct err *e)
{
	char *old = x_printf("%s.old", s->index_path);
	int r = 0;

	remove_env(old);
	if (rename(s->index_path, old) && errno != ENOENT)
		r = err_sys(e, DM_ENV, errno, "rename %s", s->index_path);
	else if (rename(from, s->index_path))
		r = err_sys(e, DM_ENV, errno, "rename %s", from);
	else if (sync_parent(s->index_path, e))
		r = -1;
	else if (unlinkat(s->dir, "chunks/index.rebuild", 0) && errno != ENOENT)
		r = err_sys(e, DM_ENV, errno, "remove %s/chunks/index.rebuild", s->path);
	remove_env(old);
	free(old);
	return r;
}

int index_rebuild(struct site *s, struct err *e)
{
	struct build b = { .fd = durable_tmp(e) };
	char *new = x_printf("%s.new", s->index_path);
	int r = -1;

	if (b.fd == -1 || collect(s, &b, e))
		goto out;
	if (b.rows) {
		b.row = mmap(NULL, b.rows * sizeof *b.row, PROT_READ | PROT_WRITE, MAP_SHARED, b.fd, 0);
		if (b.row == MAP_FAILED) {
			b.row = NULL;
			err_sys(e, DM_ENV, errno, "map a temporary file");
			goto out;
		}
		sort_rows(b.row, b.rows);
	}
	r = make_env(s, new, &b, e);
	if (!r)
		r = swap_env(s, new, e);
out:
	if (b.row)
		munmap(b.row, b.rows * sizeof *b.row);
	fd_close(b.fd);
	free(b.pack);
	free(new);
	return r;
}

/* The index as its users see it: look-ups, lists, marks. */
#include "repo/index.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/bytes.h"
#include "base/fdio.h"
#include "base/lock.h"
#include "repo/index_priv.h"

/* LMDB's locks belong to the process: a second open of one environment would
 * release those of the first.  So the environments of a process are known
 * here, and shared. */
static pthread_mutex_t open_lock = PTHREAD_MUTEX_INITIALIZER;
static struct index *open_list;

static struct index *find_open(const char *path)
{
	struct stat st;

	if (stat(path, &st))
		return NULL;
	for (struct index *ix = open_list; ix; ix = ix->next)
		if (ix->dev == st.st_dev && ix->ino == st.st_ino)
			return ix;
	return NULL;
}

int index_lock(struct site *s, enum lock_kind kind, struct err *e)
{
	int fd = openat(s->dir, "chunks/index.lock", O_RDWR | O_CREAT | O_CLOEXEC, 0600);

	if (fd == -1)
		return err_sys(e, DM_ENV, errno, "open %s/chunks/index.lock", s->path);
	if (!lock_wait(fd, kind, e))
		return fd;
	fd_close(fd);
	return -1;
}

/* One process at a time rebuilds; who waited finds it done. */
static int rebuild_alone(struct site *s, struct index *ix, struct err *e)
{
	int fd = index_lock(s, LOCK_EXCLUSIVE, e);
	int r;

	if (fd == -1)
		return -1;
	r = index_env_open(s, s->index_path, 0, false, ix, e);
	if (r == 1) {
		r = index_rebuild(s, e);
		if (!r)
			r = index_env_open(s, s->index_path, 0, false, ix, e);
		if (r == 1)
			r = err_set(e, DM_ENV, "index %s: it cannot be opened after it was rebuilt", s->index_path);
	}
	fd_close(fd);
	return r;
}

int index_remake(struct site *s, struct err *e)
{
	int fd = index_lock(s, LOCK_EXCLUSIVE, e), r;

	if (fd == -1)
		return -1;
	r = index_rebuild(s, e);
	fd_close(fd);
	return r;
}

static struct index *open_new(struct site *s, struct err *e)
{
	struct index *ix = x_alloc(sizeof *ix);
	int r = index_env_open(s, s->index_path, 0, false, ix, e);

	if (r == 1)
		r = rebuild_alone(s, ix, e);
	if (r) {
		free(ix);
		return NULL;
	}
	ix->site_dir = fcntl(s->dir, F_DUPFD_CLOEXEC, 3);
	if (ix->site_dir == -1 || index_refresh(s, ix, e)) {
		err_sys(e, DM_ENV, errno, "open %s", s->path);
		fd_close(ix->site_dir);
		index_env_close(ix);
		free(ix);
		return NULL;
	}
	ix->next = open_list;
	open_list = ix;
	return ix;
}

struct index *index_open(struct site *s, struct err *e)
{
	struct index *ix;

	pthread_mutex_lock(&open_lock);
	ix = find_open(s->index_path);
	if (!ix)
		ix = open_new(s, e);
	else if (index_refresh(s, ix, e))
		ix = NULL;
	else
		ix->refs++;
	pthread_mutex_unlock(&open_lock);
	return ix;
}

void index_close(struct index *ix)
{
	struct index **p = &open_list;

	if (!ix)
		return;
	pthread_mutex_lock(&open_lock);
	if (!--ix->refs) {
		while (*p != ix)
			p = &(*p)->next;
		*p = ix->next;
		fd_close(ix->site_dir);
		index_env_close(ix);
		free(ix);
	}
	pthread_mutex_unlock(&open_lock);
}

void index_value_encode(const struct index_entry *en, uint8_t out[INDEX_VALUE])
{
	put32(out, en->pack);
	put32(out + 4, en->off);
	put32(out + 8, en->len);
	put32(out + 12, en->plain);
	out[16] = en->type;
	out[17] = en->codec;
	out[18] = en->depth;
	out[19] = en->tier;
	put32(out + 20, en->doomed);
	put64(out + 24, en->ordinal);
}

int index_value_decode(const MDB_val *v, struct index_entry *en)
{
	const uint8_t *p = v->mv_data;

	if (v->mv_size != INDEX_VALUE)
		return MDB_CORRUPTED;
	*en = (struct index_entry){
		.pack = get32(p), .off = get32(p + 4), .len = get32(p + 8), .plain = get32(p + 12),
		.type = p[16], .codec = p[17], .depth = p[18], .tier = p[19],
		.doomed = get32(p + 20) & 1, .ordinal = get64(p + 24),
	};
	return en->len < RECORD_HEADER || en->len > RECORD_HEADER + RECORD_BODY_MAX ? MDB_CORRUPTED : 0;
}

void index_pack_encode(const struct index_pack *p, bool complete, uint8_t out[INDEX_VALUE])
{
	memcpy(out, p->id, PACK_ID);
	put64(out + 16, p->size);
	put32(out + 24, p->records);
	put32(out + 28, complete);
}

int index_pack_decode(const MDB_val *key, const MDB_val *v, struct index_pack *p, bool *complete)
{
	const uint8_t *b = v->mv_data;
	uint32_t be;

	if (key->mv_size != 4 || v->mv_size != INDEX_VALUE)
		return MDB_CORRUPTED;
	memcpy(&be, key->mv_data, 4);
	p->ordinal = be32toh(be);
	memcpy(p->id, b, PACK_ID);
	p->size = get64(b + 16);
	p->records = get32(b + 24);
	*complete = p->complete = get32(b + 28) & 1;
	return 0;
}

int index_find(struct index *ix, const struct id *id, struct index_entry *out, struct err *e)
{
	MDB_val k = { ID_LEN, (void *)id->b }, v;
	MDB_txn *t;
	int rc;

	if (index_read_begin(ix, &t, e))
		return -1;
	rc = mdb_get(t, ix->ids, &k, &v);
	if (!rc)
		rc = index_value_decode(&v, out);
	index_read_end(ix, t);
	if (rc == MDB_NOTFOUND)
		return 0;
	return rc ? index_failed(ix, rc, "look-up", e) : 1;
}

static int get_pack(struct index *ix, MDB_txn *t, uint32_t ordinal, struct index_pack *out, bool *complete)
{
	uint32_t key = htobe32(ordinal);
	MDB_val k = { 4, &key }, v;
	int rc = mdb_get(t, ix->packs, &k, &v);

	return rc ? rc : index_pack_decode(&k, &v, out, complete);
}

int index_pack(struct index *ix, uint32_t ordinal, struct index_pack *out, struct err *e)
{
	MDB_txn *t;
	bool complete;
	int rc;

	if (index_read_begin(ix, &t, e))
		return -1;
	rc = get_pack(ix, t, ordinal, out, &complete);
	index_read_end(ix, t);
	if (rc == MDB_NOTFOUND)
		return 0;
	return rc ? index_failed(ix, rc, "look-up", e) : 1;
}

static int get_by_name(struct index *ix, MDB_txn *t, const uint8_t id[PACK_ID], struct index_pack *out,
    bool *complete)
{
	MDB_val k = { PACK_ID, (void *)id }, v;
	int rc = mdb_get(t, ix->names, &k, &v);

	if (rc)
		return rc;
	return v.mv_size == 4 ? get_pack(ix, t, get32(v.mv_data), out, complete) : MDB_CORRUPTED;
}

int index_pack_by_id(struct index *ix, const uint8_t id[PACK_ID], struct index_pack *out, struct err *e)
{
	MDB_txn *t;
	bool complete;
	int rc;

	if (index_read_begin(ix, &t, e))
		return -1;
	rc = get_by_name(ix, t, id, out, &complete);
	index_read_end(ix, t);
	if (rc == MDB_NOTFOUND)
		return 0;
	return rc ? index_failed(ix, rc, "look-up", e) : 1;
}

int index_knows_pack(struct index *ix, MDB_txn *t, const uint8_t id[PACK_ID], bool *known)
{
	struct index_pack p;
	int rc = get_by_name(ix, t, id, &p, known);

	if (rc != MDB_NOTFOUND)
		return rc;
	*known = false;
	return 0;
}

int index_rows(struct index *ix, struct id *after, struct index_row *v, size_t cap, size_t *n, struct err *e)
{
	MDB_val k = { ID_LEN, after->b }, val;
	MDB_cursor *c;
	MDB_txn *t;
	int rc;

	*n = 0;
	if (index_read_begin(ix, &t, e))
		return -1;
	rc = mdb_cursor_open(t, ix->ids, &c);
	if (!rc) {
		rc = mdb_cursor_get(c, &k, &val, MDB_SET_RANGE);
		if (!rc && !memcmp(k.mv_data, after->b, ID_LEN))
			rc = mdb_cursor_get(c, &k, &val, MDB_NEXT);
		for (; !rc && *n < cap; rc = mdb_cursor_get(c, &k, &val, MDB_NEXT)) {
			if (k.mv_size != ID_LEN) {
				rc = MDB_CORRUPTED;
				break;
			}
			memcpy(v[*n].id.b, k.mv_data, ID_LEN);
			rc = index_value_decode(&val, &v[*n].en);
			if (rc)
				break;
			++*n;
		}
		mdb_cursor_close(c);
	}
	index_read_end(ix, t);
	if (rc && rc != MDB_NOTFOUND)
		return index_failed(ix, rc, "list", e);
	if (*n)
		*after = v[*n - 1].id;
	return 0;
}

int index_packs(struct index *ix, struct index_pack **v, size_t *n, struct err *e)
{
	MDB_val k, val;
	MDB_cursor *c;
	MDB_txn *t;
	size_t cap = 0;
	bool complete;
	int rc;

	*v = NULL;
	*n = 0;
	if (index_read_begin(ix, &t, e))
		return -1;
	rc = mdb_cursor_open(t, ix->packs, &c);
	if (!rc) {
		while (!(rc = mdb_cursor_get(c, &k, &val, MDB_NEXT))) {
			if (*n == cap) {
				cap = cap ? cap * 2 : 64;
				*v = x_grow(*v, cap, sizeof **v);
			}
			rc = index_pack_decode(&k, &val, &(*v)[*n], &complete);
			if (rc)
				break;
			++*n;
		}
		mdb_cursor_close(c);
	}
	index_read_end(ix, t);
	if (rc == MDB_NOTFOUND)
		return 0;
	free(*v);
	*v = NULL;
	return index_failed(ix, rc, "list packs", e);
}

static int read_meta(struct index *ix, const char *key, uint64_t *out, struct err *e)
{
	MDB_txn *t;
	int rc;

	if (index_read_begin(ix, &t, e))
		return -1;
	rc = index_meta_get(ix, t, key, out);
	index_read_end(ix, t);
	return rc ? index_failed(ix, rc, key, e) : 0;
}

int index_ordinals(struct index *ix, uint64_t *out, struct err *e)
{
	return read_meta(ix, "ordinals", out, e);
}

int index_generation(struct index *ix, uint64_t *out, struct err *e)
{
	return read_meta(ix, "generation", out, e);
}

int index_doomed_list(struct index *ix, uint64_t *out, struct err *e)
{
	MDB_txn *t;
	int rc;

	*out = 0;
	if (index_read_begin(ix, &t, e))
		return -1;
	rc = index_meta_get(ix, t, "doomed", out);
	index_read_end(ix, t);
	return rc && rc != MDB_NOTFOUND ? index_failed(ix, rc, "doomed", e) : 0;
}

static int put_doomed(struct index *ix, MDB_txn *t, void *arg)
{
	return index_meta_put(ix, t, "doomed", *(uint64_t *)arg);
}

int index_doomed_note(struct index *ix, uint64_t list, struct err *e)
{
	return index_write(ix, put_doomed, &list, "note", e);
}

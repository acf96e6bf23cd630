/* What the files of the index share. */
#ifndef DM_REPO_INDEX_PRIV_H
#define DM_REPO_INDEX_PRIV_H

#include <lmdb.h>
#include <pthread.h>
#include <sys/types.h>

#include "repo/index.h"

#define INDEX_FORMAT 1
#define INDEX_VALUE 32u		/* bytes of an entry behind its id */
#define INDEX_BATCH 4096u	/* records in one write transaction: bounds its dirty pages */

#define INDEX_READERS 16

struct index {
	struct index *next;	/* of this process's environments */
	unsigned refs;
	dev_t dev;
	ino_t ino;		/* of the environment's directory */
	int site_dir;
	char *path;
	MDB_env *env;
	MDB_dbi ids, packs, names, meta;
	pthread_rwlock_t map_lock;	/* shared: read transactions; alone: resizing */
	pthread_mutex_t idle_lock;
	MDB_txn *idle[INDEX_READERS];	/* read transactions between uses, reset */
	unsigned nidle;
	pthread_mutex_t write_lock;	/* one writing thread at a time */
};

/* 0 an environment of this site is open; 1 there is none that can be used;
 * -1. */
int index_env_open(struct site *s, const char *path, unsigned flags, bool make, struct index *ix, struct err *e);
void index_env_close(struct index *ix);

/* *e from an LMDB result; what only a damaged environment gives marks it for
 * rebuilding.  Returns -1. */
int index_failed(struct index *ix, int rc, const char *what, struct err *e);
/* Note beside the index that it must be rebuilt before its next use. */
void index_distrust(int site_dir);

/* Run fn in a write transaction and commit; run again with a larger map when
 * it was full, so fn must not keep anything from a failed run.  fn returns an
 * LMDB result. */
int index_write(struct index *ix, int (*fn)(struct index *ix, MDB_txn *t, void *arg), void *arg,
    const char *what, struct err *e);
/* A read transaction, of which threads have one each at the same time; none may
 * begin another meanwhile. */
int index_read_begin(struct index *ix, MDB_txn **t, struct err *e);
void index_read_end(struct index *ix, MDB_txn *t);

void index_value_encode(const struct index_entry *en, uint8_t out[INDEX_VALUE]);
int index_value_decode(const MDB_val *v, struct index_entry *en);	/* LMDB result */
void index_pack_encode(const struct index_pack *p, bool complete, uint8_t out[INDEX_VALUE]);
int index_pack_decode(const MDB_val *key, const MDB_val *v, struct index_pack *p, bool *complete);

int index_meta_get(struct index *ix, MDB_txn *t, const char *key, uint64_t *out);	/* LMDB result */
int index_meta_put(struct index *ix, MDB_txn *t, const char *key, uint64_t v);

/* Does the index hold all of this pack?  LMDB result, *known. */
int index_knows_pack(struct index *ix, MDB_txn *t, const uint8_t id[PACK_ID], bool *known);

/* The tables of packs, one after another in the order of the names; several
 * are read at a time from an object store.  v NULL: the pack is gone or none of
 * ours, which is left to verify.  An answer of each other than 0 ends it. */
struct pack_table {
	uint8_t id[PACK_ID];
	uint64_t size;
	struct pack_entry *v;
	size_t n;
};
int tables_read(struct site *s, const struct pack_name *name, size_t n,
    int (*each)(const struct pack_table *t, void *arg, struct err *e), void *arg, struct err *e);
/* Take in a pack, known or not, while `gone' (ascending ordinals) are no longer
 * there: what points into one of those is pointed here. */
int index_regain(struct index *ix, const struct index_new *pack, const uint32_t *gone, size_t ngone, struct err *e);
/* Make a new environment from the packs and put it in place of the old. */
int index_rebuild(struct site *s, struct err *e);

#endif

/* What the files of the store share. */
#ifndef DM_REPO_STORE_PRIV_H
#define DM_REPO_STORE_PRIV_H

#include <pthread.h>
#include <stdatomic.h>

#include "base/pool.h"
#include "content/codec.h"
#include "repo/crypt.h"
#include "repo/index.h"
#include "repo/pack_cache.h"
#include "repo/pending.h"
#include "repo/store.h"

/* A pack being written, until its records are in the index. */
struct opack {
	struct opack *next;
	struct pack_out *out;
	unsigned refs;		/* readers, and 1 for the store */
	bool closing;		/* takes no more records */
	bool done;		/* sealed and synced, or failed */
	bool indexed;		/* published and in the index */
};

/* Scratch of one call; kept and given to the next. */
struct work {
	struct work *next;
	struct codec_ctx *codec;
	uint8_t *rec;		/* RECORD_HEADER + RECORD_BODY_MAX */
	uint8_t *now, *old;	/* CHUNK_MAX */
	uint8_t *packed;	/* codec_bound(CHUNK_MAX) */
};

struct store {
	struct site *site;
	struct index *index;
	enum store_mode mode;
	struct pack_cache cache;
	uint8_t prefix;			/* of the ids of this store's packs */
	_Atomic uint64_t added;

	pthread_mutex_t lock;		/* everything below */
	pthread_cond_t change;		/* of an opack's state */
	struct opack *open;		/* newest first; open->closing: none is current */
	struct pending pending;
	struct work *idle;
	bool failed;
	struct err why;

	pthread_mutex_t flush_lock;	/* one flush at a time */
	struct pool *syncer;		/* seals and syncs packs that are full */
};

struct work *work_get(struct store *st, struct err *e);
void work_put(struct store *st, struct work *w);

/* Note the failure for good; returns -1. */
int store_fail(struct store *st, const struct err *why);
/* Refuse after a failure: 0 or -1. */
int store_usable(struct store *st, struct err *e);

/* Where a record lies, held so that it can be read. */
struct loc {
	struct index_entry en;	/* en.len: as a plain site has it */
	struct pack_in *pack;	/* published, or */
	struct opack *in;	/* pending */
	struct id id;		/* content's */
	uint32_t disk_len;	/* bytes in the pack */
	uint8_t *opened;	/* encrypted: the whole record, once it was read */
};
/* 1, 0 unknown, -1; a doomed record is found too. */
int store_locate(struct store *st, const struct id *id, struct loc *l, struct err *e);
void store_release(struct store *st, struct loc *l);
/* len bytes at off of the record. */
int store_pread(struct store *st, struct loc *l, uint32_t off, void *p, uint32_t len, struct err *e);
/* The whole record into buf, header decoded and agreeing with id and type;
 * its check is verified when `check'.  DM_NO unknown, DM_BAD damaged. */
int store_record(struct store *st, const struct id *id, enum record_type type, bool check, uint8_t *buf,
    struct record *r, struct err *e);

/* After a read that failed with *e: true, with *e empty again, when that is of
 * bytes which may have been damaged on their way from an object store.  Nothing
 * that was got before is used any more, and the read is worth another attempt. */
bool store_again(struct store *st, struct err *e);

/* *e: the id is not there (DM_NO).  Returns -1. */
int store_unknown(struct store *st, const struct id *id, struct err *e);

/* The name of the record of a chunk's leaf ids, and a look at such a record. */
void store_leaves_name(const struct id *chunk, struct id *name);
int store_check_leaves(struct store *st, const struct id *name, uint32_t plain, struct err *e);

/* Append a record; r->stored is set from the body. */
int store_append(struct store *st, struct record *r, const struct iovec *body, int n, uint64_t *added,
    struct err *e);
/* 1 there is a record fit for reuse, 0 none, -1.  *doomed: there is one that
 * must not be reused; its successor must be whole. */
int store_known(struct store *st, const struct id *id, bool *doomed, struct err *e);

#endif

/* Packs: append-only files of self-describing records (dm-repository(5)).
 * Private to common/repo.  This file knows bytes and files, not what the
 * index or a store make of them. */
#ifndef DM_REPO_PACK_H
#define DM_REPO_PACK_H

#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "base/err.h"
#include "content/id.h"
#include "repo/site.h"

#define PACK_ID 16u			/* bytes of a pack's id */
#define PACK_HEADER 64u
#define PACK_TRAILER 64u
#define PACK_ENTRY 48u
#define PACK_TARGET (64u << 20)		/* a pack is ended at this length */
#define PACK_MAX (1u << 30)		/* a longer one is not believed */
#define RECORD_HEADER 96u
#define RECORD_BODY_MAX (CHUNK_MAX + (128u << 10))

enum record_type {
	REC_CHUNK = 1,		/* a whole chunk */
	REC_OVERLAY = 2,	/* fragments over a base */
	REC_NODE = 3,
	REC_ROOT = 4,
	REC_LEAVES = 5,		/* ids of a chunk's leaves, without content */
	REC_TYPES		/* behind the last */
};

/* A record's header.  depth: records to read below this one until a whole
 * chunk, 0 for everything but overlays; tier: how many of them are merged
 * ones (overlay.h). */
struct record {
	uint8_t type, codec, depth, tier;
	uint32_t plain;		/* bytes of content: the chunk's length */
	uint32_t stored;	/* bytes of body behind the header */
	struct id id, base;	/* base: overlays only */
};
/* Encode with the check over header and body (the pieces of iov). */
void record_encode(const struct record *r, const struct iovec *body, int n, uint8_t out[RECORD_HEADER]);
/* DM_BAD unless it is a header of this version with plausible lengths; the
 * check is not looked at. */
int record_decode(const uint8_t p[RECORD_HEADER], struct record *r, struct err *e);
/* Does the check agree with header and body? */
bool record_intact(const uint8_t p[RECORD_HEADER], const void *body, size_t len);

/* One line of a pack's table; len counts header and body. */
struct pack_entry {
	struct id id;
	uint32_t off, len, plain;
	uint8_t type, codec, depth, tier;
};

/* A pack being written, under a temporary name and an exclusive lock. */
struct pack_out {
	uint8_t id[PACK_ID];
	int fd;
	uint64_t size;		/* reserved so far; the whole file once sealed */
	uint64_t kicked;	/* writeback was started up to here */
	struct pack_entry *v;
	size_t n, cap;
	unsigned writing;	/* reservations not yet written; the owner's lock guards it */
	bool sealed, synced, published;
};
/* prefix: first byte of the id, so that the packs of one writer share a
 * directory.  NULL with *e. */
struct pack_out *pack_create(struct site *s, uint8_t prefix, struct err *e);
/* Take room for a record; the caller serialises these.  The record counts as
 * part of the pack at once: it must be written before pack_seal. */
uint32_t pack_reserve(struct pack_out *p, const struct record *r);
/* Write header and body at a reserved place.  iov is consumed. */
int pack_write(struct pack_out *p, uint32_t off, struct iovec *iov, int n, struct err *e);
/* Both, for one thread: header and body as they are stored, together. */
int pack_append(struct pack_out *p, const uint8_t *rec, size_t len, struct err *e);
/* Table and trailer. */
int pack_seal(struct site *s, struct pack_out *p, struct err *e);
/* Durable; in an object store it has its name with that. */
int pack_sync(struct site *s, struct pack_out *p, struct err *e);
/* Give it its name; durable only after pack_sync_dirs. */
int pack_publish(struct site *s, struct pack_out *p, struct err *e);
int pack_sync_dirs(struct site *s, struct pack_out *const *p, size_t n, struct err *e);
/* An unpublished one is removed.  NULL is harmless. */
void pack_out_free(struct site *s, struct pack_out *p);
/* Remove what writers that died left under temporary names. */
int pack_clean(struct site *s, struct err *e);

/* A published pack, open for reading; in an object store it turns out only with
 * the first read whether it is there.  size: of the pack, 0 when it is not
 * known.  NULL: DM_NO it is gone.  Reads may come from several threads. */
struct pack_in;
struct pack_in *pack_open(struct site *s, const uint8_t id[PACK_ID], uint64_t size, struct err *e);
struct pack_in *pack_open_fd(struct site *s, int fd, const uint8_t id[PACK_ID]);	/* takes fd over */
void pack_close(struct pack_in *p);		/* NULL is harmless */
int pack_size(struct pack_in *p, uint64_t *size, struct err *e);
/* len bytes at off: 0; DM_NO it is gone; DM_BAD it is shorter. */
int pack_pread(struct pack_in *p, void *to, size_t len, uint64_t off, struct err *e);
/* Its records, from the table, or, when the table is damaged, from the
 * records themselves (*damaged is set and what fails its check is left out).
 * *v is the caller's. */
int pack_read(struct site *s, struct pack_in *in, const uint8_t id[PACK_ID], struct pack_entry **v, size_t *n,
    uint64_t *size, bool *damaged, struct err *e);
/* One whole record into buf (en->len bytes), its check verified: 0; DM_BAD. */
int pack_record(struct pack_in *in, const struct pack_entry *en, uint8_t *buf, struct record *r, struct err *e);
/* Remove a pack; a directory is not synced.  Gone already is fine. */
int pack_unlink(struct site *s, const uint8_t id[PACK_ID], struct err *e);

struct pack_name {
	uint8_t id[PACK_ID];	/* first: sorted by it */
	uint64_t size;		/* in an object store only */
	int64_t modified;	/* so too, ns by its clock */
};
/* Every published pack; sorted.  *v is the caller's. */
int pack_list(struct site *s, struct pack_name **v, size_t *n, struct err *e);
/* Make the names of these packs durable: their writer may not have come to it
 * yet, and an index must not outlive a pack. */
int pack_sync_names(struct site *s, const struct pack_name *v, size_t n, struct err *e);

#endif

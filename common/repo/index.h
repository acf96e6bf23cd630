/* The index: content id -> where its record lies.  An LMDB environment,
 * derived from the packs and rebuilt from them.  Private to common/repo.
 *
 * Of several records of one id it keeps the shallowest: so every chain of
 * overlays, followed through the index, gets strictly shallower and ends,
 * whatever several writers did at once.
 *
 * Safe from several threads.  All users in one process share one environment
 * (LMDB's locks do not stand two). */
#ifndef DM_REPO_INDEX_H
#define DM_REPO_INDEX_H

#include <stdbool.h>

#include "base/lock.h"
#include "repo/pack.h"

struct index;

struct index_entry {
	uint32_t pack;		/* ordinal, see index_pack */
	uint32_t off, len, plain;
	uint8_t type, codec, depth, tier;
	bool doomed;		/* prune is about to remove it: not offered for
				 * reuse, still read by those who link to it */
	uint64_t ordinal;	/* of the record, dense from 0, for bitmaps */
};
struct index_pack {
	uint32_t ordinal;
	uint8_t id[PACK_ID];
	uint64_t size;		/* bytes of the file */
	uint32_t records;	/* in its table */
	bool complete;		/* all of its records were taken in */
};

/* Opens, ingests packs that are missing in it, rebuilds it when it is missing
 * or damaged.  DM_ENV on a network file system. */
struct index *index_open(struct site *s, struct err *e);
void index_close(struct index *ix);

/* 1 found, 0 unknown, -1. */
int index_find(struct index *ix, const struct id *id, struct index_entry *out, struct err *e);
/* Look these up with several threads, for what that brings into the cache: an
 * index that is larger than it costs a read of the disk for each look-up, and
 * disks do many at a time.  What one look-up took, ns; 0 when none was made. */
int64_t index_warm(struct index *ix, const struct id *v, size_t n);
int index_pack(struct index *ix, uint32_t ordinal, struct index_pack *out, struct err *e);
int index_pack_by_id(struct index *ix, const uint8_t id[PACK_ID], struct index_pack *out, struct err *e);

/* Packs and their records; one that is known already is skipped, unless
 * `replace' is set (moved records).  An equally deep record replaces the known
 * one when that is so, or when the latter is doomed; a deeper one never does. */
struct index_new {
	uint8_t id[PACK_ID];
	uint64_t size;
	const struct pack_entry *v;
	size_t n;
};
int index_add(struct index *ix, const struct index_new *pack, size_t n, bool replace, struct err *e);

/* All records in order of id, in batches: *after (zero id at first) is moved
 * on; fills up to cap, *n 0 at the end. */
struct index_row { struct id id; struct index_entry en; };
int index_rows(struct index *ix, struct id *after, struct index_row *v, size_t cap, size_t *n, struct err *e);
/* All packs by ordinal; *v is the caller's. */
int index_packs(struct index *ix, struct index_pack **v, size_t *n, struct err *e);
/* One more than the highest record ordinal given out. */
int index_ordinals(struct index *ix, uint64_t *out, struct err *e);
/* A random number made when the index was built: a doomed list made under
 * another generation is void. */
int index_generation(struct index *ix, uint64_t *out, struct err *e);
/* The doomed list that was applied last, 0 none. */
int index_doomed_list(struct index *ix, uint64_t *out, struct err *e);
int index_doomed_note(struct index *ix, uint64_t list, struct err *e);
/* Mark or unmark; unknown ids are passed over. */
int index_doom(struct index *ix, const struct id *v, size_t n, bool on, struct err *e);
/* Take records out; an entry that points into another pack than `pack' stays
 * (UINT32_MAX: whatever pack). */
int index_remove(struct index *ix, const struct id *v, size_t n, uint32_t pack, struct err *e);
/* Take out those records that are doomed still. */
int index_reap(struct index *ix, const struct id *v, size_t n, struct err *e);
/* Take packs out of the table of packs, with the entries that still point into
 * them. */
int index_drop_packs(struct index *ix, const uint32_t *ordinal, size_t n, struct err *e);
/* Make what was committed last durable too: before a file goes that only an
 * older index needs. */
int index_settle(struct index *ix, struct err *e);
/* Take in the packs that the index lacks; in an object store also forget those
 * that another machine has removed, and hide what it has doomed (doomed.h). */
int index_refresh(struct site *s, struct index *ix, struct err *e);
/* Make a new index from the packs, in place of what there is. */
int index_remake(struct site *s, struct err *e);
/* Who takes packs in holds this shared, who removes or rebuilds, alone: fd to
 * close, or -1. */
int index_lock(struct site *s, enum lock_kind kind, struct err *e);

#endif

/* Volumes: anything with blocks, named by a URI (dm-volume(7)).
 *
 * Calls return 0 or -errno; volume_message gives the sentence.  Transfers are
 * whole or failed.  Several threads may call read, write, zero, put and
 * flush on one open volume at once. */
#ifndef DM_VOLUME_VOLUME_H
#define DM_VOLUME_VOLUME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "base/extent.h"
#include "content/id.h"

struct volume;
struct volume_group;	/* what volumes of one iteration share (one session of
			 * a repository, say); made empty by the caller */
struct volume_group *volume_group_new(void);
void volume_group_free(struct volume_group *g);	/* after its volumes */

/* Does one URI of this scheme serve any number of disks, told apart by their
 * names?  (Of file: a directory does.) */
bool volume_many(const char *scheme);

enum volume_mode { VOL_READ, VOL_WRITE };

/* Whom a target asks that makes failed calls again by itself, each time before
 * it does: it waits for so long, and 0 means go on; -1: something else failed
 * meanwhile, give up.  In the thread of the call. */
struct volume_wait {
	int (*wait)(void *arg, enum err_class cls, int64_t ns);
	void *arg;
};

struct volume_how {
	enum volume_mode mode;
	const char *disk;		/* name of the disk in the workload */
	const char *point;		/* VOL_READ: which state; NULL: the present one */
	const char *since;		/* VOL_READ: what volume_extents will be asked
					 * about, or NULL */
	struct volume_group *group;	/* VOL_WRITE: never NULL */

	/* VOL_WRITE only: what the iteration's HELLO said. */
	uint64_t size;			/* bytes the disk has in the new state */
	uint32_t block, chunk_size;
	int algo;
	bool full;			/* no base: what is not written is zero */
	const char *base_point;		/* "" if unknown */
	const struct id *base_root;	/* NULL if unknown */
	const char *target_point;	/* "" if unknown */
	bool frozen;			/* the target point cannot change */
	const uint8_t *session;		/* 16 bytes */
	const uint8_t *site;		/* 16 bytes: that knows the session; NULL: none is
					 * known to */
	const char *workload;		/* "" if unknown */
	bool force;			/* --force: target looks mounted or foreign */
	bool verify_base;		/* see volume_unproved */
	struct volume_wait wait;	/* .wait NULL: no call is made again */
	const char *work;		/* what holds, durably, part of this very step;
					 * NULL: nothing does */
	const struct disk_table *disks;	/* all disks of the iteration */
};

struct disk_table {
	size_t n;
	const struct disk_row {
		const char *name, *base_point, *target_point;
		uint64_t size;
		uint32_t block;
		bool full, frozen, has_base_root;
		struct id base_root;
	} *row;
};

/* One chunk to be applied. */
struct volume_chunk {
	uint64_t off;			/* of the chunk, on the grid */
	uint32_t len;			/* of the chunk */
	uint32_t epoch;
	const struct frag *frag;	/* nfrags 0: the whole chunk */
	size_t nfrags;
	bool rest_zero;			/* outside the fragments: zero, not base */
	const void *plain;		/* the pieces' bytes one after another */
	size_t plain_len;
	int codec;			/* how `stored' holds the same bytes */
	const void *stored;
	size_t stored_len;
	const struct id *id;		/* claimed id of the whole chunk, or NULL */
	const struct id *leaf;		/* leaf ids, verified against plain, or NULL;
					 * only when nfrags is 0 */
	uint8_t *whole;			/* room for the chunk, or NULL: asks a target that
					 * puts fragments and cannot be read what became */
	uint32_t whole_leaves;		/* out: bit i, leaf i is in `whole' */
	uint64_t added;			/* out: bytes the target grew by */
	bool dedup;			/* out: the target had the content */
};

/* On failure *v is NULL and *e says why: DM_NO for a refusal (wrong base, in
 * use, mounted), DM_USAGE for a URI no driver takes, DM_ENV otherwise. */
int volume_open(struct volume **v, const char *uri, const struct volume_how *how, struct err *e);
uint64_t volume_size(const struct volume *v);
struct volume_limits {
	uint32_t min, preferred, max;	/* bytes of a transfer */
	unsigned calls;			/* see volume_calls */
};
/* How many calls at once it takes to keep the volume busy: as many as there
 * are CPUs, or what the driver says. */
unsigned volume_calls(const struct volume *v);
struct volume_limits volume_limits(const struct volume *v);
const char *volume_uri(const struct volume *v);
/* With how->verify_base: nothing proves that this target holds the base, so the
 * caller reads it, and compares, before it writes. */
bool volume_unproved(const struct volume *v);

/* What holds the new state while it is written, by a name that it keeps: what
 * was flushed is found there again after an interruption.  "" where that is not
 * so. */
const char *volume_work(const struct volume *v);
/* Is how->work that, and is the step gone on with?  Else it is begun anew. */
bool volume_resumes(const struct volume *v);

/* What of [off, off+len) changed since the point (NULL: what is not zero);
 * the answer tiles the range.  -ESTALE: the point is lost, foreign or
 * doubtful; -ENOTSUP: this volume cannot tell. */
int volume_extents(struct volume *v, const char *since, uint64_t off, uint64_t len, struct extents *out);
/* The name under which a catalog knows the point `since' (an allocation), or
 * NULL: it is lost, foreign or doubtful, volume_error says how. */
char *volume_base_point(struct volume *v, const char *since);
int volume_read(struct volume *v, void *p, size_t len, uint64_t off);
int volume_write(struct volume *v, const void *p, size_t len, uint64_t off);
int volume_zero(struct volume *v, uint64_t off, uint64_t len);
/* Apply a chunk: the driver's own way, or decoded pieces through write/zero. */
int volume_put(struct volume *v, struct volume_chunk *c);
/* [off, off+len) is zero now (whole chunks, perhaps the tail). */
int volume_put_zero(struct volume *v, uint64_t off, uint64_t len, uint32_t epoch);
/* Does an interrupted earlier session already hold this chunk's new state?
 * A target that resumes takes the caller's word for it, and keeps the chunk.
 * 1, 0 or -errno. */
int volume_held(struct volume *v, uint64_t off, uint32_t len, const struct id *id);
/* Is the content known to the target (dedup)?  If so it becomes the chunk at
 * off.  1, 0 or -errno. */
int volume_ref(struct volume *v, uint64_t off, uint32_t len, const struct id *id, uint32_t epoch);
/* Read a whole chunk in its stored form when the driver has one (then nothing
 * is decompressed): 1 and *codec, *stored_len; 0: read it plainly; -errno.
 * p has codec_bound(len) bytes. */
int volume_get_stored(struct volume *v, uint64_t off, uint32_t len, void *p, int *codec, size_t *stored_len);

/* Everything put in epochs up to this one, on all volumes of the group, is
 * durable when this returns 0.  May run beside puts of later epochs. */
int volume_group_flush(struct volume_group *g, uint32_t epoch);
/* Name the present state of a source: an allocation, or NULL with errno. */
char *volume_point(struct volume *v, bool *frozen);
/* Everything was written and flushed: make the new state a point and say its
 * name (allocation) and, if known, its root.  All volumes of a group are
 * finalized one after another; 0 or -errno. */
struct volume_final { char *point; bool has_root; struct id root; uint64_t stored; };
int volume_finalize(struct volume *v, const char *source_point, const struct id *source_root, struct volume_final *f);
/* Without finalize the new state is abandoned (or kept for resume). */
void volume_close(struct volume *v);
const char *volume_message(const struct volume *v);
/* Did a call give -errno because the target refuses for the moment?  Then it
 * wrote nothing, and may be made again. */
bool volume_refused(int rc);
/* It is: the refusal's message, if it is still there, moves to *why and is not
 * the volume's failure. */
void volume_forgive(struct volume *v, struct err *why);
/* Copy the first failure of v, or of a group's volumes, into *e.  Returns -1. */
int volume_error(const struct volume *v, struct err *e);
int volume_group_error(const struct volume_group *g, struct err *e);

/* Can it be read?  A target may be one that cannot. */
bool volume_readable(const struct volume *v);
/* Do targets named so keep the ids of what they hold themselves? */
bool volume_keeps_ids(const char *uri);

/* Points of a target that are not in the catalog's records, of which `known'
 * are the points: removed, unless they may be newer than the catalog.  0 or -1
 * with *e; DM_USAGE: a target of this kind has no points of its own. */
struct volume_sweep {
	const char *workload, *disk;
	const char *const *known;
	size_t nknown;
	const uint8_t *site;		/* 16 bytes: whose catalog it is, or NULL */
	const char *const *session;	/* those that it knows, in digits */
	size_t nsessions;
	bool dry_run;		/* only count */
};
struct volume_swept {
	uint64_t removed;
	uint64_t left;		/* in use */
	char why[200];		/* of the first one left */
};
int volume_sweep(const char *uri, const struct volume_sweep *how, struct volume_swept *out, struct err *e);

/* Does the driver want leaf ids computed before put? */
bool volume_wants_ids(const struct volume *v);

#endif

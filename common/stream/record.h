/* Bodies of frames as structs.  Decoders check every length and range and
 * give DM_BAD; nothing is allocated before it was checked against the body. */
#ifndef DM_STREAM_RECORD_H
#define DM_STREAM_RECORD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"
#include "base/extent.h"
#include "content/id.h"
#include "stream/format.h"
#include "stream/frame.h"

struct disk {
	char *name;		/* name_valid() */
	uint64_t size;		/* bytes, multiple of nothing in particular */
	uint32_t block;		/* logical block size, bytes */
	uint8_t flags;		/* enum disk_flag */
	struct id base_root;	/* the base checkpoint's root of this disk */
	struct id target_root;	/* the content's root, when it is known at once */
	char *base_point;	/* the source's point of the base, "" if none */
	char *target_point;	/* the source's point being replicated, "" if none */
};

struct hello {
	uint16_t version_min, version_max;
	uint32_t incompat, rocompat, compat;
	uint8_t session[16];	/* random, names the iteration */
	uint32_t chunk_size;
	uint8_t algo;		/* enum id_algo */
	uint8_t kind;		/* enum hello_kind */
	uint16_t codecs;	/* bit per enum codec */
	char *plan, *workload;	/* "" if unknown */
	struct disk *disk;
	uint32_t ndisks;	/* disk numbers are 0 .. ndisks-1 */
};
void hello_free(struct hello *h);
int hello_encode(const struct hello *h, struct buf *out);
int hello_decode(const struct frame *f, struct hello *h, struct err *e);
int hello_put(struct frame_out *o, const struct hello *h, struct err *e);
/* The first frame must be a HELLO we can speak. */
int hello_read(struct frame_in *in, struct hello *h, struct err *e);	/* an ABORT there: -1, relayed */
void hello_new_session(struct hello *h);
const struct disk *hello_disk(const struct hello *h, const char *name);
/* Whoever writes to a volume asks this too: are all read-only-compatible
 * features known?  0 or -1 with *e. */
int hello_writable(const struct hello *h, struct err *e);

/* A descriptor entry.  `off' lies on the chunk grid. */
struct entry {
	uint64_t index;		/* of its first chunk; a run takes several */
	uint64_t off, len;	/* bytes; len <= chunk size unless EF_RUN */
	uint16_t flags;		/* enum entry_flag */
	uint16_t nfrags, nleaves;
	struct id id;
	struct frag frag[ENTRY_FRAGS_MAX];
	struct id leaf[LEAVES_MAX];
};
/* Chunks (indices) it covers: at least 1. */
uint64_t entry_count(const struct entry *en, uint32_t chunk_size);
/* Bytes of content it asks for: fragments, or its length; 0 for EF_ZERO. */
uint64_t entry_bytes(const struct entry *en);
/* Encoded length, and encoding; p has ENTRY_MAX bytes. */
size_t entry_len(const struct entry *en);
size_t entry_encode(const struct entry *en, uint8_t *p);
/* Take one from the cursor; checked against the disk's size and the grid. */
int entry_decode(struct cursor *c, const struct hello *h, uint32_t disk,
    struct entry *en, struct err *e);
bool entry_equal(const struct entry *a, const struct entry *b);
/* First chunk of a run into *one, *run shrinks; false when *run was the last
 * (then *one is it). */
bool entry_cut(struct entry *run, uint32_t chunk_size, struct entry *one);

/* Batches of descriptors: one DESC frame per disk and epoch. */
struct desc_batch {
	struct buf body;
	uint32_t disk;
	uint32_t epoch;		/* 0 is the first, 1; flushed by the caller before it changes */
};
int desc_add(struct frame_out *o, struct desc_batch *b, uint32_t disk,
    const struct entry *en, struct err *e);	/* flushes at 32 KiB or on another disk */
int desc_flush(struct frame_out *o, struct desc_batch *b, struct err *e);

/* Batches of extents, in the same way: one EXTENT frame per disk. */
struct extent_batch {
	struct buf body;
	uint32_t disk;
};
int extent_add(struct frame_out *o, struct extent_batch *b, uint32_t disk,
    const struct extent *x, struct err *e);
int extent_flush(struct frame_out *o, struct extent_batch *b, struct err *e);
/* Take one from the cursor; inside the disk and of a known kind. */
int extent_decode(struct cursor *c, const struct hello *h, uint32_t disk,
    struct extent *x, struct err *e);

struct chunk {
	struct entry en;
	uint16_t attempt;
	uint8_t codec;
	uint32_t plain, stored;
	const uint8_t *data;	/* stored bytes, inside the frame */
};
int chunk_decode(const struct frame *f, const struct hello *h, struct chunk *c, struct err *e);
int chunk_put(struct frame_out *o, uint32_t disk, uint32_t epoch, const struct chunk *c, struct err *e);
/* ZERO, REF, HELD: an entry alone. */
int entry_frame_decode(const struct frame *f, const struct hello *h, struct entry *en, struct err *e);
int entry_frame_put(struct frame_out *o, uint8_t type, uint32_t disk, uint32_t epoch,
    const struct entry *en, struct err *e);

struct written {
	uint32_t service_us;
	uint8_t how;		/* enum written_how */
	struct entry en;
};
int written_decode(const struct frame *f, const struct hello *h, struct written *w, struct err *e);
int written_put(struct frame_out *o, uint32_t disk, uint32_t epoch, const struct written *w, struct err *e);

struct barrier {
	uint64_t count, bytes;	/* asked for since the start */
};
int barrier_decode(const struct frame *f, struct barrier *b, struct err *e);
int barrier_put(struct frame_out *o, uint32_t epoch, const struct barrier *b, struct err *e);
int durable_decode(const struct frame *f, uint64_t *count, struct err *e);
int durable_put(struct frame_out *o, uint32_t epoch, uint64_t count, struct err *e);

struct nak {
	uint64_t index;
	uint8_t cls;		/* enum err_class */
	uint8_t again;		/* 1: a REF whose id is gone: ask again with data */
	uint32_t retry_ms;
};
int nak_decode(const struct frame *f, struct nak *n, struct err *e);
int nak_put(struct frame_out *o, uint32_t disk, uint32_t epoch, const struct nak *n, struct err *e);

struct final {
	uint8_t side;		/* enum final_side */
	uint8_t flags;		/* enum final_flag */
	struct id root;
	uint64_t stored;	/* bytes the target added for this disk */
	char *point;		/* what the driver made; "" if nothing */
};
int final_decode(const struct frame *f, struct final *x, struct err *e);
int final_put(struct frame_out *o, uint32_t disk, const struct final *x, struct err *e);
void final_free(struct final *x);

struct stats {
	uint64_t v[16];		/* by enum stat_key, 0 if absent */
};
int stat_decode(const struct frame *f, struct stats *s, struct err *e);
int stat_put(struct frame_out *o, uint32_t disk, const struct stats *s, struct err *e);

struct progress_rec {
	uint8_t stage;
	uint64_t done, total;	/* bytes, total 0 if unknown */
};
int progress_decode(const struct frame *f, struct progress_rec *p, struct err *e);
int progress_put(struct frame_out *o, uint32_t disk, const struct progress_rec *p, struct err *e);

/* What steers and is passed on to who reads it must be what that one takes: 0,
 * or -1 (DM_BAD).  Frames of other types are not looked at. */
int passed_check(const struct frame *f, const struct hello *h, struct err *e);

/* ABORT fills *e from the frame: code, class, text, relayed = 1.  Always -1
 * (DM_BAD if the frame itself is wrong). */
int abort_decode(const struct frame *f, struct err *e);
/* Send *e on; its text gets the program's name in front unless relayed. */
int abort_put(struct frame_out *o, const struct err *e, struct err *e2);

/* What END proves: every writer sums what it put, every reader what it took,
 * and both must agree.  The root is the sum modulo 2^256 of BLAKE3, keyed by
 * the session, over each encoded entry with its disk number. */
struct tally {
	uint64_t count;		/* indices */
	uint64_t bytes;		/* entry_bytes */
	uint64_t root[4];	/* little-endian words */
	uint8_t key[32];
};
void tally_init(struct tally *t, const struct hello *h);
void tally_add(struct tally *t, uint32_t disk, const struct entry *en, uint32_t chunk_size);
/* In a stream of extents: count of extents, bytes of them, root over them. */
void tally_add_extent(struct tally *t, uint32_t disk, const struct extent *x);
bool tally_equal(const struct tally *a, const struct tally *b);
int end_decode(const struct frame *f, struct tally *t, struct err *e);
int end_put(struct frame_out *o, const struct tally *t, struct err *e);

/* A frame whose type the reader has no use for: 0 when it may be ignored, else
 * -1 with *e (DM_BAD).  `what' names the input. */
int frame_misplaced(const struct frame *f, const char *what, struct err *e);
const char *frame_type_name(int type);	/* "chunk" */
const char *kind_name(int kind);	/* "incremental" */

#endif

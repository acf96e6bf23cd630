/* dm-stream version 1: every constant of the wire.  dm-stream(5) describes
 * the bytes; a change here is a change there and in tests/golden/. */
#ifndef DM_STREAM_FORMAT_H
#define DM_STREAM_FORMAT_H

#define STREAM_PREFACE "dm-stream/1    \n"	/* 16 bytes */
#define STREAM_PREFACE_LEN 16
#define STREAM_VERSION 1

#define FRAME_MAGIC 0x316d6644u			/* "Dfm1" */
#define FRAME_HEADER 32
#define FRAME_CHECK 8
#define FRAME_SEAL 17			/* instead of the check, in a sealed frame */
#define FRAME_BODY_MAX ((1u << 20) + (128u << 10))

/* Offsets in the header. */
#define FH_MAGIC 0	/* u32 */
#define FH_TYPE 4	/* u8 */
#define FH_FLAGS 5	/* u8 */
#define FH_STREAM 6	/* u16 */
#define FH_SEQ 8	/* u64 */
#define FH_LEN 16	/* u32, without the trailing check */
#define FH_DISK 20	/* u32 */
#define FH_EPOCH 24	/* u32 */
#define FH_CHECK 28	/* u32: low half of XXH3-64 over bytes 0-27 */

enum frame_flag {
	FF_MAY_IGNORE = 1,
	FF_SEALED = 2,		/* the body is encrypted, the header bound to it */
	FF_PADDED = 4,		/* only sealed frames: the body ends with padding */
};

enum frame_type {
	FT_HELLO = 1,
	FT_EXTENT = 2,
	FT_DESC = 3,
	FT_CHUNK = 4,
	FT_ZERO = 5,
	FT_REF = 6,
	FT_HELD = 7,
	FT_BARRIER = 8,
	FT_WRITTEN = 9,
	FT_DURABLE = 10,
	FT_NAK = 11,
	FT_FINAL = 12,
	FT_STAT = 13,
	FT_PROGRESS = 14,
	FT_ABORT = 15,
	FT_END = 16,
};

/* HELLO: feature bits.  Unknown incompatible ones are refused by everyone,
 * unknown read-only-compatible ones by whoever writes to a volume. */
#define FEAT_INCOMPAT_KNOWN 0u
#define FEAT_ROCOMPAT_KNOWN 0u
#define FEAT_COMPAT_KNOWN 0u
/* Incompatible; only in the opening of a sealed stream, which is all that the
 * key does not hide, so whoever has no key knows none of them. */
#define FEAT_SEALED 1u		/* both sides talk */
#define FEAT_SEALED_ONE_WAY 2u
/* The opening: a HELLO that says only version, feature, nonce and key id. */
#define SEAL_NONCE 32
#define SEAL_OPENING (48 + SEAL_NONCE + 8)

/* HELLO: what the iteration is. */
enum hello_kind {
	KIND_FULL = 1,		/* everything: what is not named is zero */
	KIND_INCREMENTAL = 2,	/* what differs from the base */
	KIND_RECOVERY = 3,	/* a checkpoint's content, whole */
	KIND_IDS = 4,		/* identities only, no request */
};

/* HELLO: flags of a disk. */
enum disk_flag {
	DF_BASE_ROOT = 1,	/* base_root is set */
	DF_TARGET_ROOT = 2,	/* target_root is set */
	DF_FROZEN = 4,		/* the target point does not change any more */
};

#define HELLO_DISKS_MAX 1024
#define HELLO_STR_MAX 1024

/* Entry: 32 bytes, then fragments (u32 off, u32 len), id, leaf ids. */
#define ENTRY_FIXED 32
enum entry_flag {
	EF_ZERO = 1,		/* all of it reads as zeros */
	EF_RUN = 2,		/* several whole chunks, and perhaps the tail */
	EF_FRAGS = 4,		/* only the fragments are meant */
	EF_REST_ZERO = 8,	/* bytes outside the fragments are zero */
	EF_ID = 16,		/* id of the plain content of the whole chunk */
	EF_LEAVES = 32,		/* ids of its leaves */
};
#define EF_KNOWN 63u
#define ENTRY_FRAGS_MAX 256
#define ENTRY_MAX (ENTRY_FIXED + ENTRY_FRAGS_MAX * 8 + 32 + 16 * 32)

/* EXTENT body: a batch of (u64 off, u64 len, u32 kind, u32 0), kinds as
 * enum extent_kind. */
#define EXTENT_LEN 24

/* CHUNK: fixed part after the entry: u32 plain, u32 stored, u16 attempt,
 * u8 codec, u8 0, u32 0; then the data. */
#define CHUNK_FIXED 16

enum written_how { HOW_DATA = 0, HOW_ZERO = 1, HOW_REF = 2, HOW_HELD = 3 };

/* FINAL: whose point it is. */
enum final_side { SIDE_SOURCE = 1, SIDE_TARGET = 2 };
enum final_flag { FINAL_ROOT = 1, FINAL_PARTIAL = 2 };

/* STAT: pairs of (u16 key, u64 value). */
enum stat_key {
	STAT_READ = 1,		/* bytes read from source volumes */
	STAT_SENT = 2,		/* payload bytes put on the stream */
	STAT_STORED = 3,	/* bytes the target added */
	STAT_DEDUP = 4,		/* plain bytes the target already had */
	STAT_WINDOW = 5,	/* chunks allowed in flight, of the disk */
	STAT_FLIGHT = 6,	/* chunks in flight */
	STAT_FLUSHING = 7,	/* 1 while the target flushes */
	STAT_WHY = 8,		/* what set the window: enum law_reason */
};

/* PROGRESS: stages. */
enum progress_stage { STAGE_SCAN = 1, STAGE_READ = 2, STAGE_WRITE = 3, STAGE_COMMIT = 4 };

#endif

/* Inside dm-send: slots in a ring, filled in order by the one who knows what
 * is asked, read by workers as they are free, put on the stream in order.
 *
 *   ask (caller's thread) -> slot -> worker: read, compress -> putter: frame_put
 *
 * Nobody but the putter touches the stream while it runs. */
#ifndef DM_JOB_EMIT_IMPL_H
#define DM_JOB_EMIT_IMPL_H

#include <pthread.h>

#include "content/codec.h"
#include "job/adapt.h"
#include "job/cause.h"
#include "job/emit.h"
#include "stream/record.h"
#include "volume/volume.h"

enum slot_what {
	SLOT_PASS,	/* a frame that goes on as it came */
	SLOT_ENTRY,	/* a ZERO, REF or HELD frame */
	SLOT_CHUNK,	/* content to be read */
	SLOT_BARRIER,	/* behind all of its epoch */
};

struct slot {
	enum slot_what what;
	bool ready;		/* may be put */
	uint8_t type;		/* SLOT_ENTRY */
	uint32_t disk, epoch;
	struct entry en;
	struct frame frame;	/* SLOT_PASS, kept */
	uint8_t *spliced;	/* whole chunks that go raw: a buffer of the ring */
	uint8_t *own;		/* others: codec_bound(chunk size), lives with the slot */
	const uint8_t *data;	/* one of the two */
	uint32_t plain, stored;
	uint8_t codec;
};

struct emit_disk {
	struct volume *vol;
	uint64_t read, sent;	/* of the putter */
	uint64_t told;		/* read, when STAT was last put */
};

struct emit {
	const struct emit_how *how;
	struct frame_out *out;
	int out_fd;
	struct hello hello;
	struct emit_disk *disk;
	struct cause cause;
	struct tally tally;	/* of what was put */
	struct adapt adapt;	/* EMIT_LEVEL_AUTO */
	uint64_t done;		/* content bytes put, for progress */
	int64_t told;		/* when STAT was last put */

	pthread_mutex_t lock;
	pthread_cond_t room, work, ready;
	struct slot *slot;
	size_t nslots;
	uint64_t head, next, tail;	/* to put, to read, to fill */
	bool closing;
	struct ring *ring;		/* NULL: nothing goes by it */
	uint8_t **spare;		/* taken from the ring and not used */
	size_t nspare;

	pthread_t putter, *worker;
	unsigned threads, nworkers;
	bool putter_runs;
};

/* Open the volumes of m->hello and check them against it. */
int emit_open(struct emit *m, struct err *e);
/* Is every source still at the point it had when it was opened? */
int emit_unchanged(struct emit *m, struct err *e);
void emit_close(struct emit *m);

/* Threads and ring; emit_stop joins them: with `whole' after everything asked
 * was put.  emit_stop returns -1 with *e when anything failed. */
int emit_start(struct emit *m, struct err *e);
int emit_stop(struct emit *m, bool whole, struct err *e);
/* Ask for things, in order.  0, or -1 when something failed elsewhere. */
int emit_ask_chunk(struct emit *m, uint32_t disk, uint32_t epoch, const struct entry *en);
int emit_ask_entry(struct emit *m, uint8_t type, uint32_t disk, uint32_t epoch, const struct entry *en);
int emit_ask_pass(struct emit *m, struct frame *f);	/* keeps it */
int emit_ask_barrier(struct emit *m, uint32_t epoch);
/* Cut a run and ask for its chunks, or say that it is zero. */
int emit_ask(struct emit *m, uint32_t disk, uint32_t epoch, struct entry *en);
/* Ask for everything the volumes hold; arg: a struct resume, or NULL. */
int emit_ask_whole(struct emit *m, void *arg, struct err *e);
/* STAT with the running totals of a disk; the putter's, or after emit_stop. */
int emit_say_stat(struct emit *m, uint32_t disk, struct err *e);
/* STAT and END, after emit_stop. */
int emit_end(struct emit *m, struct err *e);

/* A worker's own things. */
struct emit_reader {
	struct codec_ctx *codec;
	uint8_t *plain;		/* codec_bound(chunk size) */
};
int emit_reader_init(struct emit_reader *r, const struct emit *m, struct err *e);
void emit_reader_free(struct emit_reader *r);
/* Read what the slot asks for; becomes a ZERO entry when it is all zero. */
int emit_read(struct emit *m, struct emit_reader *r, struct slot *s, struct err *e);

#endif

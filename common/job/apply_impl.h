/* Inside dm-write:
 *
 *   reader (caller's thread) -> jobs -> workers: decode, verify, put, WRITTEN
 *                            -> barriers -> flusher: flush, DURABLE
 *
 * Payloads stay in the segments the reader read them into. */
#ifndef DM_JOB_APPLY_IMPL_H
#define DM_JOB_APPLY_IMPL_H

#include <pthread.h>

#include "content/codec.h"
#include "job/apply.h"
#include "job/idtree.h"
#include "job/taken.h"
#include "volume/volume.h"

#define APPLY_JOBS 256u
/* Barriers waiting for their flush, and payload taken behind such a one: what
 * is written and not yet durable, and so what an interruption costs, stays
 * under an interval and a little more. */
#define APPLY_FLUSHES 1u
#define APPLY_AHEAD MIB(32)
/* Epochs with something under way: of open and of unflushed barriers. */
#define APPLY_EPOCHS (EPOCHS_AHEAD + APPLY_FLUSHES + 1)
/* Payload waiting or under way: enough to keep the workers busy; more would
 * only leave the caches. */
#define APPLY_BYTES(threads) min64(max64(MIB(32), MIB(1) * (threads)), MIB(2) * (threads))

struct apply_job {
	struct apply_job *next;
	uint8_t type;		/* FT_CHUNK, FT_ZERO, FT_REF, FT_HELD */
	uint32_t disk, epoch;
	struct frame frame;	/* kept, of FT_CHUNK */
	struct chunk c;		/* of the others only c.en */
};

struct apply_disk {
	struct apply *a;
	struct volume *vol;
	bool wants_ids;
	bool has_root;		/* the source's root, once it said it */
	struct id root;
	char *point;		/* the source's, NULL: HELLO's */
	uint64_t added, dedup;	/* under done_lock */
};

struct apply {
	const struct apply_how *how;
	struct hello hello;
	struct acks *acks;
	struct cause *cause;
	struct apply_disk *disk;
	struct volume_group *group;
	struct idtree *ids;		/* of targets that keep none; or NULL */
	struct taken taken;		/* what came */

	pthread_mutex_t lock;
	pthread_cond_t room, work, idle;
	struct apply_job *free, *first, *last;
	struct apply_job *jobs;
	uint64_t queued;		/* bytes of payload not yet done */
	uint64_t left[APPLY_EPOCHS];	/* jobs not yet done, by epoch */
	uint64_t counted[APPLY_EPOCHS];	/* indices written, by epoch */
	uint64_t durable_count;		/* indices in epochs flushed */
	uint64_t ahead;			/* bytes of payload given since the last barrier */
	uint32_t given;			/* the highest epoch of a job */
	uint32_t closed, flushed;	/* epochs up to these */
	bool closing;

	/* What was acknowledged; done_lock is held while the ack is put, so
	 * that tally and acks agree. */
	pthread_mutex_t done_lock;
	struct tally written;

	pthread_t *worker, flusher;
	unsigned threads, nworkers;
	bool flusher_runs;
};

/* ---- apply_queue.c ---- */
int apply_start(struct apply *a, struct err *e);
/* An empty job, or NULL when something failed (*e is the cause). */
struct apply_job *apply_job_new(struct apply *a, struct err *e);
/* Give it to the workers. */
void apply_job_give(struct apply *a, struct apply_job *j);
void apply_job_drop(struct apply *a, struct apply_job *j);
/* Everything of epochs up to this one was given: flush when it is done. */
int apply_barrier(struct apply *a, uint32_t epoch, struct err *e);
/* Wait until all is written and all barriers are durable, join the threads.
 * `whole' false: stop at once.  -1 with *e when anything failed. */
int apply_stop(struct apply *a, bool whole, struct err *e);

/* ---- apply_retry.c ---- */
struct apply_patience {
	int64_t since;
	int64_t pause;		/* the last, ns */
	struct err why;		/* what the target said last */
};
void apply_patience(struct apply_patience *p);
int apply_nak(struct apply *a, const struct apply_job *j, const struct nak *n, struct err *e);
/* Of a struct volume_wait, whose arg is the disk: for the call that this
 * thread's job makes, which is the one said to apply_doing. */
int apply_wait(void *disk, enum err_class cls, int64_t ns);
void apply_doing(const struct apply_job *j);
/* What a write gave: 1 make it again, a pause has passed and the window knows;
 * 0 it is as it is; -1 with *e when it was refused for too long, or meanwhile
 * something else failed. */
int apply_again(struct apply *a, const struct apply_job *j, struct apply_patience *p, int rc,
    struct err *e);

/* ---- apply_chunk.c: a worker's part ---- */
struct apply_worker {
	struct codec_ctx *codec;
	uint8_t *plain;			/* chunk size bytes */
	struct id leaf[LEAVES_MAX];
	uint8_t *again;			/* with a->ids: a leaf that is read back */
	uint8_t *whole;			/* and a chunk, of a target that cannot be */
};
int apply_worker_init(struct apply_worker *w, const struct apply *a, struct err *e);
void apply_worker_free(struct apply_worker *w);
/* Decode, verify, put, acknowledge: 0; 1 when it was a reference to what the
 * target does not have (said with NAK); -1 with *e. */
int apply_do(struct apply *a, struct apply_worker *w, struct apply_job *j, struct err *e);

#endif

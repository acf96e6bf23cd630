/* What to ask for next: queues of descriptors per disk, windows, fairness,
 * barriers.  Knows no descriptor of the system and no clock but the time it
 * is given, so a test drives it step by step. */
#ifndef DM_JOB_SCHEDULE_H
#define DM_JOB_SCHEDULE_H

#include "job/requests.h"
#include "job/window_law.h"
#include "stream/record.h"

struct schedule_options {
	bool acked;		/* windows count; otherwise the pipe is the window */
	struct law_bounds window;	/* bytes in flight per disk; chunk is the stream's */
	uint64_t interval;	/* bytes between barriers */
	/* What an entry of data is to be sent as: FT_DESC, or FT_HELD or FT_REF
	 * when the target has it; -1 with *e.  NULL: always FT_DESC. */
	int (*classify)(void *arg, uint32_t disk, const struct entry *en, struct err *e);
	/* May a request of so many bytes go now?  0, or when to ask again.
	 * NULL: always. */
	int64_t (*pace)(void *arg, uint64_t bytes, int64_t now);
	void *arg;
};

/* One thing to put on the stream. */
struct issue {
	uint8_t type;		/* FT_DESC, FT_ZERO, FT_HELD, FT_REF, FT_BARRIER */
	bool again;		/* a REF whose content is gone, now with data: counted before */
	uint32_t disk, epoch;
	struct entry *en;	/* valid until the next call; NULL with FT_BARRIER */
	struct barrier barrier;
};

struct schedule;
/* h outlives it.  now: nanoseconds of the clock of window_law.h, here and in
 * all calls; it never goes back. */
struct schedule *schedule_new(const struct hello *h, const struct schedule_options *o, int64_t now);
void schedule_free(struct schedule *s);
/* A descriptor came.  0 or -1 with *e. */
int schedule_put(struct schedule *s, uint32_t disk, const struct entry *en, struct err *e);
/* No more will come. */
void schedule_close(struct schedule *s);
/* What may go now: 1; 0 nothing at present; -1 with *e. */
int schedule_next(struct schedule *s, struct issue *out, int64_t now, struct err *e);
/* It was acknowledged, with this entry.  0 or -1 with *e (DM_BAD). */
int schedule_written(struct schedule *s, uint32_t disk, const struct entry *en, int64_t now,
    struct err *e);
int schedule_nak(struct schedule *s, uint32_t disk, const struct nak *n, int64_t now,
    struct err *e);
/* Everything up to this barrier is durable. */
void schedule_durable(struct schedule *s, uint32_t epoch);

/* Let the windows follow what was learnt; cheap when nothing is due.  peers:
 * other pipelines of the node.  True when windows changed. */
bool schedule_turn(struct schedule *s, const struct law_peer *peer, size_t npeers, int64_t now);
/* When the clock alone makes schedule_turn or schedule_next do something. */
int64_t schedule_due(const struct schedule *s);
bool schedule_paced(const struct schedule *s);	/* does a rate limit hold it back? */
/* What all disks together may have in flight (UINT64_MAX: no limit), and what
 * they could use: no more than their windows, no more than there is. */
void schedule_credit(struct schedule *s, uint64_t bytes);
uint64_t schedule_want(const struct schedule *s);
/* Bytes in flight. */
uint64_t schedule_flight_bytes(const struct schedule *s);
/* For those who show it; of one disk, and of the pipeline. */
const struct window_law *schedule_law(const struct schedule *s, uint32_t disk);
struct law_node *schedule_node(struct schedule *s);

/* Has everything gone out, its barrier too, and come back? */
bool schedule_done(const struct schedule *s);
uint64_t schedule_flight(const struct schedule *s);	/* entries not acknowledged yet */
uint32_t schedule_epoch(const struct schedule *s);

#endif

/* Inside dm-recv with workers: one poll loop.
 *
 *   input -> workers_take_input -> todo -> workers_assign -> worker.owed
 *   worker -> worker_take -> compared with what it owes -> output
 *
 * A request is in the table from when it is asked until its answer is passed
 * on; it is on `todo' while nobody works on it, on `later' while it must
 * wait, and on the `owed' list of one worker otherwise. */
#ifndef DM_JOB_WORKERS_IMPL_H
#define DM_JOB_WORKERS_IMPL_H

#include "base/child.h"
#include "base/progress.h"
#include "base/timefmt.h"
#include "job/requests.h"
#include "job/taken.h"
#include "job/workers.h"
#include "stream/seal.h"

#define MILLISECOND 1000000ll
#define ATTEMPTS_MAX 8		/* of one request */

enum worker_state {
	WORKER_OFF,		/* to be started when restart_at has come */
	WORKER_STARTED,		/* its HELLO has not come yet */
	WORKER_READY,
	WORKER_ENDED,		/* its END came */
	WORKER_SPARED,		/* given up, or not needed any more */
};

struct workers;
struct worker {
	struct workers *all;
	enum worker_state state;
	char **command;
	struct child child;
	char name[32];			/* "worker 2" */
	struct frame_in *in;
	struct frame_out *out;
	struct seal *seal;		/* of both, or NULL */
	bool greeted;			/* it has our HELLO */
	struct desc_batch batch;
	struct request_list owed;
	struct tally asked, gave;	/* since it was started */
	struct stats *stat;		/* by disk, since it was started */
	int64_t heard;			/* when a byte came, or it began to owe */
	int64_t restart_at;
	unsigned failures;		/* in a row, without one answer */
	bool refused;			/* it is another source, or has another key */
	bool said;			/* that it fails */
	bool at_fault;			/* what it sent is wrong: the failure is its own */
	int64_t backoff;		/* before it was last started */
	bool end_sent;
	bool deaf;			/* its standard input broke: wait for its word */
};

struct workers {
	const struct workers_options *o;
	struct frame_in *in;
	struct frame_out *out;
	int input_flags, output_flags;	/* of descriptors 0 and 1, to be put back */
	bool input_open, input_ended, output_open, finished;
	int64_t ended_at;		/* when the input's END came */

	struct hello hello;
	bool has_hello;
	char **point;			/* by disk: the source's, as the first worker said */
	struct taken asked;		/* what the input asked for */
	struct tally gave;		/* what the output was given */
	struct stats *past;		/* by disk, of workers that are gone */

	struct frame frame;		/* of requests, being taken apart */
	struct cursor cur;
	bool has_frame, has_run;
	struct entry run;		/* being cut */
	bool run_again;

	struct requests *table;
	struct request_list todo, later;
	uint64_t cost;			/* of all that is owed */

	uint32_t gate;			/* epoch whose barrier goes out next */
	uint32_t epoch;			/* epoch being asked for */
	uint64_t left[EPOCHS_AHEAD];	/* not passed on, by epoch */
	struct barrier barrier[EPOCHS_AHEAD];

	struct worker *worker;
	unsigned n;
	int tokens, tokens_most;	/* of the retry budget */
	bool ever_ready;		/* a worker was */
	int64_t alive_at;		/* when any worker last said anything */
	int64_t told_at;		/* when whoever is behind us last heard of us */
	struct err last;		/* why a worker was last lost */
	int64_t wake;			/* earliest thing that is due, in this turn */
	struct progress *progress;
	uint64_t passed;		/* bytes */
};

/* workers_in.c: requests. */
int workers_take_input(struct workers *x, struct err *e);
/* Is there room for more requests? */
bool workers_want_input(const struct workers *x);
/* Give what nobody works on to those who have least to do. */
int workers_assign(struct workers *x, struct err *e);
/* Its answer was passed on. */
void workers_settle(struct workers *x, struct request *r);
/* Barriers that everything asked before them has passed. */
int workers_gates(struct workers *x, struct err *e);

/* workers_retry.c: when to go on. */
void retry_init(struct workers *x);
void retry_earn(struct workers *x);	/* an answer came */
/* A worker is lost: 0 it is started again, -1 with *e that is of no use. */
int retry_lost(struct worker *w, bool had_begun, const struct err *why, struct err *e);
void retry_back(struct worker *w);	/* it answers */
/* It can be used no more: 0 others go on, -1 with *e. */
int retry_refuse(struct worker *w, const struct err *why, struct err *e);
int retry_watch(struct workers *x, int64_t now, struct err *e);

/* worker_in.c: one frame of a worker; -1 with *e, which is the whole job's
 * failure unless w->at_fault. */
int worker_frame(struct worker *w, struct frame *f, struct err *e);

/* worker.c: one of them. */
/* Its process only, before there is a word for it: 0, or -1 with *e. */
int worker_spawn(struct worker *w, struct err *e);
/* 0, or -1 with *e when it can be tried no more. */
int worker_start(struct worker *w, struct err *e);
/* Read once what it sent: 0, or -1 with *e (the whole job failed). */
int worker_take(struct worker *w, struct err *e);
int worker_pump(struct worker *w, struct err *e);
/* Silent for too long?  Then it is replaced. */
int worker_watch(struct worker *w, int64_t now, struct err *e);
int worker_end(struct worker *w, struct err *e);
void worker_free(struct worker *w);
static inline bool worker_runs(const struct worker *w)
{
	return w->state == WORKER_STARTED || w->state == WORKER_READY || w->state == WORKER_ENDED;
}

/* Output bytes that may wait before workers are read no more. */
#define OUTPUT_QUEUE MIB(2)
/* No work is left, only the workers' ENDs. */
bool workers_ending(const struct workers *x);
static inline void wake_at(struct workers *x, int64_t t)
{
	if (t < x->wake)
		x->wake = t;
}

#endif

/* Inside dm-window: one poll loop over input, acks and output.
 *
 *   input -> window_take_input -> schedule -> window_emit -> output
 *                                    ^
 *   acks  -> window_take_acks -------'                                     */
#ifndef DM_JOB_WINDOW_IMPL_H
#define DM_JOB_WINDOW_IMPL_H

#include "base/progress.h"
#include "base/timefmt.h"
#include "job/budget.h"
#include "job/have.h"
#include "job/pace.h"
#include "job/resume.h"
#include "job/schedule.h"
#include "job/window.h"

struct held_back {		/* a FINAL frame, sent before END */
	uint32_t disk;
	uint32_t len;
	uint8_t *body;
};

struct report;

struct window_disk {		/* bytes of one disk */
	uint64_t found;		/* of content described, */
	uint64_t written;	/* and acknowledged, */
	uint64_t fetched;	/* less what an interrupted iteration had left */
	uint64_t sent;		/* payload, as the target was told, */
	uint64_t read;		/* and how much content it holds */
	uint64_t refunded;	/* of that: what compression saved */
	uint64_t scanned, to_scan;	/* at the source */
	uint64_t told;		/* the window last told, chunks */
};

struct window {
	const struct window_options *o;
	struct frame_in *in, *acks;
	struct frame_out *out;
	int ack_fd;
	int input_flags, output_flags;	/* of descriptors 0 and 1, to be put back */

	struct hello hello;
	bool has_hello;
	struct schedule *schedule;
	struct resume *resume;
	struct have *have;
	struct budget *budget;	/* or NULL */
	struct pace own, shared;	/* rate limits */
	struct iset *seen;		/* indices that came in */
	struct tally took, gave;
	struct desc_batch batch;
	struct held_back *back;
	size_t nback;

	bool input_open;	/* end of file did not come yet */
	bool input_ended;	/* END came */
	bool output_open;
	bool ack_open;		/* still to be read */
	bool ack_hello, ack_ended;
	bool ack_abort;		/* the failure came from there, and is told there */
	bool end_sent, abort_sent;
	bool more;		/* only a full output kept requests back */
	int64_t wall;		/* of the wall's clock, what the monotonic one lacks */
	int64_t moved;		/* when any byte last came or went */
	int64_t turned;		/* the last turn of the shares, by window_clock */
	int64_t ended_at;	/* when the input's END came */
	int64_t leave_at;	/* when waiting is over, 0: not yet decided */

	struct progress *progress;
	uint64_t written;	/* bytes acknowledged, or asked for without acks */
	int64_t told;		/* when steps of windows were last told */
	struct window_disk *disk;
	struct report *report;	/* or NULL */
};

/* The law's clock: it never goes back, and its whole periods come at the same
 * moment to all pipelines of the node that were started since the wall's clock
 * was last set. */
static inline int64_t window_clock(const struct window *w)
{
	return time_mono() + w->wall;
}

/* Read once and give every whole frame to `take'.  At the end of file *open
 * becomes false, which is a failure unless *ended.  0 or -1 with *e. */
int window_take(struct window *w, struct frame_in *in, const char *what, bool *open,
    const bool *ended, int (*take)(struct window *, struct frame *, struct err *), struct err *e);
/* Take what can be read.  0 or -1 with *e. */
int window_take_input(struct window *w, struct err *e);
int window_take_acks(struct window *w, struct err *e);
/* Put on the output what may go. */
int window_emit(struct window *w, struct err *e);
void window_show(struct window *w);
/* window_share.c: the node's budget and the rate limits. */
int window_share_open(struct window *w, struct err *e);
int window_share_join(struct window *w, struct err *e);	/* HELLO came */
/* Windows, credit and what others measured, all up to date. */
int window_share_turn(struct window *w, struct err *e);
uint64_t window_mean(const struct window *w, enum law_reason *why);	/* over disks */
int64_t window_pace(void *arg, uint64_t bytes, int64_t now);
/* A limit is of what travels: what was charged as content and went compressed
 * is given back. */
void window_share_sent(struct window *w, uint32_t disk);
int64_t window_share_due(const struct window *w);	/* law's clock */
/* window_report.c: a file that tells how far each disk is.  After HELLO. */
int window_report_open(struct window *w, struct err *e);
/* Often: it writes no more than once a second. */
void window_report_turn(struct window *w);
void window_report_close(struct window *w);	/* removes the file */

#define WINDOW_QUEUE KIB(64)	/* bytes that may wait for the output */

#endif

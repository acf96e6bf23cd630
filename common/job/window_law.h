/* How much of one disk may be in flight: the control law alone.  It knows no
 * clock, descriptor or queue: dm-window drives it with real time, tests/sim
 * with simulated time, and both run this code.
 *
 * A window is half as much again as what keeps the way to the target busy:
 * 1.5 * rate * latency, between a least and a most.  The rate is what the
 * disks of the node that use up their windows get on average; the latency is
 * what requests take when little is in flight, which only a probe can tell:
 * from time to time all disks of all pipelines of a node go down to half their
 * windows together, wait until what was in flight before is back, and time
 * what they ask for then.  Where more in flight than in the probe writes no
 * more, the way is full already, and the window stays as low as it was then.
 * Refusals lower a cap on the window, which rises again while there are none.
 *
 * Times are nanoseconds of one clock, whose multiples of LAW_PERIOD all
 * pipelines of a node see at the same moment. */
#ifndef DM_JOB_WINDOW_LAW_H
#define DM_JOB_WINDOW_LAW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define LAW_PERIOD 10000000000ll	/* between probes, or a multiple of it */
#define LAW_TICK 500000000ll		/* over which a rate is taken */
#define LAW_TRIALS 3		/* ticks after a probe that show whether more helps */
#define LAW_RATES 5			/* the median of so many rates counts */

/* Bytes; 0 < chunk, min <= start <= max. */
struct law_bounds {
	uint64_t chunk, min, start, max;
};

/* What set the window as it is. */
enum law_reason {
	LAW_START,	/* nothing is known yet */
	LAW_PROBE,	/* the latency is being measured */
	LAW_MEASURED,	/* 1.5 * rate * latency */
	LAW_MIN, LAW_MAX,	/* that, but the bounds allow no less or no more */
	LAW_REFUSED,	/* the target or the source refused */
	LAW_REASONS
};
const char *law_reason_name(enum law_reason r);	/* "probe" */

/* One disk. */
struct window_law {
	struct law_bounds b;
	uint64_t window;	/* bytes allowed in flight now */
	enum law_reason reason;
	uint64_t flight;	/* bytes asked for and not written yet */
	uint64_t grant;		/* bytes a budget allows it, which the caller sets */
	uint64_t steady;	/* the window when nothing is probed */
	double cap;		/* bytes, after refusals */
	int64_t refused;	/* when a refusal last counted; 0 never */
	int64_t hold;		/* no growth before this: a refusal said so */

	uint64_t got;		/* bytes written in this tick */
	unsigned acks, busy;	/* requests written in it; those that left a full window */
	int64_t took;		/* sum of their latencies */
	double rates[LAW_RATES];	/* bytes per second, of busy ticks; newest first */
	unsigned nrates;
	int64_t busy_at;	/* the newest of them */

	unsigned asked, timed;	/* requests of a probe; those that came back */
	int64_t time;		/* sum of their latencies */
	double squares;		/* and of the squares, in seconds */
	unsigned spoilt;	/* those that came back during a flush, and their sum */
	int64_t spoilt_time;
	int64_t latency;	/* as the last probe found it; 0 unknown */

	uint64_t peak;		/* most in flight, in this tick and the last */
	uint64_t last_peak;
	uint64_t low;		/* the window of the last probe */
	double trial;		/* sum of the rates of busy ticks since it */
	unsigned trials;
};

enum law_phase { LAW_CALM, LAW_DRAIN, LAW_SAMPLE, LAW_COLLECT };

/* What other pipelines of the node say of themselves. */
struct law_peer {
	unsigned live;		/* disks with a rate */
	double rate;		/* bytes per second, mean of those */
	int64_t latency;	/* 0 unknown */
	unsigned refused;	/* disks whose window refusals hold down */
	double cap;		/* bytes, mean of those */
};

/* What the disks of one pipeline share. */
struct law_node {
	bool turned;			/* law_turn was called */
	enum law_phase phase;
	int64_t since;			/* the phase began */
	int64_t sample_from, sample_to;	/* requests issued in this time are timed */
	int64_t probed;			/* the last probe ended */
	int64_t tick;			/* this tick began */
	int64_t summons;		/* when somebody last wanted a probe out of turn:
					 * told to peers, or learnt from them */
	int64_t latency;		/* of the node; 0 unknown */
	double rate;			/* of the node; 0 unknown */
	unsigned trials;		/* busy ticks since the last probe, at most LAW_TRIALS */
	double doubt;			/* relative standard error of the last probe */
	bool saturated;			/* they wrote no more than the probe did */
	struct law_peer own;		/* what to tell peers */
};

void law_init(struct window_law *w, const struct law_bounds *b);
/* It goes out. */
void law_issue(struct window_law *w, const struct law_node *n, uint64_t cost, int64_t now);
/* It was written.  flushing: the target was busy with making things durable. */
void law_ack(struct window_law *w, const struct law_node *n, uint64_t cost, int64_t issued,
    bool flushing, int64_t now);
/* The source or target refused, and asks to be left alone for retry_ms.  At
 * most one in 100 ms (or in one latency) counts, since one congestion refuses
 * many.  A permanent refusal is no sign of load. */
void law_nak(struct window_law *w, const struct law_node *n, enum err_class cls,
    uint32_t retry_ms, int64_t now);
/* It went out and will not be answered as it was (asked for anew). */
void law_forget(struct window_law *w, uint64_t cost);

void law_node_init(struct law_node *n, int64_t now);
/* Time has passed; cheap when nothing is due.  True when windows changed. */
bool law_turn(struct law_node *n, struct window_law *w, size_t nw,
    const struct law_peer *peer, size_t npeers, int64_t now);
/* When law_turn has something to do again by the clock alone. */
int64_t law_due(const struct law_node *n);

#endif

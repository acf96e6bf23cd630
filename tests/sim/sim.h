/* A simulated store at the end of a simulated way, and rules that say how
 * much may be in flight to it.  Units: seconds, and chunks of 1 MiB. */
#ifndef DM_TESTS_SIM_H
#define DM_TESTS_SIM_H

#include <stdbool.h>
#include <stdint.h>

#include "job/window_law.h"

#define DISKS_MAX 80
#define SPANS_MAX 3
#define TRACE_STEP 0.5
#define TRACE_MAX 512

struct span {
	double from, to;
	bool settling;		/* disks have just come: latency is no promise yet */
};

struct sim_case {
	const char *name, *about;
	double rate;		/* chunks per second the store writes */
	double latency;		/* of the way there and back, without any queue */
	double sigma;		/* of its logarithm, on the way back */
	double slow_from, slow_to;	/* a quarter of the rate in this time */
	double reject;		/* refuse when the queue is longer than this; 0 never */
	bool reject_late;	/* after having done the work */
	unsigned disks;
	unsigned per_pipe;	/* disks of one pipeline, which share a law_node */
	double apart;		/* a disk starts so long after the one before */
	double budget;		/* chunks in flight of all; 0 unlimited */
	bool by_chance;		/* latencies so scattered that luck has a part in it */
	bool tiny_last;		/* the last disk writes one chunk a second */
	double length;
	struct span span[SPANS_MAX];	/* to be measured; an empty one ends it */
};

enum rule_kind { RULE_FIXED, RULE_AIMD, RULE_GRADIENT, RULE_LAW };
struct rule {
	enum rule_kind kind;
	double fixed;		/* chunks */
};

struct measure {
	double rate;		/* chunks per second, all disks */
	double median;		/* latency */
	double jain;		/* over disks, but a tiny one */
	double tiny;		/* median latency of the tiny disk */
	double window;		/* mean, of the first disk */
};

struct sim_result {
	struct measure span[SPANS_MAX];
	double refused;		/* part of the answers */
	double most;		/* in flight at any time, of all disks */
	double trace_window[TRACE_MAX], trace_rate[TRACE_MAX];	/* each TRACE_STEP */
	unsigned trace_n;
};

/* One run; `out' is overwritten. */
void sim_run(const struct sim_case *c, const struct rule *r, unsigned seed, struct sim_result *out);

/* rules.c: the rules compared with, one state per disk.  Chunks, seconds. */
struct plain_rule {
	enum rule_kind kind;
	double window;
	double cut_at;		/* last decrease */
	double long_rtt, sum;	/* gradient: slow mean; of the samples since `since' */
	unsigned n;
	double since;
};
void plain_init(struct plain_rule *p, const struct rule *r);
void plain_ack(struct plain_rule *p, double took, double flight, double now);
void plain_nak(struct plain_rule *p, double now);

/* plot.c: one SVG with all cases over time. */
struct plot_line {
	const char *label, *color;
	struct sim_result result;
};
int plot_write(const char *path, const struct sim_case *cases, unsigned ncases,
    struct plot_line *lines, unsigned per_case);

#endif

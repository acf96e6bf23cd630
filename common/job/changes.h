/* dm-changed's work: which parts of a workload's disks are to be looked at. */
#ifndef DM_JOB_CHANGES_H
#define DM_JOB_CHANGES_H

#include "base/opt.h"
#include "base/uri.h"
#include "job/against.h"
#include "job/track.h"

/* As on the command line.  Lists hold words of the form [NAME=]VALUE. */
struct changes_opts {
	char **volume;
	size_t nvolumes;
	struct opt_list since, state, extents, base, base_point;
	struct opt_list full;		/* names alone */
	const char *against, *map, *fallback, *audit, *algo, *plan, *workload;
	uint64_t chunk_size, threads;	/* 0: not given */
	bool frozen;
	struct seal *unseal;		/* of --against -, or NULL */
};

/* One disk asked about. */
struct subject {
	struct volume_arg arg;
	struct volume *v;
	const char *since, *state, *extents;	/* at most one of them, or NULL */
	struct idfile *old;	/* known ids: for a scan, or for the audit */
	struct idfile *new;	/* state being written */
	bool owns_old, kept;	/* new was kept: it is the next state */
	bool scan, full;
	bool whole;		/* --full: nothing is asked, all of it is sent */
	char *base_point, *point;
	bool frozen, has_base_root;
	struct id base_root;
	struct tracker *t;
};

struct changes {
	const struct changes_opts *opt;
	struct subject *s;
	size_t n;
	struct against against;
	struct lane_crew *crew;
	enum map_meaning map;
	double audit;		/* part of the unchanged chunks, 0 to 1 */
	int algo;
	uint32_t chunk_size;
};

/* Open everything, choose trackers, find bases. `warn' is told, in a sentence,
 * of each fallback. 0 or -1 with *e. */
int changes_open(struct changes *c, const struct changes_opts *opt,
    void (*warn)(const char *text), struct err *e);
void changes_close(struct changes *c);

/* The states that --state keeps (changes_state.c): find the usable one, if any
 * exists; DM_NO when none of them is. */
int state_choose(struct subject *s, struct err *e);
int state_keep(struct subject *s, struct err *e);	/* .tmp becomes .next */

/* HELLO to END (changes_emit.c). */
int changes_emit(struct changes *c, struct frame_out *o, int out_fd, struct err *e);

#endif

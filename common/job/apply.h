/* What dm-write does: verified chunks in, volumes written by several threads,
 * acks out. */
#ifndef DM_JOB_APPLY_H
#define DM_JOB_APPLY_H

#include <stdbool.h>
#include <stdint.h>

#include <jansson.h>

#include "base/err.h"
#include "base/progress.h"
#include "job/acks.h"
#include "job/cause.h"
#include "job/grants.h"

#define APPLY_THREADS_MAX 64u

struct apply_how {
	const struct grants *targets;
	unsigned threads;	/* 1 to APPLY_THREADS_MAX; 0: as the volumes want */
	const char *site;	/* keeps the ids of targets that do not; or NULL */
	bool force;		/* write to what looks mounted or foreign */
	bool verify_base;	/* read targets that nothing proves to hold the base */
	struct progress *progress;	/* or NULL */
};

/* What was done, for a summary. */
struct apply_sum {
	uint64_t disks, chunks;
	uint64_t bytes;		/* of content asked for */
	uint64_t stored;	/* the targets grew by */
	uint64_t dedup;		/* they had already */
	json_t *points;		/* by disk's name what the targets made, the caller's; or
				 * NULL: not wanted */
};

/* Apply the stream of in_fd to its END; acks go to `acks', which reports to
 * the same `c'.  0, or -1 with *e; then the caller puts ABORT there. */
int apply_run(const struct apply_how *how, int in_fd, struct acks *acks,
    struct cause *c, struct apply_sum *sum, struct err *e);

#endif

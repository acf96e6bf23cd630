/* Which checkpoints to keep. */
#ifndef DM_REPO_RETENTION_H
#define DM_REPO_RETENTION_H

#include <stdbool.h>

#include "repo/catalog.h"

/* A checkpoint that any rule keeps is kept; 0 means that the rule is absent,
 * and without any rule everything is kept.  Days, weeks and months are those
 * of UTC; of each that has a checkpoint the newest one counts. */
struct retention {
	uint64_t last;		/* the newest so many */
	uint64_t within;	/* seconds before the newest, or before now, if that is
				 * earlier */
	uint64_t daily, weekly, monthly;
};

/* v: one workload's checkpoints in order of seq.  Sets keep[i].  The latest and
 * pinned ones are always kept. */
void retention_apply(const struct retention *r, struct checkpoint *const *v, size_t n,
    int64_t now, bool *keep);

#endif

/* What a chunk store holds, in numbers. */
#ifndef DM_REPO_STATS_H
#define DM_REPO_STATS_H

#include "repo/pack.h"

struct store_stats {
	uint64_t packs, pack_bytes;
	struct { uint64_t records, stored, plain; } type[REC_TYPES];	/* by enum record_type */
	uint64_t doomed, doomed_bytes;
	unsigned depth_max;	/* of overlays */
	uint64_t logical;	/* bytes of all disks of all checkpoints in the store */
	uint64_t checkpoints, disks;	/* those */
	uint64_t unique;	/* bytes of distinct chunks */
	bool locked;		/* encrypted, and no key: checkpoints not counted */
};
int stats_count(struct site *s, struct store_stats *out, struct err *e);

#endif

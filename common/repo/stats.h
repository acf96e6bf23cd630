/* What a chunk store holds, in numbers. */
#ifndef DM_REPO_STATS_H
#define DM_REPO_STATS_H

#include "repo/pack.h"

struct store_stats {
	uint64_t packs, pack_bytes;
	struct { uint64_t records, stored, plain; } type[REC_ROOT + 1];	/* by enum record_type */
	uint64_t doomed, doomed_bytes;
	unsigned depth_max;	/* of overlays */
};
int stats_count(struct site *s, struct store_stats *out, struct err *e);

#endif

/* Overlays: a chunk of which only fragments changed, stored as base and
 * fragments.
 *
 * Two tiers keep both growth and reading small.  Small overlays pile up on a
 * base; when there are as many as the limit, the fragments since the last
 * merge become one overlay on the tier below; when merged ones are as many as
 * their limit, the chunk is stored whole.  Limits are between 5 and 8 and
 * differ from chunk to chunk, so that not all chunks of a disk are merged in
 * one iteration. */
#ifndef DM_REPO_OVERLAY_H
#define DM_REPO_OVERLAY_H

#include "repo/chain.h"

#define OVERLAY_GRAIN 512u	/* bytes compared at once */
#define OVERLAY_GRAINS (CHUNK_MAX / OVERLAY_GRAIN)

/* A new content over a base that is open as a chain. */
struct patch {
	struct chain *base;
	uint32_t base_len, len;
	uint64_t chunk;			/* number on the disk */
	uint8_t *now;			/* the new content, where ready[] */
	bool ready[LEAVES_MAX];
	struct id leaf[LEAVES_MAX];	/* of the new content */
	unsigned nleaf;
	uint64_t map[OVERLAY_GRAINS / 64];	/* grains that differ from the base */
};
/* Leaf i of the new content is in p->now; note where it differs from what
 * the base has (base: its bytes, zero beyond its end). */
void patch_compare(struct patch *p, unsigned i, const uint8_t *base);
/* Store it as `id' in the best form: overlay, merged overlay, or whole
 * (form: what came in, or NULL).  whole: do not make an overlay. */
int patch_store(struct patch *p, const struct id *id, const struct store_chunk *form, bool whole,
    uint64_t *added, struct err *e);

#endif

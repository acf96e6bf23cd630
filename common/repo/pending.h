/* Records put but not yet indexed: id -> place, in memory.  Not locked. */
#ifndef DM_REPO_PENDING_H
#define DM_REPO_PENDING_H

#include "repo/pack.h"

struct opack;		/* store_priv.h */
struct pending_slot {
	struct pack_entry en;
	struct opack *in;	/* NULL: empty */
};
struct pending {
	struct pending_slot *slot;
	size_t n, cap;		/* cap: a power of two */
};
/* The shallower of two records of one id stays. */
void pending_put(struct pending *p, const struct pack_entry *en, struct opack *in);
const struct pending_slot *pending_find(const struct pending *p, const struct id *id);
/* Keep only what lies in packs for which keep() holds. */
void pending_filter(struct pending *p, bool (*keep)(const struct opack *in));
void pending_free(struct pending *p);

#endif

/* Inside of idtree*.c. */
#ifndef DM_JOB_IDTREE_IMPL_H
#define DM_JOB_IDTREE_IMPL_H

#include "base/bytes.h"
#include "job/idtree.h"
#include "repo/session.h"
#include "repo/tree_grow.h"

struct idtree_disk {
	struct session_disk *state;	/* of the session */
	uint64_t size, base_size;
	struct tree *base;		/* empty for a full iteration */
	struct tree *partial;		/* what the target goes on with, or NULL */
	struct tree_grow *now;
	struct id cut;			/* the root of what is being flushed */
	bool based, base_partial;
	struct id from;			/* with `based' */
	_Atomic bool lost;		/* a chunk became unknown */
};

struct idtree {
	const struct hello *h;
	struct site *site;
	struct session *session;
	struct store *store;
	struct idtree_disk *disk;
};

static inline uint32_t idtree_chunk_len(const struct idtree *t, uint64_t size, uint64_t n)
{
	uint64_t off = n * t->h->chunk_size;

	return off < size ? (uint32_t)min64(t->h->chunk_size, size - off) : 0;
}

#endif

/* Reading a chunk: the record of its id, and, while that is an overlay, the
 * records below it, down to a whole chunk or to nothing (all zero).
 *
 * Bodies:
 *   chunk    leaf ids; for zstd the stored length of each leaf's frame; frames
 *   overlay  leaf ids of the whole new chunk; number of fragments u32, their
 *            bytes u32; offset u32 and length u32 of each; the bytes one after
 *            another in the record's codec */
#ifndef DM_REPO_CHAIN_H
#define DM_REPO_CHAIN_H

#include "repo/store_priv.h"

#define CHAIN_MAX 32u		/* records followed; writers make 16 at most */

struct layer {
	struct id id;
	uint8_t depth, tier;
	uint32_t plain;			/* length of the chunk at this layer */
	uint8_t *rec;			/* overlay: its record, allocated */
	const uint8_t *frags;		/* encoded, inside rec */
	uint32_t nfrags;
	uint8_t *bytes;			/* of the fragments; inside rec, or allocated */
	bool own_bytes;
};
struct chain {
	struct store *st;
	struct work *w;
	struct layer v[CHAIN_MAX];	/* newest first */
	unsigned n;			/* overlays among them are n, or n - 1 over a whole chunk */
	uint32_t len;			/* of the chunk */
	struct id leaf[LEAVES_MAX];
	unsigned nleaf;
	/* the whole chunk at the bottom, if any */
	bool has_whole;
	struct loc whole;		/* held */
	int codec;
	uint32_t base_len, whole_stored;
	uint32_t frame[LEAVES_MAX];	/* stored lengths */
	uint32_t data;			/* offset of the first frame in the record */
};
/* Load what is needed to read any leaf.  len: the chunk's length, which the
 * record must have.  The zero id is a chunk without layers.  w is used by
 * every later call; its buffer rec is overwritten. */
int chain_open(struct chain *c, struct store *st, struct work *w, const struct id *id, uint32_t len, struct err *e);
void chain_close(struct chain *c);
/* Bytes of leaves [first, last] into p (where the first leaf begins), each
 * verified against its id.  p has room for all of them at full length, also
 * where the chunk ends earlier. */
int chain_read(struct chain *c, unsigned first, unsigned last, uint8_t *p, struct err *e);

/* Is all there that an overlay is read from?  Prune takes entries of records
 * that nothing needs out of the index, and removes what they were patched from,
 * but their bytes may stay in a pack: an index that is rebuilt has them again.
 * 1, 0, -1. */
int chain_stands(struct store *st, const struct id *id, struct err *e);

static inline uint32_t chain_leaf_len(const struct chain *c, unsigned i)
{
	uint32_t size = leaf_size(c->st->site->chunk_size), off = i * size;

	return c->len - off < size ? c->len - off : size;
}

/* Smallest legal body of an overlay, before its fragments. */
static inline uint32_t overlay_head(unsigned nleaf) { return nleaf * ID_LEN + 8; }

#endif

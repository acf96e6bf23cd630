/* The chunk store: content ids to bytes.  Packs hold records, LMDB finds
 * them.  A store opened for writing belongs to one session (session.h).
 * Functions may be called from several threads. */
#ifndef DM_REPO_STORE_H
#define DM_REPO_STORE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "base/extent.h"
#include "content/id.h"
#include "repo/site.h"

struct store;
enum store_mode { STORE_READ, STORE_WRITE };
/* Opening ingests every pack the index lacks; a missing or damaged index is
 * rebuilt. */
struct store *store_open(struct site *s, enum store_mode mode, struct err *e);
struct site *store_site(const struct store *st);
void store_close(struct store *st);	/* what was not flushed is abandoned */

/* 1 known (index, or pending in this store), 0 not, -1. */
int store_has(struct store *st, const struct id *id, struct err *e);

/* Read ahead what store_has will need for these (index_warm). */
int64_t store_warm(struct store *st, const struct id *v, size_t n);

/* Add a chunk's content (len bytes; whole).  leaf: its leaf ids.  codec and
 * stored give a form to store as it is, or NULL to compress here.
 * base, when it is not NULL, is what was in the chunk's place (base_len
 * bytes): where little differs only that is stored, as an overlay.
 * *added: bytes the packs grew by, 0 if the store had it. */
struct store_chunk {
	struct id id;
	const struct id *leaf;
	const void *plain;
	uint32_t len;
	int codec;
	const void *stored;
	size_t stored_len;
	const struct id *base;
	uint32_t base_len;
	uint64_t chunk;		/* its number, with base: spreads the work of merging */
};
int store_put_chunk(struct store *st, const struct store_chunk *c, uint64_t *added, struct err *e);

/* Patch: the new content is base's with these fragments (plain bytes one
 * after another).  Stored as an overlay where that pays.  base may be the zero
 * id.  claimed: the id it must come to, or NULL.  *out: the new id (zero id
 * when all zero).  base_len is the base chunk's true length, len the new. */
int store_patch(struct store *st, const struct id *base, uint32_t base_len,
    uint32_t len, uint64_t chunk, const struct frag *f, size_t n,
    const void *plain, const struct id *claimed, struct id *out,
    uint64_t *added, struct err *e);

/* Read [off, off+n) of the chunk into p, verified leaf by leaf. DM_NO when
 * the id is unknown, DM_BAD when what is stored is damaged. */
int store_read(struct store *st, const struct id *id, uint32_t len,
    uint32_t off, uint32_t n, void *p, struct err *e);
/* The chunk as it is stored, under overlays with the leaves they change packed
 * anew: 1 with codec and bytes, 0 read it plainly, -1.  p has
 * codec_bound(len). */
int store_read_stored(struct store *st, const struct id *id, uint32_t len,
    void *p, int *codec, size_t *stored_len, struct err *e);
/* Leaf ids of a chunk (leaf_count(chunk_size, len) of them). */
int store_leaves(struct store *st, const struct id *id, uint32_t len, struct id *leaf, struct err *e);

/* A chunk of a tree whose content lies elsewhere: its leaf ids are kept, which
 * give its own. */
int store_put_leaves(struct store *st, const struct id *leaf, uint32_t len, struct id *chunk, struct err *e);
/* Leaf ids of a chunk of any tree, with content or without. */
int store_tree_leaves(struct store *st, const struct id *id, uint32_t len, struct id *leaf, struct err *e);

/* Tree nodes. */
int store_put_node(struct store *st, const struct id child[NODE_WAYS], struct id *out, uint64_t *added, struct err *e);
int store_node(struct store *st, const struct id *id, struct id child[NODE_WAYS], struct err *e);
/* Disk roots: what a root id stands for. */
struct root_info { uint64_t size; unsigned height; struct id top; };
int store_put_root(struct store *st, uint64_t size, const struct id *top, struct id *root, struct err *e);
int store_root(struct store *st, const struct id *root, struct root_info *out, struct err *e);

/* Make all that was put so far durable and indexed: packs synced and renamed,
 * directory synced, index transaction.  0 or -1 (final: stop). */
int store_flush(struct store *st, struct err *e);
uint64_t store_added(const struct store *st);	/* bytes, since opening */

#endif

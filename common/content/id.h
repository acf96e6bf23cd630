/* Content identities.
 *
 * A chunk (a power of two, 4 KiB - 1 MiB) is hashed in leaves of
 * min(64 KiB, chunk size); the chunk's id is the hash of its leaves' ids, and
 * a disk is a tree of 16-way nodes over its chunks' ids.  Each level has its
 * own derive-key context, so that no id of one kind can pass for another.
 * All-zero content, at every level, is the id of 32 zero bytes.
 * The last leaf is hashed at its true length.
 *
 * BLAKE3: https://github.com/BLAKE3-team/BLAKE3-specs  (algorithm 1)
 * BLAKE2b-256: RFC 7693, context in front of the input (algorithm 2) */
#ifndef DM_CONTENT_ID_H
#define DM_CONTENT_ID_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define ID_LEN 32
#define LEAF_MAX 65536u
#define LEAVES_MAX 16u		/* per chunk of 1 MiB */
#define NODE_WAYS 16u
#define CHUNK_MIN 4096u
#define CHUNK_MAX (1u << 20)

enum id_algo { ID_BLAKE3 = 1, ID_BLAKE2B = 2 };

struct id {
	uint8_t b[ID_LEN];
};

static inline bool id_zero(const struct id *a)
{
	uint64_t w[4];

	memcpy(w, a->b, ID_LEN);
	return !(w[0] | w[1] | w[2] | w[3]);
}
static inline bool id_equal(const struct id *a, const struct id *b) { return !memcmp(a->b, b->b, ID_LEN); }

bool id_algo_valid(int algo);
const char *id_algo_name(int algo);	/* "blake3", "blake2b" */
int id_algo_parse(const char *name);	/* or -1 */

/* Bytes in one leaf of chunks of this size. */
static inline uint32_t leaf_size(uint32_t chunk_size) { return chunk_size < LEAF_MAX ? chunk_size : LEAF_MAX; }
/* Leaves in a chunk of `len' bytes (the tail chunk may be short). */
static inline unsigned leaf_count(uint32_t chunk_size, uint32_t len)
{
	return (len + leaf_size(chunk_size) - 1) / leaf_size(chunk_size);
}

/* One leaf: 1 to LEAF_MAX bytes. */
void id_leaf(int algo, const void *p, size_t len, struct id *out);
/* A chunk from its leaves' ids. */
void id_chunk(int algo, const struct id *leaf, unsigned n, struct id *out);
/* A chunk from its bytes; leaf[], when not NULL, gets leaf_count() ids. */
void id_content(int algo, uint32_t chunk_size, const void *p, uint32_t len,
    struct id *leaf, struct id *out);
/* Content that is not known has leaves of this id, which no content has; the id
 * of such a chunk is made of theirs, and equals no other either. */
static inline bool id_unknown(const struct id *leaf)
{
	uint64_t w[4];

	memcpy(w, leaf->b, ID_LEN);
	return (w[0] & w[1] & w[2] & w[3]) == UINT64_MAX;
}
/* A chunk of len bytes that is not known; leaf[] as id_content. */
void id_chunk_unknown(int algo, uint32_t chunk_size, uint32_t len, struct id *leaf, struct id *out);
/* A tree node from NODE_WAYS children; missing ones are zero ids. */
void id_node(int algo, const struct id child[NODE_WAYS], struct id *out);
/* The identity of a whole disk: over format version, algorithm, chunk size,
 * size in bytes, height and the top node's id.  Never the zero id. */
void id_root(int algo, uint32_t chunk_size, uint64_t size, unsigned height,
    const struct id *top, struct id *out);

/* Height of the tree over n chunks: 0 for n <= 1 (the top is the chunk). */
unsigned tree_height(uint64_t chunks);

/* Builds a root from chunk ids given in order of their number, in memory that
 * does not grow with the disk; chunks left out are zero. */
struct id_builder {
	int algo;
	uint32_t chunk_size;
	uint64_t size, next;
	struct id level[17][NODE_WAYS];
};
void id_builder_init(struct id_builder *b, int algo, uint32_t chunk_size, uint64_t size);
void id_builder_add(struct id_builder *b, uint64_t chunk, const struct id *id);
void id_builder_root(struct id_builder *b, struct id *root);

/* "blake3:HEX" for people and JSON; out has room for 80. */
char *id_format(int algo, const struct id *id, char out[80]);
int id_parse(const char *s, int *algo, struct id *id);	/* also bare hex (BLAKE3) */

#endif

/* Ranges of bytes: extents, fragments, and sets of intervals. */
#ifndef DM_BASE_EXTENT_H
#define DM_BASE_EXTENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum extent_kind {
	EXT_DATA = 0,	/* changed, or not known to be unchanged */
	EXT_ZERO = 1,	/* reads as zeros now, and may not have before */
	EXT_SAME = 2,	/* proved unchanged since the point asked about */
};

struct extent {
	uint64_t off;	/* bytes from the start of the volume */
	uint64_t len;	/* bytes, > 0 */
	enum extent_kind kind;
};

/* A piece inside one chunk. */
struct frag {
	uint32_t off;	/* bytes from the start of the chunk */
	uint32_t len;	/* bytes, > 0 */
};

/* A growing list of extents. */
struct extents {
	struct extent *v;
	size_t n, cap;
};
/* Append; joins with the last one when it touches and has the same kind. */
void extents_add(struct extents *x, uint64_t off, uint64_t len, enum extent_kind kind);
/* Join neighbours of a sorted list, those with the shortest gaps between them
 * first, until at most max (> 0) are left. */
void extents_join(struct extents *x, size_t max);
void extents_clear(struct extents *x);
void extents_free(struct extents *x);
/* Do they tile [off, off+len) in order, without gap or overlap? */
bool extents_tile(const struct extents *x, uint64_t off, uint64_t len);

/* Sorted, inside [0, chunk_len), not touching or overlapping, none empty? */
bool frags_valid(const struct frag *f, size_t n, uint32_t chunk_len);
uint64_t frags_bytes(const struct frag *f, size_t n);

/* A set of u64 as disjoint intervals: memory grows with the number of holes,
 * not with the number of members. */
struct iset;
struct iset *iset_new(void);
void iset_free(struct iset *s);
/* Add [first, first+n).  0; 1 if any of it was in already (nothing is added);
 * -1 overflow. */
int iset_add(struct iset *s, uint64_t first, uint64_t n);
/* The same, whatever of it is in already.  0 or -1. */
int iset_cover(struct iset *s, uint64_t first, uint64_t n);
bool iset_has(const struct iset *s, uint64_t v);
/* Is the set exactly [0, n)? */
bool iset_full(const struct iset *s, uint64_t n);
uint64_t iset_count(const struct iset *s);
/* The first run of numbers at or after `from', below `end', that is not in the
 * set: [*first, *first + *n).  false when there is none. */
bool iset_gap(const struct iset *s, uint64_t from, uint64_t end, uint64_t *first, uint64_t *n);

#endif

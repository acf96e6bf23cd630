/* Extents become descriptors: joined, cut on the chunk grid, numbered by
 * whoever takes them. */
#ifndef DM_JOB_DESCRIBE_H
#define DM_JOB_DESCRIBE_H

#include "base/extent.h"
#include "stream/record.h"

/* Takes the entries in order; their index is not set.  0 or -1 with *e. */
typedef int describe_sink(void *arg, uint32_t disk, const struct entry *en, struct err *e);

struct describe;
/* h stays the caller's and must outlive it. */
struct describe *describe_new(const struct hello *h, describe_sink *sink, void *arg);
/* The next extent of a disk; each disk's come in rising order (DM_BAD). */
int describe_extent(struct describe *d, uint32_t disk, const struct extent *x, struct err *e);
/* Give out the runs that wait for their continuation. */
int describe_flush(struct describe *d, struct err *e);
/* No more extents: give out the chunks under way too. */
int describe_end(struct describe *d, struct err *e);
void describe_free(struct describe *d);

/* Join the nearest until at most `max' are left; returns how many. */
size_t frags_merge(struct frag *f, size_t n, size_t max);

#endif

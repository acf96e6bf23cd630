/* The descriptors of one disk that wait to be asked for, in memory and beyond
 * that in a file (spill.h); runs are cut when their turn comes. */
#ifndef DM_JOB_DISK_QUEUE_H
#define DM_JOB_DISK_QUEUE_H

#include "job/spill.h"
#include "stream/record.h"

struct disk_queue;
/* memory: bytes of descriptors at hand.  h and file outlive it. */
struct disk_queue *disk_queue_new(struct spill_file *file, size_t memory, const struct hello *h,
    uint32_t disk);
void disk_queue_free(struct disk_queue *q);
/* 0 or -1 with *e. */
int disk_queue_put(struct disk_queue *q, const struct entry *en, struct err *e);
bool disk_queue_empty(const struct disk_queue *q);
/* The first entry, of one chunk unless it is zero: 1; 0 there is none; -1 with
 * *e.  *type is that of its frame, which classify says of data (schedule.h), once
 * for each.  Valid until disk_queue_take. */
int disk_queue_first(struct disk_queue *q,
    int (*classify)(void *arg, uint32_t disk, const struct entry *en, struct err *e), void *arg,
    const struct entry **en, uint8_t *type, struct err *e);
void disk_queue_take(struct disk_queue *q);	/* the first is gone */

#endif

/* The writer of acks of a program with several threads: an ack_feed that a
 * thread of its own pumps, so that no worker waits for a slow reader. */
#ifndef DM_JOB_ACKS_H
#define DM_JOB_ACKS_H

#include "job/cause.h"
#include "stream/frame.h"

struct acks;
/* path as for ack_feed_new.  When the reader of standard output goes away,
 * that is the failure `c' gets, and acks_begin waits while much is unread; to
 * the reader of a FIFO neither matters. */
struct acks *acks_new(const char *path, struct cause *c, struct err *e);

/* Where to put frames: NULL when nobody reads them (do not call acks_end
 * then), else locked until acks_end. */
struct frame_out *acks_begin(struct acks *a);
void acks_end(struct acks *a);
/* Work of which the reader awaits an ack has become more, or less (n < 0).
 * While there is any, after HELLO, a silence is broken by PROGRESS: who waits
 * for a store that stands still is not to take us for dead.  Of a stream that
 * stands still nothing is said. */
void acks_owe(struct acks *a, int n);
void acks_written(struct acks *a, uint64_t bytes);	/* in all, for PROGRESS */
/* Write what is left: to a FIFO, for as long as its reader takes it but not
 * longer than a second.  Frees.  0, or -1 with *e when they could not all
 * be delivered on standard output. */
int acks_close(struct acks *a, struct err *e);

#endif

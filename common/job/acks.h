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
/* Write what is left: to a FIFO, for as long as its reader takes it but not
 * longer than a second.  Frees.  0, or -1 with *e when they could not all
 * be delivered on standard output. */
int acks_close(struct acks *a, struct err *e);

#endif

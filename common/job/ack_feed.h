/* The way of the acks back to dm-window: a FIFO, or standard output.
 *
 * Nothing here ever blocks: a FIFO is opened when its reader is there, frames
 * wait in memory meanwhile, and a reader that went away ends the feeding, not
 * the program. */
#ifndef DM_JOB_ACK_FEED_H
#define DM_JOB_ACK_FEED_H

#include <poll.h>

#include "base/err.h"
#include "stream/frame.h"

struct ack_feed;
/* path: a FIFO (or a file), "-" for standard output, NULL for nowhere: then
 * all calls do nothing.  NULL with *e only for a path that cannot be used. */
struct ack_feed *ack_feed_new(const char *path, struct err *e);
void ack_feed_free(struct ack_feed *a);		/* NULL is harmless */

/* Where to queue frames of one's own; NULL when nobody listens (any more). */
struct frame_out *ack_feed_out(struct ack_feed *a);
/* Queue a frame; dropped when nobody listens any more. */
int ack_feed_pass(struct ack_feed *a, const struct frame *f, struct err *e);
/* Queue an ABORT that says *why. */
int ack_feed_abort(struct ack_feed *a, const struct err *why, struct err *e);
/* Write what fits now.  0 or -1. */
int ack_feed_pump(struct ack_feed *a, struct err *e);
/* What to wait for: *p is filled (fd -1: nothing); the timeout for poll. */
int ack_feed_poll(const struct ack_feed *a, struct pollfd *p);
/* Pump until all is gone, the reader is gone, or ms are over. */
int ack_feed_finish(struct ack_feed *a, unsigned ms, struct err *e);

#endif

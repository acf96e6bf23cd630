/* The writer of acks.  A thread of its own puts them where they go, so that
 * no worker ever waits for a slow reader of a FIFO; and because nobody here
 * may block in opening one, it is opened once a reader is there, while acks
 * wait in memory. */
#ifndef DM_JOB_ACKS_H
#define DM_JOB_ACKS_H

#include "job/cause.h"
#include "stream/frame.h"

struct acks;
/* To an open descriptor, a pipe or a file: when its reader goes away, that is
 * the failure `c' gets.  acks_begin waits while much is unread. */
struct acks *acks_new_fd(int fd, struct cause *c, struct err *e);
/* To a FIFO (or a file that exists): when its reader goes away, acks are
 * dropped from then on and the work continues. */
struct acks *acks_new_path(const char *path, struct cause *c, struct err *e);
/* Nowhere. */
struct acks *acks_new_none(void);

/* Where to put frames: NULL when nobody reads them (do not call acks_end
 * then), else locked until acks_end. */
struct frame_out *acks_begin(struct acks *a);
void acks_end(struct acks *a);
/* Write what is left: to a FIFO, for as long as its reader takes it but not
 * longer than some seconds.  Frees.  0, or -1 with *e when they could not all
 * be delivered to a descriptor. */
int acks_close(struct acks *a, struct err *e);

#endif

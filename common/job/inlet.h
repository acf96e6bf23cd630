/* A blocking reader of frames that also wakes for other reasons. */
#ifndef DM_JOB_INLET_H
#define DM_JOB_INLET_H

#include "job/cause.h"
#include "stream/frame.h"

/* The next frame of `in', which reads fd: 1; -1 with *e: the input is wrong
 * or ended, a thread failed (*e is the cause), or the reader of out_fd went
 * away (out_fd -1: not watched). */
int inlet_next(struct frame_in *in, int fd, int out_fd, struct cause *c,
    struct frame *f, struct err *e);

#endif

/* Who prints a failure: the last program of a pipeline, once. */
#ifndef DM_JOB_FAILURE_H
#define DM_JOB_FAILURE_H

#include "stream/record.h"

/* The ABORT for *e went out on fd.  When a program may read it there, that
 * one speaks and we are quiet; a file keeps it, but cannot print. */
void failure_told(int fd, struct err *e);
/* Our reader went away before the ABORT reached it.  A cause that came from
 * another program, or input that ended, is not ours to print then: others
 * failed before us, and spoke, or were killed. */
void failure_unheard(struct err *e);
/* Blocking writers: put the ABORT and flush; what cannot be delivered stays
 * to be printed. */
void failure_tell(struct frame_out *o, int fd, struct err *e);

#endif

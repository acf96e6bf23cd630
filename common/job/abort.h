/* The end of a program in a pipeline that failed. */
#ifndef DM_JOB_ABORT_H
#define DM_JOB_ABORT_H

#include <stdbool.h>

#include "stream/record.h"

/* Send *e down the stream, as its last frame.  Was it delivered?  If not, the
 * program has to say it itself (err_report). */
bool abort_send(struct frame_out *o, const struct err *e);

#endif

/* verify: disks whose content is outside of the chunk store are read back where
 * they lie, and compared with the ids that are in it. */
#ifndef DM_JOB_VERIFY_OUTSIDE_H
#define DM_JOB_VERIFY_OUTSIDE_H

#include "repo/verify.h"

/* After verify_run: what was read is no longer counted in r->outside but in
 * r->reread; what differs or is gone is a loss.  0, whatever was found; -1. */
int verify_outside(struct site *s, struct progress *progress, struct verify_report *r, struct err *e);

#endif

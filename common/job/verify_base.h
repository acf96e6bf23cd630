/* Does a target hold the base of an iteration?  Asked of its content, where
 * nothing else tells. */
#ifndef DM_JOB_VERIFY_BASE_H
#define DM_JOB_VERIFY_BASE_H

#include "stream/record.h"
#include "volume/volume.h"

/* Read all of v that is no hole, and compare its root with the base's that the
 * disk names.  0, or -1: DM_NO when they differ or the disk names none. */
int verify_base(struct volume *v, const struct hello *h, const struct disk *d, struct err *e);

#endif

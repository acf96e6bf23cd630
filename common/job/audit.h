/* Trackers lie.  An audit reads some of the chunks a tracker calls unchanged
 * and compares them with the ids of the base. */
#ifndef DM_JOB_AUDIT_H
#define DM_JOB_AUDIT_H

#include "base/extent.h"
#include "job/idfile.h"
#include "job/lane.h"
#include "volume/volume.h"

struct audit;
/* part: of the chunks, above 0 to 1.  idle: as struct track_idle. */
struct audit *audit_new(double part, struct lane_crew *crew,
    int (*idle)(void *arg, struct err *e), void *arg);
/* Sample the EXT_SAME of x. -1: DM_NO names the offset of a lie. */
int audit_check(struct audit *a, struct volume *v, struct idfile *ids, const char *disk,
    const struct extents *x, struct err *e);
void audit_free(struct audit *a);

#endif

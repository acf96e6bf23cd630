/* Files that an iteration to a directory made, and that never became a
 * checkpoint: it was killed between the two. */
#ifndef DM_JOB_ORPHANS_H
#define DM_JOB_ORPHANS_H

#include "repo/site.h"
#include "volume/volume.h"

/* Remove (dry_run: count) those of this site, in all directories that its
 * catalog names and that are here; none when a record of the catalog is lost,
 * as it may have named one.  0 or -1 with *e. */
int orphans_sweep(struct site *s, bool dry_run, struct volume_swept *sum, struct err *e);

#endif

/* dead/: records of dropped checkpoints whose disks lie outside of the chunk
 * store, until what they name is deleted too.  Private to common/repo. */
#ifndef DM_REPO_DEAD_H
#define DM_REPO_DEAD_H

#include "repo/site.h"

/* Delete what the records name, then the records.  Only files that a directory
 * target made (DIR/NAME.NNNNNN.raw, not writable) are deleted: a copy that is
 * written in place is no checkpoint's alone. */
int dead_clear(struct site *s, struct err *e);

#endif

/* One line of progress on standard error, redrawn in place. */
#ifndef DM_BASE_PROGRESS_H
#define DM_BASE_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

struct progress;

/* Shown when standard error is a terminal or `force' is set; otherwise every
 * call is a no-op.  Never NULL. */
struct progress *progress_new(const char *label, bool force);
/* done of total (0: not known yet); `note' ends the line ("3.1:1, 2 disks"),
 * may be NULL.  Draws at most five times a second. */
void progress_set(struct progress *p, uint64_t done, uint64_t total, const char *note);
/* Last state, newline, free. */
void progress_end(struct progress *p);

#endif

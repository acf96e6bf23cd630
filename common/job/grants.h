/* The volumes a command line names, and which disk of a stream each serves.
 *
 * A disk is served by the argument of its name.  One unnamed argument serves
 * the only disk of a stream whatever their names are, and every disk of a
 * stream when it is a container: a directory, a site, snapshots of EBS. */
#ifndef DM_JOB_GRANTS_H
#define DM_JOB_GRANTS_H

#include <stddef.h>

#include "base/err.h"
#include "base/uri.h"
#include "stream/record.h"

struct grants {
	struct volume_arg *arg;
	size_t n;
};

/* Parse "[NAME=]URI" words; equal names are refused.  0 or -1 (DM_USAGE). */
int grants_parse(struct grants *g, char *const words[], size_t n, struct err *e);
void grants_free(struct grants *g);
/* The argument that serves disk number `disk', or NULL. */
const struct volume_arg *grants_find(const struct grants *g, const struct hello *h, uint32_t disk);
/* Is there an argument that serves no disk of the stream?  Its name, or NULL. */
const char *grants_unused(const struct grants *g, const struct hello *h);

#endif

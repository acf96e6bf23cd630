/* A checkpoint as a stream of descriptors: what to read to have it again. */
#ifndef DM_JOB_RECOVER_H
#define DM_JOB_RECOVER_H

#include <stdbool.h>

#include "base/err.h"
#include "base/opt.h"

struct seal;

struct recover_how {
	const char *site, *workload;
	const char *at;		/* "latest", a number, a time */
	const char *since;	/* only what differs from this one; NULL: all */
	struct opt_list disks;	/* names; none: all */
	bool ids;		/* identities alone, no request */
	bool leaves;		/* with the ids of leaves */
	struct seal *seal;	/* of the output, or NULL */
};

/* Writes to fd; a failure is said there too, as ABORT.  *told: the reader has
 * it, so it need not be printed.  0 or -1. */
int recover_run(const struct recover_how *how, int fd, bool *told, struct err *e);

#endif

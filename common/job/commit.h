/* Sealing an iteration: its acks are read to their END, everything is checked,
 * and a record in the catalog makes it a checkpoint. */
#ifndef DM_JOB_COMMIT_H
#define DM_JOB_COMMIT_H

#include <jansson.h>

#include "base/err.h"
#include "repo/catalog.h"

struct commit_how {
	const char *site;
	const char *workload;
	const char *acks;	/* where acks go on to, NULL nowhere, "-" stdout */
	json_t *recovery;	/* object, or NULL; the caller's */
	int64_t time;		/* of the recovery point; 0: when the session began */
};

/* Reads acks from fd.  0: committed (or the same session had been); the record
 * is in *out, the caller's.  -1: nothing was published, unless *out is set. */
int commit_run(const struct commit_how *how, int fd, struct checkpoint **out, struct err *e);

#endif

/* The ids of a checkpoint as they arrive in a stream (KIND_IDS), laid out flat
 * in temporary files, so that a scan can look any of them up. */
#ifndef DM_JOB_AGAINST_H
#define DM_JOB_AGAINST_H

#include "job/idfile.h"
#include "stream/record.h"

struct against {
	struct hello hello;
	struct idfile **ids;	/* by disk number of hello; sealed */
	struct seal *seal;	/* the stream's, set by the caller, or NULL */
};
/* Read the ids from standard input ("-"), from a file that holds an ids stream,
 * or of a checkpoint at hand (repo:SITE#WORKLOAD[/SEQ]), for which dm-recover
 * is run.  0 or -1 with *e. */
int against_load(struct against *a, const char *from, struct err *e);
/* Read a whole ids stream.  0, or -1 with *e (an ABORT in it is relayed). */
int against_read(struct against *a, int fd, const char *what, struct err *e);
/* The ids of the disk with this name, or of the only one; NULL. */
struct idfile *against_find(const struct against *a, const char *name, bool only);
void against_free(struct against *a);

#endif

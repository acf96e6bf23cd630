/* What dm-window does: descriptors in, requests out, never more in flight
 * than the windows allow. */
#ifndef DM_JOB_WINDOW_H
#define DM_JOB_WINDOW_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct seal;

struct window_options {
	const char *acks;	/* a FIFO, or NULL: the pipe is the window */
	const char *resume;	/* a site whose interrupted session is taken up, or NULL */
	const char *have;	/* a site whose content need not travel, or NULL */
	uint64_t window, window_min, window_max;	/* bytes in flight per disk */
	const char *budget;	/* FILE[,SIZE] of the node, or NULL */
	uint64_t priority;	/* in it */
	const char **limit;	/* rates, see pace.h; */
	size_t nlimits;
	const char *shared_name;	/* and of all who share the budget and this name */
	const char **shared;
	size_t nshared;
	uint64_t interval;	/* bytes between barriers */
	uint64_t timeout;	/* seconds without any movement before giving up */
	struct seal *seal, *unseal;	/* of output and input, or NULL */
	bool progress;
	const char *report;	/* a file that tells how far each disk is, or NULL */
};

/* From standard input to standard output, which are made non-blocking and
 * put back.  0, or -1 with *e, which is quiet when an ABORT told it. */
int window_run(const struct window_options *o, struct err *e);

#endif

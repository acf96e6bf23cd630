/* dm-recv with workers: requests in, chunks of 1..N workers out. */
#ifndef DM_JOB_WORKERS_H
#define DM_JOB_WORKERS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct key;

#define WORKERS_MAX 64

struct workers_options {
	char **command;		/* of each worker, NULL at its end */
	uint64_t streams;	/* how many */
	uint64_t timeout;	/* seconds; a worker that owes and is silent is hung */
	const struct key *key;	/* to talk sealed; NULL: plain */
	bool pad;
	bool progress;
};

/* From standard input to standard output, which are made non-blocking and
 * put back.  0, or -1 with *e, which is quiet when an ABORT told it. */
int workers_run(const struct workers_options *o, struct err *e);

#endif

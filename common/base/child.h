/* Child processes on pipes. */
#ifndef DM_BASE_CHILD_H
#define DM_BASE_CHILD_H

#include <sys/types.h>

#include "err.h"

struct child {
	pid_t pid;	/* 0 when none */
	int in;		/* write end to its standard input, -1 closed */
	int out;	/* read end of its standard output, -1 closed */
};

/* Run argv[0] (by PATH) with pipes on 0 and 1; standard error is shared.
 * It dies with us (PDEATHSIG), SIGPIPE is the default there and all our other
 * descriptors are closed on exec.  0 or -1 with *e. */
int child_spawn(struct child *c, char *const argv[], struct err *e);
/* Close both pipes, SIGKILL if it still runs, reap. */
void child_kill(struct child *c);
/* Reap; returns the exit code, or 128 + signal. Waits. */
int child_wait(struct child *c);

#endif

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
/* Let a process that is made now do that for us from now on, and wait, and
 * kill, so that we need not have the right to (base/confine.h).  It runs what
 * stands in command[0..n), which argv of child_spawn must be one of, and must
 * stay.  It ends with us, and its children with it.  0 or -1 with *e. */
int child_broker(char ***command, size_t n, struct err *e);
/* Close both pipes, SIGKILL if it still runs, reap. */
void child_kill(struct child *c);
/* Reap; returns the exit code, or 128 + signal. Waits. */
int child_wait(struct child *c);

#endif

/* Inside of child*.c; nobody else includes this. */
#ifndef DM_BASE_CHILD_BROKER_H
#define DM_BASE_CHILD_BROKER_H

#include <stdbool.h>

#include "child.h"

/* Is there a broker? */
bool broker_on(void);
/* As the functions of child.h, but by the broker. */
int broker_spawn(struct child *c, char *const argv[], struct err *e);
int broker_wait(pid_t pid);
void broker_kill(pid_t pid);

/* What child_spawn does without a broker. */
int child_run(struct child *c, char *const argv[], struct err *e);

#endif

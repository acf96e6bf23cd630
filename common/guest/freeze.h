/* File systems in a guest at rest, through its agent (qemu-ga). */
#ifndef DM_GUEST_FREEZE_H
#define DM_GUEST_FREEZE_H

#include "guest/qmp.h"

/* Connect to the agent and freeze.  NULL with *e, and nothing is frozen then
 * as far as can be known.  Thaw what comes back soon: the guest waits. */
struct qmp *freeze_begin(const char *agent, struct err *e);
/* Thaw and disconnect; tried again on a new connection when the old one says
 * nothing.  0 or -1. */
int freeze_end(struct qmp *q, const char *agent, struct err *e);
/* A run that is dead may have left it frozen: thaw then. 0 or -1. */
int freeze_undo(const char *agent, struct err *e);

#endif

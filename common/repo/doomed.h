/* What prune has doomed, where several machines each have an index of their
 * own: a list in the object store that all of them apply before they look for
 * content to reuse (dm-repository(5)).  Private to common/repo. */
#ifndef DM_REPO_DOOMED_H
#define DM_REPO_DOOMED_H

#include "repo/index.h"

#define DOOMED_NOTE "chunks/doomed"	/* of prune: whom it waits for (prune_doom.c) */

/* Publish all that is doomed in this index, in place of the lists before. */
int doomed_publish(struct site *s, struct index *ix, struct err *e);
/* Doom what the list there is names, unless that was done. */
int doomed_apply(struct site *s, struct index *ix, struct err *e);

#endif

/* What the files of leases share. */
#ifndef DM_REPO_LEASE_PRIV_H
#define DM_REPO_LEASE_PRIV_H

#include "repo/lease.h"

/* The thread that writes the leases of a site anew.  0 or -1. */
int leases_begin(struct site *s, struct err *e);
/* One that was written just now, or is about to be; takes text over.  watch: a
 * descriptor whose other end lets it go, or -1. */
struct lease *lease_make(struct site *s, const char *name, char *text, int watch);
void lease_begin(struct lease *l);	/* from now on the thread's */
void lease_drop(struct lease *l);	/* one that did not come so far */
const char *lease_object(const struct lease *l);
struct site *lease_site(const struct lease *l);
char *lease_text(const struct site *s);	/* who holds it; an allocation */

#endif

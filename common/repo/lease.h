/* Leases: objects that say their maker is alive, for as long as it writes them
 * anew.  They are what locks are in a directory, for other machines.  Private
 * to common/repo.
 *
 * How old one is tells the store's own clock; its holder goes by the time
 * since it last began to write it, and counts itself lapsed sooner than anyone
 * else does. */
#ifndef DM_REPO_LEASE_H
#define DM_REPO_LEASE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "repo/site.h"

#define LEASE_NAME 160u		/* room for an object's name */
#define LEASE_S 60u		/* seconds, unless the site's config says otherwise */
#define LEASE_MIN 2u
#define LEASE_MAX 3600u

struct lease;
/* Made and held.  NULL with *e. */
struct lease *lease_new(struct site *s, const char *name, struct err *e);
/* Does it still stand?  0, also of NULL; -1 (DM_ENV): it lapsed, and what needs
 * it must not be done any more.  Shaped for object_put's `still'. */
int lease_still(void *lease, struct err *e);
/* Let it go; the object is removed when `remove' is set.  NULL is harmless. */
void lease_free(struct lease *l, bool remove);
/* The same as a descriptor: closing it lets the lease go. */
int lease_fd(struct site *s, const char *name, struct err *e);

/* Is one that was last written at `modified' alive, at `now' of the store? */
bool lease_fresh(const struct site *s, int64_t modified, int64_t now);
/* "<prefix>.<machine>.<random>": a name for a lease of this site directory. */
int lease_name(const struct site *s, const char *prefix, char out[LEASE_NAME], struct err *e);
/* Of such a name what stands before the machine: its length, or 0; *ours: of
 * this directory. */
size_t lease_name_parse(const struct site *s, const char *name, bool *ours);

void leases_end(struct site *s);	/* lets all go; for site_close */

/* The one at work of its kind, over all machines: an object that is taken by
 * a conditional put.  kind is a directory's name.  NULL: DM_NO another holds
 * it.  Who holds it here already is kept out by a lock file. */
struct lease *lease_alone(struct site *s, const char *kind, struct err *e);
void lease_alone_free(struct lease *l);

#endif

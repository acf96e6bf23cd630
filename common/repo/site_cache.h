/* A site that is named by its store, "s3://BUCKET/PREFIX": the directory that
 * goes with it on this machine is kept among the user's caches. */
#ifndef DM_REPO_SITE_CACHE_H
#define DM_REPO_SITE_CACHE_H

#include "repo/site.h"

/* NULL with e->code 0: it is no such name, but a directory's.  Else that
 * directory, an allocation, or NULL with *e.  join: make it, of the site that
 * is in the store, when it is not there. */
char *site_cache_dir(const char *name, bool join, struct err *e);

/* Does one of these words of a command line (NULL at the end), or the value of
 * such an option, name a site that is in an object store?  Then the program
 * must speak to the network. */
bool site_away(char *const *words);

#endif

/* The small files of a site, in its directory or in its object store: catalog
 * records, pins, states of sessions.  Names are relative to the site, as in
 * "catalog/web/1.json"; directories are there already. */
#ifndef DM_REPO_FILES_H
#define DM_REPO_FILES_H

#include "base/err.h"
#include "repo/site.h"

/* The content, at most max bytes, into an allocation.  1; 0 not there; -1 (one
 * too long is DM_BAD). */
int file_get(struct site *s, const char *name, size_t max, char **text, size_t *len, struct err *e);
/* 1, 0, -1. */
int file_there(struct site *s, const char *name, struct err *e);
/* Durable when they return.  still: as of object_put, asked in a store. */
int file_create(struct site *s, const char *name, const void *p, size_t len, struct err *e);	/* 1: it exists */
int file_replace(struct site *s, const char *name, const void *p, size_t len,
    int (*still)(void *arg, struct err *e), void *arg, struct err *e);
/* Gone already is fine. */
int file_remove(struct site *s, const char *name, struct err *e);
/* Call each(name, arg) for every entry of a directory, and in a store for the
 * first part of every longer name; the same more than once.  A directory that
 * is not there has none. */
int file_each(struct site *s, const char *dir, void (*each)(const char *name, void *arg), void *arg, struct err *e);

#endif

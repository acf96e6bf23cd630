/* Object stores: named byte strings somewhere else, written whole.  What a
 * site may keep there goes through these calls; what speaks to the store is a
 * module (module.h), so that nobody links its libraries.
 *
 * Promised by a store: a put that came back with 0 is durable, and seen by
 * every get and list from then on; a create makes the object only if there is
 * none of that name, whoever else tries.  object_probe asks it for proof. */
#ifndef DM_BASE_OBJECT_H
#define DM_BASE_OBJECT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/err.h"

/* Where: strings are the caller's; NULL where nothing was said. */
struct object_place {
	const char *kind;	/* "s3" */
	const char *bucket, *prefix;
	const char *endpoint, *region, *profile;
};

struct object_row {
	const char *name;
	uint64_t size;
	int64_t modified;	/* ns since the epoch, by the store's clock */
};

/* What is put.  still, if it is set, is asked before every attempt: an answer
 * other than 0 (with *e) ends the call. */
struct object_put {
	const char *name;
	const void *p;
	size_t len;
	bool create;		/* only if there is none */
	int (*still)(void *arg, struct err *e);
	void *arg;
	unsigned total_s;	/* give up after so long, 0: 15 minutes */
};

/* The module's half: `at' is what open returned. */
struct object_ops {
	void *(*open)(const struct object_place *where, struct err *e);
	void (*close)(void *at);
	int (*put)(void *at, const struct object_put *q, struct err *e);
	int (*get)(void *at, const char *name, uint64_t off, size_t len, struct buf *out, uint64_t *size, struct err *e);
	int (*remove)(void *at, const char *name, int (*still)(void *arg, struct err *e), void *arg, struct err *e);
	int (*list)(void *at, const char *prefix, int (*each)(const struct object_row *row, void *arg), void *arg,
	    int64_t *now, struct err *e);
};

struct objects;
/* DM_ENV when this build lacks the module, DM_USAGE when the place cannot be. */
struct objects *objects_open(const struct object_place *where, struct err *e);
void objects_close(struct objects *o);		/* NULL is harmless */
const char *objects_name(const struct objects *o);	/* "s3://bucket/prefix" */

/* 0; 1 create only: there is one already, and not of this content by an
 * earlier attempt of this call; -1. */
int object_put(struct objects *o, const struct object_put *q, struct err *e);
/* [off, off+len), as far as there is so much, appended to *out; with off
 * OBJECT_TAIL the last len bytes.  *size (may be NULL): of the whole object.
 * 1, 0 not there, -1. */
#define OBJECT_TAIL UINT64_MAX
int object_get(struct objects *o, const char *name, uint64_t off, size_t len, struct buf *out, uint64_t *size,
    struct err *e);
/* Gone already is fine. */
int object_remove(struct objects *o, const char *name, struct err *e);
int object_remove_while(struct objects *o, const char *name, int (*still)(void *arg, struct err *e), void *arg,
    struct err *e);
/* Every object whose name begins so, in order of names; the row lives as long
 * as the call, an answer other than 0 ends the list with that.  *now (may be
 * NULL): the store's clock. */
int object_list(struct objects *o, const char *prefix, int (*each)(const struct object_row *row, void *arg),
    void *arg, int64_t *now, struct err *e);
/* Does the store keep what is promised above?  0; -1 (DM_NO: it does not). */
int object_probe(struct objects *o, struct err *e);

/* "s3://BUCKET[/PREFIX]" apart, into allocations; false when it is none. */
bool object_uri_parse(const char *uri, char **bucket, char **prefix);

#endif

/* The first failure among threads: kept once, seen by all. */
#ifndef DM_JOB_CAUSE_H
#define DM_JOB_CAUSE_H

#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "base/err.h"

struct cause {
	pthread_mutex_t lock;
	struct err first;
	atomic_bool set;
	int wake;		/* eventfd, readable once something failed */
};

/* 0 or -1 with *e. */
int cause_init(struct cause *c, struct err *e);
void cause_destroy(struct cause *c);
/* Keep *e unless something failed before. */
void cause_give(struct cause *c, const struct err *e);
static inline bool cause_set(struct cause *c) { return atomic_load(&c->set); }
/* Copy the first failure to *e (which must be empty): -1, or 0 if none. */
int cause_take(struct cause *c, struct err *e);

#endif

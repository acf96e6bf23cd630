/* Threads: a bounded queue of jobs and a fixed set of workers. */
#ifndef DM_BASE_POOL_H
#define DM_BASE_POOL_H

#include <stddef.h>

#include "err.h"

/* A pool whose workers call run(job, arg) for each job given.  At most `depth'
 * jobs wait; pool_give blocks when that many do. */
struct pool;
struct pool *pool_new(unsigned threads, size_t depth,
    void (*run)(void *job, void *arg), void *arg, struct err *e);
void pool_give(struct pool *p, void *job);
void pool_drain(struct pool *p);	/* until nothing waits or runs */
void pool_free(struct pool *p);		/* drains, joins */

/* CPUs this process may use, at least 1. */
unsigned pool_cpus(void);

#endif

/* How hard to compress: as hard as the link leaves time for.
 *
 * The one who writes says how long it waited for what is being made, and how
 * long for the link.  Where the link is what is waited for, more is spent on
 * making things small; where it is not, less, down to nothing. */
#ifndef DM_JOB_ADAPT_H
#define DM_JOB_ADAPT_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define ADAPT_MAX 9		/* more costs much and gains little */
#define ADAPT_FIRST 1

struct adapt {
	atomic_int level;	/* 0: do not compress */
	int64_t making, writing;	/* ns, since the level was last looked at */
};
void adapt_init(struct adapt *a);
int adapt_level(const struct adapt *a);		/* any thread */
/* The writer's: so long was waited for content, or spent on writing. */
void adapt_waited(struct adapt *a, int64_t ns);
void adapt_wrote(struct adapt *a, int64_t ns);

#endif

/* Who may have how much of a budget: max-min fairness with weights.  Pure, so
 * that dm-window's disks, the pipelines of a node and the simulator divide in
 * the same way. */
#ifndef DM_JOB_SHARE_H
#define DM_JOB_SHARE_H

#include <stddef.h>
#include <stdint.h>

struct share {
	uint64_t want;		/* most it could use */
	uint64_t weight;	/* > 0 */
	uint64_t got;		/* result; never more than want */
	int done;		/* inside share_fill */
};
/* Divide `total': whoever wants less than its part leaves the rest to the
 * others.  The sum of got is at most total. */
void share_fill(struct share *s, size_t n, uint64_t total);

#endif

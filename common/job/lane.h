/* Work done by several threads and taken back in the order it was given. */
#ifndef DM_JOB_LANE_H
#define DM_JOB_LANE_H

#include <stdbool.h>
#include <stddef.h>

#include "base/err.h"

struct lane_crew;	/* threads, shared by lanes */
struct lane_crew *lane_crew_new(unsigned threads, struct err *e);
void lane_crew_free(struct lane_crew *c);	/* after its lanes */
unsigned lane_crew_size(const struct lane_crew *c);

/* First member of the caller's job. */
struct lane_job {
	void (*run)(struct lane_job *job);
	struct lane *lane;
	struct lane_job *next;
	bool done;
};

struct lane;
struct lane *lane_new(struct lane_crew *c);
/* Waits for what was given and not taken, calls drop for each. */
void lane_free(struct lane *l, void (*drop)(struct lane_job *job));
/* The caller keeps lane_waiting below a bound of its own. */
void lane_give(struct lane *l, struct lane_job *job);
size_t lane_waiting(const struct lane *l);
/* The oldest, when it is done; NULL if none was given, or when it was not done
 * within ms milliseconds (-1: wait). */
struct lane_job *lane_take(struct lane *l, int ms);

#endif

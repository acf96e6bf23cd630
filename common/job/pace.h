/* Rates that must not be exceeded: by time of day, alone or together with
 * others.  Pure: time is passed in, and the moment before which nothing may go
 * is one number, which several processes may share. */
#ifndef DM_JOB_PACE_H
#define DM_JOB_PACE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define PACE_RULES 32
#define PACE_LEAST 1024		/* bytes per second */

struct pace_rule {
	uint64_t rate;		/* bytes per second; 0: no limit at that time */
	int from, to;		/* minutes of the day, to exclusive; -1: always */
};

struct pace {
	struct pace_rule rule[PACE_RULES];
	size_t n;
	int64_t *next;		/* nothing may go before this: own, or shared */
	int64_t own_next;
	uint64_t have;		/* bytes that may go now */
	uint64_t coming;	/* bytes that may go from `due' on */
	int64_t due;
	uint64_t rate;		/* of the minute under way */
	int64_t minute_ends;
};

/* "20M", "100Mbit", "none", with "@08:00-18:00" behind it: local time, and it
 * may go past midnight.  Bytes per second are as sizes are; bits per second
 * have K, M, G of a thousand.  0 or -1 with *e. */
int pace_rule_parse(const char *text, struct pace_rule *r, struct err *e);
/* Limits of one kind; the first whose time it is counts, one without a time
 * when there is none.  0 or -1 with *e. */
int pace_add(struct pace *p, const char *text, struct err *e);
void pace_init(struct pace *p);
/* Bytes per second at this minute of the day; 0: no limit. */
uint64_t pace_rate(const struct pace *p, int minute);

/* May so many bytes go?  0: they are taken; else when to ask again. */
int64_t pace_ask(struct pace *p, uint64_t bytes, int64_t now);
/* They do not go yet, or it turned out that fewer went: so many more may. */
void pace_return(struct pace *p, uint64_t bytes);

#endif

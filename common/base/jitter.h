/* How long to wait before trying again: decorrelated jitter ("Exponential
 * Backoff And Jitter", AWS Architecture Blog). */
#ifndef DM_BASE_JITTER_H
#define DM_BASE_JITTER_H

#include <stdint.h>

/* Nanoseconds: a random time from 50 ms to three times the last one (0: there
 * was none), 20 s at most.  Any thread. */
int64_t jitter_next(int64_t last);

#endif

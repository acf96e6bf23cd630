/* Queues of records that keep little in memory: what does not fit goes to
 * one unlinked temporary file that all queues share, and comes back in order.
 * The file is made when it is first needed and its space is used again. */
#ifndef DM_JOB_SPILL_H
#define DM_JOB_SPILL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

#define SPILL_RECORD_MAX 8192

struct spill_file;
struct spill_file *spill_file_new(void);
void spill_file_free(struct spill_file *f);	/* after its queues */
uint64_t spill_file_size(const struct spill_file *f);	/* bytes it ever needed */

struct spill;
/* A first-in first-out queue with about `memory' bytes at hand. */
struct spill *spill_new(struct spill_file *f, size_t memory);
void spill_free(struct spill *q);
/* 0 or -1 with *e. */
int spill_put(struct spill *q, const void *p, size_t len, struct err *e);
/* The oldest record into p (SPILL_RECORD_MAX bytes): 1; 0 if there is none; -1. */
int spill_get(struct spill *q, void *p, size_t *len, struct err *e);
bool spill_empty(const struct spill *q);

#endif

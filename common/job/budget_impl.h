/* Inside the budget: what is in the file. */
#ifndef DM_JOB_BUDGET_IMPL_H
#define DM_JOB_BUDGET_IMPL_H

#include <stdatomic.h>

#include "base/slots.h"
#include "job/budget.h"

/* 48 bytes.  Fields are written whole, so a reader without the lock sees an
 * old or a new value. */
struct budget_head {
	_Atomic uint64_t size;		/* bytes; 0: nobody said */
	_Atomic int64_t summons;	/* law.h */
	_Atomic uint32_t changes;	/* bumped when shares changed */
};

/* 63 of them, found by name. */
struct budget_cell {
	char name[48];
	_Atomic int64_t next;		/* pace.h */
};

/* 64 bytes; sizes in KiB. */
struct budget_slot {
	uint32_t pid;
	uint16_t disks, priority;
	_Atomic uint32_t held, want;
	uint32_t flight, window;
	uint32_t rate;			/* KiB/s, mean of live disks */
	uint32_t latency;		/* microseconds */
	uint16_t live, refused;		/* disks */
	uint32_t cap;			/* mean of the refused */
	uint64_t done, total;		/* bytes */
	uint32_t least;			/* one chunk for each disk */
	uint8_t reason;
	uint8_t pad[3];
};

uint64_t budget_size(const struct budget_head *h);

#endif

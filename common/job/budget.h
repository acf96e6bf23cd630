/* What all pipelines of a node may have in flight together.  Each holds a slot
 * of a common file (base/slots.h) and takes credit from what the others of
 * those who live have left, in proportion to priorities. */
#ifndef DM_JOB_BUDGET_H
#define DM_JOB_BUDGET_H

#include <stdbool.h>

#include "base/err.h"
#include "job/window_law.h"

#define BUDGET_DEFAULT (UINT64_C(256) << 20)
#define PRIORITY_DEFAULT 10
#define PRIORITY_MAX 100

struct budget;
/* spec: FILE or FILE,SIZE; a size given changes the file's, which is
 * BUDGET_DEFAULT when nobody said one.  NULL with *e. */
struct budget *budget_open(const char *spec, struct err *e);
/* Leaves; the credit is the others' then.  NULL is harmless. */
void budget_close(struct budget *b);
/* Take part, under the name of a workload.  0 or -1 with *e. */
int budget_join(struct budget *b, const char *name, unsigned priority, uint32_t disks,
    uint32_t chunk, struct err *e);

/* What a pipeline tells the others and whoever looks. */
struct budget_news {
	uint64_t want, flight;		/* bytes it could use, and are in flight */
	uint64_t window;		/* bytes, mean over disks */
	enum law_reason reason;
	uint64_t done, total;		/* bytes of the iteration; total 0 unknown */
	const struct law_node *node;
};
/* Settle with the others: bytes that may be in flight now, never less than is.
 * Call it often: it looks only when something may have changed.  now as for
 * schedule_next. */
uint64_t budget_turn(struct budget *b, const struct budget_news *n, int64_t now);
/* When it has to look again; INT64_MAX never. */
int64_t budget_due(const struct budget *b);
/* What the other pipelines measured; *n of them, valid until the next call. */
const struct law_peer *budget_peers(struct budget *b, size_t *n);
/* A probe out of turn, which all pipelines join: what is newest of the two. */
int64_t budget_summons(struct budget *b, int64_t summons);
/* Where all who share this file and this name keep the time before which
 * nothing may go (pace.h).  NULL with *e when there is no room for more names. */
int64_t *budget_pace(struct budget *b, const char *name, struct err *e);

/* Print who takes part, as a table or as one JSON object.  0 or -1 with *e. */
int budget_print(const char *path, bool json, struct err *e);

#endif

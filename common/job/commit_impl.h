/* Inside of commit*.c; nobody else includes this. */
#ifndef DM_JOB_COMMIT_IMPL_H
#define DM_JOB_COMMIT_IMPL_H

#include "base/extent.h"
#include "job/ack_feed.h"
#include "job/commit.h"
#include "repo/session.h"
#include "stream/record.h"

/* What became of one disk. */
struct commit_disk {
	struct final final[2];	/* by side - 1 */
	bool has_final[2];
	uint64_t changed;	/* bytes asked for */
};

struct commit {
	const struct commit_how *how;
	struct site *site;
	int lock;			/* of the workload */
	struct ack_feed *feed;
	struct frame_in *in;
	struct checkpoint *latest;	/* before this one; NULL: none */
	struct hello hello;
	bool greeted, ended;
	bool again;			/* this session was committed before */
	struct session *session;	/* NULL: not (yet) joined */
	int64_t began;
	struct commit_disk *disk;	/* hello.ndisks */
	struct iset *done;		/* indices acknowledged */
	struct tally tally;
	uint32_t last_epoch, durable_epoch;
	uint64_t durable;		/* indices, as DURABLE tells */
	struct frame end;		/* kept: goes on only once committed */
	bool end_kept;
};

static inline const struct final *commit_final(const struct commit *c, uint32_t disk, int side)
{
	return c->disk[disk].has_final[side - 1] ? &c->disk[disk].final[side - 1] : NULL;
}

/* Is what a target made a state in this site's chunk store? */
bool commit_in_store(const struct final *f);

/* commit_check.c */
/* On HELLO: a kind that makes a checkpoint, bases that are the latest one. */
int commit_check_hello(struct commit *c, struct err *e);
/* On END: everything once, everything durable, roots agree. */
int commit_check_end(struct commit *c, const struct tally *end, struct err *e);

/* commit_publish.c */
/* Take the session of the stream when this site has it.  DM_NO if not. */
int commit_join(struct commit *c, struct err *e);
/* Check that all that is referenced exists, write the record, end the
 * session. */
int commit_publish(struct commit *c, struct checkpoint **out, struct err *e);

#endif

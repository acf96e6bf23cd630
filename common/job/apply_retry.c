/* A target that refuses for the moment: the window learns it, and the write is
 * made again after a pause.  Drivers that have a client which retries say so
 * with other errors, when it gave up: nobody retries twice. */
#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "base/jitter.h"
#include "base/timefmt.h"
#include "job/apply_impl.h"

#define MS 1000000ll
#define LONGEST (300000 * MS)	/* of one write, all in all */
#define LOOK 50			/* milliseconds between looks for a failure elsewhere */

void apply_patience(struct apply_patience *p)
{
	*p = (struct apply_patience){ .since = time_mono() };
}

int apply_nak(struct apply *a, const struct apply_job *j, const struct nak *n, struct err *e)
{
	struct frame_out *o = acks_begin(a->acks);
	int rc = 0;

	if (o) {
		rc = nak_put(o, j->disk, j->epoch, n, e);
		acks_end(a->acks);
	}
	return rc;
}

int apply_again(struct apply *a, const struct apply_job *j, struct apply_patience *p, int rc,
    struct err *e)
{
	struct nak n = { .index = j->c.en.index, .cls = CLASS_THROTTLE };
	struct timespec t = { .tv_nsec = LOOK * MS };

	if ((rc != -EAGAIN && rc != -EBUSY) || time_mono() - p->since > LONGEST)
		return 0;
	volume_forgive(a->disk[j->disk].vol);
	p->pause = jitter_next(p->pause);
	n.retry_ms = (uint32_t)(p->pause / MS);
	if (apply_nak(a, j, &n, e) < 0)
		return -1;
	for (int64_t waited = 0; waited < p->pause; waited += LOOK * MS) {
		if (cause_set(a->cause))
			return cause_take(a->cause, e);
		nanosleep(&t, NULL);
	}
	return 1;
}

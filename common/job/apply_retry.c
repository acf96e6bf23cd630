/* A target that refuses for the moment: the window learns it, and the write is
 * made again after a pause.  Drivers that have a client which retries say so
 * with other errors, when it gave up: nobody retries twice. */
#include <errno.h>
#include <stdlib.h>
#include <sys/random.h>
#include <time.h>

#include "base/timefmt.h"
#include "job/apply_impl.h"

#define MS 1000000ll
#define PAUSE_MIN 50		/* milliseconds */
#define PAUSE_MAX 20000
#define LONGEST (300000 * MS)	/* of one write, all in all */
#define LOOK 50			/* milliseconds between looks for a failure elsewhere */

void apply_patience(struct apply_patience *p)
{
	*p = (struct apply_patience){ .since = time_mono() };
}

/* Decorrelated jitter: from the least to three times the last. */
static uint32_t pause_next(uint32_t last)
{
	uint32_t span = last ? 3 * last - PAUSE_MIN : PAUSE_MIN, dice = 0;

	if (getrandom(&dice, sizeof dice, GRND_NONBLOCK) < 0)
		dice = (uint32_t)time_mono();
	return (uint32_t)min64(PAUSE_MIN + dice % (span + 1), PAUSE_MAX);
}

static int tell(struct apply *a, const struct apply_job *j, uint32_t ms, struct err *e)
{
	struct nak n = { .index = j->c.en.index, .cls = CLASS_THROTTLE, .retry_ms = ms };
	struct frame_out *o = acks_begin(a->acks);
	int rc = 0;

	if (o) {
		rc = nak_put(o, j->disk, j->epoch, &n, e);
		acks_end(a->acks);
	}
	return rc;
}

int apply_again(struct apply *a, const struct apply_job *j, struct apply_patience *p, int rc,
    struct err *e)
{
	struct timespec t = { .tv_nsec = LOOK * MS };

	if (rc != -EAGAIN || time_mono() - p->since > LONGEST)
		return 0;
	volume_forgive(a->disk[j->disk].vol);
	p->pause = pause_next(p->pause);
	if (tell(a, j, p->pause, e) < 0)
		return -1;
	for (uint32_t waited = 0; waited < p->pause; waited += LOOK) {
		if (cause_set(a->cause))
			return cause_take(a->cause, e);
		nanosleep(&t, NULL);
	}
	return 1;
}

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

/* 0, or -1 when meanwhile something failed. */
static int pause_for(struct apply *a, int64_t ns)
{
	struct timespec t = { .tv_nsec = LOOK * MS };

	for (int64_t waited = 0; waited < ns && !cause_set(a->cause); waited += LOOK * MS)
		nanosleep(&t, NULL);
	return cause_set(a->cause) ? -1 : 0;
}

/* A driver knows the call it makes, not whose it is. */
static _Thread_local const struct apply_job *doing;

void apply_doing(const struct apply_job *j)
{
	doing = j;
}

int apply_wait(void *disk, enum err_class cls, int64_t ns)
{
	struct apply *a = ((struct apply_disk *)disk)->a;
	struct nak n = { .cls = cls, .retry_ms = (uint32_t)(ns / MS) };
	struct err e = { 0 };

	if (doing) {
		n.index = doing->c.en.index;
		if (apply_nak(a, doing, &n, &e) < 0)
			return -1;
	}
	return pause_for(a, ns);
}

int apply_again(struct apply *a, const struct apply_job *j, struct apply_patience *p, int rc,
    struct err *e)
{
	struct nak n = { .index = j->c.en.index, .cls = CLASS_THROTTLE };

	if (!volume_refused(rc))
		return 0;
	volume_forgive(a->disk[j->disk].vol, &p->why);
	if (time_mono() - p->since > LONGEST) {
		if (p->why.code)
			*e = p->why;
		/* Another thread may have been given the message. */
		return err_sys(e, DM_ENV, -rc, "%s", volume_uri(a->disk[j->disk].vol));
	}
	p->pause = jitter_next(p->pause);
	n.retry_ms = (uint32_t)(p->pause / MS);
	if (apply_nak(a, j, &n, e) < 0)
		return -1;
	return pause_for(a, p->pause) < 0 ? cause_take(a->cause, e) : 1;
}

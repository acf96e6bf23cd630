/* nbd: targets, requests that failed.  What a server calls an error of its
 * storage, or a lack of memory, may have passed when it is asked again: its own
 * backend is throttled, fails over, or heals.  So such requests, and no others,
 * are sent again after a pause that grows, while the window hears of it.  A
 * connection that is lost is another matter: what the server had not flushed may
 * be gone with it, so the iteration ends. */
#include <errno.h>

#include "base/bytes.h"
#include "base/jitter.h"
#include "base/timefmt.h"
#include "volume/drv_nbd.h"

#define LONGEST (300 * SECOND)	/* of one call, all in all */

bool nbdv_passes(int errnum)
{
	return errnum == EIO || errnum == ENOMEM;
}

/* Is it too long since the server did anything that was asked for? */
static bool hopeless(struct nbdv_vol *n, const struct nbdv_patience *p, int64_t now)
{
	int64_t good = n->good > p->since ? n->good : p->since;

	return now - good > n->where.timeout * SECOND || now - p->since > LONGEST;
}

bool nbdv_again(const struct nbdv_call *c, struct nbdv_patience *p, bool none)
{
	struct nbdv_vol *n = c->vol;
	int64_t now = time_mono();

	if (!none || !c->errnum) {
		n->good = now;
		p->pause = 0;
	}
	if (!c->errnum || !c->passes || !n->wait.wait)
		return false;
	if (!p->since)
		p->since = now;
	if (hopeless(n, p, now))
		return false;
	p->pause = jitter_next(p->pause);
	return n->wait.wait(n->wait.arg, CLASS_TRANSIENT, p->pause) == 0;
}

#include "base/bytes.h"
#include "job/window_law.h"

#define MS 1000000ll
#define HALVE_EVERY (100 * MS)
#define QUIET (1000 * MS)	/* without a refusal, before it grows again */
#define HOLD_MAX_MS 60000u

void law_init(struct window_law *w, uint64_t full, uint64_t floor)
{
	*w = (struct window_law){ .full = max64(full, floor), .floor = floor };
	w->now = w->full;
}

void law_ack(struct window_law *w, uint64_t cost, int64_t now)
{
	if (w->now >= w->full || now < w->hold || (w->shrunk && now - w->shrunk < QUIET))
		return;
	/* A quarter more each time a whole window was written. */
	w->now += max64(cost / 4, 1);
	w->now = min64(w->now, w->full);
}

void law_nak(struct window_law *w, uint32_t retry_ms, int64_t now)
{
	int64_t until = now + (int64_t)min64(retry_ms, HOLD_MAX_MS) * MS;

	if (until > w->hold)
		w->hold = until;
	if (w->shrunk && now - w->shrunk < HALVE_EVERY)
		return;
	w->shrunk = now;
	w->now = max64(w->now / 2, w->floor);
}

uint64_t law_bytes(const struct window_law *w)
{
	return w->now;
}

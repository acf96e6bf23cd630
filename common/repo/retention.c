#include <time.h>

#include "base/timefmt.h"
#include "repo/retention.h"

#define DAY (INT64_C(86400) * SECOND)

static int64_t day_of(int64_t t)
{
	return t / DAY;
}

/* Weeks begin on Monday; the epoch was a Thursday. */
static int64_t week_of(int64_t t)
{
	return (t / DAY + 3) / 7;
}

static int64_t month_of(int64_t t)
{
	time_t seconds = (time_t)(t / SECOND);
	struct tm tm;

	gmtime_r(&seconds, &tm);
	return (int64_t)tm.tm_year * 12 + tm.tm_mon;
}

/* Keep the newest of each of the last `count' periods that have one. */
static void keep_periods(struct checkpoint *const *v, size_t n, uint64_t count,
    int64_t (*period)(int64_t), bool *keep)
{
	int64_t last = INT64_MIN;

	for (size_t i = n; i-- > 0 && count;) {
		int64_t p = period(v[i]->time);

		if (p == last)
			continue;
		keep[i] = true;
		last = p;
		count--;
	}
}

void retention_apply(const struct retention *r, struct checkpoint *const *v, size_t n,
    int64_t now, bool *keep)
{
	bool none = !r->last && !r->within && !r->daily && !r->weekly && !r->monthly;
	int64_t since = INT64_MAX;

	/* A workload of which nothing comes any more, or a clock that ran ahead,
	 * must not take the past away. */
	if (n && v[n - 1]->time < now)
		now = v[n - 1]->time;
	if (r->within)
		since = r->within > (uint64_t)(now / SECOND) ? 0 : now - (int64_t)r->within * SECOND;
	for (size_t i = 0; i < n; i++)
		keep[i] = none || v[i]->pinned || i + 1 == n || n - i <= r->last ||
		    v[i]->time >= since;
	keep_periods(v, n, r->daily, day_of, keep);
	keep_periods(v, n, r->weekly, week_of, keep);
	keep_periods(v, n, r->monthly, month_of, keep);
}

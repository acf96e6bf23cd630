/* common/repo/retention: what prune may drop. */
#include <string.h>

#include "../lib/unit.h"
#include "base/bytes.h"
#include "base/timefmt.h"
#include "repo/retention.h"

#define MAX 16

/* The seqs (from 1) that are kept, as "1 3 4". */
static char *kept(const struct retention *r, const char *const *times, size_t n, uint64_t pinned)
{
	struct checkpoint c[MAX], *v[MAX];
	struct buf out = { 0 };
	bool keep[MAX];
	int64_t now;

	CHECK(n <= MAX && time_parse("2026-11-23T12:00Z", 0, &now) == 0);
	memset(c, 0, sizeof(c));
	for (size_t i = 0; i < n; i++) {
		v[i] = &c[i];
		c[i].seq = i + 1;
		c[i].pinned = c[i].seq == pinned;
		CHECK(time_parse(times[i], 0, &c[i].time) == 0);
	}
	retention_apply(r, v, n, now, keep);
	for (size_t i = 0; i < n; i++)
		if (keep[i])
			buf_printf(&out, "%s%zu", out.len ? " " : "", i + 1);
	buf_printf(&out, "%c", 0);
	return (char *)out.p;
}

static const char *const times[] = {
	"2026-09-01T00:00Z",	/* 1 */
	"2026-10-01T00:00Z",	/* 2 */
	"2026-10-31T23:59Z",	/* 3 */
	"2026-11-15T23:59Z",	/* 4: a Sunday */
	"2026-11-16T00:00Z",	/* 5: the Monday after */
	"2026-11-22T08:00Z",	/* 6: a Sunday */
	"2026-11-22T20:00Z",	/* 7 */
	"2026-11-23T08:00Z",	/* 8: a Monday */
	"2026-11-23T11:30Z",	/* 9 */
};

static bool keeps(struct retention r, uint64_t pinned, const char *want)
{
	char *got = kept(&r, times, LEN(times), pinned);
	bool same = !strcmp(got, want);

	if (!same)
		fprintf(stderr, "got %s, want %s\n", got, want);
	free(got);
	return same;
}

static void test_rules(void)
{
	CHECK(keeps((struct retention){ 0 }, 0, "1 2 3 4 5 6 7 8 9"));
	CHECK(keeps((struct retention){ .last = 1 }, 0, "9"));
	CHECK(keeps((struct retention){ .last = 3 }, 0, "7 8 9"));
	CHECK(keeps((struct retention){ .last = 100 }, 0, "1 2 3 4 5 6 7 8 9"));
	CHECK(keeps((struct retention){ .last = 1 }, 2, "2 9"));
	CHECK(keeps((struct retention){ .within = 1800 }, 0, "9"));
	CHECK(keeps((struct retention){ .within = 86400 }, 0, "7 8 9"));
	CHECK(keeps((struct retention){ .within = UINT64_MAX }, 0, "1 2 3 4 5 6 7 8 9"));
	CHECK(keeps((struct retention){ .daily = 2 }, 0, "7 9"));
	CHECK(keeps((struct retention){ .daily = 100 }, 0, "1 2 3 4 5 7 9"));
	CHECK(keeps((struct retention){ .weekly = 3 }, 0, "4 7 9"));
	CHECK(keeps((struct retention){ .monthly = 3 }, 0, "1 3 9"));
	CHECK(keeps((struct retention){ .last = 2, .monthly = 2 }, 0, "3 8 9"));
}

/* A clock that went back makes a newer checkpoint look older: the latest by
 * number stays all the same. */
static void test_clock(void)
{
	static const char *const back[] = { "2026-11-23T11:00Z", "2020-01-01T00:00Z" };
	struct retention r = { .within = 7200 };
	char *got = kept(&r, back, 2, 0);

	CHECK(!strcmp(got, "1 2"));
	free(got);
}

/* When nothing came for a month, or the clock is a month ahead, what was kept
 * then is kept; one from the future does not count for the past. */
static void test_stopped(void)
{
	static const char *const old[] = { "2026-10-01T08:00Z", "2026-10-19T20:00Z", "2026-10-20T08:00Z",
		"2026-10-20T10:00Z" };
	static const char *const ahead[] = { "2026-11-23T08:00Z", "2026-11-23T11:00Z", "2031-01-01T00:00Z" };
	struct retention r = { .within = 86400 };
	char *got = kept(&r, old, LEN(old), 0);

	CHECK(!strcmp(got, "2 3 4"));
	free(got);
	got = kept(&r, ahead, LEN(ahead), 0);
	CHECK(!strcmp(got, "1 2 3"));
	free(got);
}

int main(void)
{
	RUN(test_rules);
	RUN(test_clock);
	RUN(test_stopped);
	return 0;
}

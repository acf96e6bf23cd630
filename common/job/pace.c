#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "base/bytes.h"
#include "base/timefmt.h"
#include "job/pace.h"

#define BLOCKS 50		/* booked in a second, at most */
#define BURST (SECOND / 20)	/* of a while without traffic */
#define STALE (3600 * SECOND)	/* a moment so far ahead is of another clock */
#define DAY 1440

void pace_init(struct pace *p)
{
	*p = (struct pace){ 0 };
	p->next = &p->own_next;
}

/* "100Mbit": bits, in thousands. */
static int bits_parse(const char *s, size_t len, uint64_t *rate)
{
	static const struct { char unit; uint64_t times; } units[] = {
		{ 'k', 1000 }, { 'K', 1000 }, { 'M', 1000000 }, { 'G', 1000000000 },
	};
	char number[24];
	uint64_t times = 1, n;

	for (size_t i = 0; i < LEN(units); i++)
		if (len && s[len - 1] == units[i].unit) {
			times = units[i].times;
			len--;
			break;
		}
	if (!len || len >= sizeof number)
		return -1;
	memcpy(number, s, len);
	number[len] = 0;
	if (u64_parse(number, 1, UINT64_C(1) << 32, &n) < 0 || !mul64(n, times, &n))
		return -1;
	*rate = n / 8;
	return *rate >= PACE_LEAST ? 0 : -1;
}

static int rate_parse(const char *s, uint64_t *rate)
{
	size_t len = strlen(s);

	*rate = 0;
	if (!strcmp(s, "none"))
		return 0;
	if (len > 3 && !strcasecmp(s + len - 3, "bit"))
		return bits_parse(s, len - 3, rate);
	return size_parse(s, PACE_LEAST, UINT64_C(1) << 50, rate);
}

/* HH:MM in minutes; 24:00 is the end of the day. */
static int clock_parse(const char *s, size_t len, int *minute)
{
	int h, m;

	if (len != 5 || s[2] != ':' || strspn(s, "0123456789") != 2 || strspn(s + 3, "0123456789") < 2)
		return -1;
	h = (s[0] - '0') * 10 + s[1] - '0';
	m = (s[3] - '0') * 10 + s[4] - '0';
	*minute = 60 * h + m;
	return m > 59 || *minute > DAY ? -1 : 0;
}

int pace_rule_parse(const char *text, struct pace_rule *r, struct err *e)
{
	const char *at = strchr(text, '@'), *dash;
	char rate[64];
	size_t len = at ? (size_t)(at - text) : strlen(text);

	r->from = r->to = -1;
	if (!len || len >= sizeof rate)
		goto bad;
	memcpy(rate, text, len);
	rate[len] = 0;
	if (rate_parse(rate, &r->rate) < 0)
		goto bad;
	if (!at)
		return 0;
	dash = strchr(at, '-');
	if (!dash || clock_parse(at + 1, (size_t)(dash - at - 1), &r->from) < 0 ||
	    clock_parse(dash + 1, strlen(dash + 1), &r->to) < 0 || r->from == r->to)
		goto bad;
	return 0;
bad:
	return err_set(e, DM_USAGE, "limit %s: a rate such as 20M (bytes per second) or 100Mbit, "
	    "or none, and @HH:MM-HH:MM behind it if it is for a part of the day", text);
}

int pace_add(struct pace *p, const char *text, struct err *e)
{
	if (p->n == PACE_RULES)
		return err_set(e, DM_USAGE, "more than %d limits", PACE_RULES);
	if (pace_rule_parse(text, &p->rule[p->n], e) < 0)
		return -1;
	for (size_t i = 0; i < p->n; i++)
		if (p->rule[i].from < 0 && p->rule[p->n].from < 0)
			return err_set(e, DM_USAGE, "limit %s: there is another without a time", text);
	p->n++;
	return 0;
}

static bool covers(const struct pace_rule *r, int minute)
{
	if (r->from < r->to)
		return minute >= r->from && minute < r->to;
	return minute >= r->from || minute < r->to;
}

uint64_t pace_rate(const struct pace *p, int minute)
{
	uint64_t always = 0;

	for (size_t i = 0; i < p->n; i++) {
		if (p->rule[i].from < 0)
			always = p->rule[i].rate;
		else if (covers(&p->rule[i], minute))
			return p->rule[i].rate;
	}
	return always;
}

/* The clock's minute; `now' is wall time, as far as this goes. */
static void minute_look(struct pace *p, int64_t now)
{
	time_t t = (time_t)(now / SECOND);
	struct tm tm;

	if (now < p->minute_ends)
		return;
	localtime_r(&t, &tm);
	p->rate = pace_rate(p, tm.tm_hour * 60 + tm.tm_min);
	p->minute_ends = (t - tm.tm_sec + 60) * SECOND;
}

static int64_t time_for(uint64_t bytes, uint64_t rate)
{
	double t = (double)bytes * SECOND / (double)rate;

	return t > STALE / 2 ? STALE / 2 : (int64_t)t;
}

/* Book room for so many bytes behind what is booked: when it is their turn. */
static int64_t book(int64_t *next, int64_t length, int64_t now)
{
	int64_t old = __atomic_load_n(next, __ATOMIC_RELAXED), start;

	do {
		start = old;
		if (start < now - BURST || start > now + STALE)
			start = now - BURST;
	} while (!__atomic_compare_exchange_n(next, &old, start + length, false,
	    __ATOMIC_RELAXED, __ATOMIC_RELAXED));
	return start;
}

int64_t pace_ask(struct pace *p, uint64_t bytes, int64_t now)
{
	if (!p->n)
		return 0;
	minute_look(p, now);
	if (!p->rate)
		return 0;
	for (;;) {
		if (p->coming && now >= p->due) {
			p->have += p->coming;
			p->coming = 0;
		}
		if (p->have >= bytes) {
			p->have -= bytes;
			return 0;
		}
		if (p->coming)
			return p->due;
		p->coming = max64(bytes - p->have, p->rate / BLOCKS);
		p->due = book(p->next, time_for(p->coming, p->rate), now);
	}
}

void pace_return(struct pace *p, uint64_t bytes)
{
	if (p->n && p->rate)
		p->have += bytes;
}

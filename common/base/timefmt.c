#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/bytes.h"
#include "base/timefmt.h"

#define SECONDS_MAX (INT64_MAX / SECOND)

static int64_t clock_ns(clockid_t c)
{
	struct timespec t;

	clock_gettime(c, &t);
	return (int64_t)t.tv_sec * SECOND + t.tv_nsec;
}

int64_t time_now(void)
{
	return clock_ns(CLOCK_REALTIME);
}

int64_t time_mono(void)
{
	return clock_ns(CLOCK_MONOTONIC);
}

int duration_parse(const char *s, uint64_t *seconds)
{
	static const struct { char unit; unsigned mul; } units[] = {
		{ 's', 1 }, { 'm', 60 }, { 'h', 3600 }, { 'd', 86400 }, { 'w', 604800 },
	};
	char digits[16];
	size_t n = strspn(s, "0123456789");
	uint64_t v;

	if (!n || n >= sizeof digits || !s[n] || s[n + 1])
		return -1;
	memcpy(digits, s, n);
	digits[n] = 0;
	for (size_t i = 0; i < LEN(units); i++)
		if (units[i].unit == s[n]) {
			if (u64_parse(digits, 0, (uint64_t)SECONDS_MAX / units[i].mul, &v) < 0)
				return -1;
			*seconds = v * units[i].mul;
			return 0;
		}
	return -1;
}

/* Exactly n digits, moving *s. */
static int digits(const char **s, int n, int *out)
{
	int v = 0;

	for (; n; n--, (*s)++) {
		if (**s < '0' || **s > '9')
			return -1;
		v = v * 10 + (**s - '0');
	}
	*out = v;
	return 0;
}

/* [:SS[.fraction]] after HH:MM. */
static int parse_seconds(const char **s, struct tm *tm, int64_t *ns)
{
	int64_t unit = SECOND / 10;

	*ns = 0;
	if (**s != ':')
		return 0;
	(*s)++;
	if (digits(s, 2, &tm->tm_sec) < 0 || tm->tm_sec > 60)
		return -1;
	if (**s != '.')
		return 0;
	for ((*s)++; **s >= '0' && **s <= '9'; (*s)++, unit /= 10)
		*ns += (**s - '0') * unit;
	return 0;
}

/* Z, +HH:MM, -HH:MM or nothing; nothing means local time. */
static int to_epoch(const char *s, struct tm *tm, int64_t *seconds)
{
	int sign, hours, minutes;

	if (!*s) {
		tm->tm_isdst = -1;
		*seconds = mktime(tm);
		return 0;
	}
	*seconds = timegm(tm);
	if (!strcmp(s, "Z") || !strcmp(s, "z"))
		return 0;
	if (*s != '+' && *s != '-')
		return -1;
	sign = *s++ == '+' ? 1 : -1;
	if (digits(&s, 2, &hours) < 0)
		return -1;
	if (*s == ':')
		s++;
	if (digits(&s, 2, &minutes) < 0 || *s || hours > 23 || minutes > 59)
		return -1;
	*seconds -= sign * (hours * 3600 + minutes * 60);
	return 0;
}

static int parse_calendar(const char *s, int64_t *out)
{
	struct tm tm = { 0 };
	int64_t seconds, ns = 0;

	if (digits(&s, 4, &tm.tm_year) < 0 || *s++ != '-' || digits(&s, 2, &tm.tm_mon) < 0 ||
	    *s++ != '-' || digits(&s, 2, &tm.tm_mday) < 0)
		return -1;
	if (*s == 'T' || *s == ' ') {
		s++;
		if (digits(&s, 2, &tm.tm_hour) < 0 || *s++ != ':' || digits(&s, 2, &tm.tm_min) < 0 ||
		    parse_seconds(&s, &tm, &ns) < 0)
			return -1;
	}
	if (tm.tm_mon < 1 || tm.tm_mon > 12 || tm.tm_mday < 1 || tm.tm_mday > 31 ||
	    tm.tm_hour > 23 || tm.tm_min > 59 || tm.tm_year < 1970 || tm.tm_year > 2200)
		return -1;
	tm.tm_year -= 1900;
	tm.tm_mon--;
	if (to_epoch(s, &tm, &seconds) < 0)
		return -1;
	*out = seconds * SECOND + ns;
	return 0;
}

int time_parse(const char *s, int64_t now, int64_t *out)
{
	uint64_t v;

	if (*s == '-') {
		if (duration_parse(s + 1, &v) < 0 || (int64_t)v > now / SECOND)
			return -1;
		*out = now - (int64_t)v * SECOND;
		return 0;
	}
	if (*s == '@') {
		if (u64_parse(s + 1, 0, (uint64_t)SECONDS_MAX, &v) < 0)
			return -1;
		*out = (int64_t)v * SECOND;
		return 0;
	}
	return parse_calendar(s, out);
}

char *time_format(int64_t ns, char out[32])
{
	time_t t = (time_t)(ns / SECOND);
	struct tm tm;

	gmtime_r(&t, &tm);
	strftime(out, 32, "%Y-%m-%dT%H:%M:%SZ", &tm);
	return out;
}
